//! The two databases behind one face: the same SQL with the same parameters runs on both, and this file is all that knows
//! the difference.
//!
//! Reads take a connection from a pool. Each writer keeps a [`Connection`] of its own, which it throws away when anything
//! goes wrong: the database then rolls back, and nothing is left to guess.

mod bulk;

use std::future::Future;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Decode, Encode, Executor, Row as _, Type};
use tokio::time::timeout;

pub(crate) use bulk::{Bulk, Kind};

use crate::fault::{Fault, OpenError};
use crate::{PostgresOptions, SQLITE_READERS};

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// How long one statement, or one transaction of a writer, may take as seen from here.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

/// How long SQLite waits for another writer.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pages that each reader of SQLite keeps, in KiB, negated: the upper levels of the trees. The kernel has the rest, once for
/// all readers.
const SQLITE_READER_CACHE: &str = "-512";

/// The pages that the writer of SQLite keeps, in KiB, negated: what a batch of the largest size changes, and more. With less, pages
/// go to the write-ahead log and come back within one transaction.
const SQLITE_WRITER_CACHE: &str = "-16384";

/// How many pages come to the write-ahead log before they are copied to the database: one that changes often is copied less often.
/// Measured, with the cache: 24 µs of CPU for each row of a message log became 15.
const SQLITE_CHECKPOINT_PAGES: &str = "4000";

/// What the database itself does about transactions that hang, so that one of a process that was paused or cut off does not
/// keep its locks: milliseconds, each below [`OPERATION_TIMEOUT`].
const POSTGRES_SESSION: [(&str, &str); 3] =
    [("statement_timeout", "10000"), ("lock_timeout", "5000"), ("idle_in_transaction_session_timeout", "10000")];

