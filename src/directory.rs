//! The registered streams in memory, indexed for matching. The store has them all; this is its
//! reflection, changed after the store and rebuilt from it at start.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    delivery::new_key::NewKey,
    domain::{
        event_type::EventType,
        id::{ProviderName, ReceiverId, StreamId},
        judgement::Judgement,
        provider::Provider,
        stream::{Revision, StreamConfig},
        subject::list::DefaultSubjects,
    },
};

/// The streams that an event may go to, as the index finds them.
#[derive(Debug, Default)]
pub struct Candidates {
    /// They want the event's type, were named by its publisher if that named any, and have its subject
    /// by default or on their list. [`Judgement`] decides about each.
    pub streams: Vec<Arc<StreamConfig>>,
    /// The number of other streams that want the event's type, but choose their subjects and did not
    /// choose this one.
    pub unlisted: usize,
}

/// The owner of a stream: a Receiver of a provider.
type Owner = (ProviderName, ReceiverId);

#[derive(Debug)]
pub struct Directory {
    providers: BTreeMap<ProviderName, Arc<Provider>>,
    /// No await happens under this lock: each use is a few look-ups long, or, for an operator, one
    /// pass over the streams.
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    streams: HashMap<StreamId, Arc<StreamConfig>>,
    by_owner: HashMap<Owner, BTreeMap<StreamId, Arc<StreamConfig>>>,
    /// For each event type the streams that get it, whatever their status: a paused stream holds
    /// its SETs, and the store leaves out a disabled one.
    by_type: HashMap<ProviderName, HashMap<EventType, Wanting>>,
    /// The streams that do not get every subject, or have not in this process: where a provider has
    /// none, no event's subject is looked up.
    selective: HashMap<ProviderName, BTreeSet<StreamId>>,
    /// How often a subject was removed from a stream, if it was.
    removals: HashMap<StreamId, u64>,
    /// How often subjects were removed from streams that are not known.
    removals_anywhere: u64,
    /// How often signing keys were replaced.
    key_changes: u64,
    /// The keys that sign, of providers whose key followed another one.
    new_keys: HashMap<ProviderName, NewKey>,
}

/// Streams that get an event type, apart by what they do with a subject that is on no list.
#[derive(Debug, Default)]
struct Wanting {
    all: BTreeMap<StreamId, Arc<StreamConfig>>,
    none: BTreeMap<StreamId, Arc<StreamConfig>>,
}

impl Directory {
    /// A stream whose provider is not configured any more is left out: it is not served, and its
    /// outbox stays as it is until the provider is back.
    pub fn new(providers: Vec<Provider>, streams: Vec<StreamConfig>) -> Self {
        let providers = providers
            .into_iter()
            .map(|p| (p.name.clone(), Arc::new(p)))
            .collect::<BTreeMap<_, _>>();
        let directory = Self { providers, index: RwLock::default() };
        for stream in streams {
            directory.put(stream);
        }
        directory
    }

    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    pub fn provider(&self, name: &ProviderName) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    pub fn stream(&self, id: &StreamId) -> Option<Arc<StreamConfig>> {
        self.read().streams.get(id).cloned()
    }

    /// A Receiver's streams, by id.
    pub fn owned_by(
        &self,
        provider: &ProviderName,
        receiver: &ReceiverId,
    ) -> Vec<Arc<StreamConfig>> {
        let owner = (provider.clone(), receiver.clone());
        let index = self.read();
        index.by_owner.get(&owner).map(|own| own.values().cloned().collect()).unwrap_or_default()
    }

    /// All streams of which `wanted` says so, in no order.
    pub fn all(&self, wanted: impl Fn(&StreamConfig) -> bool) -> Vec<Arc<StreamConfig>> {
        self.read().streams.values().filter(|stream| wanted(stream)).cloned().collect()
    }

    /// Whether some stream of this provider does not get every subject.
    pub fn is_selective(&self, provider: &ProviderName) -> bool {
        self.read().selective.get(provider).is_some_and(|streams| !streams.is_empty())
    }

    /// Finds the streams of a provider that an event may go to. It does not go through the streams that
    /// get no subject by default, but only through those that list the subject.
    pub fn candidates(&self, provider: &ProviderName, judgement: &Judgement<'_>) -> Candidates {
        let index = self.read();
        let types = index.by_type.get(provider);
        let Some(wanting) = types.and_then(|types| types.get(judgement.event_type())) else {
            return Candidates::default();
        };
        let named = |id: &StreamId| judgement.is_named(id);
        let all = wanting.all.iter().filter(|(id, _)| named(id));
        let mut streams: Vec<_> = all.map(|(_, stream)| Arc::clone(stream)).collect();
        let without_added = streams.len();
        let added: BTreeSet<_> = judgement.added().filter(|id| named(id)).collect();
        streams.extend(added.into_iter().filter_map(|id| wanting.none.get(id)).cloned());
        let choosing = match judgement.named() {
            Some(named) => named.iter().filter(|id| wanting.none.contains_key(**id)).count(),
            None => wanting.none.len(),
        };
        let unlisted = choosing - (streams.len() - without_added);
        Candidates { streams, unlisted }
    }

