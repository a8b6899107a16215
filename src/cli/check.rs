//! `ssfd check`: validates the configuration without starting the daemon.

use clap::Args;
use serde_json::json;

use crate::{
    app, cli::CliError, config::Config, ingest, push::clients::PushClients,
    signing::key_ring::KeyRing, telemetry::logging,
};

const EXAMPLES: &str = "Examples:
  ssfd check --config /etc/ssfd/ssfd.toml
  ssfd check --json";

/// Validate the configuration and the files that it names, without starting the daemon
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckCommand {}

impl CheckCommand {
    pub fn run(self, config: &Config, json: bool) -> Result<(), CliError> {
        let providers = config.providers().map_err(CliError::new)?;
        let keys = app::load_material(config).map_err(CliError::new)?.key_rings;
        app::load_authorization(config).map_err(CliError::new)?;
        PushClients::new(&config.push).map_err(CliError::new)?;
        ingest::client(&config.ingest.redis).map_err(CliError::new)?;
        logging::filter(&config.log).map_err(CliError::new)?;
        let described = providers.iter().map(|provider| {
            let signer = keys.get(&provider.name).map(KeyRing::signer);
            let algorithm = signer.map(|key| key.algorithm().as_str()).unwrap_or_default();
            let kid = signer.map(|key| key.kid().to_string()).unwrap_or_default();
            (provider.name.as_str(), provider.issuer.as_str(), algorithm, kid)
        });
        if json {
            let providers: Vec<_> = described
                .map(|(name, issuer, algorithm, kid)| {
                    json!({"name": name, "issuer": issuer, "algorithm": algorithm, "kid": kid})
                })
                .collect();
            println!("{}", json!({"valid": true, "providers": providers}));
        } else {
            for (name, issuer, algorithm, kid) in described {
                println!("provider {name}: {issuer}, signs {algorithm} with {kid}");
            }
            println!("the configuration is valid");
        }
        Ok(())
    }
}
