//! The links that connection managers make: frames come in here, and the writer sends what found a link full.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::Instrument;
use vesta_engine::SessionKey;
use vesta_wire::attach::{Announced, Inbound, RequestId, ToManager, ToRouter, VERSION};
use vesta_wire::forward::IngressId;
use vesta_wire::ids::shard_of;
use vesta_wire::link::RouterLink;
use vesta_wire::{Epoch, Sequence, SessionId, ShardId};
use vesta_xmpp::{BareJid, FullJid};

use super::managers::{ManagerHandle, Next};
use crate::clock;
use crate::router::Router;
use crate::shard::delivery::{Announcement, Progress};
use crate::shard::inbox::Arrival;
use crate::shard::leading::{Leading, ShardMachine};
use crate::shard::resuming::{self, Resume};
use crate::shard::work::{Token, Work};

/// How many frames are taken from a link at once.
const BATCH: usize = 256;

/// Serves one manager's link until it is gone.
pub async fn serve(router: Arc<Router>, mut link: RouterLink, peer: Option<String>) {
    let Some(ToRouter::Hello { manager, version }) = link.receiver.recv().await else {
        tracing::warn!(?peer, "a connection manager's link did not begin with hello");
        return;
    };
    if peer.as_deref().is_some_and(|peer| *peer != *manager.name) {
        tracing::error!(?peer, %manager, "a connection manager's name is not the one in its certificate: link refused");
        return;
    }
    let span = tracing::info_span!("attach a connection manager", vesta.manager = %manager);
    // Before that there is nothing to tell: neither the number of shards nor who leads them.
    tokio::select! {
        () = router.founded().instrument(span.clone()) => {}
        () = link.sender.closed() => return,
    }
    let attached = span.in_scope(|| {
        tracing::info!(%manager, version, "connection manager attached");
        // Where nobody else can lead, a manager in this process dies with it.
        let wants_receipts = router.routers().len() > 1;
        Attached::new(&router, Arc::new(ManagerHandle::new(manager, link.sender, wants_receipts)))
    });
    drop(span);
    let handle = &attached.handle;
    let writer = write(&router, handle);
    let reader = read(&router, handle, &mut link.receiver);
    tokio::select! {
        () = writer => {}
        () = reader => {}
    }
}

/// A link that sessions may be behind. Dropping it takes it out, however its task ends.
struct Attached<'a> {
    router: &'a Router,
    handle: Arc<ManagerHandle>,
}

impl<'a> Attached<'a> {
    fn new(router: &'a Router, handle: Arc<ManagerHandle>) -> Self {
        handle.send(ToManager::Welcome {
            version: VERSION,
            node: router.node(),
            shards: router.shards(),
            routers: router.routers(),
            leaders: router.leaders(),
        });
        router.managers.attach(handle.clone(), clock::instant());
        Self { router, handle }
    }

    /// How many of the manager's sessions are in the shards that this router leads.
    fn sessions(&self) -> u64 {
        let name = &self.handle.name;
        let in_shard = |leading: &Arc<Leading>| {
            let found =
                |machine: &ShardMachine| machine.0.managers().find(|(it, _)| *it == name).map(|(_, count)| count);
            leading.group.read(found).unwrap_or_default()
        };
        self.router.led_shards().iter().map(in_shard).sum()
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.handle.set_gone();
        self.router.managers.detach(&self.handle, clock::instant());
        for leading in self.router.held_shards() {
            leading.delivery.link_lost(&self.handle);
        }
        let (manager, sessions) = (&self.handle.name, self.sessions());
        // One that stops in order has ended its sessions before.
        if sessions == 0 || self.router.cancel.is_cancelled() {
            tracing::info!(%manager, "connection manager detached");
        } else {
            tracing::warn!(%manager, sessions, "connection manager lost: its sessions end if it does not come back soon");
        }
    }
}

async fn write(router: &Arc<Router>, handle: &Arc<ManagerHandle>) {
    while let Some((permit, next)) = handle.next().await {
        match next {
            Next::Frame(frame) => permit.send(frame),
            Next::Session(session) => {
                let frame = router
                    .holding(session.shard)
                    .and_then(|leading| leading.delivery.next_lagging(session.number, handle));
                if let Some(frame) = frame {
                    permit.send(frame);
                    handle.lag(session);
                }
            }
        }
    }
}

async fn read(router: &Arc<Router>, handle: &Arc<ManagerHandle>, receiver: &mut mpsc::Receiver<ToRouter>) {
    let mut frames = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut frames, BATCH).await > 0 {
        handle.begin_batch();
        for frame in frames.drain(..) {
            take(router, handle, frame);
        }
        handle.end_batch();
    }
}

