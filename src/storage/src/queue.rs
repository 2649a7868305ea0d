//! Where writes wait for their turn. Whoever hands one in is never held up: where there is no room the write fails at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use vesta_engine::{Fence, StoreError};
use vesta_xmpp::BareJid;

use crate::operation::{Answer, Operation};

/// How many writes may wait for one writer. Further ones fail as `Unavailable` (P7). It is enough for what all clients may have
/// under way while the database is away for some seconds.
const WAITING_MAX: usize = 65_536;
/// How many bytes may wait for all writers of a store together. Further writes fail as `Unavailable` (P7).
const WAITING_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What a write's caller is told.
pub(crate) type Outcome = Result<Answer, StoreError>;

/// A write that waits for its turn.
pub(crate) struct Write {
    pub(crate) fence: Fence,
    pub(crate) account: BareJid,
    pub(crate) operation: Operation,
    pub(crate) reply: Reply,
    /// Given back when the write is dropped.
    _place: Option<Place>,
}

/// Who is told what has become of a write. Dropped without a word it says that the store was closed.
pub(crate) struct Reply(Option<Receiver>);

enum Receiver {
    Task(oneshot::Sender<Outcome>),
    /// Never locked: the lock is there because a writer shares the writes of a batch with its own steps.
    Callback(Mutex<Callback>),
}

type Callback = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl Reply {
    pub(crate) fn send(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        match self.0.take() {
            Some(Receiver::Task(task)) => {
                // Whoever asked may have gone.
                let _ = task.send(outcome);
            }
            Some(Receiver::Callback(done)) => done.into_inner()(outcome.map(drop)),
            None => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.tell(Err(StoreError::Unavailable("the store was closed meanwhile".into())));
    }
}

/// How much of the bytes that may wait is taken.
#[derive(Clone, Default)]
pub(crate) struct Room(Arc<AtomicUsize>);

/// A write's part of the room.
struct Place {
    room: Room,
    bytes: usize,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn take(&self, bytes: usize) -> Option<Place> {
        let taken = self.0.fetch_add(bytes, Ordering::Relaxed);
        // Dropped, it is given back.
        let place = Place { room: self.clone(), bytes };
        (taken + bytes <= WAITING_BYTES_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The callers' end of a writer's queue.
pub(crate) struct Queue {
    writes: mpsc::Sender<Write>,
    room: Room,
}

impl Queue {
    /// A queue, and the writer's end of it.
    pub(crate) fn new(room: Room) -> (Self, mpsc::Receiver<Write>) {
        let (writes, queue) = mpsc::channel(WAITING_MAX);
        (Self { writes, room }, queue)
    }

    /// Has an operation written, and waits until it is durable.
    pub(crate) async fn write(&self, fence: Fence, account: &BareJid, operation: Operation) -> Outcome {
        let (task, outcome) = oneshot::channel();
        self.put(fence, account, operation, Receiver::Task(task));
        outcome.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the store was closed meanwhile".into())))
    }

    /// Has an operation written; `done` is told when it is durable, or that it can't be.
    pub(crate) fn submit(&self, fence: Fence, account: &BareJid, operation: Operation, done: Callback) {
        self.put(fence, account, operation, Receiver::Callback(Mutex::new(done)));
    }

    fn put(&self, fence: Fence, account: &BareJid, operation: Operation, receiver: Receiver) {
        let reply = Reply(Some(receiver));
        let full = || Err(StoreError::Unavailable("too many writes are waiting".into()));
        let Some(place) = self.room.take(size_of::<Write>() + operation.size()) else { return reply.send(full()) };
        let write = Write { fence, account: account.clone(), operation, reply, _place: Some(place) };
        match self.writes.try_send(write) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(write)) => write.reply.send(full()),
            Err(mpsc::error::TrySendError::Closed(write)) => {
                write.reply.send(Err(StoreError::Unavailable("the store is closed".into())));
            }
        }
    }

    /// How many writes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.writes.max_capacity() - self.writes.capacity()
    }
}

#[cfg(test)]
impl Write {
    /// A write that nobody waits for.
    pub(crate) fn of(fence: Fence, account: BareJid, operation: Operation) -> Self {
        Self { fence, account, operation, reply: Reply(None), _place: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use bytes::Bytes;
    use vesta_engine::store::Change;

    use super::*;

    const FENCE: Fence = Fence { shard: 1, generation: 1, term: 1 };

    fn put(bytes: usize) -> Operation {
        Operation::Change(vec![Change::DataPut { key: "k".into(), value: Bytes::from(vec![0; bytes]) }])
    }

    #[test]
    fn where_there_is_no_room_a_write_fails_at_once_and_later_ones_may_do() {
        let account = BareJid::parse("romeo@montague.example").expect("a JID");
        let (told, outcomes) = channel();
        let (queue, mut writer) = Queue::new(Room::new());
        let submit = |bytes: usize| {
            let told = told.clone();
            queue.submit(
                FENCE,
                &account,
                put(bytes),
                Box::new(move |outcome| told.send(outcome).expect("listened to")),
            );
        };
        let half = WAITING_BYTES_MAX / 2;
        submit(half);
        submit(half);
        assert!(matches!(outcomes.try_recv(), Ok(Err(StoreError::Unavailable(reason))) if reason.contains("too many")));
        assert!(outcomes.try_recv().is_err(), "the first one waits still");

        let Write { reply, .. } = writer.try_recv().expect("it is in the queue");
        reply.send(Ok(Answer::Done(true)));
        assert_eq!(outcomes.try_recv(), Ok(Ok(())));
        submit(half);
        assert!(outcomes.try_recv().is_err(), "it waits");
        drop(writer);
        assert!(matches!(outcomes.try_recv(), Ok(Err(StoreError::Unavailable(reason))) if reason.contains("closed")));
    }

    #[test]
    fn a_queue_is_bounded_by_number_too() {
        let account = BareJid::parse("romeo@montague.example").expect("a JID");
        let (told, outcomes) = channel();
        let (queue, _writer) = Queue::new(Room::new());
        for _ in 0..=WAITING_MAX {
            let told = told.clone();
            let done = Box::new(move |outcome: Result<(), StoreError>| told.send(outcome).expect("listened to"));
            queue.submit(FENCE, &account, put(0), done);
        }
        assert_eq!(queue.waiting(), WAITING_MAX);
        assert!(matches!(outcomes.try_recv(), Ok(Err(StoreError::Unavailable(_)))));
        assert!(outcomes.try_recv().is_err(), "the others wait");
    }
}
