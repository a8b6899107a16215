//! The sockets that the daemon listens on: bound by itself, or handed over by the service manager.
//!
//! A service manager that holds a socket keeps it open while the daemon is down. Connections then wait in
//! the socket's queue for the next process, and no caller meets a closed port.

use std::{
    env,
    net::{SocketAddr, TcpListener},
};

use listenfd::ListenFd;

use super::StartError;
use crate::{config::Config, telemetry::metrics::ListenerLabel};

/// The listeners, bound but not yet served. Their ports are known before the daemon is built,
/// because an issuer may contain one.
pub struct Listeners {
    pub(super) public: Listener,
    pub(super) internal: Listener,
    /// `None` if the sources have no listener of their own.
    pub(super) sources: Option<Listener>,
}

pub(super) struct Listener {
    pub(super) socket: TcpListener,
    /// The service manager keeps the socket open when this process ends.
    pub(super) is_handed_over: bool,
}

/// The sockets that the service manager has handed over, by the protocol of `sd_listen_fds(3)`.
#[derive(Debug, Default)]
pub struct HandedOver {
    public: Option<TcpListener>,
    internal: Option<TcpListener>,
    sources: Option<TcpListener>,
}

/// The variable with the names of the sockets, divided by colons.
const NAMES: &str = "LISTEN_FDNAMES";

/// Why a socket that was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    #[error(
        "a socket that the service manager hands over has the name `{0}`, which is none of `public`, \
         `internal` and `sources`: set `FileDescriptorName=` in its socket unit"
    )]
    UnknownName(String),
    #[error(
        "the service manager hands over several sockets with the name `{0}`: leave one `ListenStream=` in \
         the socket units of this name"
    )]
    Several(String),
    #[error(
        "the socket `{name}` that the service manager hands over cannot be listened on: {source}; set \
         `ListenStream=` to a TCP port or to an IP address with a port"
    )]
    NotTcp { name: String, source: std::io::Error },
}

impl HandedOver {
    /// Takes the sockets that are for this process. Must be called once and before any thread reads the
    /// environment, because it removes the variables that a child would take for its own.
    pub fn take() -> Result<Self, HandOverError> {
        let names = env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let (mut sockets, mut taken) = (ListenFd::from_env(), Self::default());
        for index in 0..sockets.len() {
            let name = names.next().unwrap_or_default();
            let place = match name.as_str() {
                "public" => &mut taken.public,
                "internal" => &mut taken.internal,
                "sources" => &mut taken.sources,
                _ => return Err(HandOverError::UnknownName(name)),
            };
            match sockets.take_tcp_listener(index) {
                Ok(socket) if place.is_none() => *place = socket,
                Ok(_) => return Err(HandOverError::Several(name)),
                Err(source) => return Err(HandOverError::NotTcp { name, source }),
            }
        }
        Ok(taken)
    }

    /// Puts the addresses of the sockets in the place of those of the configuration, so that its rules
    /// judge where the daemon really listens.
    pub(super) fn set_addresses(&self, config: &mut Config) -> std::io::Result<()> {
        let address =
            |socket: &Option<TcpListener>| socket.as_ref().map(TcpListener::local_addr).transpose();
        config.public.listen = address(&self.public)?.unwrap_or(config.public.listen);
        config.internal.listen = address(&self.internal)?.unwrap_or(config.internal.listen);
        config.sources.listen = address(&self.sources)?.or(config.sources.listen);
        Ok(())
    }
}

impl Listeners {
    /// Binds the addresses of the configuration.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        Self::take_or_bind(HandedOver::default(), config)
    }

    /// Takes the sockets that were handed over, and binds the addresses of the other listeners.
    pub(super) fn take_or_bind(handed: HandedOver, config: &Config) -> Result<Self, StartError> {
        let listener = |label, handed: Option<TcpListener>, address| match handed {
            Some(socket) => {
                tracing::info!(
                    listener = key(label),
                    %address,
                    "the service manager has handed over the socket of a listener"
                );
                Ok(Listener { socket, is_handed_over: true })
            }
            None => {
                bind(key(label), address).map(|socket| Listener { socket, is_handed_over: false })
            }
        };
        let HandedOver { public, internal, sources } = handed;
        let of_sources = |address| listener(ListenerLabel::Sources, sources, address);
        Ok(Self {
            public: listener(ListenerLabel::Public, public, config.public.listen)?,
            internal: listener(ListenerLabel::Internal, internal, config.internal.listen)?,
            sources: config.sources.listen.map(of_sources).transpose()?,
        })
    }

    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.public.socket.local_addr()
    }

    pub fn internal_addr(&self) -> std::io::Result<SocketAddr> {
        self.internal.socket.local_addr()
    }

    /// Returns the address of the sources' listener, if they have one.
    pub fn sources_addr(&self) -> std::io::Result<Option<SocketAddr>> {
        self.sources.as_ref().map(|listener| listener.socket.local_addr()).transpose()
    }
}

fn key(label: ListenerLabel) -> &'static str {
    match label {
        ListenerLabel::Public => "public.listen",
        ListenerLabel::Internal => "internal.listen",
        ListenerLabel::Sources => "sources.listen",
    }
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Listen { key, address, source })
}
