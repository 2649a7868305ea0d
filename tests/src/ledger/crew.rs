//! The clients of the ledger. Pairs of accounts are contacts and write to each other; others stay away, and are written to all the
//! same. Everybody records what happens.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use vesta_client::xmpp::{BareJid, Envelope, Jid, MessageType, PresenceType, StanzaType};
use vesta_client::{Backoff, Client, Config, Error, Event, Events, Keepalive, Management, stanza};

use super::history::{self, Account, History, Row};
use super::line::Line;
use crate::deployment::{Access, DOMAIN};
use crate::{until, within};

/// How many accounts take part, and how they write.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Pairs of accounts that are there and write to each other.
    pub pairs: u32,
    /// Accounts that come only when all is over.
    pub away: u32,
    /// The pause between two messages of one account.
    pub pace: Duration,
}

/// The resource of those who take part.
const RESOURCE: &str = "ledger";
/// How many archives are read at the same time.
const AUDITORS: usize = 4;
/// Every how manieth archive is read both ways.
const BACKWARDS_EVERY: u32 = 4;
/// Every how manieth message goes to somebody who is away.
const AWAY_EVERY: usize = 5;

/// All of them.
pub struct Crew {
    plan: Plan,
    run: Arc<str>,
    access: Access,
    members: Vec<Member>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// One who is there.
struct Member {
    number: u32,
    client: Client,
    record: Arc<Record>,
}

/// What one has seen so far.
#[derive(Default)]
struct Record {
    events: Mutex<Vec<history::Event>>,
    /// Messages that the server has counted.
    counted: AtomicUsize,
    /// Messages that the client library has taken.
    taken: AtomicUsize,
    received: AtomicUsize,
    disconnections: AtomicUsize,
    new_sessions: AtomicUsize,
    /// Whether its contact was seen to be there.
    sees_contact: AtomicBool,
}

impl Record {
    fn add(&self, event: history::Event) {
        self.events.lock().expect("nobody panics with it").push(event);
    }
}

fn account(number: u32) -> BareJid {
    BareJid::parse(&format!("member-{number}@{DOMAIN}")).expect("a bare JID")
}

fn number_of(jid: &Jid) -> Option<u32> {
    jid.local()?.strip_prefix("member-")?.parse().ok()
}

impl Crew {
    /// Makes the accounts and lets those log in who take part; each pair is a pair of contacts who see each other. `access` names
    /// where they connect: everybody knows every place, and prefers another one.
    ///
    /// # Panics
    /// The server does not let them.
    pub async fn assemble(plan: Plan, run: &str, administered: &Access, access: Access) -> Self {
        for number in 0..plan.pairs * 2 + plan.away {
            administered.add_user(account(number).as_str()).await;
        }
        let (run, stop) = (Arc::<str>::from(run), CancellationToken::new());
        let mut crew = Self { plan, run, access, members: Vec::new(), stop, tasks: JoinSet::new() };
        for number in 0..plan.pairs * 2 {
            crew.join(number).await;
        }
        until("every member to see its contact", async || {
            crew.members.iter().all(|it| it.record.sees_contact.load(Ordering::Relaxed)).then_some(())
        })
        .await;
        crew
    }

    async fn join(&mut self, number: u32) {
        let config =
            Config { management: Some(Management { resend: true, ..Management::default() }), ..self.config(number) };
        let (client, events) = within("a member to log in", Client::connect(config)).await.expect("it is let in");
        let record = Arc::new(Record::default());
        let contact = account(number ^ 1);
        self.tasks.spawn(read(client.clone(), events, contact.clone(), self.run.clone(), record.clone()));
        within("a member's roster", client.roster(None)).await.expect("a roster");
        client.approve_subscription(&contact).await.expect("there is a session");
        client.subscribe(&contact).await.expect("there is a session");
        client.set_presence(None, None, 0).await.expect("there is a session");
        self.members.push(Member { number, client, record });
    }

