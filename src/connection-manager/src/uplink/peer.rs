//! Keeps a link to one router: dials, says hello, serves the link until it is lost, dials again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use vesta_wire::NodeId;
use vesta_wire::attach::{RouterInfo, ToManager, ToRouter, VERSION};
use vesta_wire::link::{LinkError, ManagerLink};

use super::Uplink;
use super::backoff::Backoff;
use super::link::RouterLink;

/// The first pause before dialling again.
const REDIAL_FIRST: Duration = Duration::from_millis(100);
/// The longest such pause.
const REDIAL_MAX: Duration = Duration::from_secs(3);
/// How long a router may take to say welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the link is looked at.
const TICK: Duration = Duration::from_secs(1);
/// A router that was silent for so long counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(6);
/// Frames taken from the link at once.
const FRAMES_AT_ONCE: usize = 128;

impl Uplink {
    /// Looks after the router at an address, unless somebody does.
    pub(super) fn add_peer(self: &Arc<Self>, address: Arc<str>) {
        if !self.stop.is_cancelled() && self.addresses.lock().insert(address.clone()) {
            let info = RouterInfo { node: NodeId(0), name: "".into(), address };
            let uplink = self.clone();
            self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(uplink.keep_linked(info)));
        }
    }

    /// Routers of the cluster that no link leads to yet.
    pub(super) fn add_routers(self: &Arc<Self>, routers: Vec<RouterInfo>) {
        for router in routers {
            if !self.routes.read().is_linked(router.node) {
                self.add_peer(router.address);
            }
        }
    }

    async fn keep_linked(self: Arc<Self>, info: RouterInfo) {
        let mut backoff = Backoff::new(REDIAL_FIRST, REDIAL_MAX);
        loop {
            match self.link_once(&info).await {
                Ok(()) => {
                    backoff.reset();
                    tracing::warn!(router = %info.address, "lost the link to a router");
                }
                Err(error) => tracing::warn!(router = %info.address, %error, "no link to a router"),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// One link, from dialling to its loss.
    async fn link_once(self: &Arc<Self>, info: &RouterInfo) -> Result<(), LinkError> {
        let span = info_span!("link to a router", server.address = %info.address, xmpp.sessions = Empty);
        let (up, mut ends) = self.link_up(info).instrument(span).await?;
        self.serve(&up.link, &mut ends).await;
        Ok(())
    }

    /// Makes a link, and announces the sessions that the router leads.
    async fn link_up(self: &Arc<Self>, info: &RouterInfo) -> Result<(Up, ManagerLink), LinkError> {
        let refused =
            |reason: &str| LinkError::Refused { address: info.address.to_string(), reason: reason.to_owned() };
        let mut ends = self.dialer.attach(info).await?;
        let hello = ToRouter::Hello { manager: self.manager.clone(), version: VERSION };
        ends.sender.send(hello).await.map_err(|_| refused("closed the link at once"))?;
        let welcome = tokio::time::timeout(WELCOME_TIMEOUT, ends.receiver.recv()).await;
        let Ok(Some(ToManager::Welcome { node, shards, routers, leaders, .. })) = welcome else {
            return Err(refused("said no welcome"));
        };
        let link = RouterLink::new(node, ends.sender.clone());
        {
            let mut routes = self.routes.write();
            if !routes.set_shards(shards) {
                return Err(refused("belongs to a cluster with another number of shards"));
            }
            if !routes.link_up(&link) {
                return Err(refused("is linked by another address already"));
            }
        }
        let up = Up { uplink: self.clone(), link };
        tracing::info!(router = %info.address, %node, "linked to a router");
        self.metrics.links.inc();
        self.add_routers(routers);
        self.observe(leaders);
        // Leaders that were known before the link came up.
        Span::current().record("xmpp.sessions", up.attach_led());
        self.changes.send_modify(|count| *count += 1);
        Ok((up, ends))
    }

    /// Takes frames until the link is lost.
    async fn serve(self: &Arc<Self>, link: &Arc<RouterLink>, ends: &mut ManagerLink) {
        let mut ticks = tokio::time::interval(TICK);
        let mut heard = Instant::now();
        let mut frames = Vec::with_capacity(FRAMES_AT_ONCE);
        loop {
            tokio::select! {
                count = ends.receiver.recv_many(&mut frames, FRAMES_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    heard = Instant::now();
                    for frame in frames.drain(..) {
                        self.receive(link, frame);
                    }
                    link.give_receipt();
                }
                () = link.resume_stalled() => return,
                now = ticks.tick() => {
                    if now.duration_since(heard) > SILENCE_MAX {
                        return;
                    }
                    if let Ok(permit) = link.try_reserve() {
                        permit.send(ToRouter::Ping);
                    }
                    link.give_receipt();
                    self.settle();
                }
            }
        }
    }

    /// Announces again the sessions of shards whose presumed leader said that it is none.
    fn settle(&self) {
        let unsettled = std::mem::take(&mut *self.unsettled.lock());
        for shard in unsettled {
            self.attach_shard(shard, false);
        }
    }
}

/// A link in the routes. Dropping it takes it out, however the task ends.
struct Up {
    uplink: Arc<Uplink>,
    link: Arc<RouterLink>,
}

impl Up {
    /// Announces the sessions of the shards that the router leads: so many.
    fn attach_led(&self) -> usize {
        let led = self.uplink.routes.read().led_by(self.link.node);
        led.into_iter().map(|shard| self.uplink.attach_shard(shard, false)).sum()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.uplink.routes.write().link_down(&self.link);
        self.uplink.metrics.links.dec();
        self.link.lost();
        self.uplink.changes.send_modify(|count| *count += 1);
        self.uplink.for_each_session(|session| self.uplink.attach(session, false));
    }
}
