//! Connection managers by hand: they speak their frames, keep the rules of `vesta_wire::attach`, and check that the router does.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use vesta_wire::attach::{
    Announced, BoundSession, Digest, EndReason, Inbound, Leader, RequestId, Resumable, ResumedSession, ToManager,
    ToRouter, VERSION,
};
use vesta_wire::{ManagerName, NodeId, Sequence, SessionId, ShardId, StreamId, Term};
use vesta_xmpp::management::Refusal;
use vesta_xmpp::stream_error::StreamCondition;
use vesta_xmpp::{BareJid, Envelope, FullJid, StanzaType, ns};

use super::world::{NAMES, SHARDS, Wires, World, shard, soon};

/// A connection manager, linked to every router.
pub(super) struct Manager {
    name: ManagerName,
    wires: Arc<Wires>,
    links: HashMap<&'static str, mpsc::Sender<ToRouter>>,
    frames: mpsc::Receiver<(&'static str, Option<ToManager>)>,
    frames_sender: mpsc::Sender<(&'static str, Option<ToManager>)>,
    leaders: HashMap<ShardId, Leader>,
    nodes: HashMap<NodeId, &'static str>,
    sessions: HashMap<SessionId, Session>,
    replies: HashMap<RequestId, ToManager>,
    requests: u64,
    streams: u64,
    announcements: u64,
    /// Whether stanzas are lost on the way to it.
    is_deaf: bool,
    /// Whether routers are not told what has come.
    withholds_receipts: bool,
    /// Sessions that are not confirmed what they receive.
    silent: HashSet<SessionId>,
    /// Sessions whose announcement was refused: they are announced again a little later.
    unsettled: HashSet<SessionId>,
    tasks: TaskTracker,
}

/// A session at its manager.
pub(super) struct Session {
    bound: BoundSession,
    stream: StreamId,
    /// What was sent and is not accepted, and the number of the first of it.
    window: VecDeque<Inbound>,
    accepted: u64,
    received: u64,
    logged: u64,
    inbox: VecDeque<Envelope>,
    /// What its client has not acknowledged, where it counts (XEP-0198).
    twin: Option<VecDeque<Arc<Envelope>>>,
    /// Its connection is lost.
    is_detached: bool,
    closed: Option<StreamCondition>,
    /// Announced, and not answered.
    announced: bool,
    /// How many frames came twice.
    pub(super) repeated: u64,
}

impl Session {
    fn new(bound: BoundSession, stream: StreamId) -> Self {
        Self {
            bound,
            stream,
            window: VecDeque::new(),
            accepted: 0,
            received: 0,
            logged: 0,
            inbox: VecDeque::new(),
            twin: None,
            is_detached: false,
            closed: None,
            announced: false,
            repeated: 0,
        }
    }

    /// The place of the last stanza that its client has got.
    fn delivered(&self) -> u64 {
        self.received - self.twin.as_ref().map_or(0, VecDeque::len) as u64
    }
}

impl Manager {
    /// A manager that is linked to every router that can be reached, and knows the leader of every shard.
    pub(super) async fn attach(world: &World, name: &str) -> Self {
        let mut manager = Self::detached(world, name);
        manager.link_all();
        manager.settle().await;
        manager
    }

    fn detached(world: &World, name: &str) -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(1);
        let incarnation = RUNS.fetch_add(1, Ordering::Relaxed);
        let (frames_sender, frames) = mpsc::channel(1024);
        Self {
            name: ManagerName { name: name.into(), incarnation },
            wires: world.wires.clone(),
            links: HashMap::new(),
            frames,
            frames_sender,
            leaders: HashMap::new(),
            nodes: HashMap::new(),
            sessions: HashMap::new(),
            replies: HashMap::new(),
            requests: 0,
            streams: 0,
            announcements: 0,
            is_deaf: false,
            withholds_receipts: false,
            silent: HashSet::new(),
            unsettled: HashSet::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Links to every router that can be reached and is not linked.
    pub(super) fn link_all(&mut self) {
        for router in NAMES {
            if self.links.contains_key(router) {
                continue;
            }
            let Ok(mut link) = self.wires.attach(&self.name.name, router) else { continue };
            let hello = ToRouter::Hello { manager: self.name.clone(), version: VERSION };
            link.sender.try_send(hello).expect("a new link has room");
            self.links.insert(router, link.sender);
            let frames = self.frames_sender.clone();
            self.tasks.spawn(async move {
                while let Some(frame) = link.receiver.recv().await {
                    if frames.send((router, Some(frame))).await.is_err() {
                        return;
                    }
                }
                let _ = frames.send((router, None)).await;
            });
        }
    }

    /// Waits until the leaders of all shards are known and linked.
    pub(super) async fn settle(&mut self) {
        soon("all shards have leaders", async {
            while (0..SHARDS).any(|shard| self.link_to(ShardId(shard)).is_none()) {
                self.take_frame().await;
            }
        })
        .await;
    }

    /// Waits until another router leads a shard.
    pub(super) async fn leader_but(&mut self, shard: ShardId, old: &str) -> &'static str {
        soon("the shard has another leader", async {
            loop {
                match self.leader(shard) {
                    Some(leader) if leader != old => return leader,
                    _ => self.take_frame().await,
                }
            }
        })
        .await
    }

    /// Whom the manager takes for a shard's leader.
    pub(super) fn leader(&self, shard: ShardId) -> Option<&'static str> {
        self.nodes.get(&self.leaders.get(&shard)?.node?).copied()
    }

    fn link_to(&self, shard: ShardId) -> Option<&mpsc::Sender<ToRouter>> {
        self.links.get(self.leader(shard)?)
    }

    fn send(&self, shard: ShardId, frame: ToRouter) {
        if let Some(link) = self.link_to(shard) {
            // A link that is lost is seen when its end comes in.
            let _ = link.try_send(frame);
        }
    }

    /// Takes one frame from whatever link.
    pub(super) async fn take_frame(&mut self) {
        let (router, frame) = tokio::select! {
            frame = self.frames.recv() => frame.expect("the manager holds a sender"),
            () = tokio::time::sleep(SETTLE), if !self.unsettled.is_empty() => {
                let unsettled = std::mem::take(&mut self.unsettled);
                return self.announce_where(|id| unsettled.contains(&id));
            }
        };
        match frame {
            None => {
                self.links.remove(router);
                self.link_all();
            }
            Some(ToManager::Welcome { node, leaders, .. }) => {
                self.nodes.insert(node, router);
                self.observe(leaders);
                self.announce_where(|_| true);
            }
            Some(ToManager::Leaders(leaders)) => self.observe(leaders),
            Some(ToManager::Announced { session, epoch: _, outcome }) => self.announced(session, outcome),
            Some(ToManager::Deliver { .. }) if self.is_deaf => {}
            Some(ToManager::Deliver { shard, term, targets, stanza, receipt }) => {
                let is_old = self.leaders.get(&shard).is_some_and(|known| term < known.term);
                let refused = if is_old { vec![receipt] } else { Vec::new() };
                if let Some(link) = self.links.get(router).filter(|_| receipt > 0 && !self.withholds_receipts) {
                    // A link that is lost is seen when its end comes in.
                    let _ = link.try_send(ToRouter::Taken { receipt, refused });
                }
                if self.leaders.get(&shard).is_none_or(|known| term >= known.term) {
                    for target in targets {
                        let id = SessionId { shard, number: target.session };
                        self.delivered(id, target.sequence, &stanza);
                    }
                }
            }
            Some(ToManager::Accepted { session, sequence, .. }) => self.accept(session, sequence),
            Some(ToManager::Close { session, epoch, error }) => {
                if let Some(session) = self.sessions.get_mut(&session).filter(|it| it.bound.epoch == epoch) {
                    session.closed = Some(error.condition);
                }
            }
            Some(ToManager::NotLeader { request, leader }) => {
                self.replies.insert(request, ToManager::NotLeader { request, leader });
                self.observe(vec![leader]);
            }
            Some(ToManager::Resumed { request, result }) => {
                if let Ok(resumed) = &result {
                    self.put_resumed(resumed);
                }
                self.replies.insert(request, ToManager::Resumed { request, result });
            }
            Some(
                reply @ (ToManager::Answered { request, .. }
                | ToManager::Bound { request, .. }
                | ToManager::Registered { request, .. }),
            ) => {
                self.replies.insert(request, reply);
            }
            Some(ToManager::Pong) => {}
        }
    }

    fn observe(&mut self, leaders: Vec<Leader>) {
        for news in leaders {
            let none = Leader { shard: news.shard, term: Term(0), node: None };
            let known = self.leaders.entry(news.shard).or_insert(none);
            if news.term > known.term || (news.term == known.term && known.node.is_none() && news.node.is_some()) {
                *known = news;
                self.announce_where(|id| id.shard == news.shard);
            }
        }
    }

    fn announce_where(&mut self, which: impl Fn(SessionId) -> bool) {
        let ids: Vec<_> = self.sessions.keys().copied().filter(|id| which(*id)).collect();
        for id in ids {
            let session = self.sessions.get_mut(&id).expect("it was there");
            session.announced = true;
            self.announcements += 1;
            let announce = ToRouter::Announce {
                session: id,
                epoch: session.bound.epoch,
                jid: session.bound.jid.clone(),
                stream: session.stream,
                received: Sequence(session.received),
                delivered: Sequence(session.delivered()),
                accepted: Sequence(session.accepted),
                logged: session.logged,
            };
            self.send(id.shard, announce);
        }
    }

    fn announced(&mut self, id: SessionId, outcome: Announced) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match outcome {
            Announced::Continues { accepted, lacks } => {
                session.announced = false;
                let restored = session.twin.clone().filter(|_| lacks).unwrap_or_default();
                let (last, is_detached) = (Sequence(session.received), session.is_detached);
                while session.accepted < accepted.0 && session.window.pop_front().is_some() {
                    session.accepted += 1;
                }
                let again: Vec<_> = session.window.iter().cloned().zip(session.accepted + 1..).collect();
                let epoch = session.bound.epoch;
                if !restored.is_empty() {
                    self.send(id.shard, ToRouter::Restore { session: id, epoch, last, stanzas: restored.into() });
                }
                for (event, sequence) in again {
                    self.send(id.shard, ToRouter::Inbound { session: id, epoch, sequence: Sequence(sequence), event });
                }
                if is_detached {
                    self.send(id.shard, ToRouter::Detached { session: id, epoch });
                }
            }
            Announced::Unknown => session.closed = Some(StreamCondition::Reset),
            Announced::NotLeader(leader) => {
                self.unsettled.insert(id);
                self.observe(vec![leader]);
            }
        }
    }

