//! Where a command takes its configuration from: a file, the environment, or the defaults.

use std::{
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use url::Url;

use crate::{
    cli::CliError,
    config::{self, Config},
};

/// The configuration that a command may load. A command that is told everything by its flags does not
/// load it, because its user may not be allowed to read the file.
#[derive(Debug, Clone)]
pub struct ConfigSource {
    file: Option<PathBuf>,
}

impl ConfigSource {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    pub(super) fn load(&self) -> Result<Config, CliError> {
        config::load(self.file.as_deref(), environment()).map_err(CliError::new)
    }

    /// Returns whether a file or a variable may name the store, so that it is not merely the default one of
    /// the working directory.
    pub(super) fn names_store(&self) -> bool {
        self.file.is_some() || environment().any(|(name, _)| name.starts_with("SSFD_STORE__"))
    }

    /// Returns the file, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns what the configuration comes from, in words.
    pub(super) fn describe(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => "no file, only defaults and variables".to_owned(),
        }
    }

    /// Returns the URL of the daemon's internal listener.
    pub(super) fn internal_url(&self) -> Result<Url, CliError> {
        let address = self.load()?.internal.listen;
        if address.port() == 0 {
            return Err(CliError::new(
                "`internal.listen` lets the system choose the port: give the daemon's address with --url",
            ));
        }
        let address = reachable(address);
        Ok(Url::parse(&format!("http://{address}")).expect("an address makes a URL"))
    }
}

/// Returns the address at which this machine reaches a listener. One on all addresses is reached over the
/// loopback interface.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Returns the variables that begin like settings and are none.
pub(super) fn foreign_variables() -> Vec<String> {
    config::foreign_variables(environment().map(|(name, _)| name))
}

/// Returns the variable with the folder of the systemd credentials, if there is one.
pub(super) fn credentials() -> impl Iterator<Item = (String, String)> {
    environment().filter(|(name, _)| name == config::CREDENTIALS_FOLDER)
}

/// Returns the variables of this process. The few whose name or value is not UTF-8 are no settings.
fn environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
