//! Group commit. Writes wait in a queue; a writer takes all that wait, carries them out in one transaction and answers them
//! when it is on disk. While one transaction is committed the next batch gathers, so that the batches grow with the load.
//!
//! One write must not fail its neighbours: a write that is fenced off is left out of the transaction; when a transaction
//! fails, it is taken apart by shards and then by single writes, until what is at fault stands alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, info_span, warn};
use vesta_engine::StoreError;
use vesta_engine::store::Fence;
use vesta_xmpp::BareJid;

use crate::database::{Connection, Database, OPERATION_TIMEOUT};
use crate::fault::Fault;
use crate::operation::{self, Operation};
use crate::patience::Patience;

/// How many writes may wait for one writer. Who comes later waits for a place (back-pressure), for [`PLACE_TIMEOUT`].
pub(crate) const WAITING_MAX: usize = 1024;
/// How many writes one transaction takes at most.
const BATCH_MAX: usize = 256;
/// How long a write may wait for a place in the queue: as long as the database may be away.
const PLACE_TIMEOUT: Duration = Duration::from_secs(30);

/// A write that waits for its turn.
struct Write {
    fence: Fence,
    account: BareJid,
    operation: Operation,
    reply: oneshot::Sender<Outcome>,
}

/// What a write's caller is told.
type Outcome = Result<bool, StoreError>;

/// The callers' end of a writer's queue.
pub(crate) struct Queue(mpsc::Sender<Write>);

impl Queue {
    /// Has an operation written, and waits until it is durable.
    pub(crate) async fn write(&self, fence: Fence, account: &BareJid, operation: Operation) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let write = Write { fence, account: account.clone(), operation, reply };
        self.0.send_timeout(write, PLACE_TIMEOUT).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => StoreError::Unavailable("too many writes are waiting".into()),
            mpsc::error::SendTimeoutError::Closed(_) => StoreError::Unavailable("the store is closed".into()),
        })?;
        outcome.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the store was closed meanwhile".into())))
    }

    /// How many writes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }
}

/// Owns one connection and writes what comes through its queue, in order within each shard.
pub(crate) struct Writer {
    database: Arc<Database>,
    patience: Patience,
    queue: mpsc::Receiver<Write>,
    stop: CancellationToken,
    /// Only there between two transactions that went well.
    connection: Option<Connection>,
}

/// Why a transaction failed.
struct Failure {
    fault: Fault,
    /// The fault came with the commit: it may have happened.
    commit_unknown: bool,
}

impl Writer {
    /// A writer and its queue. It ends when `stop` is cancelled and all that waited is answered.
    pub(crate) fn new(database: Arc<Database>, patience: Patience, stop: CancellationToken) -> (Queue, Self) {
        let (sender, queue) = mpsc::channel(WAITING_MAX);
        (Queue(sender), Self { database, patience, queue, stop, connection: None })
    }

    /// Writes until it is stopped.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                taken = self.queue.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { break },
                () = self.stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            }
            // Stable: writes of one shard keep their order. All writers lock shards in the same order, so none deadlock.
            batch.sort_by_key(|write| write.fence.shard);
            self.write(std::mem::take(&mut batch)).await;
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    async fn write(&mut self, batch: Vec<Write>) {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.attempt_patiently(&part).await {
                Ok(outcomes) => {
                    for (write, outcome) in part.into_iter().zip(outcomes) {
                        // Whoever asked may have gone.
                        let _ = write.reply.send(outcome);
                    }
                }
                Err(failure) => match split(part, &failure.fault) {
                    Ok(smaller) => parts.extend(smaller.into_iter().rev()),
                    Err(part) => give_up(part, failure.fault),
                },
            }
        }
    }

    /// Tries again while the database is away, if that can do no harm.
    async fn attempt_patiently(&mut self, part: &[Write]) -> Result<Vec<Outcome>, Failure> {
        let patience = self.patience.clone();
        let mut waiting = patience.waiting();
        loop {
            let span =
                info_span!("database transaction", db.operation.batch.size = part.len(), otel.status_code = Empty);
            let outcome = self.attempt(part).instrument(span.clone()).await;
            span.record("otel.status_code", if outcome.is_ok() { "OK" } else { "ERROR" });
            drop(span);
            waiting.note(outcome.as_ref().err().map(|failure| &failure.fault));
            match outcome {
                Err(failure) if failure.may_be_repeated(part) && waiting.goes_on().await => {}
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&mut self, part: &[Write]) -> Result<Vec<Outcome>, Failure> {
        let before = |fault| Failure { fault, commit_unknown: false };
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connect().await.map_err(before)?,
        };
        let outcomes = timeout(OPERATION_TIMEOUT, transact(&mut connection, part))
            .await
            .unwrap_or_else(|_| Err(Fault::timed_out("a transaction")))
            .map_err(before)?;
        timeout(OPERATION_TIMEOUT, connection.commit())
            .await
            .unwrap_or_else(|_| Err(Fault::timed_out("a commit")))
            .map_err(|fault| Failure { fault, commit_unknown: true })?;
        self.connection = Some(connection);
        Ok(outcomes)
    }
}

