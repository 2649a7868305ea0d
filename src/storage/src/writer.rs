//! Group commit. Writes wait in a queue; a writer takes all that wait, carries them out in one transaction and answers them
//! when it is on disk. While one transaction is committed the next batch gathers, so that the batches grow with the load.
//!
//! One write must not fail its neighbours: a write that is fenced off is left out of the transaction; when a transaction
//! fails, it is taken apart by shards and then by single writes, until what is at fault stands alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, info_span, warn};
use vesta_engine::StoreError;

use crate::database::{Connection, Database, OPERATION_TIMEOUT};
use crate::fault::Fault;
use crate::fence::Fences;
use crate::log::append::Pending;
use crate::patience::Patience;
use crate::queue::{Outcome, Queue, Room, Write};

/// How many writes one transaction takes at most.
const BATCH_MAX: usize = 1024;
/// A batch of so many writes says that more are coming: the next one gathers for a moment.
const CROWD: usize = 4;
/// How long after the beginning of the last transaction the next one begins at the earliest, while writes come in crowds: what a
/// transaction costs by itself is then spread over more of them. Timers are as fine as a millisecond: it takes one more.
const GATHER: Duration = Duration::from_millis(2);

/// Owns one connection and writes what comes through its queue, in order within each shard.
pub(crate) struct Writer {
    database: Arc<Database>,
    patience: Patience,
    queue: mpsc::Receiver<Write>,
    stop: CancellationToken,
    /// Only there between two transactions that went well.
    connection: Option<Connection>,
    /// When the next transaction may begin.
    due: Instant,
}

/// Why a transaction failed.
struct Failure {
    fault: Fault,
    /// The fault came with the commit: it may have happened.
    commit_unknown: bool,
}

impl Writer {
    /// A writer and its queue. It ends when `stop` is cancelled and all that waited is answered.
    pub(crate) fn new(
        database: Arc<Database>,
        patience: Patience,
        stop: CancellationToken,
        room: Room,
    ) -> (Queue, Self) {
        let (sender, queue) = Queue::new(room);
        (sender, Self { database, patience, queue, stop, connection: None, due: Instant::now() })
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
            self.gather(&mut batch).await;
            // Stable: writes of one shard keep their order. All writers lock shards in the same order, so none deadlock.
            batch.sort_by_key(|write| write.fence.shard);
            self.write(std::mem::take(&mut batch)).await;
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// Lets more writes come to the batch, if the last transaction was a moment ago and had many.
    async fn gather(&mut self, batch: &mut Vec<Write>) {
        if Instant::now() < self.due && batch.len() < BATCH_MAX {
            let _ = self.stop.run_until_cancelled(sleep_until(self.due)).await;
            while batch.len() < BATCH_MAX
                && let Ok(write) = self.queue.try_recv()
            {
                batch.push(write);
            }
        }
        self.due = Instant::now() + if batch.len() < CROWD { Duration::ZERO } else { GATHER };
    }

    async fn write(&mut self, batch: Vec<Write>) {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.attempt_patiently(&part).await {
                Ok(outcomes) => {
                    for (write, outcome) in part.into_iter().zip(outcomes) {
                        write.reply.send(outcome);
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
    let mut fences = Fences::pass(connection, part.iter().map(|write| write.fence)).await?;
    let mut pending = Pending::default();
    let mut outcomes = Vec::with_capacity(part.len());
    for write in part {
        outcomes.push(match fences.let_through(connection, write.fence).await? {
            true => Ok(write.operation.apply(&write.account, connection, &mut pending).await?),
            false => Err(StoreError::Fenced),
        });
    }
    pending.flush(connection).await?;
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
        write.reply.send(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use vesta_engine::Fence;
    use vesta_xmpp::BareJid;

    use super::*;
    use crate::operation::Operation;

    fn write(shard: u32) -> Write {
        let account = BareJid::parse("romeo@montague.example").expect("a JID");
        let fence = Fence { shard, generation: 1, term: 1 };
        Write::of(fence, account, Operation::Change(Vec::new()))
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
