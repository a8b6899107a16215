//! Public documents, which any number of answers share.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    http::header::EntityTag,
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use crate::http::connection::WRITE_BUFFER_BYTES;

/// The most bytes of a document that are copied at once. actix copies what a body gives into the buffer of
/// the connection, and asks for more only while this buffer has room.
const SLICE_MAX: usize = WRITE_BUFFER_BYTES;

/// A text in one buffer, which lives as long as an answer needs it.
#[derive(Debug, Clone)]
pub(super) struct SharedText {
    bytes: Bytes,
    hash: Vec<u8>,
}

/// A document that consists of a text of its own and one that it shares with others. Either may be empty.
#[derive(Debug, Clone)]
pub(super) struct Document {
    own: Bytes,
    shared: Bytes,
    tag: String,
}

impl SharedText {
    pub(super) fn new(text: String) -> Self {
        let hash = digest(&SHA256, text.as_bytes()).as_ref().to_vec();
        Self { bytes: text.into(), hash }
    }
}

impl Document {
    /// Returns the document that begins with `own` and ends with `shared`.
    pub(super) fn new(own: String, shared: &SharedText) -> Self {
        let both = digest(&SHA256, &[own.as_bytes(), &shared.hash].concat());
        Self { own: own.into(), shared: shared.bytes.clone(), tag: URL_SAFE_NO_PAD.encode(both) }
    }

    pub(super) fn tag(&self) -> EntityTag {
        EntityTag::new_strong(self.tag.clone())
    }
}

impl From<String> for Document {
    fn from(text: String) -> Self {
        let tag = URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()));
        Self { own: text.into(), shared: Bytes::new(), tag }
    }
}

impl From<&SharedText> for Document {
    fn from(text: &SharedText) -> Self {
        let tag = URL_SAFE_NO_PAD.encode(&text.hash);
        Self { own: Bytes::new(), shared: text.bytes.clone(), tag }
    }
}

impl MessageBody for Document {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized((self.own.len() + self.shared.len()) as u64)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let Self { own, shared, .. } = self.get_mut();
        let rest = if own.is_empty() { shared } else { own };
        let slice = rest.split_to(rest.len().min(SLICE_MAX));
        Poll::Ready((!slice.is_empty()).then_some(Ok(slice)))
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Waker};

    use super::*;

    /// Returns the slices of a document.
    fn slices(document: Document) -> Vec<Bytes> {
        let mut document = pin!(document);
        let mut context = Context::from_waker(Waker::noop());
        let mut next = || match document.as_mut().poll_next(&mut context) {
            Poll::Ready(slice) => slice.map(|slice| slice.unwrap_or_else(|never| match never {})),
            Poll::Pending => panic!("a document is there"),
        };
        std::iter::from_fn(&mut next).collect()
    }

    #[test]
    fn a_document_comes_in_slices_of_the_shared_buffer() {
        let text = SharedText::new("x".repeat(3 * SLICE_MAX + 1));
        let document = Document::new("{".to_owned(), &text);
        assert_eq!(document.size(), BodySize::Sized(3 * SLICE_MAX as u64 + 2));
        let slices = slices(document);
        assert!(slices.iter().all(|slice| slice.len() <= SLICE_MAX));
        assert_eq!(slices.concat(), ["{".as_bytes(), &text.bytes].concat());
        assert_eq!(slices[1].as_ptr(), text.bytes.as_ptr(), "no copy");
    }

    #[test]
    fn documents_that_differ_have_different_tags() {
        let [one, other] = ["one", "other"].map(|text| SharedText::new(text.into()));
        let documents =
            [Document::new("a".into(), &one), Document::new("b".into(), &one), (&one).into()];
        let tags = documents.map(|document| document.tag().to_string());
        let more = [Document::new("a".into(), &other).tag().to_string()];
        let all: std::collections::BTreeSet<_> = tags.iter().chain(&more).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(Document::from("one".to_owned()).tag(), Document::from(&one).tag());
    }
}