impl Failure {
    fn may_be_repeated(&self, part: &[Write]) -> bool {
        matches!(self.fault, Fault::Away(_))
            && (!self.commit_unknown || part.iter().all(|write| write.operation.may_be_repeated()))
    }
}

/// All of a transaction but its commit. The writes are in the order of their shards.
async fn transact(connection: &mut Connection, part: &[Write]) -> Result<Vec<Outcome>, Fault> {
    connection.begin().await?;
    let mut outcomes = Vec::with_capacity(part.len());
    let mut passed = None;
    for write in part {
        if passed != Some(write.fence) {
            if !operation::pass(connection, write.fence).await? {
                outcomes.push(Err(StoreError::Fenced));
                continue;
            }
            passed = Some(write.fence);
        }
        outcomes.push(Ok(write.operation.apply(&write.account, connection).await?));
    }
    Ok(outcomes)
}

/// Takes a failed part apart where that may save some of it: by shards, whose locks are independent; within a shard by
/// writes, if one of them is what the database refuses.
fn split(mut part: Vec<Write>, fault: &Fault) -> Result<Vec<Vec<Write>>, Vec<Write>> {
    let one_shard = part.iter().all(|write| write.fence.shard == part[0].fence.shard);
    match fault {
        Fault::Contended(_) | Fault::Broken(_) if !one_shard => {
            let mut parts: Vec<Vec<Write>> = Vec::new();
            for write in part {
                match parts.last_mut() {
                    Some(last) if last[0].fence.shard == write.fence.shard => last.push(write),
                    _ => parts.push(vec![write]),
                }
            }
            Ok(parts)
        }
        Fault::Broken(_) if part.len() > 1 => Ok(part.drain(..).map(|write| vec![write]).collect()),
        _ => Err(part),
    }
}

fn give_up(part: Vec<Write>, fault: Fault) {
    warn!(writes = part.len(), reason = %fault, "could not write to the database");
    let error = StoreError::from(fault);
    for write in part {
        let _ = write.reply.send(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(shard: u32) -> Write {
        let account = BareJid::parse("romeo@montague.example").expect("a JID");
        let fence = Fence { shard, generation: 1, term: 1 };
        Write { fence, account, operation: Operation::Change(Vec::new()), reply: oneshot::channel().0 }
    }

    fn shards(parts: &[Vec<Write>]) -> Vec<Vec<u32>> {
        parts.iter().map(|part| part.iter().map(|write| write.fence.shard).collect()).collect()
    }

    #[test]
    fn a_failed_batch_is_taken_apart_by_shards_and_then_by_writes() {
        let broken = Fault::Broken(String::new());
        let parts = split([1, 1, 2, 3, 3].map(write).into(), &broken).unwrap_or_default();
        assert_eq!(shards(&parts), [vec![1, 1], vec![2], vec![3, 3]]);
        let parts = split([1, 1].map(write).into(), &broken).unwrap_or_default();
        assert_eq!(shards(&parts), [vec![1], vec![1]]);
        assert!(split([1].map(write).into(), &broken).is_err(), "a single write that is refused has failed");
    }

    #[test]
    fn a_locked_shard_fails_as_a_whole_and_alone() {
        let contended = Fault::Contended(String::new());
        let parts = split([1, 1, 2].map(write).into(), &contended).unwrap_or_default();
        assert_eq!(shards(&parts), [vec![1, 1], vec![2]]);
        assert!(split([1, 1].map(write).into(), &contended).is_err());
    }

    #[test]
    fn when_the_database_is_away_all_have_failed() {
        assert!(split([1, 2].map(write).into(), &Fault::Away(String::new())).is_err());
    }

    #[test]
    fn a_commit_of_unknown_outcome_is_repeated_only_if_that_changes_no_answer() {
        let failure = Failure { fault: Fault::Away(String::new()), commit_unknown: true };
        let mut part = vec![write(1)];
        assert!(failure.may_be_repeated(&part));
        part[0].operation = Operation::Remove;
        assert!(!failure.may_be_repeated(&part));
    }
}
