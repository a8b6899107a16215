//! The facts by which the courier judges an input.

use std::sync::Arc;

use crate::{
    delivery::{new_key::NewKey, retry::Times},
    domain::{
        stream::{Revision, StreamConfig},
        time::Timestamp,
    },
};

/// The facts at the moment of an input. The caller takes a new view for each input, so that an attempt
/// is judged at the last moment before it begins.
#[derive(Debug, Clone)]
pub struct View {
    pub now: Timestamp,
    /// The time by which ages are judged. Behind `now` while a step of the clock may be taken back.
    pub ages_by: Timestamp,
    /// Differs from the last one if the stream, its subjects or its keys were changed.
    pub revision: Revision,
    /// The stream at this revision; `None` if it was deleted.
    pub stream: Option<Arc<StreamConfig>>,
    /// The key that signs, if it followed another one.
    pub new_key: Option<NewKey>,
    /// Whether the lease of this node allows attempts for the stream to begin.
    pub may_begin: bool,
}

impl View {
    pub(super) fn times(&self) -> Times {
        Times { now: self.now, ages_by: self.ages_by }
    }
}
