//! Where a test's data lies, and what tests have in common.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use vesta_engine::store::{Credentials, Verifier};
use vesta_engine::{Fence, Timestamp};
use vesta_storage::{PostgresOptions, SqlStore};
use vesta_xmpp::sasl::Hash;
use vesta_xmpp::{BareJid, Secret};

/// An empty database of a test's own.
pub enum Place {
    Sqlite(tempfile::TempDir),
    Postgres { server: String, schema: String },
}

impl Place {
    pub fn sqlite() -> Self {
        Place::Sqlite(tempfile::tempdir().expect("a temporary directory"))
    }

    /// `None`: no server was named, and this has been said.
    pub async fn postgres(test: &str) -> Option<Self> {
        let Some(server) = server() else {
            assert!(std::env::var_os("CI").is_none(), "CI must set VESTA_TEST_POSTGRES");
            eprintln!("NOT RUN on PostgreSQL: {test}. Set VESTA_TEST_POSTGRES, as by `tests/postgres start`.");
            return None;
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let schema = format!("test_{}_{number}", std::process::id());
        run(&server, format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")).await;
        Some(Place::Postgres { server, schema })
    }

    /// The URL of the test's own schema on the PostgreSQL server.
    pub fn url(&self) -> String {
        match self {
            Place::Sqlite(_) => unreachable!("asked of PostgreSQL only"),
            Place::Postgres { server, schema } => format!("{server}?options=-csearch_path%3D{schema}"),
        }
    }

    pub async fn open(&self) -> SqlStore {
        match self {
            Place::Sqlite(directory) => SqlStore::open_sqlite(&directory.path().join("vesta.sqlite")).await,
            Place::Postgres { .. } => SqlStore::open_postgres(&self.url(), PostgresOptions::default()).await,
        }
        .expect("the store opens")
    }

    /// Runs a statement past the store.
    pub async fn execute(&self, sql: &'static str) {
        match self {
            Place::Sqlite(directory) => {
                let options = SqliteConnectOptions::new().filename(directory.path().join("vesta.sqlite"));
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the file opens");
                connection.execute(sqlx::raw_sql(sql)).await.expect("the statement is right");
                connection.close().await.expect("the connection closes");
            }
            Place::Postgres { server, schema } => run(server, format!("SET search_path = {schema}; {sql}")).await,
        }
    }

    /// Brings the tables to an earlier form.
    pub async fn migrate_to(&self, version: i64) {
        let up_to = |all: Migrator| Migrator {
            migrations: all.iter().filter(|it| it.version <= version).cloned().collect(),
            ..Migrator::DEFAULT
        };
        match self {
            Place::Sqlite(directory) => {
                let options =
                    SqliteConnectOptions::new().filename(directory.path().join("vesta.sqlite")).create_if_missing(true);
                let mut connection = SqliteConnection::connect_with(&options).await.expect("the file opens");
                let migrations = up_to(sqlx::migrate!("migrations/sqlite"));
                migrations.run_direct(None, &mut connection, false).await.expect("the migrations are right");
                connection.close().await.expect("the connection closes");
            }
            Place::Postgres { .. } => {
                let mut connection = PgConnection::connect(&self.url()).await.expect("the server answers");
                let migrations = up_to(sqlx::migrate!("migrations/postgres"));
                migrations.run_direct(None, &mut connection, false).await.expect("the migrations are right");
                connection.close().await.expect("the connection closes");
            }
        }
    }

    pub async fn remove(self) {
        if let Place::Postgres { server, schema } = self {
            run(&server, format!("DROP SCHEMA {schema} CASCADE")).await;
        }
    }
}

/// The URL of the PostgreSQL server for tests, if there is one.
pub fn server() -> Option<String> {
    std::env::var("VESTA_TEST_POSTGRES").ok().filter(|url| !url.is_empty())
}

async fn run(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.expect("VESTA_TEST_POSTGRES names a server that answers");
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.expect("the statement is right");
    connection.close().await.expect("the connection closes");
}

pub fn jid(text: &str) -> BareJid {
    BareJid::parse(text).expect("a bare JID")
}

/// A leader of shard 1.
pub fn leader(generation: u64, term: u64) -> Fence {
    Fence { shard: 1, generation, term }
}

/// The one leader in tests that are not about leaders.
pub const LEADER: Fence = Fence { shard: 1, generation: 1, term: 1 };

pub const NOW: Timestamp = Timestamp(1_767_225_600_000);

pub fn credentials(hashes: &[Hash], mark: u8) -> Credentials {
    let verifier = Verifier {
        salt: vec![mark; 16],
        iterations: 10_000 + u32::from(mark),
        stored_key: Secret::new(vec![mark; 32]),
        server_key: Secret::new(vec![!mark; 32]),
    };
    Credentials { verifiers: hashes.iter().map(|hash| (*hash, verifier.clone())).collect() }
}

/// A verifier as something that can be compared: hash, salt, iterations, StoredKey, ServerKey.
type Shown = (Hash, Vec<u8>, u32, Vec<u8>, Vec<u8>);

/// Credentials as something that can be compared.
pub fn shown(credentials: &Credentials) -> Vec<Shown> {
    let parts = |(hash, verifier): (&Hash, &Verifier)| {
        let keys = (verifier.stored_key.expose().to_vec(), verifier.server_key.expose().to_vec());
        (*hash, verifier.salt.clone(), verifier.iterations, keys.0, keys.1)
    };
    credentials.verifiers.iter().map(parts).collect()
}

/// Makes an account that has verifiers.
pub async fn account(store: &SqlStore, text: &str) -> BareJid {
    use vesta_engine::Store;
    let account = jid(text);
    let made = store.create_account(LEADER, &account, &credentials(&[Hash::Sha256], 1), NOW).await;
    assert_eq!(made, Ok(true));
    account
}
