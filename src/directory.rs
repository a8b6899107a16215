//! The registered streams in memory, indexed for matching. The store has them all; this is its
//! reflection, changed after the store and rebuilt from it at start.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::domain::{
    event_type::EventType,
    id::{ProviderName, ReceiverId, StreamId},
    provider::Provider,
    stream::StreamConfig,
};

/// Who owns a stream.
type Owner = (ProviderName, ReceiverId);

#[derive(Debug)]
pub struct Directory {
    providers: BTreeMap<ProviderName, Arc<Provider>>,
    /// No await happens under this lock: each use is a few look-ups long.
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    streams: HashMap<StreamId, Arc<StreamConfig>>,
    by_owner: HashMap<Owner, BTreeMap<StreamId, Arc<StreamConfig>>>,
    /// For each event type the streams that get it, whatever their status: a paused stream holds
    /// its SETs, and the store leaves out a disabled one.
    by_type: HashMap<ProviderName, HashMap<EventType, BTreeMap<StreamId, Arc<StreamConfig>>>>,
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

    /// The streams of a provider that get events of this type.
    pub fn wanting(
        &self,
        provider: &ProviderName,
        event_type: &EventType,
    ) -> Vec<Arc<StreamConfig>> {
        let index = self.read();
        let streams = index.by_type.get(provider).and_then(|types| types.get(event_type));
        streams.map(|streams| streams.values().cloned().collect()).unwrap_or_default()
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
        self.write().remove(id);
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
            let streams = types.entry(event_type).or_default();
            streams.insert(id.clone(), Arc::clone(stream));
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
        for streams in
            self.by_type.get_mut(&stream.provider).into_iter().flat_map(HashMap::values_mut)
        {
            streams.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

    fn stream(id: &str, requested: &[&str]) -> StreamConfig {
        let requested = requested.iter().map(ToString::to_string).collect();
        StreamConfig { events_requested: Some(requested), ..StreamConfig::example(id) }
    }

    fn wanting(directory: &Directory) -> Vec<String> {
        let provider = Provider::example().name;
        let streams = directory.wanting(&provider, &REVOKED.parse().expect("a valid type"));
        streams.iter().map(|stream| stream.id.to_string()).collect()
    }

    #[test]
    fn an_event_finds_the_streams_that_asked_for_its_type() {
        let streams = vec![stream("a", &[REVOKED]), stream("b", &[]), stream("c", &[REVOKED])];
        let directory = Directory::new(vec![Provider::example()], streams);
        assert_eq!(wanting(&directory), ["a", "c"]);
        directory.put(stream("a", &[]));
        directory.put(stream("b", &[REVOKED]));
        assert_eq!(wanting(&directory), ["b", "c"]);
        directory.remove(&"c".parse().expect("a valid id"));
        assert_eq!(wanting(&directory), ["b"]);
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
