//! Moves frames between a [`Link`] and a gRPC stream of batches, both ways, in one task.
//!
//! Credits: this side lets the other send only what it has room for. Room is a reserved place in the channel to the link's
//! owner; places are reserved in steps of [`STEP`], and each step is granted to the other side when its places are free. So
//! an owner that does not read stops the other side after [`FRAMES_MAX`] frames, and nothing in between grows.
//!
//! ```text
//! owner → Link channel (FRAMES_MAX) → outbox (BATCH_FRAMES_MAX) → one batch → HTTP/2 → …   as long as there are credits
//! owner ← Link channel (FRAMES_MAX) ← … one batch ← HTTP/2                                  as many as were granted
//! ```
//!
//! The link ends when either end goes: the owner drops its half, the stream ends or breaks, the peer breaks the rules. Then
//! both halves end, and each owner sees it. What an owner has sent before it left still goes out, if the other side takes it
//! within [`CALL_TIMEOUT`]; when the process stops, nothing does.

use std::collections::VecDeque;
use std::pin::pin;

use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::PermitIterator;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::CALL_TIMEOUT;
use super::batch::{BATCH_FRAMES_MAX, Batch, next_batch};
use crate::convert::Malformed;
use crate::link::{FRAMES_MAX, Link};

/// How many frames are granted at once.
const STEP: usize = FRAMES_MAX / 4;

/// Why a link ended otherwise than by the will of one of its owners.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkBroken {
    /// The connection broke.
    #[error("{}", .0.message())]
    Stream(#[from] Status),
    /// The other side sent what this side can't read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The other side sent more frames than it was granted.
    #[error("the peer sent more frames than it was granted")]
    NoCredit,
}

/// Runs until the link is gone. `far` is the transport's end of the link: what the owner sends comes out of it. `wire` takes
/// the batches to send, `incoming` yields those that came.
///
/// # Errors
/// Where neither owner has ended the link.
pub(super) async fn pump<S, R, Out, In>(
    far: Link<R, S>,
    wire: mpsc::Sender<Out>,
    mut incoming: impl Stream<Item = Result<In, Status>> + Unpin,
    stop: CancellationToken,
) -> Result<(), LinkBroken>
where
    Out: Batch,
    Out::Frame: From<S>,
    In: Batch,
    R: TryFrom<In::Frame, Error = Malformed>,
{
    let Link { sender: to_owner, receiver: mut from_owner } = far;
    let mut places = Places::default();
    let mut credits = 0;
    let mut taken = Vec::new();
    let mut outbox = VecDeque::new();
    let mut owner_left = false;
    let mut patience = pin!(sleep(CALL_TIMEOUT));
    loop {
        if owner_left && from_owner.is_empty() && outbox.is_empty() {
            break;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            batch = incoming.next() => {
                let Some(batch) = batch else { return Ok(()) };
                let (frames, granted) = batch?.into_parts();
                credits += granted as usize;
                places.fill(frames)?;
            }
            more = to_owner.reserve_many(STEP), if !owner_left => match more {
                Ok(more) => places.add(more),
                Err(_) => {
                    owner_left = true;
                    from_owner.close();
                    patience.as_mut().reset(Instant::now() + CALL_TIMEOUT);
                }
            },
            count = from_owner.recv_many(&mut taken, credits.min(BATCH_FRAMES_MAX)), if credits > 0 && outbox.is_empty() => {
                if count == 0 {
                    break;
                }
                // Who is ready to run adds to the batch first: larger batches are most of what a busy cluster saves.
                yield_now().await;
                while taken.len() < credits.min(BATCH_FRAMES_MAX) {
                    let Ok(frame) = from_owner.try_recv() else { break };
                    taken.push(frame);
                }
                credits -= taken.len();
                outbox.extend(taken.drain(..).map(Out::Frame::from));
            }
            () = &mut patience, if owner_left => break,
            slot = wire.reserve(), if !outbox.is_empty() || places.to_grant > 0 => {
                let Ok(slot) = slot else { return Ok(()) };
                slot.send(next_batch(&mut outbox, std::mem::take(&mut places.to_grant)));
            }
        }
    }
    drop(wire);
    part(incoming, &stop).await;
    Ok(())
}

/// Waits until the other side has seen the end of this one: to reset the stream before would lose what is under way.
async fn part<In>(mut incoming: impl Stream<Item = Result<In, Status>> + Unpin, stop: &CancellationToken) {
    let ended = async { while let Some(Ok(_)) = incoming.next().await {} };
    tokio::select! {
        () = ended => {}
        () = sleep(CALL_TIMEOUT) => {}
        () = stop.cancelled() => {}
    }
}

/// Places in the owner's channel that are kept for frames of the other side.
struct Places<'a, R> {
    reserved: VecDeque<PermitIterator<'a, R>>,
    /// How many of them the other side has not been told of.
    to_grant: u32,
}

