//! One session: what comes in is told or answered, what is to go out is written, until the connection ends.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use vesta_xmpp::payload::ping::Ping;
use vesta_xmpp::payload::roster::Roster;
use vesta_xmpp::scan::Item;
use vesta_xmpp::stanza_error::Condition;
use vesta_xmpp::{Envelope, FullJid, IqType, StanzaError, StanzaType, StreamError, ns};

use crate::config::Keepalive;
use crate::connection::{Command, Connection, EVENTS_MAX};
use crate::event::{Event, IqRequest};
use crate::pending::Pending;
use crate::stream::{Reader, Stream, Writer};
use crate::{Error, random};

/// Events that may wait inside while an answer is awaited: it may lie behind them, and whoever awaits it may be the one who
/// should read them.
const AWAITING_EVENTS_MAX: usize = 16 * 1024;

/// How a session ended.
pub(crate) enum End {
    /// By the client's wish.
    Asked,
    /// By the server or the network.
    Lost(Error),
}

/// A session that is up.
pub(crate) struct Session<'a> {
    connection: &'a mut Connection,
    own: FullJid,
    reader: Reader,
    writer: Writer,
    pending: Pending,
    watch: Watch,
}

/// Notices when the server has fallen silent.
#[derive(Default)]
struct Watch {
    /// Whether anything came since the last tick.
    heard: bool,
    /// Whether a ping is unanswered.
    asked: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(connection: &'a mut Connection, stream: Stream, own: FullJid) -> Self {
        let (reader, writer) = stream.split();
        Self { connection, own, reader, writer, pending: Pending::default(), watch: Watch::default() }
    }

    /// Runs until it ends.
    pub(crate) async fn run(mut self) -> End {
        let mut ticks = ticks(self.connection.config.keepalive);
        loop {
            match self.step(&mut ticks).await {
                Ok(true) => {}
                Ok(false) => {
                    self.farewell().await;
                    return End::Asked;
                }
                Err(error) => {
                    self.part().await;
                    return End::Lost(error);
                }
            }
        }
    }

    /// Waits for whatever comes first and handles it. `Ok(false)`: the client is to be closed.
    async fn step(&mut self, ticks: &mut Option<Interval>) -> Result<bool, Error> {
        let may_read = self.may_read();
        let has_room = self.writer.has_room();
        let undelivered = !self.connection.undelivered.is_empty();
        tokio::select! {
            item = self.reader.next(), if may_read => self.take(item?)?,
            outcome = self.writer.write(), if !self.writer.is_done() => outcome?,
            Some(command) = self.connection.commands.recv(), if has_room => self.obey(command),
            Some(answer) = self.connection.answered.recv(), if has_room => self.writer.push_stanza(&answer),
            () = Connection::room(&self.connection.events), if undelivered => self.connection.deliver(),
            () = tick(ticks) => self.keep_alive(may_read)?,
            () = self.connection.events.closed() => return Ok(false),
            () = self.connection.closing.cancelled() => return Ok(false),
        }
        Ok(true)
    }

    /// Whether there is room for what may come (P7).
    fn may_read(&mut self) -> bool {
        match self.connection.undelivered.len() {
            0..EVENTS_MAX => true,
            EVENTS_MAX..AWAITING_EVENTS_MAX => self.pending.is_awaited(),
            _ => false,
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send(stanza) => self.writer.push_stanza(&stanza),
            Command::Request(iq, reply) => {
                if self.pending.add(iq.id.as_deref().unwrap_or_default(), iq.to.clone(), reply) {
                    self.writer.push_stanza(&iq);
                }
            }
        }
    }

