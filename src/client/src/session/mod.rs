//! One connection of a session: what comes in is told or answered, what is to go out is written, until the connection ends.

mod dispatch;
mod messages;

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use vesta_xmpp::management::Notice;
use vesta_xmpp::payload::ping::Ping;
use vesta_xmpp::scan::Item;
use vesta_xmpp::{Element, Envelope, FullJid, IqType, StanzaType, StreamError, ns};

use crate::client::SessionInfo;
use crate::config::Keepalive;
use crate::connection::{Command, Connection, EVENTS_MAX, Request};
use crate::event::Event;
use crate::management::{Input, Output};
use crate::pending::Pending;
use crate::stream::{Beginning, Reader, Stream, Writer};
use crate::tls::TlsInfo;
use crate::{Error, random};

/// Events that may wait inside while an answer or an acknowledgement is awaited: it may lie behind them, and whoever awaits it may be
/// the one who should read them.
const AWAITING_EVENTS_MAX: usize = 16 * 1024;

/// How a connection ended.
pub(crate) enum End {
    /// By the client's wish.
    Asked,
    /// By the server or the network.
    Lost(Error),
}

/// A session whose stream is up.
pub(crate) struct Session<'a> {
    connection: &'a mut Connection,
    own: FullJid,
    reader: Reader,
    writer: Writer,
    tls: Option<TlsInfo>,
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
        let tls = stream.tls().cloned();
        let (reader, writer) = stream.split();
        Self { connection, own, reader, writer, tls, watch: Watch::default() }
    }

    /// Runs until the connection ends.
    pub(crate) async fn run(mut self, beginning: Beginning) -> End {
        let mut ticks = ticks(self.connection.config.keepalive);
        let mut outcome = self.begin(beginning).map(|()| true);
        loop {
            match outcome {
                Ok(true) => outcome = self.step(&mut ticks).await,
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

    /// Says what the session is now, and sends what is to be sent first.
    fn begin(&mut self, beginning: Beginning) -> Result<(), Error> {
        match beginning {
            Beginning::Resumed { handled, features } => {
                self.know(features);
                self.tell(Event::Resumed);
                self.step_management(Input::Resumed(handled))
            }
            Beginning::Bound(established, refusal) => {
                // What belonged to an earlier session will not be answered any more, nor wants to be.
                self.connection.pending = Pending::default();
                while self.connection.answered.try_recv().is_ok() {}
                if let Some(failed) = refusal {
                    tracing::info!(reason = ?failed.condition, "the session does not go on");
                    self.step_management(Input::NotResumed(failed))?;
                }
                let offered = established.offers_management();
                self.know(established.features);
                self.step_management(Input::Bound { offered })
            }
        }
    }

    fn know(&mut self, features: Element) {
        let info = SessionInfo { jid: self.own.clone(), features, tls: self.tls.take() };
        self.connection.session.send_replace(Some(info.into()));
    }

    /// Waits for whatever comes first and handles it. `Ok(false)`: the client is to be closed.
    async fn step(&mut self, ticks: &mut Option<Interval>) -> Result<bool, Error> {
        let may_read = self.may_read();
        let has_room = self.writer.has_room() && self.connection.management.has_room();
        let undelivered = !self.connection.undelivered.is_empty();
        if !has_room || self.connection.commands.is_empty() {
            self.step_management(Input::Paused)?;
        }
        tokio::select! {
            item = self.reader.next(), if may_read => self.take(item?)?,
            outcome = self.writer.write(), if !self.writer.is_done() => outcome?,
            Some(command) = self.connection.commands.recv(), if has_room => self.obey(command)?,
            Some(answer) = self.connection.answered.recv(), if has_room => self.send(answer)?,
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
            EVENTS_MAX..AWAITING_EVENTS_MAX => {
                self.connection.pending.is_awaited() || !self.connection.management.has_room()
            }
            _ => false,
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Send(stanza) => self.send(stanza),
            // Whoever asked has given up meanwhile.
            Command::Request(request) if request.reply.is_closed() => Ok(()),
            Command::Request(Request { iq, results_max, reply }) => {
                match self.connection.pending.add(&iq, results_max, reply) {
                    true => self.send(iq),
                    false => Ok(()),
                }
            }
        }
    }

    /// Sends a stanza: all of them go this way, or the counts would be wrong.
    fn send(&mut self, stanza: Envelope) -> Result<(), Error> {
        self.step_management(Input::Send(stanza))
    }

    fn step_management(&mut self, input: Input) -> Result<(), Error> {
        let is_first = self.connection.is_first;
        for output in self.connection.management.handle(input) {
            match output {
                Output::Write(element) => self.writer.push(&element.to_bytes(ns::CLIENT)),
                Output::Send(stanza) => self.writer.push_stanza(&stanza),
                Output::Acknowledged(stanza) if matches!(stanza.kind, StanzaType::Iq(_)) => {}
                Output::Acknowledged(stanza) => self.tell(Event::Acknowledged(stanza)),
                Output::NewSession { .. } if is_first => self.connection.is_first = false,
                Output::NewSession { unacknowledged, resent } => {
                    self.tell(Event::NewSession { jid: self.own.clone(), unacknowledged, resent });
                }
                Output::Fail(error) => {
                    let mut out = Vec::new();
                    StreamError::from(error).write(&mut out);
                    self.writer.push(&out);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, item: Item) -> Result<(), Error> {
        self.watch = Watch { heard: true, asked: false };
        match item {
            Item::Stanza(stanza) => {
                self.step_management(Input::Received)?;
                self.dispatch(stanza)?;
            }
            Item::Rejected(rejected) => {
                self.step_management(Input::Received)?;
                tracing::debug!(error = ?rejected.error, "a stanza that can't be read");
            }
            Item::Element(element) if element.is(ns::STREAM, "error") => {
                return Err(StreamError::from_element(&element).into());
            }
            Item::Element(element) => match Notice::read(&element) {
                Ok(Some(notice)) => self.step_management(Input::Heard(notice))?,
                Ok(None) => {}
                Err(condition) => tracing::debug!(?condition, "an element of stream management that can't be read"),
            },
            Item::Close => return Err(Error::Closed),
            Item::Open(_) => {}
        }
        match self.connection.management.is_overrun() {
            true => Err(Error::Unacknowledged),
            false => Ok(()),
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
        match self.connection.management.is_managed() {
            true => self.step_management(Input::Silence),
            false => self.send(Envelope::iq(IqType::Get, &random::id(), Some(&Ping.to_element()))),
        }
    }

    /// Sends what was asked for before and waits until it is acknowledged, ends the stream, and waits for the server's end
    /// (RFC 6120 §4.4).
    async fn farewell(&mut self) {
        let limit = self.connection.config.timeouts.close;
        // Nothing is left to do about a server that does not listen, or says no goodbye.
        let _ = timeout(limit, self.settle()).await;
        let _ = self.step_management(Input::Closing);
        self.writer.push_end();
        let _ = timeout(limit, self.until_the_end()).await;
        self.writer.shutdown().await;
    }

    async fn settle(&mut self) -> Result<(), Error> {
        self.connection.commands.close();
        while let Ok(command) = self.connection.commands.try_recv() {
            self.obey(command)?;
        }
        while !self.connection.management.is_settled() {
            self.step_management(Input::Paused)?;
            self.exchange().await?;
        }
        Ok(())
    }

    /// Writes what waits and takes what still comes, until the stream has ended.
    async fn until_the_end(&mut self) -> Result<(), Error> {
        loop {
            self.exchange().await?;
        }
    }

    /// Writes some of what waits, or takes what comes, with no regard to who reads events: there is room for them or not.
    async fn exchange(&mut self) -> Result<(), Error> {
        tokio::select! {
            outcome = self.writer.write(), if !self.writer.is_done() => outcome?,
            item = self.reader.next() => self.take(item?)?,
        }
        self.connection.deliver();
        Ok(())
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