impl<R> Default for Places<'_, R> {
    fn default() -> Self {
        Self { reserved: VecDeque::new(), to_grant: 0 }
    }
}

impl<'a, R> Places<'a, R> {
    fn add(&mut self, more: PermitIterator<'a, R>) {
        self.reserved.push_back(more);
        self.to_grant += STEP as u32;
    }

    /// Hands frames to the owner, each in a place of its own.
    fn fill<F>(&mut self, frames: Vec<F>) -> Result<(), LinkBroken>
    where
        R: TryFrom<F, Error = Malformed>,
    {
        for frame in frames {
            let frame = R::try_from(frame)?;
            while self.reserved.front().is_some_and(|step| step.len() == 0) {
                self.reserved.pop_front();
            }
            let place = self.reserved.front_mut().and_then(Iterator::next).ok_or(LinkBroken::NoCredit)?;
            place.send(frame);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::wrappers::ReceiverStream;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::attach::{ToManager, ToRouter};
    use crate::link::{self, ManagerLink};
    use crate::proto::{self, to_manager};

    /// A manager's link whose other side is played by the test.
    struct Played {
        owner: ManagerLink,
        sent: mpsc::Receiver<proto::ToRouterBatch>,
        incoming: mpsc::Sender<Result<proto::ToManagerBatch, Status>>,
        ended: tokio::task::JoinHandle<Result<(), LinkBroken>>,
    }

    fn play() -> Played {
        let (owner, far) = link::pair::<ToRouter, ToManager>();
        let (wire, sent) = mpsc::channel(1);
        let (incoming, received) = mpsc::channel(1);
        let pumping = pump(far, wire, ReceiverStream::new(received), CancellationToken::new());
        Played { owner, sent, incoming, ended: TaskTracker::new().spawn(pumping) }
    }

    fn pongs(count: usize) -> proto::ToManagerBatch {
        let pong = proto::ToManager { frame: Some(to_manager::Frame::Pong(to_manager::Pong {})) };
        proto::ToManagerBatch { frames: vec![pong; count], credits: 0 }
    }

    async fn granted(sent: &mut mpsc::Receiver<proto::ToRouterBatch>, expected: usize) {
        let mut sum = 0;
        while sum < expected {
            sum += sent.recv().await.expect("a batch").credits as usize;
        }
        assert_eq!(sum, expected);
    }

    #[tokio::test]
    async fn room_is_granted_and_granted_again_as_the_owner_reads() {
        let mut played = play();
        granted(&mut played.sent, FRAMES_MAX).await;
        played.incoming.send(Ok(pongs(FRAMES_MAX))).await.expect("the pump runs");
        for _ in 0..STEP {
            played.owner.receiver.recv().await.expect("a frame");
        }
        granted(&mut played.sent, STEP).await;
    }

    #[tokio::test]
    async fn more_frames_than_granted_break_the_link() {
        let mut played = play();
        granted(&mut played.sent, FRAMES_MAX).await;
        played.incoming.send(Ok(pongs(FRAMES_MAX + 1))).await.expect("the pump runs");
        assert!(matches!(played.ended.await.expect("no panic"), Err(LinkBroken::NoCredit)));
    }

    #[tokio::test]
    async fn nothing_is_sent_without_credits_and_no_more_than_they_allow() {
        let mut played = play();
        granted(&mut played.sent, FRAMES_MAX).await;
        for _ in 0..10 {
            played.owner.sender.send(ToRouter::Ping).await.expect("the link is up");
        }
        assert_eq!(sent_for(3, &mut played).await, 3);
        assert_eq!(sent_for(2, &mut played).await, 2);
        // The owner leaves, and what it has sent waits for credits all the same.
        let (owner, _) = link::pair();
        drop(std::mem::replace(&mut played.owner, owner));
        assert_eq!(sent_for(100, &mut played).await, 5);
        assert!(played.sent.recv().await.is_none());
    }

    /// How many frames are sent for so many credits, of the ten there are.
    async fn sent_for(credits: u32, played: &mut Played) -> usize {
        let grant = proto::ToManagerBatch { frames: vec![], credits };
        played.incoming.send(Ok(grant)).await.expect("the pump runs");
        let mut frames = 0;
        while frames < credits.min(5) as usize {
            frames += played.sent.recv().await.expect("a batch").frames.len();
        }
        frames
    }

    #[tokio::test]
    async fn a_malformed_frame_breaks_the_link() {
        let mut played = play();
        granted(&mut played.sent, FRAMES_MAX).await;
        let batch = proto::ToManagerBatch { frames: vec![proto::ToManager { frame: None }], credits: 0 };
        played.incoming.send(Ok(batch)).await.expect("the pump runs");
        assert!(matches!(played.ended.await.expect("no panic"), Err(LinkBroken::Malformed(_))));
        assert!(played.owner.receiver.recv().await.is_none());
        played.owner.sender.closed().await;
    }
}
