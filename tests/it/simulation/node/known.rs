//! The stream as the daemon knows it, like `ssfd::directory` has it.

use std::{collections::BTreeSet, sync::Arc};

use ssfd::{
    delivery::{flow::Flow, lane::Lane},
    domain::{
        audience::Audience,
        id::StreamId,
        stream::{Delivery, PushEndpoint, Revision, StreamConfig},
        subject::{format::SubjectFormat, list::DefaultSubjects},
        time::Timestamp,
    },
};

use crate::simulation::outbox::{Config, Outbox};

#[derive(Debug, Clone)]
pub(in crate::simulation) struct Known {
    /// `None` once the stream is deleted.
    pub(in crate::simulation) stream: Option<Arc<StreamConfig>>,
    pub(in crate::simulation) removed: BTreeSet<Lane>,
    /// How often the keys were replaced.
    pub(in crate::simulation) key_changes: u64,
}

impl Known {
    pub(in crate::simulation) fn of(
        id: &StreamId,
        outbox: &Outbox,
        host_of: &[usize],
        key_changes: u64,
    ) -> Self {
        let stream = outbox.config.as_ref().map(|config| Arc::new(stream(id, config, host_of)));
        Self { stream, removed: outbox.removed.clone(), key_changes }
    }

    pub(in crate::simulation) fn flow(&self) -> Flow {
        self.stream.as_deref().map_or(Flow::Nothing, Flow::of)
    }

    pub(in crate::simulation) fn revision(&self) -> Revision {
        let version = self.stream.as_ref().map_or(0, |stream| stream.version);
        Revision { version, changes: self.removed.len() as u64 + self.key_changes }
    }
}

fn stream(id: &StreamId, config: &Config, host_of: &[usize]) -> StreamConfig {
    let (endpoint, host) = (config.endpoint, host_of[config.endpoint]);
    let url = format!("https://{host}.example/{endpoint}");
    let endpoint = PushEndpoint::new(&url, None, false).expect("a valid endpoint");
    StreamConfig {
        id: id.clone(),
        provider: "acme".parse().expect("a valid name"),
        receiver: "rx".parse().expect("a valid id"),
        audience: Audience::one("https://rx.example").expect("not empty"),
        events_requested: None,
        delivery: Delivery::Push(endpoint),
        description: None,
        default_subjects: DefaultSubjects::All,
        subject_format: SubjectFormat::AsPublished,
        status: config.status,
        reason: config.reason.clone(),
        version: config.version,
        created_at: Timestamp::EPOCH,
    }
}

/// Returns the index of the stranger at an endpoint.
pub(in crate::simulation) fn endpoint_at(endpoint: &PushEndpoint) -> usize {
    let path = endpoint.url().path().trim_start_matches('/');
    path.parse().expect("the path of an endpoint is its number")
}

/// Returns the index of a host.
pub(in crate::simulation) fn host_at(origin: &str) -> usize {
    let name = origin.trim_start_matches("https://").trim_end_matches(".example");
    name.parse().expect("the name of a host is its number")
}