    /// Returns a stream, if there is one, the revision at which it and its subjects are, and the key that
    /// signs its SETs if that followed another one.
    pub fn standing(&self, id: &StreamId) -> (Revision, Option<Arc<StreamConfig>>, Option<NewKey>) {
        let index = self.read();
        let stream = index.streams.get(id);
        let version = stream.map_or(0, |stream| stream.version);
        let removals = index.removals.get(id).copied().unwrap_or_default();
        let changes = removals + index.removals_anywhere + index.key_changes;
        let new_key = stream.and_then(|stream| index.new_keys.get(&stream.provider));
        (Revision { version, changes }, stream.cloned(), new_key.copied())
    }

    /// Returns the key that signs the SETs of a provider if it followed another one.
    pub fn new_key(&self, provider: &ProviderName) -> Option<NewKey> {
        self.read().new_keys.get(provider).copied()
    }

    /// The key of a provider has followed another one.
    pub fn key_followed(&self, provider: &ProviderName, key: NewKey) {
        self.write().new_keys.insert(provider.clone(), key);
    }

    /// A subject was removed from this stream, now or before this process began.
    pub fn subject_removed(&self, id: &StreamId) {
        let mut index = self.write();
        let Some(stream) = index.streams.get(id).cloned() else { return };
        index.selective.entry(stream.provider.clone()).or_default().insert(id.clone());
        *index.removals.entry(id.clone()).or_default() += 1;
    }

    /// Subjects were removed, and it is not known from which streams.
    pub fn subjects_removed_anywhere(&self) {
        self.write().removals_anywhere += 1;
    }

    /// Changes the revision of every stream, so that no courier sends a signature by an earlier key.
    pub fn keys_changed(&self) {
        self.write().key_changes += 1;
    }

    /// Takes in a stream as it now stands in the store.
    pub fn put(&self, stream: StreamConfig) {
        let Some(provider) = self.providers.get(&stream.provider) else { return };
        let stream = Arc::new(stream);
        let mut index = self.write();
        index.remove(&stream.id);
        index.insert(&stream, provider);
    }

    pub fn remove(&self, id: &StreamId) {
        let mut index = self.write();
        index.remove(id);
        index.removals.remove(id);
        for streams in index.selective.values_mut() {
            streams.remove(id);
        }
    }

    // A poisoned lock means a panic in one of the few lines above; the index is whole or the panic
    // came before the first change.
    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn insert(&mut self, stream: &Arc<StreamConfig>, provider: &Provider) {
        let id = &stream.id;
        self.streams.insert(id.clone(), Arc::clone(stream));
        let owner = (stream.provider.clone(), stream.receiver.clone());
        self.by_owner.entry(owner).or_default().insert(id.clone(), Arc::clone(stream));
        let types = self.by_type.entry(stream.provider.clone()).or_default();
        for event_type in stream.events_delivered(provider) {
            let wanting = types.entry(event_type).or_default();
            let streams = match stream.default_subjects {
                DefaultSubjects::All => &mut wanting.all,
                DefaultSubjects::None => &mut wanting.none,
            };
            streams.insert(id.clone(), Arc::clone(stream));
        }
        if stream.default_subjects == DefaultSubjects::None {
            self.selective.entry(stream.provider.clone()).or_default().insert(id.clone());
        }
    }

