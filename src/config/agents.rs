//! Checks the agents of all providers, and the listener that they need.

use super::{Config, ConfigError, invalid};
use crate::{
    agents::settings::{AgentsConfig, AgentsMistake},
    domain::{
        event_type::EventType,
        id::{AgentsName, ProviderName},
        posture::{COMPLIANCE_CHANGE, SESSION_REVOKED},
    },
};

/// A table of agents as it says, with its name.
#[derive(Debug)]
pub struct NamedAgents {
    pub provider: ProviderName,
    pub name: AgentsName,
    pub config: AgentsConfig,
}

fn key(provider: &ProviderName, name: &AgentsName, member: &str) -> String {
    let key = format!("providers.{provider}.agents.{name}");
    if member.is_empty() { key } else { format!("{key}.{member}") }
}

impl Config {
    /// Returns all tables of agents. Fails if one is not valid.
    pub fn agents(&self) -> Result<Vec<NamedAgents>, ConfigError> {
        let mut all = Vec::new();
        for (provider, settings) in self.named_providers() {
            let issuer = settings.issuer.trim_end_matches('/');
            for (name, agents) in &settings.agents {
                match agents.read(format!("{issuer}/agents/{name}")) {
                    Ok(config) => {
                        let (provider, name) = (provider.clone(), name.clone());
                        all.push(NamedAgents { provider, name, config });
                    }
                    Err(AgentsMistake { key: member, rule }) => {
                        return invalid(key(&provider, name, &member), rule);
                    }
                }
            }
        }
        Ok(all)
    }
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let listener = &config.sources;
    let providers = config.providers()?;
    for agents in config.agents()? {
        let NamedAgents { provider, name, config } = agents;
        if listener.listen.is_none() && !listener.public {
            let rule = format!(
                "is not set, and the agents `{name}` of the provider `{provider}` send requests: give the \
                 listener of sources and agents an address, or serve them at the public one with \
                 `sources.public = true`"
            );
            return invalid("sources.listen", rule);
        }
        let known = providers.iter().find(|known| known.name == provider);
        let known = known.expect("the agents are those of the providers");
        let types = [(COMPLIANCE_CHANGE, true), (SESSION_REVOKED, config.session_revoked)];
        for (short, _) in types.into_iter().filter(|(_, is_made)| *is_made) {
            let event_type: EventType = short.parse().expect("CAEP defines it");
            if !known.takes(&event_type) {
                let rule = format!(
                    "does not list `{short}`, which the agents `{name}` publish; add it, or remove the agents"
                );
                return invalid(format!("providers.{provider}.events_supported"), rule);
            }
        }
    }
    Ok(())
}
