//! Two connections, one of which writes probes to the other: in a closed loop (as many under way as the window allows) or in an open
//! one (by a schedule, whatever comes back).

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::timeout;
use vesta_client::Stream;

use crate::error::Error;
use crate::management::{self, Counter};
use crate::order::Order;
use crate::probe::{Probe, Reader, Writer};
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::schedule::Turn;
use crate::tally::Tally;

/// How long messages under way may be silent before they count as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long after the measured stretch messages may come; later they count as lost, and what was not sent by then as unsent.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Messages of a schedule that are written at once. Where more are due, what has come is read first and the other pairs have their
/// turn: a server that can't keep up is not to be kept from answering by us.
const BATCH_MAX: u64 = 8;

/// What times from a message to its acknowledgement are called.
pub const ACKNOWLEDGED: &str = "acknowledged";

/// When the next message may be sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When fewer than so many are under way.
    Window(u64),
    /// When its time has come.
    Schedule(Turn),
}

/// Two connections, one of which writes to the other.
pub struct Pair {
    sender: Stream,
    incoming: Incoming,
    writer: Writer,
    pace: Pace,
    /// The schedule's clock has moved on, or the run ends.
    wake: Arc<Notify>,
    recorder: Arc<Recorder>,
    sent: u64,
    /// Messages that came back with an error.
    refused: u64,
    returned: Reader,
    /// Where the sender's stream is managed.
    acknowledging: Option<Acknowledging>,
}

/// A sender that asks, behind what it writes at once, how much of it the server has handled.
#[derive(Default)]
struct Acknowledging {
    counter: Counter,
    /// When those that are not acknowledged were meant to be sent.
    sent_us: VecDeque<u64>,
}

/// The end that receives.
struct Incoming {
    stream: Stream,
    reader: Reader,
    order: Order,
    /// Different messages that have come.
    came: u64,
    /// When those of the last piece were meant to be sent.
    sent_us: Vec<u64>,
    /// Where its stream is managed.
    counter: Option<Counter>,
    recorder: Arc<Recorder>,
    progress: Arc<Progress>,
}

/// What all pairs of a process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where they record.
    pub recorder: Arc<Recorder>,
    /// Where they tell how many messages have come.
    pub progress: Arc<Progress>,
}

impl Pair {
    /// Joins `sender` and `receiver`. `wake` is notified when a schedule may have something for it, and when the run ends.
    pub fn new(
        sender: Stream,
        receiver: Stream,
        writer: Writer,
        pace: Pace,
        wake: Arc<Notify>,
        shared: &Shared,
    ) -> Self {
        let Shared { recorder, progress } = shared.clone();
        let (reader, order) = (Reader::messages(), Order::default());
        let (came, sent_us, counter) = (0, Vec::new(), None);
        let incoming =
            Incoming { stream: receiver, reader, order, came, sent_us, counter, recorder: recorder.clone(), progress };
        let (sent, refused, returned, acknowledging) = (0, 0, Reader::messages(), None);
        Self { sender, incoming, writer, pace, wake, recorder, sent, refused, returned, acknowledging }
    }

    /// The same over two managed streams (XEP-0198) on which nothing has come yet: the sender asks for acknowledgements and takes
    /// their times, the receiver gives them.
    pub fn acknowledging(mut self) -> Self {
        self.acknowledging = Some(Acknowledging::default());
        self.incoming.counter = Some(Counter::default());
        self
    }

    /// Sends and receives until the measured stretch has ended and nothing is under way, or for too long nothing has come.
    ///
    /// # Errors
    /// A connection broke.
    pub async fn run(mut self) -> Result<Tally, Error> {
        loop {
            self.answer().await?;
            let is_behind = self.send_due().await?;
            let ended_us = self.recorder.ended_us();
            let is_quiet = !is_behind && self.under_way() == 0 && self.unacknowledged() == 0;
            let is_done = |ended_us| is_quiet || self.is_too_late(ended_us);
            if ended_us.is_some_and(is_done) {
                break;
            }
            match timeout(SILENCE_MAX, self.something(is_behind)).await {
                Ok(happened) => happened?,
                // By a schedule there may be nothing to send for long, and what is lost stops nothing.
                Err(_) if ended_us.is_none() && matches!(self.pace, Pace::Schedule(_)) => {}
                Err(_) => break,
            }
        }
        Ok(self.tally())
    }

    fn under_way(&self) -> u64 {
        self.sent.saturating_sub(self.incoming.came + self.refused)
    }

    fn unacknowledged(&self) -> u64 {
        self.acknowledging.as_ref().map_or(0, |it| it.sent_us.len() as u64)
    }

    fn is_too_late(&self, ended_us: u64) -> bool {
        self.recorder.now_us() > ended_us + DRAIN_MAX.as_micros() as u64
    }

    /// How many messages should have been sent by now. In the open loop those that were meant for the measured stretch are sent even
    /// after it.
    fn due(&self) -> u64 {
        let now_us = self.recorder.now_us();
        match (self.pace, self.recorder.ended_us()) {
            (Pace::Window(_), Some(_)) => self.sent,
            (Pace::Window(window), None) => self.sent + window.saturating_sub(self.under_way()),
            (Pace::Schedule(turn), ended_us) => turn.due(now_us.min(ended_us.unwrap_or(now_us))),
        }
    }