    fn remove(&mut self, id: &StreamId) {
        let Some(stream) = self.streams.remove(id) else { return };
        let owner = (stream.provider.clone(), stream.receiver.clone());
        if let Some(own) = self.by_owner.get_mut(&owner) {
            own.remove(id);
            if own.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
        for wanting in
            self.by_type.get_mut(&stream.provider).into_iter().flat_map(HashMap::values_mut)
        {
            wanting.all.remove(id);
            wanting.none.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{event::Event, reason::Reason, subject::list::Listed};

    const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    fn stream(id: &str, requested: &[&str]) -> StreamConfig {
        let requested = requested.iter().map(ToString::to_string).collect();
        StreamConfig { events_requested: Some(requested), ..StreamConfig::example(id) }
    }

    fn about(subject: &str) -> Event {
        let json = json!({
            "type": REVOKED, "sub_id": {"format": "opaque", "id": subject},
        });
        Event::from_json(json, &Provider::example()).expect("a valid event")
    }

    fn id(raw: &str) -> StreamId {
        raw.parse().expect("a valid id")
    }

    /// Returns the streams that get an event, and the number of those that do not because of its
    /// subject. The index and a judgement of every stream have to agree.
    #[track_caller]
    fn addressed(directory: &Directory, event: &Event, listed: &Listed) -> (String, usize) {
        let provider = Provider::example();
        let judgement = Judgement::new(&provider, event, listed);
        let Candidates { streams, unlisted } = directory.candidates(&provider.name, &judgement);
        let (sent, not): (Vec<_>, Vec<_>) =
            streams.iter().partition(|stream| judgement.of_candidate(stream).is_ok());
        let every = directory.all(|_| true);
        let of = |wanted: Result<(), Reason>| {
            every.iter().filter(|stream| judgement.addressed(stream).map(|_| ()) == wanted).count()
        };
        assert_eq!((of(Ok(())), of(Err(Reason::Subject))), (sent.len(), not.len() + unlisted));
        let ids: Vec<_> = sent.iter().map(|stream| stream.id.as_str()).collect();
        (ids.join(" "), not.len() + unlisted)
    }

    fn wanting(directory: &Directory) -> String {
        addressed(directory, &about("s-88"), &Listed::default()).0
    }

    #[test]
    fn an_event_finds_the_streams_that_asked_for_its_type() {
        let streams = vec![stream("a", &[REVOKED]), stream("b", &[]), stream("c", &[REVOKED])];
        let directory = Directory::new(vec![Provider::example()], streams);
        assert_eq!(wanting(&directory), "a c");
        directory.put(stream("a", &[]));
        directory.put(stream("b", &[REVOKED]));
        assert_eq!(wanting(&directory), "b c");
        directory.remove(&id("c"));
        assert_eq!(wanting(&directory), "b");
    }

    /// SUBJ-05, SID-10
    #[test]
    fn a_subject_reaches_the_streams_that_it_is_on() {
        let choosing =
            |id| StreamConfig { default_subjects: DefaultSubjects::None, ..stream(id, &[REVOKED]) };
        let mut streams = ["n1", "n2", "n3"].map(choosing).to_vec();
        streams.extend(["a1", "a2"].map(|id| stream(id, &[REVOKED])));
        let directory = Directory::new(vec![Provider::example()], streams);
        let listed =
            Listed { added: [id("n2"), id("gone")].into(), removed: [id("a1"), id("gone")].into() };
        assert_eq!(addressed(&directory, &about("s-88"), &listed), ("a2 n2".into(), 3));
        assert_eq!(
            addressed(&directory, &about("n1"), &listed),
            ("a2 n1 n2".into(), 2),
            "a stream's own subject is on it"
        );
        let named = |ids: &[&str]| {
            let stream_ids = Some(ids.iter().map(|raw| id(raw)).collect());
            Event { stream_ids, ..about("s-88") }
        };
        let narrowed = named(&["n2", "n3", "n3", "a1"]);
        assert_eq!(addressed(&directory, &narrowed, &listed), ("n2".into(), 2));
    }

    #[test]
    fn subjects_are_looked_up_only_where_a_stream_is_selective() {
        let directory = Directory::new(vec![Provider::example()], vec![stream("a", &[])]);
        let selective = || directory.is_selective(&Provider::example().name);
        let before = directory.standing(&id("a")).0;
        assert!(!selective());
        directory.subject_removed(&id("unknown"));
        assert!(!selective());

        directory.subject_removed(&id("a"));
        assert!(selective());
        assert_ne!(directory.standing(&id("a")).0, before);
        // A change of the stream leaves its list as it is.
        directory.put(stream("a", &[REVOKED]));
        assert!(selective());
        directory.remove(&id("a"));
        assert!(!selective());

        directory.put(StreamConfig { default_subjects: DefaultSubjects::None, ..stream("b", &[]) });
        assert!(selective());
    }

    #[test]
    fn a_receiver_sees_its_own_streams() {
        let other =
            StreamConfig { receiver: "other".parse().expect("valid"), ..stream("b", &[REVOKED]) };
        let directory = Directory::new(vec![Provider::example()], vec![stream("a", &[]), other]);
        let provider = Provider::example().name;
        let own = directory.owned_by(&provider, &"rx".parse().expect("valid"));
        assert_eq!(own.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_stream_of_an_unknown_provider_is_left_out() {
        let orphan =
            StreamConfig { provider: "gone".parse().expect("valid"), ..stream("a", &[REVOKED]) };
        let directory = Directory::new(vec![Provider::example()], vec![orphan]);
        assert!(directory.stream(&"a".parse().expect("valid")).is_none());
    }
}
