//! Looks at the agents: their files, and what they do.

use super::Findings;
use crate::{
    agents::settings::UnknownDevices,
    app,
    config::{Config, NamedAgents},
};

pub(super) fn look_at(config: &Config, findings: &mut Findings) {
    if let Err(error) = app::load_agents(config) {
        findings.error("agents", error);
    }
    // The configuration would not have been loaded.
    for NamedAgents { provider, name, config } in config.agents().unwrap_or_default() {
        let item = format!("providers.{provider}.agents.{name}");
        let rules = config.rules.rules.len();
        let audience = &config.audience;
        findings.ok(
            item.as_str(),
            format!("/in/{provider}/{name} with {rules} rules, for the audience {audience}"),
        );
        if config.unknown_devices == UnknownDevices::Accept {
            findings.warning(
                format!("{item}.unknown_devices"),
                "is `accept`, so whoever knows an enrolment secret can register devices",
            );
        }
    }
}
