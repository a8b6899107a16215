//! The kinds of SETs that a push stream lets through.

use crate::{
    delivery::outbox::SetKind,
    domain::{status::StreamStatus, stream::StreamConfig},
};

/// The SETs that a stream lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    All,
    /// The announcement that the stream has stopped, and nothing after it (SSF §8.1.5).
    Announcements,
    Nothing,
}

impl Flow {
    /// Tells what a stream lets through by push. A stream that is not enabled still sends the
    /// announcement in its outbox; there is none if the Receiver asked for the status itself.
    pub fn of(stream: &StreamConfig) -> Self {
        match (stream.endpoint(), stream.status) {
            (None, _) => Self::Nothing,
            (Some(_), StreamStatus::Enabled) => Self::All,
            (Some(_), StreamStatus::Paused | StreamStatus::Disabled) => Self::Announcements,
        }
    }

    /// Whether there may be something to send after a wake-up; `control` if a control event is among
    /// the new SETs. All else that a stopped stream gets is held, or not taken at all.
    pub fn may_have_work(self, control: bool) -> bool {
        match self {
            Self::All => true,
            Self::Announcements => control,
            Self::Nothing => false,
        }
    }

    pub fn lets_through(self, kind: SetKind) -> bool {
        match self {
            Self::All => true,
            Self::Announcements => kind == SetKind::Announcement,
            Self::Nothing => false,
        }
    }
}