    fn take(&mut self, item: Item) -> Result<(), Error> {
        self.watch = Watch { heard: true, asked: false };
        match item {
            Item::Stanza(stanza) => self.dispatch(stanza),
            Item::Element(element) if element.is(ns::STREAM, "error") => {
                return Err(StreamError::from_element(&element).into());
            }
            Item::Close => return Err(Error::Closed),
            Item::Rejected(rejected) => tracing::debug!(error = ?rejected.error, "a stanza that can't be read"),
            Item::Open(_) | Item::Element(_) => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, stanza: Envelope) {
        match stanza.kind {
            StanzaType::Message(_) => self.tell(Event::Message(stanza)),
            StanzaType::Presence(_) => self.tell(Event::Presence(stanza)),
            StanzaType::Iq(IqType::Result | IqType::Error) => self.pending.resolve(stanza, &self.own),
            StanzaType::Iq(IqType::Get | IqType::Set) => self.asked(stanza),
        }
    }

    fn tell(&mut self, event: Event) {
        self.connection.undelivered.push_back(event);
    }

    fn asked(&mut self, request: Envelope) {
        let is = |namespace: &str| request.payload.as_ref().is_some_and(|it| *it.namespace == *namespace);
        match request.kind {
            StanzaType::Iq(IqType::Get) if is(ns::PING) => self.writer.push_stanza(&request.result(None)),
            StanzaType::Iq(IqType::Set) if is(ns::ROSTER) => self.roster_push(&request),
            _ => match self.connection.answers.clone().try_reserve_owned() {
                Ok(permit) => self.tell(Event::Request(IqRequest::new(request, permit))),
                Err(_) => self.refuse(&request, &StanzaError::new(Condition::ResourceConstraint)),
            },
        }
    }

    fn refuse(&mut self, request: &Envelope, error: &StanzaError) {
        if let Some(answer) = request.error(error) {
            self.writer.push_stanza(&answer);
        }
    }

    /// RFC 6121 §2.1.6: from anybody but the own account it must be ignored (T23), or the roster could be forged.
    fn roster_push(&mut self, push: &Envelope) {
        if push.from.as_ref().is_some_and(|from| from.as_str() != self.own.bare_str()) {
            tracing::debug!(from = ?push.from, "a forged roster push");
            return;
        }
        let roster = push.payload_element().ok().flatten().and_then(|query| Roster::parse(&query).ok());
        match roster.map(|roster| (roster.version, <[_; 1]>::try_from(roster.items))) {
            Some((version, Ok([item]))) => {
                self.writer.push_stanza(&push.result(None));
                self.tell(Event::RosterPush { version, item });
            }
            _ => self.refuse(push, &StanzaError::new(Condition::BadRequest)),
        }
    }

    /// `listening`: whether silence would be the server's fault.
    fn keep_alive(&mut self, listening: bool) -> Result<(), Error> {
        if matches!(self.connection.config.keepalive, Keepalive::Whitespace(_)) {
            self.writer.push(b" ");
            return Ok(());
        }
        if !listening || std::mem::take(&mut self.watch.heard) {
            return Ok(());
        }
        if self.watch.asked {
            return Err(Error::TimedOut("the server's answer to a ping"));
        }
        self.watch.asked = true;
        self.writer.push_stanza(&Envelope::iq(IqType::Get, &random::id(), Some(&Ping.to_element())));
        Ok(())
    }

    /// Sends what was asked for before, ends the stream, and waits for the server's end (RFC 6120 §4.4).
    async fn farewell(&mut self) {
        self.connection.commands.close();
        while let Ok(command) = self.connection.commands.try_recv() {
            self.obey(command);
        }
        let limit = self.connection.config.timeouts.close;
        self.writer.push_end();
        // Nothing is left to do about a server that does not say goodbye.
        let _ = timeout(limit, self.until_the_end()).await;
        self.writer.shutdown().await;
    }

    /// Writes what waits and takes what still comes, until the stream has ended.
    async fn until_the_end(&mut self) -> Error {
        loop {
            let outcome = tokio::select! {
                outcome = self.writer.write(), if !self.writer.is_done() => outcome,
                item = self.reader.next() => item.and_then(|item| self.take(item)),
            };
            if let Err(error) = outcome {
                return error;
            }
            // Nobody has to read events any more: there is room for them or not.
            self.connection.deliver();
        }
    }

    /// Ends our side of a stream that the server has ended, or that broke.
    async fn part(&mut self) {
        let limit = self.connection.config.timeouts.close;
        self.writer.push_end();
        let write_all = async {
            while !self.writer.is_done() {
                self.writer.write().await?;
            }
            Ok::<_, Error>(())
        };
        if let Ok(Ok(())) = timeout(limit, write_all).await {
            self.writer.shutdown().await;
        }
    }
}

fn ticks(keepalive: Keepalive) -> Option<Interval> {
    let period = match keepalive {
        Keepalive::Off => return None,
        Keepalive::Whitespace(period) | Keepalive::Ping(period) => period.max(Duration::from_millis(1)),
    };
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(ticks)
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}
