//! A client's connection, from the accepted socket to its end: one task, which changes its shape once.
//!
//! | file | subject |
//! |---|---|
//! | [`limits`] | who is let in, how fast is read |
//! | [`guessing`] | how soon one may guess a password again |
//! | [`transport`] | TCP or TLS |
//! | [`negotiate`] | until a resource is bound: everything that costs memory lives here |
//! | [`established`] | from then on: small, because most sessions are idle most of the time |
//! | [`input`], [`output`] | its two halves |
//! | [`close`] | the last words |

mod close;
mod established;
mod guessing;
mod input;
pub(crate) mod limits;
mod negotiate;
mod output;
mod transport;

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_xmpp::negotiation::receiving::Offer;
use vesta_xmpp::{Jid, scan};

use crate::clock::Clock;
use crate::config::{Config, LimitsConfig};
use crate::metrics::Metrics;
use crate::tls::Certificates;
use crate::uplink::Uplink;
use crate::uplink::session::ResumptionConfig;
use limits::{Admission, Admitted};
use negotiate::Negotiation;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: LimitsConfig,
    pub(crate) offer: Arc<Offer>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) metrics: Metrics,
    pub(crate) admission: Arc<Admission>,
    /// TLS handshakes that may be under way at once.
    pub(crate) handshakes: Semaphore,
    pub(crate) clock: Clock,
    /// What clients that would like to resume their sessions are granted.
    pub(crate) resumption: ResumptionConfig,
    /// The tasks of all connections.
    pub(crate) connections: TaskTracker,
    /// Ends connections that are not bound; the others are told through their sessions.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(
        config: &Config,
        certificates: Arc<Certificates>,
        uplink: Arc<Uplink>,
        metrics: Metrics,
        clock: Clock,
    ) -> Arc<Self> {
        let limits = config.limits.clone();
        Arc::new(Self {
            offer: Arc::new(Offer {
                hosts: config.hosts.clone(),
                starttls: true,
                require_tls: config.require_tls,
                registration: config.registration,
                stanza_bytes: (limits.stanza_bytes_before, limits.stanza_bytes_after),
                idle_seconds: config.liveness.close_after.map(|after| after.as_secs() as u32),
                attempts_max: limits.attempts_max,
                features: config.features.clone(),
            }),
            certificates,
            uplink,
            admission: Admission::new(limits.clone(), metrics.clone()),
            metrics,
            handshakes: Semaphore::new(limits.handshakes_max),
            limits,
            clock,
            resumption: ResumptionConfig {
                seconds: u32::try_from(config.resumption.within.as_secs()).unwrap_or(u32::MAX),
                location: config.resumption.location.clone(),
            },
            connections: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Takes a connection that was let in.
    pub(crate) fn serve(self: &Arc<Self>, stream: TcpStream, admitted: Admitted, direct_tls: bool) {
        let shared = self.clone();
        self.connections.spawn(async move {
            let negotiation = Negotiation::new(shared.clone(), stream, admitted);
            if let Some(established) = Box::pin(negotiation.run(direct_tls)).await {
                // A task of its own: a task keeps the size of the largest shape that it ever has.
                shared.connections.spawn(established.run());
            }
        });
    }

    /// Whether an entity is of a virtual host, or of a service below one: only a server speaks in its name (T25).
    fn is_ours(&self, entity: &Jid) -> bool {
        let domain = entity.domain();
        self.offer.hosts.iter().any(|host| {
            domain.strip_suffix(host.as_str()).is_some_and(|service| service.is_empty() || service.ends_with('.'))
        })
    }

    fn limits_before(&self) -> scan::Limits {
        scan::Limits { stanza_bytes: self.limits.stanza_bytes_before, ..scan::Limits::BEFORE_AUTHENTICATION }
    }

    fn limits_after(&self) -> scan::Limits {
        scan::Limits { stanza_bytes: self.limits.stanza_bytes_after, ..scan::Limits::AUTHENTICATED }
    }
}
