//! The types of labels. Each has few values, because each value makes a time series of its own.

use metrics::SharedString;

use crate::domain::{id::ProviderName, reason::Reason};

pub(super) trait Label {
    fn label(self) -> SharedString;
}

impl Label for &str {
    fn label(self) -> SharedString {
        self.to_owned().into()
    }
}

impl Label for &ProviderName {
    fn label(self) -> SharedString {
        self.as_str().label()
    }
}

impl Label for Reason {
    fn label(self) -> SharedString {
        Self::label(self).into()
    }
}

/// The way in which an event came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceLabel {
    Redis,
    Http,
}

impl Label for SourceLabel {
    fn label(self) -> SharedString {
        match self {
            Self::Redis => "redis".into(),
            Self::Http => "http".into(),
        }
    }
}

/// The delivery method of a SET (RFC 8935, RFC 8936).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodLabel {
    Push,
    Poll,
}

impl Label for MethodLabel {
    fn label(self) -> SharedString {
        match self {
            Self::Push => "push".into(),
            Self::Poll => "poll".into(),
        }
    }
}

/// The listener that got a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerLabel {
    Public,
    Internal,
    Sources,
}

impl Label for ListenerLabel {
    fn label(self) -> SharedString {
        match self {
            Self::Public => "public".into(),
            Self::Internal => "internal".into(),
            Self::Sources => "sources".into(),
        }
    }
}

/// The class of an HTTP status, which is its first digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusClass(u16);

impl From<u16> for StatusClass {
    fn from(status: u16) -> Self {
        Self(status / 100)
    }
}

impl Label for StatusClass {
    fn label(self) -> SharedString {
        match self.0 {
            1 => "1xx".into(),
            2 => "2xx".into(),
            3 => "3xx".into(),
            4 => "4xx".into(),
            _ => "5xx".into(),
        }
    }
}
