//! A router's end of a link, its frames spelled out.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use vesta_wire::attach::{BoundSession, Inbound, Leader, RouterInfo, Target, ToManager, ToRouter, VERSION};
use vesta_wire::link::{AttachDialer, LinkError, ManagerLink, RouterLink, pair};
use vesta_wire::{Epoch, NodeId, Sequence, SessionId, ShardId, Term};
use vesta_xmpp::sasl::{Answer, Question};
use vesta_xmpp::{BareJid, Envelope, MessageType, StanzaType};

/// Shards of the tests' cluster: one, so that every account is in it.
pub(super) const SHARDS: u32 = 1;
pub(super) const SHARD: ShardId = ShardId(0);

/// Hands the routers' ends of the links that the manager makes to the test.
#[derive(Default)]
pub(super) struct Dialer {
    dialled: Mutex<HashMap<String, Ends>>,
}

type Ends = (mpsc::UnboundedSender<RouterLink>, Option<mpsc::UnboundedReceiver<RouterLink>>);

impl Dialer {
    /// Waits for the manager to dial `address`.
    pub(super) async fn accept(&self, address: &str) -> Router {
        let mut ends = self.with(address, |ends| ends.1.take()).expect("one accepts at a time");
        let link = ends.recv().await.expect("the dialler lives");
        self.with(address, |entry| entry.1 = Some(ends));
        Router { link }
    }

    fn with<R>(&self, address: &str, act: impl FnOnce(&mut Ends) -> R) -> R {
        let mut dialled = self.dialled.lock();
        act(dialled.entry(address.to_owned()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            (sender, Some(receiver))
        }))
    }
}

#[async_trait]
impl AttachDialer for Dialer {
    async fn attach(&self, router: &RouterInfo) -> Result<ManagerLink, LinkError> {
        let (manager, link) = pair();
        self.with(&router.address, |ends| ends.0.send(link)).expect("the receiver is kept");
        Ok(manager)
    }
}

/// See the module's documentation.
pub(super) struct Router {
    link: RouterLink,
}

pub(super) fn session(number: u64) -> SessionId {
    SessionId { shard: SHARD, number }
}

pub(super) fn leader(term: u64, node: u64) -> Leader {
    Leader { shard: SHARD, term: Term(term), node: Some(NodeId(node)) }
}

/// A chat message from Romeo, without `to`.
pub(super) fn chat(body: &str) -> Arc<Envelope> {
    let mut stanza = Envelope::new(StanzaType::Message(MessageType::Chat));
    stanza.from = Some(BareJid::parse("romeo@montague.example").expect("a JID").into());
    stanza.content = format!("<body>{body}</body>").into();
    Arc::new(stanza)
}

impl Router {
    /// Takes the hello and answers it: node `node` of routers at `addresses` (numbered from 1), node 1 leads in term 1.
    pub(super) async fn welcome(&mut self, node: u64, addresses: &[&str]) {
        let ToRouter::Hello { version: VERSION, .. } = self.next().await else { panic!("no hello") };
        let info = |(at, address): (usize, &&str)| RouterInfo {
            node: NodeId(at as u64 + 1),
            name: (*address).into(),
            address: (*address).into(),
        };
        self.send(ToManager::Welcome {
            version: VERSION,
            node: NodeId(node),
            shards: SHARDS,
            routers: addresses.iter().enumerate().map(info).collect(),
            leaders: vec![leader(1, 1)],
        })
        .await;
    }

    pub(super) async fn send(&self, frame: ToManager) {
        self.link.sender.send(frame).await.expect("the manager listens");
    }

    /// The next frame that is no ping.
    pub(super) async fn next(&mut self) -> ToRouter {
        loop {
            match self.link.receiver.recv().await.expect("the manager lives") {
                ToRouter::Ping => self.send(ToManager::Pong).await,
                frame => return frame,
            }
        }
    }

    /// Accepts one password.
    pub(super) async fn authenticate(&mut self) {
        let ToRouter::Ask { request, question: Question::Password { password, .. } } = self.next().await else {
            panic!("no password")
        };
        assert!(password.matches(b"r0m30"));
        let answer = Answer::Accepted { server_signature: Vec::new() };
        self.send(ToManager::Answered { request, answer }).await;
    }

    /// Accepts one password and binds what is asked for as session `number`, epoch 1.
    pub(super) async fn log_in(&mut self, number: u64) {
        self.authenticate().await;
        self.bind(number).await;
    }

    /// Binds what is asked for as session `number`, epoch 1.
    pub(super) async fn bind(&mut self, number: u64) {
        let ToRouter::Bind { request, account, resource, .. } = self.next().await else { panic!("no bind") };
        let jid = account.with_resource(&resource.expect("a resource")).expect("a full JID");
        let bound = BoundSession { session: session(number), epoch: Epoch(1), jid };
        self.send(ToManager::Bound { request, result: Ok(bound) }).await;
    }

    /// Sends `stanza` to session `number` as frame `sequence` of term `term`.
    pub(super) async fn deliver(&self, number: u64, term: u64, sequence: u64, stanza: Arc<Envelope>) {
        self.deliver_in(1, number, term, sequence, stanza).await;
    }

    /// As [`Router::deliver`], to the session in its epoch `epoch`.
    pub(super) async fn deliver_in(&self, epoch: u32, number: u64, term: u64, sequence: u64, stanza: Arc<Envelope>) {
        let target = Target { session: number, epoch: Epoch(epoch), sequence: Sequence(sequence) };
        self.send(ToManager::Deliver { shard: SHARD, term: Term(term), targets: vec![target], stanza, receipt: 0 })
            .await;
    }

    pub(super) async fn accept(&self, number: u64, sequence: u64) {
        let sequence = Sequence(sequence);
        self.send(ToManager::Accepted { session: session(number), epoch: Epoch(1), sequence }).await;
    }

    /// The next frame is an inbound event of session `number`: its place and what it is.
    pub(super) async fn inbound(&mut self, number: u64) -> (u64, Inbound) {
        match self.next().await {
            ToRouter::Inbound { session: id, sequence, event, .. } if id == session(number) => (sequence.0, event),
            other => panic!("no inbound event of {number}: {other:?}"),
        }
    }

    /// The next frame is a stanza of session `number`: its place and itself.
    pub(super) async fn stanza(&mut self, number: u64) -> (u64, Arc<Envelope>) {
        match self.inbound(number).await {
            (sequence, Inbound::Stanza(stanza)) => (sequence, stanza),
            other => panic!("no stanza of {number}: {other:?}"),
        }
    }

    /// The next frame says that session `number` was delivered everything up to the number returned.
    pub(super) async fn delivered(&mut self, number: u64) -> u64 {
        match self.next().await {
            ToRouter::Delivered { session: id, sequence, .. } if id == session(number) => sequence.0,
            other => panic!("nothing delivered to {number}: {other:?}"),
        }
    }

    /// Whether nothing but pings has come.
    pub(super) fn is_quiet(&mut self) -> bool {
        loop {
            match self.link.receiver.try_recv() {
                Ok(ToRouter::Ping) => {}
                Ok(_) => return false,
                Err(_) => return true,
            }
        }
    }
}
