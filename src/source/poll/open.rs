//! Makes a [`Poll`](super::Poll) from the settings of a source and the files that they name.

use std::error::Error;

use super::{Poll, client::Client, credentials::Credentials, state::PollBoard};
use crate::{
    clock,
    source::{cap::MinuteCap, settings::PollConfig},
    telemetry::causes::with_causes,
};

/// A key of the table `poll` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`poll.{key}` cannot be used: {}", with_causes(source.as_ref()))]
pub struct PollError {
    key: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl PollError {
    pub(super) fn of<E: Into<Box<dyn Error + Send + Sync>>>(
        key: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |error| Self { key, source: error.into() }
    }
}

impl Poll {
    /// Reads the secret and the trusted certificates. No request is sent yet. The settings must have been
    /// checked.
    pub fn open(config: PollConfig, events_per_minute_max: u32) -> Result<Self, PollError> {
        let settings = &config.settings;
        let roots = settings.trusted_roots.as_deref();
        let client = Client::new(roots, settings.timeout, settings.page_bytes_max);
        let client = client.map_err(PollError::of("trusted_roots"))?;
        let credentials = Credentials::open(&config.auth)?;
        let board = PollBoard::new(config.urls.iter().map(|url| url.name.clone()));
        let cap = MinuteCap::new(events_per_minute_max, clock::instant()).into();
        Ok(Self { config, client, credentials, board, cap })
    }
}
