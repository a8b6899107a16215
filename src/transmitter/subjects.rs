//! A Receiver says whose events it wants on a stream (SSF §8.1.3).

use crate::{
    auth::Principal,
    clock,
    cluster::change_feed::notice::Notice,
    domain::{
        id::StreamId,
        provider::Provider,
        subject::{
            SubjectId,
            keys::{Filing, SubjectKeys},
            list::{DefaultSubjects, ListChange},
        },
        time::Timestamp,
    },
    store::StoreError,
};

use super::{RequestError, Transmitter};

impl Transmitter {
    /// The subject is on the stream from now on. It is neither known here who there is nor asked,
    /// so one subject is like another: nobody learns of an account by adding it (SSF §9.1).
    pub async fn add_subject(
        &self,
        principal: &Principal,
        provider: &Provider,
        id: &StreamId,
        subject: &SubjectId,
    ) -> Result<(), RequestError> {
        let add = |default: DefaultSubjects, keys: &_, now| default.add(keys, now);
        self.change_list(principal, provider, id, subject, add).await
    }

    /// The subject is off the stream once the provider's grace is over. From then on no SET about
    /// it is read to be sent; without a grace, no further attempt starts once this returns. With
    /// one, a SET that was read before its end and waits in memory for a retry may still be sent.
    pub async fn remove_subject(
        &self,
        principal: &Principal,
        provider: &Provider,
        id: &StreamId,
        subject: &SubjectId,
    ) -> Result<(), RequestError> {
        let grace = provider.subject_removal_grace;
        let remove = |default: DefaultSubjects, keys: &_, now| default.remove(keys, now, grace);
        self.change_list(principal, provider, id, subject, remove).await?;
        // SETs in memory were read before the change. The courier reads them again and judges them
        // by the changed list.
        self.directory.subject_removed(id);
        self.wake_here(std::slice::from_ref(id), false);
        self.sharing.change_feed.send(Notice::narrowed(id));
        Ok(())
    }

    /// Files what `change` makes of the subject by the stream's default. The stream's own subject
    /// has nothing to change.
    async fn change_list(
        &self,
        principal: &Principal,
        provider: &Provider,
        id: &StreamId,
        subject: &SubjectId,
        change: impl FnOnce(DefaultSubjects, &SubjectKeys, Timestamp) -> (Filing, ListChange),
    ) -> Result<(), RequestError> {
        let stream = self.owned(principal, id)?;
        let now = clock::now();
        self.admit_subject(provider, id, now)?;
        if is_own(id, subject) {
            return Ok(());
        }
        let keys = SubjectKeys::of(&provider.name, subject);
        let (entry, change) = change(stream.default_subjects, &keys, now);
        let limit = provider.subjects_per_stream_max;
        self.store.change_list(id, entry, change, limit, now).await.map_err(or_gone)
    }

    fn admit_subject(
        &self,
        provider: &Provider,
        id: &StreamId,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        let mut paces = self.subject_paces();
        let pace = paces.entry(id.clone()).or_default();
        pace.admit(now, provider.subject_changes_per_second_max)
            .map_err(|wait| RequestError::TooManySubjects { wait })
    }
}

/// A stream's own subject is always on it (SSF §8.1.4.1).
fn is_own(id: &StreamId, subject: &SubjectId) -> bool {
    subject.stream().as_ref() == Some(id)
}

/// The one conflict that a list knows is that its stream was deleted meanwhile.
fn or_gone(error: StoreError) -> RequestError {
    match error {
        StoreError::Conflict => RequestError::StreamNotFound,
        other => other.into(),
    }
}
