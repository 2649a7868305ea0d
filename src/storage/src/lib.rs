//! The engine's store ports ([`Store`]) on SQL: SQLite for one process, PostgreSQL for a cluster.
//!
//! | module | subject |
//! |---|---|
//! | `store` | the implementation of [`Store`], with most reads |
//! | `verifiers` | the reads of logins, many in one statement |
//! | `reader` | reads that wait while the database is away |
//! | `operation` | the SQL of every write but those of logs |
//! | `log` | the SQL of message logs: append, page, prune |
//! | `fence` | only the newest leader of a shard writes |
//! | `queue` | where writes wait for their turn |
//! | `writer` | group commit: many writes, one transaction, one fsync |
//! | `patience` | how long the database is waited for while it is away |
//! | `database` | SQLite and PostgreSQL behind one face |
//! | `fault` | what can go wrong, by what is to be done about it |
//! | `durability` | what the database's settings make of a commit |
//!
//! The tables are in `migrations/`, once for each dialect; every other statement is written once and runs on both.
//!
//! **Fences.** Each transaction takes the row of each of its shards in `fences` to the writer's (generation, term), and fails with
//! `StoreError::Fenced` where that is older than what stands there. The row stays locked until the commit, so that two leaders
//! of one shard never interleave.
//!
//! **When the database is away** reads and writes wait until it is back, so that a restart or a fail-over fails nobody; after
//! [`PostgresOptions::patience`] they fail as `Unavailable`, and from then on at once. Connections come back by themselves.

mod database;
mod durability;
mod fault;
mod fence;
mod log;
mod operation;
mod patience;
mod queue;
mod reader;
mod store;
mod verifiers;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};
use vesta_engine::StoreError;

use database::Database;
pub use durability::Durability;
use fault::Fault;
pub use fault::OpenError;
use log::prune::Pruner;
use patience::Patience;
use queue::{Queue, Room};
use reader::Reader;
use verifiers::Verifiers;
use writer::Writer;

#[cfg(doc)]
use vesta_engine::Store;

/// Limits of a store on PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Connections for reads, at least one. Four more are kept for writes. Default: 12.
    pub pool_size: u32,
    /// How long one attempt to read waits for a connection, and how long making one may take. Default: 3 s.
    pub connect_timeout: Duration,
    /// How long the database may be away before reads and writes fail. Default: 30 s.
    pub patience: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { pool_size: 12, connect_timeout: Duration::from_secs(3), patience: Duration::from_secs(30) }
    }
}

/// Writers on PostgreSQL: enough that the round trips of one hide behind those of the others. SQLite has one writer by nature.
const POSTGRES_WRITERS: usize = 4;
/// Connections for reads on SQLite.
const SQLITE_READERS: u32 = 4;
/// How long a disk that is full or fails is waited for: it seldom mends itself.
const SQLITE_PATIENCE: Duration = Duration::from_secs(2);
/// How long [`SqlStore::open_postgres`] waits for the first connection before it returns a store that is not ready yet.
const FIRST_CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between attempts to reach a database that is away at start; they double up to the second.
const START_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Durable data on SQL. Close it with [`SqlStore::close`]; dropped, it stops as well but leaves nothing time to end well.
pub struct SqlStore {
    database: Arc<Database>,
    reader: Reader,
    verifiers: Verifiers,
    pruner: Pruner,
    writers: Vec<Queue>,
    readiness: watch::Receiver<Readiness>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Whether the tables are known to be as this version needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Readiness {
    /// The first attempt is under way.
    Starting,
    /// Not yet, and why.
    Not(Fault),
    /// From now on.
    Ready,
}

impl SqlStore {
    /// Opens an SQLite file, made if it is not there; its directory must be. One process at a time may do so.
    ///
    /// # Errors
    /// The file can't be opened or written, or its tables can't be brought to this version's form.
    pub async fn open_sqlite(path: &Path) -> Result<Self, OpenError> {
        let store = Self::start(Database::sqlite(path), 1, SQLITE_PATIENCE);
        match store.first_readiness().await {
            Readiness::Ready => Ok(store),
            Readiness::Not(Fault::Broken(reason)) => Err(store.fail(OpenError::Migration(reason)).await),
            Readiness::Not(fault) => {
                Err(store.fail(OpenError::File { path: path.into(), reason: fault.to_string() }).await)
            }
            Readiness::Starting => {
                let reason = "another process holds it, or the disk does not answer".into();
                Err(store.fail(OpenError::File { path: path.into(), reason }).await)
            }
        }
    }