/// Every statement of ours walks along an index from a key. How uneven accounts are the planner can't know: an archive of a
/// million rows is read like one of ten only if it never collects rows first to sort them. And what it has once planned is right
/// for all values.
pub(crate) const POSTGRES_PLANNER: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// A parameter of a statement.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Integer(i64),
    Boolean(bool),
    Text(&'a str),
    OptionalText(Option<&'a str>),
    Bytes(&'a [u8]),
    OptionalBytes(Option<&'a [u8]>),
}

impl Value<'_> {
    /// A number as SQL has it. What lies above 2^63−1 becomes that: such numbers only occur as "up to any".
    pub(crate) fn number(number: u64) -> Self {
        Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A row of a result.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value of a column.
    pub(crate) fn get<T>(&self, column: &'static str) -> Result<T, Fault>
    where
        T: Type<Sqlite> + Type<Postgres>,
        T: for<'r> Decode<'r, Sqlite> + for<'r> Decode<'r, Postgres>,
    {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(column)?,
            Row::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The value of a column that holds a number which is never negative.
    pub(crate) fn number(&self, column: &'static str) -> Result<u64, Fault> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|_| Fault::Broken(format!("the column {column} holds the number {number}")))
    }
}

/// Where connections come from.
pub(crate) enum Database {
    Sqlite { options: SqliteConnectOptions, pool: sqlx::SqlitePool },
    Postgres { options: PgConnectOptions, pool: sqlx::PgPool, connect_timeout: Duration },
}

impl Database {
    /// A file, made if it is not there.
    pub(crate) fn sqlite(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // WAL with NORMAL loses the last commits at a power cut; P1 needs each on disk before it is acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .foreign_keys(true);
        let readers = options.clone().pragma("cache_size", SQLITE_READER_CACHE);
        let options =
            options.pragma("cache_size", SQLITE_WRITER_CACHE).pragma("wal_autocheckpoint", SQLITE_CHECKPOINT_PAGES);
        let pool = SqlitePoolOptions::new().max_connections(SQLITE_READERS).connect_lazy_with(readers);
        Database::Sqlite { options, pool }
    }

    /// A server, which need not be there yet.
    pub(crate) fn postgres(url: &str, limits: &PostgresOptions) -> Result<Self, OpenError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(OpenError::Url("it does not begin with postgres://".into()));
        }
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| OpenError::Url(error.to_string()))?
            .application_name("vesta")
            .options(POSTGRES_SESSION)
            .options(POSTGRES_PLANNER);
        let pool = PgPoolOptions::new()
            .max_connections(limits.pool_size.max(1))
            .acquire_timeout(limits.connect_timeout)
            .connect_lazy_with(options.clone());
        Ok(Database::Postgres { options, pool, connect_timeout: limits.connect_timeout })
    }

    /// Brings the tables to this version's form. Many nodes may do so at once: on PostgreSQL an advisory lock lets one go first.
    /// Migrations that only a newer version knows are left alone, so that old and new nodes live together.
    pub(crate) async fn migrate(&self) -> Result<(), Fault> {
        match self {
            Database::Sqlite { options, .. } => {
                let mut connection = options.connect().await?;
                forgiving(&SQLITE_MIGRATIONS).run_direct(None, &mut connection, false).await?;
            }
            Database::Postgres { options, connect_timeout, .. } => {
                // A connection of its own, closed afterwards: it takes the lock with it whatever happens. A migration may
                // take long, and so may the wait for another node's.
                let options = options.clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
                let mut connection = within(*connect_timeout, "connecting", options.connect()).await?;
                forgiving(&POSTGRES_MIGRATIONS).run_direct(None, &mut connection, false).await?;
            }
        }
        Ok(())
    }

    /// A connection for a writer.
    pub(crate) async fn connect(&self) -> Result<Connection, Fault> {
        match self {
            Database::Sqlite { options, .. } => Ok(Connection::Sqlite(Box::new(options.connect().await?))),
            Database::Postgres { options, connect_timeout, .. } => {
                Ok(Connection::Postgres(Box::new(within(*connect_timeout, "connecting", options.connect()).await?)))
            }
        }
    }

    /// All rows that a statement yields, in a transaction of its own.
    pub(crate) async fn rows(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        Ok(match self {
            Database::Sqlite { pool, .. } => {
                let rows = on_pooled(pool.acquire().await?, bind::<Sqlite>(sql, values)).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Database::Postgres { pool, .. } => {
                let rows = on_pooled(pool.acquire().await?, bind::<Postgres>(sql, values)).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row that a statement yields, in a transaction of its own.
    pub(crate) async fn row(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Closes the pool's connections. Bounded by sqlx.
    pub(crate) async fn close(&self) {
        match self {
            Database::Sqlite { pool, .. } => pool.close().await,
            Database::Postgres { pool, .. } => pool.close().await,
        }
    }
}

/// A writer's connection. To drop it is to roll back.
pub(crate) enum Connection {
    Sqlite(Box<sqlx::SqliteConnection>),
    Postgres(Box<sqlx::PgConnection>),
}

impl Connection {
    /// Begins a transaction. On SQLite it is the writing one from the start, or its reads could turn out stale.
    pub(crate) async fn begin(&mut self) -> Result<(), Fault> {
        match self {
            Connection::Sqlite(connection) => connection.execute("BEGIN IMMEDIATE").await.map(drop)?,
            Connection::Postgres(connection) => connection.execute("BEGIN").await.map(drop)?,
        }
        Ok(())
    }

    /// Commits. After an error it is unknown whether it did.
    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        match self {
            Connection::Sqlite(connection) => connection.execute("COMMIT").await.map(drop)?,
            Connection::Postgres(connection) => connection.execute("COMMIT").await.map(drop)?,
        }
        Ok(())
    }

    /// Runs a statement and tells how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Fault> {
        Ok(match self {
            Connection::Sqlite(connection) => {
                bind::<Sqlite>(sql, values).execute(&mut **connection).await?.rows_affected()
            }
            Connection::Postgres(connection) => {
                bind::<Postgres>(sql, values).execute(&mut **connection).await?.rows_affected()
            }
        })
    }

    /// All rows that a statement yields.
    pub(crate) async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        Ok(match self {
            Connection::Sqlite(connection) => {
                let rows = bind::<Sqlite>(sql, values).fetch_all(&mut **connection).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Connection::Postgres(connection) => {
                let rows = bind::<Postgres>(sql, values).fetch_all(&mut **connection).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Says goodbye. Nothing depends on it.
    pub(crate) async fn close(self) {
        use sqlx::Connection as _;
        let _ = match self {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        };
    }
}

/// Runs a query on a pooled connection, which is closed instead of going back when it hangs: it would hang there for others.
async fn on_pooled<DB>(
    mut connection: PoolConnection<DB>,
    query: Query<'_, DB, DB::Arguments>,
) -> Result<Vec<DB::Row>, Fault>
where
    DB: sqlx::Database,
    DB::Arguments: sqlx::IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let outcome = timeout(OPERATION_TIMEOUT, query.fetch_all(&mut *connection)).await;
    match outcome {
        Ok(rows) => Ok(rows?),
        Err(_) => {
            connection.close_on_drop();
            Err(Fault::timed_out("a query"))
        }
    }
}

fn bind<'q, DB>(sql: &'static str, values: &[Value<'_>]) -> Query<'q, DB, DB::Arguments>
where
    DB: sqlx::Database,
    i64: for<'t> Encode<'t, DB> + Type<DB>,
    bool: for<'t> Encode<'t, DB> + Type<DB>,
    for<'t> &'t str: Encode<'t, DB> + Type<DB>,
    for<'t> Option<&'t str>: Encode<'t, DB> + Type<DB>,
    for<'t> &'t [u8]: Encode<'t, DB> + Type<DB>,
    for<'t> Option<&'t [u8]>: Encode<'t, DB> + Type<DB>,
{
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Integer(value) => query.bind(value),
        Value::Boolean(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::OptionalText(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::OptionalBytes(value) => query.bind(value),
    })
}

async fn within<T>(
    limit: Duration,
    what: &str,
    operation: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Fault> {
    match timeout(limit, operation).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Fault::timed_out(what)),
    }
}

fn forgiving(migrations: &Migrator) -> Migrator {
    let mut migrations = Migrator { migrations: migrations.migrations.clone(), ..Migrator::DEFAULT };
    migrations.set_ignore_missing(true);
    migrations
}

impl From<MigrateError> for Fault {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => Fault::Broken(other.to_string()),
        }
    }
}