fn take(router: &Arc<Router>, handle: &Arc<ManagerHandle>, frame: ToRouter) {
    match frame {
        ToRouter::Inbound { session, epoch, sequence, event } => {
            inbound(router, handle, session, (epoch, sequence), event);
        }
        ToRouter::Delivered { session, epoch, sequence } => {
            if let Some(leading) = router.holding(session.shard) {
                leading.delivery.confirm(session.number, epoch, sequence);
            }
        }
        ToRouter::Ask { request, question } => {
            if let Some(leading) = leading_of(router, handle, request, question.account()) {
                router.authenticate(leading, handle.clone(), request, question);
            }
        }
        ToRouter::Bind { request, account, resource, stream } => {
            if let Some(leading) = leading_of(router, handle, request, &account) {
                leading.submit_or_refuse(&account, Work::Bind { manager: handle.clone(), request, resource, stream });
            }
        }
        ToRouter::Resume { request, account, session, digest, handled, stream } => {
            if let Some(leading) = leading_of(router, handle, request, &account) {
                let manager = handle.clone();
                resuming::begin(
                    &leading,
                    account,
                    Resume { manager, request, number: session, digest, handled, stream },
                );
            }
        }
        ToRouter::Restore { session, epoch, last, stanzas } => {
            if let Some(leading) = router.holding(session.shard) {
                leading.delivery.restore(session.number, epoch, last, stanzas);
            }
        }
        ToRouter::State { session, epoch, state, since_before } => {
            if let Some(leading) = router.holding(session.shard)
                && leading.delivery.set_state(session.number, epoch, state, since_before)
            {
                resuming::refresh(&leading, SessionKey { number: session.number, epoch: epoch.0 });
            }
        }
        ToRouter::Detached { session, epoch } => detached(router, session, epoch),
        ToRouter::Register { request, account, stanza } => {
            if let Some(leading) = leading_of(router, handle, request, &account) {
                let (manager, stanza) = (handle.clone(), Box::new(stanza));
                leading.submit_or_refuse(&account, Work::Register { manager, request, stanza });
            }
        }
        ToRouter::Announce { session, epoch, jid, stream: _, received, delivered, accepted, logged } => {
            announce(router, handle, session, epoch, &jid, Progress { received, delivered, accepted, logged });
        }
        ToRouter::Taken { receipt, refused } => handle.taken(receipt, &refused),
        ToRouter::Ping => handle.send(ToManager::Pong),
        ToRouter::Hello { .. } => tracing::warn!(manager = %handle.name, "a second hello on one link is ignored"),
    }
}

/// The leadership that serves a request for `account`; tells the manager if it is not here.
fn leading_of(
    router: &Arc<Router>,
    handle: &ManagerHandle,
    request: RequestId,
    account: &BareJid,
) -> Option<Arc<Leading>> {
    let shard = shard_of(account.as_str(), router.shards());
    let leading = router.leading(shard);
    if leading.is_none() {
        handle.send(ToManager::NotLeader { request, leader: router.leader(shard) });
    }
    leading
}

/// A frame for a shard that is led elsewhere, or of an unknown session, is left unaccepted: the manager sends it to whom it
/// should, or is told on its announcement that the session is gone. While the leadership is in doubt the frame waits.
fn inbound(
    router: &Arc<Router>,
    handle: &Arc<ManagerHandle>,
    session: SessionId,
    (epoch, sequence): (Epoch, Sequence),
    event: Inbound,
) {
    let Some(leading) = router.holding(session.shard) else { return };
    let key = SessionKey { number: session.number, epoch: epoch.0 };
    let Some(account) = leading.account_of(key) else {
        // The end of a session that is gone: there is nothing left to do.
        if let Inbound::Ended(_) = event {
            handle.accept(session, epoch, sequence);
        }
        return;
    };
    let arrived = leading.delivery.arrive(session.number, epoch, sequence);
    // A manager that disowns a session was never told of it: it has no number to go on from.
    let is_disowned = matches!(event, Inbound::Ended(_)) && arrived.is_none();
    if arrived != Some(Arrival::Next) && !is_disowned {
        return;
    }
    leading.submit_or_refuse(
        &account,
        match event {
            Inbound::Stanza(stanza) => {
                let ingress = IngressId { session, epoch, sequence, part: 0 };
                Work::Outbound { ingress, stanza, token: Token::of_session(&leading, ingress) }
            }
            Inbound::Rejected(answer) => {
                let ingress = IngressId { session, epoch, sequence, part: 0 };
                Work::Rejected { session: key, answer, token: Token::of_session(&leading, ingress) }
            }
            Inbound::Resumable(resumable) => {
                let ingress = IngressId { session, epoch, sequence, part: 0 };
                let token = Token::of_session(&leading, ingress);
                Work::MakeResumable { session: key, place: sequence, resumable, token }
            }
            Inbound::Ended(reason) => {
                let said_by = Some((handle.clone(), sequence));
                Work::StreamEnded { session: session.number, epoch, reason, said_by }
            }
        },
    );
}

fn detached(router: &Router, session: SessionId, epoch: Epoch) {
    let Some(leading) = router.holding(session.shard) else { return };
    let key = SessionKey { number: session.number, epoch: epoch.0 };
    if let Some(account) = leading.account_of(key) {
        leading.submit_or_refuse(&account, Work::Detach { session: session.number, epoch });
    }
}

fn announce(
    router: &Arc<Router>,
    handle: &Arc<ManagerHandle>,
    session: SessionId,
    epoch: Epoch,
    jid: &FullJid,
    progress: Progress,
) {
    let answer = |outcome| handle.send(ToManager::Announced { session, epoch, outcome });
    let not_leader = || answer(Announced::NotLeader(router.leader(session.shard)));
    let Some(leading) = router.leading(session.shard) else { return not_leader() };
    let key = SessionKey { number: session.number, epoch: epoch.0 };
    let is_known = leading.group.read(|machine| {
        machine.0.record(key).is_some_and(|record| record.session.jid == *jid && record.manager == handle.name)
    });
    if !is_known {
        return answer(Announced::Unknown);
    }
    match leading.delivery.announced(key, handle.clone(), progress) {
        Some(Announcement { accepted, lacks }) => answer(Announced::Continues { accepted, lacks }),
        None => not_leader(),
    }
}

/// Tells every manager who leads a shard now.
pub fn tell_leader(router: &Router, shard: ShardId) {
    let leader = router.leader(shard);
    for link in router.managers.links() {
        link.send(ToManager::Leaders(vec![leader]));
    }
}