    /// Opens a PostgreSQL database by its URL (`postgres://user:password@host:5432/database?sslmode=verify-full`). If it is
    /// away now, the store answers [`StoreError::Unavailable`] until it has come.
    ///
    /// # Errors
    /// What waiting won't mend: the URL, user and password, the tables.
    pub async fn open_postgres(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let store = Self::start(Database::postgres(url, &options)?, POSTGRES_WRITERS, options.patience);
        match store.first_readiness().await {
            Readiness::Ready => Ok(store),
            Readiness::Not(Fault::Refused(reason)) => Err(store.fail(OpenError::Refused(reason)).await),
            Readiness::Not(Fault::Broken(reason)) => Err(store.fail(OpenError::Migration(reason)).await),
            Readiness::Not(Fault::Away(reason) | Fault::Contended(reason)) => {
                warn!(reason, "the database is away; the server starts without and waits for it");
                Ok(store)
            }
            Readiness::Starting => {
                warn!("the database does not answer yet; the server starts without and waits for it");
                Ok(store)
            }
        }
    }

    fn start(database: Database, writers: usize, patience: Duration) -> Self {
        let database = Arc::new(database);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let patience = Patience::new(patience, stop.clone());
        let (announce, readiness) = watch::channel(Readiness::Starting);
        tasks.spawn(make_ready(database.clone(), announce, stop.clone()));
        let room = Room::new();
        let writers = (0..writers)
            .map(|_| {
                let (queue, writer) = Writer::new(database.clone(), patience.clone(), stop.clone(), room.clone());
                tasks.spawn(writer.run());
                queue
            })
            .collect();
        let reader = Reader::new(database.clone(), patience, readiness.clone());
        let (verifiers, gatherer) = Verifiers::new(reader.clone(), stop.clone());
        tasks.spawn(gatherer.run());
        Self { database, reader, verifiers, pruner: Pruner::default(), writers, readiness, tasks, stop }
    }

    /// How the first attempt went; `Starting` if that takes long.
    async fn first_readiness(&self) -> Readiness {
        let mut readiness = self.readiness.clone();
        match timeout(FIRST_CONNECTION_TIMEOUT, readiness.wait_for(|it| *it != Readiness::Starting)).await {
            Ok(Ok(readiness)) => readiness.clone(),
            _ => Readiness::Starting,
        }
    }

    async fn fail(self, error: OpenError) -> OpenError {
        self.close().await;
        error
    }

    /// The writer of a shard: always the same, which keeps the order.
    fn writer(&self, shard: u32) -> &Queue {
        &self.writers[shard as usize % self.writers.len()]
    }

    /// How many writes wait for their commit, for the metric. At most 65,536 for each writer: one on SQLite, four on PostgreSQL.
    pub fn waiting_writes(&self) -> usize {
        self.writers.iter().map(Queue::waiting).sum()
    }

    /// What acknowledged data survives with the database's settings as they are now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn durability_note(&self) -> Result<Durability, StoreError> {
        durability::check(self.reader.ready()?).await
    }

    /// Takes no further writes, ends those that wait, and closes all connections.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.database.close().await;
    }
}

impl Drop for SqlStore {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Brings the tables to this version's form, and tries until it has.
async fn make_ready(database: Arc<Database>, announce: watch::Sender<Readiness>, stop: CancellationToken) {
    let (mut pause, longest_pause) = START_PAUSES;
    loop {
        let outcome = tokio::select! {
            outcome = database.migrate().instrument(info_span!("migrate the database")) => outcome,
            () = stop.cancelled() => return,
        };
        match outcome {
            Ok(()) => {
                info!("the database is ready");
                announce.send_replace(Readiness::Ready);
                return;
            }
            Err(fault) => {
                warn!(reason = %fault, "the database is not ready");
                announce.send_replace(Readiness::Not(fault));
            }
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(longest_pause),
            () = stop.cancelled() => return,
        }
    }
}
