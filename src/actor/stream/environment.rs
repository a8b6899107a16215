//! Values that all stream actors share.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::{
    actor::{accepted::AcceptedPushes, hosts::Hosts, signer::Signer},
    clock::{self, Ages},
    cluster::lease::Lease,
    delivery::{courier::View, fault::Fault, settings::DeliverySettings},
    directory::Directory,
    domain::id::StreamId,
    push::clients::PushClients,
    store::Store,
};

/// Values that all stream actors share.
pub struct Environment {
    pub store: Arc<dyn Store>,
    pub directory: Arc<Directory>,
    pub lease: Arc<Lease>,
    pub signer: Signer,
    pub push: PushClients,
    pub hosts: Arc<Hosts>,
    pub accepted: AcceptedPushes,
    /// Where an actor tells that an endpoint is at fault.
    pub faults: mpsc::Sender<EndpointFault>,
    pub settings: DeliverySettings,
    /// The time by which SETs are given up.
    pub ages: Ages,
}

/// An endpoint is at fault: its stream is to be paused.
#[derive(Debug)]
pub struct EndpointFault {
    pub stream: StreamId,
    /// The version of the stream with that endpoint.
    pub version: u64,
    pub fault: Fault,
    /// Whether the stream was paused, or changed otherwise meanwhile.
    pub done: oneshot::Sender<bool>,
}

impl Environment {
    /// Returns the facts by which the courier of a stream judges its next input.
    pub(super) fn view(&self, id: &StreamId) -> View {
        let (revision, stream, new_key) = self.directory.standing(id);
        let may_begin = self.lease.serves(id, clock::instant());
        let (now, ages_by) = (clock::now(), self.ages.now());
        View { now, ages_by, revision, stream, new_key, may_begin }
    }
}