    /// Sends what is due, or a part of it. Says whether there is more.
    async fn send_due(&mut self) -> Result<bool, Error> {
        let (now_us, due) = (self.recorder.now_us(), self.due());
        let batch = match self.pace {
            Pace::Window(_) => self.sent..due,
            Pace::Schedule(_) => self.sent..due.min(self.sent + BATCH_MAX),
        };
        if batch.is_empty() {
            return Ok(false);
        }
        let mut out = Vec::new();
        for number in batch.clone() {
            let sent_us = match self.pace {
                Pace::Window(_) => now_us,
                Pace::Schedule(turn) => turn.meant_us(number),
            };
            self.writer.write(&mut out, Probe { number, sent_us });
            if let Some(acknowledging) = &mut self.acknowledging {
                acknowledging.sent_us.push_back(sent_us);
            }
        }
        if self.acknowledging.is_some() {
            out.extend_from_slice(management::REQUEST);
        }
        self.sent = batch.end;
        self.send(&out).await?;
        Ok(batch.end < due)
    }

    /// Writes, and goes on receiving while the server does not read: it may be waiting for us to do so.
    async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Self { sender, incoming, .. } = self;
        let mut sending = pin!(sender.send_raw(bytes));
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return Ok(sent?),
                came = incoming.receive() => came?,
            }
        }
    }

    /// Waits for what may change something; where there is more to send, not for long.
    async fn something(&mut self, is_behind: bool) -> Result<(), Error> {
        let bytes = tokio::select! {
            biased;
            came = self.incoming.receive() => return came,
            bytes = self.sender.read_raw() => bytes?,
            () = self.wake.notified() => return Ok(()),
            () = yield_now(), if is_behind => return Ok(()),
        };
        if bytes.is_empty() {
            return Err(vesta_client::Error::Closed.into());
        }
        self.returned.take(&bytes, |_| self.refused += 1);
        match &mut self.acknowledging {
            Some(acknowledging) => acknowledging.take(&bytes, &self.recorder),
            None => Ok(()),
        }
    }

    /// Tells a server that has asked how much has come.
    async fn answer(&mut self) -> Result<(), Error> {
        if let Some(answer) = self.incoming.counter.as_mut().and_then(Counter::answer) {
            self.incoming.stream.send_raw(&answer).await?;
        }
        if let Some(answer) = self.acknowledging.as_mut().and_then(|it| it.counter.answer()) {
            self.sender.send_raw(&answer).await?;
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        let Order { overtaken, doubled, .. } = self.incoming.order;
        let lost = self.incoming.order.lost(self.sent).saturating_sub(self.refused);
        let mut tally = Tally::default();
        tally.add("lost", lost);
        tally.add("doubled", doubled);
        tally.add("overtaken", overtaken);
        tally.add("refused", self.refused);
        tally.add("unsent", self.due().saturating_sub(self.sent));
        tally.add("unacknowledged", self.unacknowledged());
        tally
    }
}

impl Acknowledging {
    fn take(&mut self, bytes: &[u8], recorder: &Recorder) -> Result<(), Error> {
        let news = self.counter.take(bytes) as usize;
        if news > self.sent_us.len() {
            let got = format!("{news} more, of {} under way", self.sent_us.len());
            return Err(Error::Unexpected { expected: "an acknowledgement of what was sent", got });
        }
        recorder.take_named(ACKNOWLEDGED, recorder.now_us(), self.sent_us.drain(..news));
        Ok(())
    }
}

impl Incoming {
    /// Takes what comes next. May be dropped and asked again without loss.
    async fn receive(&mut self) -> Result<(), Error> {
        let bytes = self.stream.read_raw().await?;
        if bytes.is_empty() {
            return Err(vesta_client::Error::Closed.into());
        }
        let Self { reader, order, sent_us, counter, .. } = self;
        if let Some(counter) = counter {
            counter.take(&bytes);
        }
        sent_us.clear();
        reader.take(&bytes, |probe| {
            if order.take(probe.number) {
                sent_us.push(probe.sent_us);
            }
        });
        self.came += self.sent_us.len() as u64;
        self.recorder.take(self.recorder.now_us(), self.sent_us.iter().copied());
        self.progress.add(self.sent_us.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(times_us: &[u64]) -> Acknowledging {
        Acknowledging { sent_us: times_us.iter().copied().collect(), ..Acknowledging::default() }
    }

    #[test]
    fn an_acknowledgement_covers_all_that_was_sent_before_and_is_timed_for_each() {
        let (mut acknowledging, recorder) = (sent(&[0, 0, 0]), Recorder::default());
        recorder.begin();
        let begun_us = recorder.now_us();
        acknowledging.sent_us.iter_mut().for_each(|sent_us| *sent_us = begun_us);
        acknowledging.take(b"<a xmlns='urn:xmpp:sm:3' h='2'/>", &recorder).expect("two of three");
        acknowledging.take(b"<a xmlns='urn:xmpp:sm:3' h='2'/>", &recorder).expect("nothing new");
        assert_eq!(acknowledging.sent_us.len(), 1);
        assert_eq!(recorder.tally().named[ACKNOWLEDGED].count(), 2);
    }

    #[test]
    fn a_server_that_acknowledges_more_than_was_sent_is_told_of() {
        let taken = sent(&[1]).take(b"<a xmlns='urn:xmpp:sm:3' h='2'/>", &Recorder::default());
        assert!(matches!(taken, Err(Error::Unexpected { .. })));
    }
}