    fn delivered(&mut self, id: SessionId, sequence: Sequence, stanza: &Envelope) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if sequence.0 <= session.received {
            session.repeated += 1;
            return;
        }
        if sequence.0 > session.received + 1 {
            assert!(session.announced, "{}: a frame is missing before {sequence:?}", session.bound.jid);
            return;
        }
        session.received += 1;
        session.logged = session.logged.max(stanza.logged);
        session.inbox.push_back(stanza.clone());
        let epoch = session.bound.epoch;
        if let Some(twin) = &mut session.twin {
            twin.push_back(Arc::new(stanza.clone()));
        } else if !self.silent.contains(&id) {
            self.send(id.shard, ToRouter::Delivered { session: id, epoch, sequence });
        }
    }

    fn accept(&mut self, id: SessionId, sequence: Sequence) {
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.announced) {
            while session.accepted < sequence.0 && session.window.pop_front().is_some() {
                session.accepted += 1;
            }
        }
    }

    fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// Sends a request to the leader of an account's shard until it is answered.
    pub(super) async fn ask(&mut self, account: &BareJid, frame: impl Fn(RequestId) -> ToRouter) -> ToManager {
        soon("an answer", async {
            loop {
                match self.ask_once(account, &frame).await {
                    Some(ToManager::NotLeader { .. }) | None => self.take_frames_for(RETRY).await,
                    Some(reply) => return reply,
                }
            }
        })
        .await
    }

    /// Sends a request once. `None`: its link was lost, or there is none.
    pub(super) async fn ask_once(
        &mut self,
        account: &BareJid,
        frame: impl Fn(RequestId) -> ToRouter,
    ) -> Option<ToManager> {
        let request = self.next_request();
        let link = self.link_to(shard(account))?.clone();
        link.try_send(frame(request)).ok()?;
        while !self.replies.contains_key(&request) {
            if link.is_closed() {
                return None;
            }
            self.take_frame().await;
        }
        self.replies.remove(&request)
    }

    /// Takes what comes until nothing has come for so long.
    pub(super) async fn take_frames_for(&mut self, quiet: Duration) {
        while tokio::time::timeout(quiet, self.take_frame()).await.is_ok() {}
    }

    /// Binds a resource, as a stream of its own.
    pub(super) async fn bind(&mut self, jid: &str) -> SessionId {
        let jid = FullJid::parse(jid).expect("a full JID");
        self.bind_as(&jid.to_bare(), Some(jid.resource())).await
    }

    /// Binds a resource; `None` leaves it to the router.
    pub(super) async fn bind_as(&mut self, account: &BareJid, resource: Option<&str>) -> SessionId {
        self.streams += 1;
        self.bind_stream(account, resource, StreamId(self.streams)).await
    }

    /// Binds a resource for a stream that may have asked before.
    pub(super) async fn bind_stream(
        &mut self,
        account: &BareJid,
        resource: Option<&str>,
        stream: StreamId,
    ) -> SessionId {
        let resource = resource.map(str::to_owned);
        let bind = |request| ToRouter::Bind { request, account: account.clone(), resource: resource.clone(), stream };
        let reply = self.ask(account, bind).await;
        let ToManager::Bound { result: Ok(bound), .. } = reply else { panic!("not bound: {reply:?}") };
        let id = bound.session;
        self.sessions.insert(id, Session::new(bound, stream));
        id
    }

    /// Has a session's client become able to resume it, and waits until the router knows. From now on it acknowledges by
    /// [`Manager::acknowledges`] alone.
    pub(super) async fn counts(&mut self, id: SessionId, digest: Digest) {
        let session = self.sessions.get_mut(&id).expect("a session");
        session.twin = Some(VecDeque::new());
        let sent_before = Sequence(session.received);
        self.submit(id, Inbound::Resumable(Resumable { digest, seconds: 300, sent_before }));
        self.all_accepted(id).await;
    }

    /// A client that counts has got so many stanzas more.
    pub(super) fn acknowledges(&mut self, id: SessionId, count: usize) {
        let session = self.sessions.get_mut(&id).expect("a session");
        session.twin.as_mut().expect("it counts").drain(..count);
        let (epoch, sequence) = (session.bound.epoch, Sequence(session.delivered()));
        self.send(id.shard, ToRouter::Delivered { session: id, epoch, sequence });
    }

    /// The connection of a session that can be resumed is lost.
    pub(super) fn loses_connection(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(&id).expect("a session");
        session.is_detached = true;
        let epoch = session.bound.epoch;
        self.send(id.shard, ToRouter::Detached { session: id, epoch });
    }

    /// A client resumes a session over a stream of this manager. Returns how many of its stanzas are handled.
    pub(super) async fn resumes(
        &mut self,
        account: &BareJid,
        session: u64,
        digest: Digest,
        handled: u32,
    ) -> Result<(SessionId, u64), Refusal> {
        self.streams += 1;
        let stream = StreamId(self.streams);
        let account = account.clone();
        let ask = |request| {
            let account = account.clone();
            ToRouter::Resume { request, account, session, digest, handled, stream }
        };
        let reply = self.ask(&account.clone(), ask).await;
        let ToManager::Resumed { result, .. } = reply else { panic!("neither resumed nor refused: {reply:?}") };
        let resumed = result?;
        let id = resumed.bound.session;
        // What came behind the answer has been taken already.
        let session = self.sessions.get_mut(&id).expect("put in when the answer came");
        session.stream = stream;
        Ok((id, resumed.accepted.0 - resumed.received_before.0))
    }

    fn put_resumed(&mut self, resumed: &ResumedSession) {
        let mut session = Session::new(resumed.bound.clone(), StreamId(self.streams));
        session.accepted = resumed.accepted.0;
        session.received = resumed.delivered.0;
        session.logged = resumed.logged;
        session.twin = Some(VecDeque::new());
        self.sessions.insert(resumed.bound.session, session);
    }

    /// Binds a resource, and has it ask for its roster and send its presence. Forgets what it receives meanwhile.
    pub(super) async fn online(&mut self, account: &BareJid, resource: &str) -> SessionId {
        let id = self.bind_as(account, Some(resource)).await;
        self.says(id, "<presence/>");
        let own = self.jid(id).to_string();
        self.until(id, |stanza| stanza.from.as_ref().is_some_and(|from| from.as_str() == own)).await;
        id
    }

    /// All sessions.
    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    /// A session's address.
    pub(super) fn jid(&self, id: SessionId) -> &FullJid {
        &self.sessions[&id].bound.jid
    }

    /// From now on stanzas are lost on their way to this manager, or no longer.
    pub(super) fn set_deaf(&mut self, is_deaf: bool) {
        self.is_deaf = is_deaf;
    }

    /// From now on routers are not told that stanzas have come.
    pub(super) fn withhold_receipts(&mut self) {
        self.withholds_receipts = true;
    }

    /// From now on the session's client reads nothing.
    pub(super) fn stop_reading(&mut self, id: SessionId) {
        self.silent.insert(id);
    }

    /// A session's client sends a stanza.
    pub(super) fn says(&mut self, id: SessionId, xml: &str) {
        let mut stanza = read(xml);
        stanza.from = Some(self.jid(id).clone().into());
        self.submit(id, Inbound::Stanza(Arc::new(stanza)));
    }

    /// A session's client leaves.
    pub(super) fn leaves(&mut self, id: SessionId) {
        self.submit(id, Inbound::Ended(EndReason::Closed));
    }

    fn submit(&mut self, id: SessionId, event: Inbound) {
        let session = self.sessions.get_mut(&id).expect("a session");
        session.window.push_back(event.clone());
        let sequence = Sequence(session.accepted + session.window.len() as u64);
        let epoch = session.bound.epoch;
        if !session.announced {
            self.send(id.shard, ToRouter::Inbound { session: id, epoch, sequence, event });
        }
    }

    /// The next stanza that the session receives.
    pub(super) async fn next(&mut self, id: SessionId) -> Envelope {
        soon("a stanza", async {
            loop {
                if let Some(stanza) = self.sessions.get_mut(&id).expect("a session").inbox.pop_front() {
                    return stanza;
                }
                self.take_frame().await;
            }
        })
        .await
    }

    /// Passes over what the session receives until something is so.
    pub(super) async fn until(&mut self, id: SessionId, is_it: impl Fn(&Envelope) -> bool) -> Envelope {
        loop {
            let stanza = self.next(id).await;
            if is_it(&stanza) {
                return stanza;
            }
        }
    }

    /// The ids of the next messages that the session receives.
    pub(super) async fn next_ids(&mut self, id: SessionId, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let stanza = self.next(id).await;
            ids.push(stanza.id.as_deref().unwrap_or_default().to_owned());
        }
        ids
    }

    /// Waits until everything that the session has sent is accepted.
    pub(super) async fn all_accepted(&mut self, id: SessionId) {
        soon("everything is accepted", async {
            while !self.sessions[&id].window.is_empty() {
                self.take_frame().await;
            }
        })
        .await;
    }

    /// Waits until the session's stream is closed by the router.
    pub(super) async fn closed(&mut self, id: SessionId) -> StreamCondition {
        soon("the stream is closed", async {
            loop {
                if let Some(condition) = self.sessions[&id].closed {
                    return condition;
                }
                self.take_frame().await;
            }
        })
        .await
    }

    /// Nothing but presence comes for the session, however long one waits; that is forgotten.
    pub(super) async fn nothing_more_but_presence(&mut self, id: SessionId) {
        self.take_frames_for(Duration::from_secs(2)).await;
        let inbox = &mut self.sessions.get_mut(&id).expect("a session").inbox;
        inbox.retain(|stanza| !matches!(stanza.kind, StanzaType::Presence(_)));
        self.nothing_more(id).await;
    }

    /// Nothing more comes for the session, however long one waits.
    pub(super) async fn nothing_more(&mut self, id: SessionId) {
        self.take_frames_for(Duration::from_secs(2)).await;
        let left: Vec<String> = self.sessions[&id].inbox.iter().map(printed).collect();
        assert!(left.is_empty(), "{}: received as well: {left:?}", self.jid(id));
    }

    /// How many announcements were sent.
    pub(super) fn times_announced(&self) -> u64 {
        self.announcements
    }

    /// How many of the session's frames are not accepted.
    pub(super) fn unaccepted(&self, id: SessionId) -> usize {
        self.sessions[&id].window.len()
    }
}

/// How long a session waits before it is announced again.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a request waits before it is sent again.
const RETRY: Duration = Duration::from_millis(100);

fn read(xml: &str) -> Envelope {
    let end = xml.find([' ', '/', '>']).expect("an element");
    let alone = format!("{} xmlns='{}'{}", &xml[..end], ns::CLIENT, &xml[end..]);
    Envelope::read_alone(alone.as_bytes()).unwrap_or_else(|error| panic!("{error}: {xml}"))
}

/// A stanza as a person wants to read it.
pub(super) fn printed(stanza: &Envelope) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out, None);
    String::from_utf8_lossy(&out).into_owned()
}

/// A chat message.
pub(super) fn chat(to: &BareJid, id: &str) -> String {
    format!("<message to='{to}' id='{id}' type='chat'><body>{id}</body></message>")
}
