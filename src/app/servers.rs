//! The HTTP servers on the listeners: how they are started, and how they end without a lost request.

use std::{io, sync::Arc, time::Duration};

use actix_web::{
    App as HttpApp,
    dev::{Server, ServerHandle},
    middleware, rt,
};
use futures_util::future::join_all;
use rustls::{ServerConfig, server::danger::ClientCertVerifier};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    http_server::{self, ServerBounds},
    listeners::{Listener, Listeners},
    or_cores, tls,
};
use crate::{
    config::Config,
    http::{self, Services},
    signing::material::TlsListener,
    telemetry::{metrics::ListenerLabel, supervision::Supervisor},
};

/// How long a server whose socket stays open goes on to answer after it has stopped to accept. The
/// connections that it accepted last have this time for their handshake and their first request.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// The servers of all listeners, running.
pub(super) struct Servers {
    running: Vec<Running>,
    ended: Vec<JoinHandle<()>>,
    ending: watch::Sender<bool>,
}

struct Running {
    handle: ServerHandle,
    is_handed_over: bool,
}

impl Servers {
    /// Starts the servers. Reports to `supervisor` if one ends before `stopped` is true.
    pub(super) fn start(
        config: &Config,
        services: &Services,
        listeners: Listeners,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        supervisor: &Supervisor,
        stopped: &watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let material = &services.material;
        let Listeners { public, internal, sources } = listeners;
        let mut parts = vec![
            Part {
                label: ListenerLabel::Public,
                listener: public,
                tls: tls::server_config(material, TlsListener::Public, None),
                workers: or_cores(config.public.workers),
            },
            // One worker, because the clients are few and their requests short.
            Part { label: ListenerLabel::Internal, listener: internal, tls: None, workers: 1 },
        ];
        parts.extend(sources.map(|listener| Part {
            label: ListenerLabel::Sources,
            listener,
            tls: tls::server_config(material, TlsListener::Sources, clients),
            workers: or_cores(config.sources.workers),
        }));
        let (ending, is_ending) = watch::channel(false);
        let (mut running, mut servers) = (Vec::new(), Vec::new());
        for part in parts {
            let is_handed_over = part.listener.is_handed_over;
            let server = part.serve(services, is_ending.clone())?;
            running.push(Running { handle: server.handle(), is_handed_over });
            servers.push(server);
        }
        let served = servers.into_iter().map(|server| {
            let (supervisor, stopped) = (supervisor.clone(), stopped.clone());
            rt::spawn(async move {
                if server.await.is_err() || !*stopped.borrow() {
                    supervisor.report_end("listener");
                }
            })
        });
        Ok(Self { running, ended: served.collect(), ending })
    }

    /// Answers the requests that have begun, and ends.
    ///
    /// A connection that has not been accepted is lost with its socket. If the service manager keeps the
    /// socket, the connection waits there for the next process, and so this one stops to accept before it
    /// stops to answer.
    pub(super) async fn stop(self) {
        self.ending.send_replace(true);
        let stopping = self.running.iter().map(async |Running { handle, is_handed_over }| {
            if *is_handed_over {
                handle.pause().await;
                sleep(LAST_REQUESTS).await;
            }
            handle.stop(true).await;
        });
        join_all(stopping).await;
        for server in self.ended {
            server.await.ok();
        }
    }
}

/// The parts that one server is made of.
struct Part {
    label: ListenerLabel,
    listener: Listener,
    /// `None` stands for plain HTTP.
    tls: Option<ServerConfig>,
    workers: usize,
}

impl Part {
    fn serve(self, services: &Services, is_ending: watch::Receiver<bool>) -> io::Result<Server> {
        let Self { label, listener, tls, workers } = self;
        let connections = match label {
            ListenerLabel::Public => &services.public.connections,
            ListenerLabel::Internal => &services.internal.connections,
            ListenerLabel::Sources => &services.sources.connections,
        };
        let bounds = ServerBounds {
            workers,
            connections_max: connections.max,
            head_timeout: connections.head_timeout,
            idle_timeout: connections.idle_timeout,
            tls_timeout: match label {
                ListenerLabel::Sources => services.sources.tls_timeout,
                ListenerLabel::Public | ListenerLabel::Internal => services.public.tls_timeout,
            },
        };
        let services = services.clone();
        http_server::start(listener.socket, tls, bounds, move || {
            let is_ending = is_ending.clone();
            let count = move |request, next| http::count(label, *is_ending.borrow(), request, next);
            let app = HttpApp::new().wrap(middleware::from_fn(count));
            match label {
                ListenerLabel::Public => app.configure(http::public(&services)),
                ListenerLabel::Internal => app.configure(http::internal(&services)),
                ListenerLabel::Sources => app.configure(http::sources(&services)),
            }
        })
    }
}
