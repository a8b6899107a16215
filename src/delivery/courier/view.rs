//! The facts by which the courier judges an input.

use std::sync::Arc;

use crate::domain::{
    stream::{Revision, StreamConfig},
    time::Timestamp,
};

/// The facts at the moment of an input. The caller takes a new view for each input, so that an attempt
/// is judged at the last moment before it begins.
#[derive(Debug, Clone)]
pub struct View {
    pub now: Timestamp,
    /// Differs from the last one if the stream, its subjects or its keys were changed.
    pub revision: Revision,
    /// The stream at this revision; `None` if it was deleted.
    pub stream: Option<Arc<StreamConfig>>,
    /// Whether the lease of this node allows attempts for the stream to begin.
    pub may_begin: bool,
}
