//! Sets up the tables of agents, from the settings and the files that they name.

use std::sync::Arc;

use crate::{
    agents::{Agents, AgentsParts, AgentsServices, AgentsSet},
    config::{Config, NamedAgents},
    domain::id::{AgentsName, ProviderName},
    signing::material::CurrentMaterial,
    source::verify::secrets::{self, SecretFileError, SharedSecret},
    store::{Records, Store},
    telemetry::readiness::Readiness,
    transmitter::Transmitter,
};

/// A table of agents that cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
#[error("`providers.{provider}.agents.{name}.enrolment_secret_files` cannot be used: {error}")]
pub struct AgentsFileError {
    provider: ProviderName,
    name: AgentsName,
    error: SecretFileError,
}

/// A table with what its files hold.
pub struct OpenedAgents {
    agents: NamedAgents,
    enrolment: Vec<SharedSecret>,
}

/// Reads the files of all tables. The configuration must be valid.
pub fn load(config: &Config) -> Result<Vec<OpenedAgents>, AgentsFileError> {
    let open = |agents: NamedAgents| match secrets::read(&agents.config.enrolment_secret_files) {
        Ok(enrolment) => Ok(OpenedAgents { agents, enrolment }),
        Err(error) => Err(AgentsFileError { provider: agents.provider, name: agents.name, error }),
    };
    config.agents().unwrap_or_default().into_iter().map(open).collect()
}

/// Makes the tables.
pub(super) fn build(
    opened: Vec<OpenedAgents>,
    (transmitter, store, material): (&Arc<Transmitter>, &Arc<dyn Store>, &CurrentMaterial),
    readiness: &Arc<Readiness>,
) -> AgentsSet {
    let services = AgentsServices {
        transmitter: Arc::clone(transmitter),
        store: Arc::clone(store) as Arc<dyn Records>,
        material: material.clone(),
        readiness: Arc::clone(readiness),
    };
    AgentsSet::new(opened.into_iter().filter_map(|OpenedAgents { agents, enrolment }| {
        let NamedAgents { provider, name, config } = agents;
        let provider = Arc::clone(services.transmitter.directory().provider(&provider)?);
        let parts = AgentsParts { provider, name, config, enrolment };
        Some(Agents::new(parts, services.clone()))
    }))
}