    /// A client that loses patience soon: it shall notice what happens.
    fn config(&self, number: u32) -> Config {
        let mut config = self.access.client(&format!("{}/{RESOURCE}", account(number)), number as usize);
        for other in 1..self.access.starttls.len() {
            let place = self.access.starttls[(number as usize + other) % self.access.starttls.len()];
            config = config.with_server(place.ip().to_string(), place.port(), vesta_client::Security::StartTls);
        }
        config.keepalive = Keepalive::Ping(Duration::from_secs(2));
        config.timeouts.connect = Duration::from_secs(2);
        config.timeouts.negotiate = Duration::from_secs(8);
        config.reconnect =
            Some(Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1), attempts_max: None });
        config
    }

    /// Lets everybody write, until [`Crew::quiet`].
    pub fn write(&mut self) {
        for member in &self.members {
            let targets = Targets { own: member.number, plan: self.plan };
            let (client, record) = (member.client.clone(), member.record.clone());
            self.tasks.spawn(write(client, targets, self.run.clone(), record, self.plan.pace, self.stop.clone()));
        }
    }

    /// How many messages the server has counted.
    pub fn counted(&self) -> usize {
        self.sum(|record| &record.counted)
    }

    /// How many messages were handed to the clients.
    pub fn taken(&self) -> usize {
        self.sum(|record| &record.taken)
    }

    /// How many connections were lost.
    pub fn disconnections(&self) -> usize {
        self.sum(|record| &record.disconnections)
    }

    /// How many sessions were bound anew instead of resumed.
    pub fn new_sessions(&self) -> usize {
        self.sum(|record| &record.new_sessions)
    }

    fn sum(&self, of: impl Fn(&Record) -> &AtomicUsize) -> usize {
        self.members.iter().map(|member| of(&member.record).load(Ordering::Relaxed)).sum()
    }

    /// Waits until everybody has got through again, and so many messages more are counted.
    ///
    /// # Panics
    /// Somebody does not.
    pub async fn goes_on(&self, messages: usize) {
        let counted = |member: &Member| member.record.counted.load(Ordering::Relaxed);
        let before: Vec<_> = self.members.iter().map(counted).collect();
        let all_before: usize = before.iter().sum();
        until("everybody to get through again", async || {
            let everybody = self.members.iter().zip(&before).all(|(member, before)| counted(member) > *before);
            (everybody && self.counted() >= all_before + messages).then_some(())
        })
        .await;
    }

    /// Ends the writing, and waits until all that was sent is counted, and what was counted has arrived, as far as it will.
    ///
    /// # Panics
    /// Something is never counted.
    pub async fn quiet(&mut self) {
        self.stop.cancel();
        until("all that was sent to be counted", async || (self.counted() >= self.taken()).then_some(())).await;
        // A message to oneself is behind all others: when it is back, nothing more is on its way to this member from itself, and
        // everybody else's have been handled before they were counted.
        for member in &self.members {
            let before = member.record.received.load(Ordering::Relaxed);
            let own = account(member.number);
            let line = Line { from: member.number, to: member.number, sequence: 1 };
            member.record.add(history::Event::Sent(line));
            member.client.send(message(own.into(), line, &self.run)).await.expect("there is a session");
            until("a message to oneself to come back", async || {
                (member.record.received.load(Ordering::Relaxed) > before).then_some(())
            })
            .await;
        }
    }

    /// Ends everything, lets those come who were away, reads every archive, and gives the history.
    ///
    /// # Panics
    /// Somebody can't log in, or an archive can't be read.
    pub async fn history(mut self) -> History {
        let mut history = History::default();
        for number in 0..self.plan.pairs * 2 {
            let record = &self.members[number as usize].record;
            let events = record.events.lock().expect("nobody panics with it").clone();
            history.0.insert(number, Account { events, ..Account::default() });
        }
        for member in self.members.drain(..) {
            within("a member to leave", member.client.close()).await;
        }
        self.tasks.shutdown().await;
        for number in self.plan.pairs * 2..self.plan.pairs * 2 + self.plan.away {
            let events = self.come_late(number).await;
            history.0.insert(number, Account { events, ..Account::default() });
        }
        self.read_archives(&mut history).await;
        history
    }

    async fn read_archives(&self, history: &mut History) {
        let turns = Arc::new(Semaphore::new(AUDITORS));
        let mut auditors = JoinSet::new();
        for number in history.0.keys().copied() {
            let config = Config { resource: Some("auditor".into()), ..self.config(number) };
            let (run, turns) = (self.run.clone(), turns.clone());
            auditors.spawn(async move {
                let _turn = turns.acquire().await.expect("it is never closed");
                (number, read_archive(config, &run, number).await)
            });
        }
        while let Some(read) = auditors.join_next().await {
            let (number, (archive, backwards)) = read.expect("an auditor reads to the end");
            let account = history.0.get_mut(&number).expect("it was asked for");
            (account.archive, account.backwards) = (archive, backwards);
        }
    }

    /// What comes to somebody who was away, up to a message to itself.
    async fn come_late(&self, number: u32) -> Vec<history::Event> {
        let (client, mut events) =
            within("somebody to log in", Client::connect(self.config(number))).await.expect("it is let in");
        client.set_presence(None, None, 0).await.expect("there is a session");
        let last = Line { from: number, to: number, sequence: 1 };
        client.send(message(account(number).into(), last, &self.run)).await.expect("there is a session");
        let mut seen = vec![history::Event::Sent(last)];
        within("what has waited for somebody", async {
            while let Some(event) = events.next().await {
                let Event::Message(message) = event else { continue };
                seen.push(received(&message, &self.run));
                if seen.last() == Some(&history::Event::Received(last)) {
                    return;
                }
            }
            panic!("the client has ended");
        })
        .await;
        within("somebody to leave", client.close()).await;
        seen
    }
}

