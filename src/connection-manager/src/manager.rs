//! The connection manager as a whole: started, asked, drained, stopped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_wire::link::AttachDialer;

use crate::clock::Clock;
use crate::config::Config;
use crate::connection::Shared;
use crate::drain;
use crate::listener::Listener;
use crate::metrics::{Metrics, TransportLabel};
use crate::sweeper;
use crate::tls::{Certificates, TlsError};
use crate::uplink::Uplink;

/// Starts connection managers.
#[derive(Debug)]
pub struct ConnectionManager;

/// Why a connection manager can't start. The operator is to put it right.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No virtual host is configured.
    #[error("no virtual host is configured: name at least one")]
    NoHost,
    /// An address can't be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Where a connection manager listens: with the ports that the system chose, where port 0 was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// With STARTTLS.
    pub starttls: Vec<SocketAddr>,
    /// With TLS from the first byte.
    pub direct_tls: Vec<SocketAddr>,
}

impl ConnectionManager {
    /// Starts one: reads certificates, listens, links to the routers. Clients are accepted at once; they are told to try
    /// again later until a router answers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config, dialer: Arc<dyn AttachDialer>, metrics: Metrics) -> Result<Handle, StartError> {
        if config.hosts.is_empty() {
            return Err(StartError::NoHost);
        }
        let certificates = Arc::new(Certificates::load(&config.tls, &config.hosts)?);
        let listeners = listeners(&config)?;
        let addresses = addresses(&listeners);
        let clock = Clock::new();
        let uplink = Uplink::start(&config, dialer, metrics.clone(), clock);
        let shared = Shared::new(&config, certificates, uplink, metrics, clock);
        let handle = Handle {
            shared,
            addresses,
            accepting: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        handle.spawn(config, listeners);
        Ok(handle)
    }
}

fn listeners(config: &Config) -> Result<Vec<(TransportLabel, Listener)>, StartError> {
    let starttls = config.starttls.iter().map(|address| (TransportLabel::Starttls, *address));
    let direct = config.direct_tls.iter().map(|address| (TransportLabel::DirectTls, *address));
    let mut listeners = Vec::new();
    for (transport, address) in starttls.chain(direct) {
        match Listener::bind(address, transport, config.backlog, config.liveness.unacknowledged_max) {
            Ok(listener) => listeners.push((transport, listener)),
            // A machine without IPv6 has no such address family; "any address" means those that there are.
            Err(error) if address.is_ipv6() && address.ip().is_unspecified() && is_without_ipv6(&error) => {
                tracing::info!(%address, %error, "no IPv6 here");
            }
            Err(source) => return Err(StartError::Listen { address, source }),
        }
    }
    Ok(listeners)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    /// EAFNOSUPPORT, for which the standard library has no kind.
    const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(ADDRESS_FAMILY_NOT_SUPPORTED)
}

fn addresses(listeners: &[(TransportLabel, Listener)]) -> Addresses {
    let of = |wanted| {
        let wanted = listeners.iter().filter(|(transport, _)| *transport == wanted);
        wanted.filter_map(|(_, listener)| listener.address().ok()).collect()
    };
    Addresses { starttls: of(TransportLabel::Starttls), direct_tls: of(TransportLabel::DirectTls) }
}

/// A running connection manager. It is to be ended with [`Handle::shutdown`].
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    addresses: Addresses,
    accepting: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Handle {
    fn spawn(&self, config: Config, listeners: Vec<(TransportLabel, Listener)>) {
        for (_, listener) in listeners {
            self.tasks.spawn(listener.run(self.shared.clone(), self.accepting.clone()));
        }
        self.tasks.spawn(sweeper::run(self.shared.clone(), config.liveness, self.stop.clone()));
        let certificates = self.shared.certificates.clone();
        self.tasks.spawn(certificates.watch(config.tls.reload_every, self.stop.clone()));
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Whether clients can be served: it accepts, and the leader of every shard is known and linked.
    pub fn is_ready(&self) -> bool {
        !self.accepting.is_cancelled() && self.shared.uplink.is_complete()
    }

    /// [`Handle::is_ready`] for whoever asks later, and does not keep the handle.
    pub fn readiness(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let (shared, accepting) = (self.shared.clone(), self.accepting.clone());
        move || !accepting.is_cancelled() && shared.uplink.is_complete()
    }

    /// Waits until the leader of every shard is known and linked.
    pub async fn ready(&self) {
        self.shared.uplink.complete().await;
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.shared.connections.len()
    }

    /// What the tests look into.
    #[cfg(test)]
    pub(crate) fn for_each_session(&self, act: impl FnMut(&Arc<crate::uplink::session::Session>)) {
        self.shared.uplink.for_each_session(act);
    }

    /// Reads certificates whose files have changed now, rather than at the next look.
    pub fn reload_certificates(&self) {
        self.shared.certificates.reload_changed();
    }

    /// Stops accepting and ends all streams with `system-shutdown`, in waves spread over `within`. Returns when they are
    /// closed or time is over; [`Handle::shutdown`] is still to be called.
    pub async fn drain(&self, within: Duration) {
        self.accepting.cancel();
        drain::drain(&self.shared, within).await;
    }

    /// Ends everything: streams that are left with `system-shutdown`, then the links to the routers.
    pub async fn shutdown(self) {
        self.accepting.cancel();
        drain::shutdown(&self.shared).await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
