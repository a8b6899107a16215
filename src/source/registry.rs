//! All sources of a daemon.

use std::{collections::BTreeMap, sync::Arc};

use super::Source;
use crate::domain::id::ProviderName;
pub use crate::domain::id::SourceName;

/// The sources by provider and name.
#[derive(Default)]
pub struct SourceSet(BTreeMap<(ProviderName, SourceName), Arc<Source>>);

impl SourceSet {
    pub fn new(sources: impl IntoIterator<Item = Arc<Source>>) -> Self {
        let named = |source: Arc<Source>| {
            let name = (source.parts.provider.name.clone(), source.parts.name.clone());
            (name, source)
        };
        Self(sources.into_iter().map(named).collect())
    }

    pub fn get(&self, provider: &ProviderName, name: &SourceName) -> Option<&Arc<Source>> {
        self.0.get(&(provider.clone(), name.clone()))
    }

    /// Looks up a source by the parts of a path. A name that no source can have finds none.
    pub fn at(&self, provider: &str, name: &str) -> Option<&Arc<Source>> {
        self.get(&provider.parse().ok()?, &name.parse().ok()?)
    }

    /// Returns all sources, by provider and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.0.values()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