/// The whole archive, and, for some accounts, its ids the other way.
async fn read_archive(config: Config, run: &str, number: u32) -> (Vec<Row>, Option<Vec<String>>) {
    let (client, events) = within("an auditor to log in", Client::connect(config)).await.expect("it is let in");
    let mut rows = Vec::new();
    let mut walk = client.archive().pages_of(100).catch_up(None);
    while let Some(archived) = within("an archived message", walk.next()).await.expect("an archive") {
        let line = Line::from_text(run, &stanza::body(&archived.message).unwrap_or_default());
        rows.push(Row { id: archived.id, line });
    }
    let mut backwards = None;
    if number.is_multiple_of(BACKWARDS_EVERY) {
        let ids = backwards.insert(Vec::new());
        let mut walk = client.archive().pages_of(33).backwards(None);
        while let Some(archived) = within("an archived message", walk.next()).await.expect("an archive") {
            ids.push(archived.id);
        }
    }
    within("an auditor to leave", client.close()).await;
    drop(events);
    (rows, backwards)
}

/// Whom one account writes to.
struct Targets {
    own: u32,
    plan: Plan,
}

impl Targets {
    /// The account that the message number `turn` goes to, counted from 1, and the address: half of the members write to their
    /// contact's account, half to its session.
    fn of(&self, turn: usize) -> (u32, Jid) {
        if turn.is_multiple_of(AWAY_EVERY) && self.plan.away > 0 {
            let away = self.plan.pairs * 2 + (self.own + (turn / AWAY_EVERY) as u32) % self.plan.away;
            return (away, account(away).into());
        }
        let contact = self.own ^ 1;
        let address = account(contact);
        match self.own % 4 {
            0 | 1 => (contact, address.into()),
            _ => (contact, address.with_resource(RESOURCE).expect("a resource").into()),
        }
    }
}

fn message(to: Jid, line: Line, run: &str) -> Envelope {
    let mut message = stanza::message(MessageType::Chat, to, &line.text(run));
    message.id = Some(line.id().into());
    message
}

fn received(message: &Envelope, run: &str) -> history::Event {
    let text = stanza::body(message).unwrap_or_default();
    match Line::from_text(run, &text) {
        Ok(line) => history::Event::Received(line),
        Err(text) => history::Event::Altered(text),
    }
}

/// Writes, a message at each tick, until it is told to stop.
async fn write(
    client: Client,
    targets: Targets,
    run: Arc<str>,
    record: Arc<Record>,
    pace: Duration,
    stop: CancellationToken,
) {
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sequences = std::collections::HashMap::<u32, u32>::new();
    for turn in 1.. {
        let (to, address) = targets.of(turn);
        let sequence = sequences.entry(to).or_insert(0);
        *sequence += 1;
        let line = Line { from: targets.own, to, sequence: *sequence };
        record.add(history::Event::Sent(line));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            match client.send(message(address.clone(), line, &run)).await {
                Ok(()) => break,
                // A new session is on its way.
                Err(Error::NotConnected) => {}
                Err(error) => panic!("{} can't send: {error}", targets.own),
            }
        }
        record.taken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads, and records all that matters.
async fn read(client: Client, mut events: Events, contact: BareJid, run: Arc<str>, record: Arc<Record>) {
    let of_contact = |stanza: &Envelope| stanza.from_bare().is_some_and(|from| from == contact);
    while let Some(event) = events.next().await {
        match event {
            Event::Message(message) if message.kind == StanzaType::Message(MessageType::Error) => {
                if let Some(line) = message.id.as_deref().and_then(Line::from_id) {
                    println!("{} was refused: {:?}", line.id(), stanza::error(&message).map(|error| error.condition));
                    record.add(history::Event::Refused(line));
                }
            }
            Event::Message(message) => {
                record.add(received(&message, &run));
                record.received.fetch_add(1, Ordering::Relaxed);
            }
            Event::Presence(presence) if of_contact(&presence) => match presence.kind {
                StanzaType::Presence(PresenceType::Available) => record.sees_contact.store(true, Ordering::Relaxed),
                StanzaType::Presence(PresenceType::Unavailable) => {
                    let number = presence.from.as_ref().and_then(number_of).expect("a member");
                    record.add(history::Event::Unavailable(number));
                }
                _ => {}
            },
            Event::Acknowledged(stanza) => {
                if let Some(line) = stanza.id.as_deref().and_then(Line::from_id) {
                    record.add(history::Event::Counted(line));
                    record.counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Disconnected(error) => {
                if matches!(error, Error::Miscounted(_)) {
                    record.add(history::Event::Miscounted);
                }
                record.add(history::Event::Disconnected);
                record.disconnections.fetch_add(1, Ordering::Relaxed);
            }
            Event::Resumed => record.add(history::Event::Resumed),
            Event::NewSession { resent, .. } => {
                record.add(history::Event::NewSession);
                record.new_sessions.fetch_add(1, Ordering::Relaxed);
                let lines = resent.iter().filter_map(|stanza| stanza.id.as_deref().and_then(Line::from_id));
                lines.for_each(|line| record.add(history::Event::Resent(line)));
                // Without a session again it is told of the next one.
                let _ = client.set_presence(None, None, 0).await;
            }
            Event::Ended { reason, unacknowledged } => {
                assert!(unacknowledged.is_empty(), "a client has ended: {reason}");
            }
            _ => {}
        }
    }
}
