//! Every question about a log walks along the index that is meant for it: that is what makes a page cost the same wherever it
//! lies. Asked of the databases themselves, whose planners decide it.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection, raw_sql};

use super::page::{PlannedIndex, planned_statements};
use crate::{PostgresOptions, SqlStore};

/// The index that a plan uses for the entries, as SQLite and PostgreSQL call it; and what no plan may do.
fn assert_good(plan: &str, index: PlannedIndex, sql: &str) {
    let wanted: &[&str] = match index {
        PlannedIndex::Key => &["sqlite_autoindex_log_entries_1 (owner=? AND id>? AND id<?)", "log_entries_pkey"],
        PlannedIndex::KeyById => &["(owner=? AND id=?)", "Index Cond: ((owner = $0) AND (id = "],
        PlannedIndex::Peer => {
            &["log_entries_by_peer (owner=? AND peer_hash=? AND id>? AND id<?)", "log_entries_by_peer on"]
        }
        PlannedIndex::Waiting => &["log_entries_waiting (owner=? AND id>? AND id<?)", "log_entries_waiting on"],
    };
    assert!(wanted.iter().any(|wanted| plan.contains(wanted)), "{sql}\n{plan}");
    for bad in ["SCAN log_entries", "TEMP B-TREE", "Seq Scan", "Sort", "Bitmap"] {
        assert!(!plan.contains(bad), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn questions_walk_along_their_index_on_sqlite() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("vesta.sqlite");
    SqlStore::open_sqlite(&path).await.expect("opens").close().await;
    let url = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&url).await.expect("the file opens");
    for (index, sql) in planned_statements() {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(explain).fetch_all(&mut connection).await.expect("a plan");
        let plan: Vec<_> = rows.iter().map(|row| row.get::<String, _>("detail")).collect();
        assert_good(&plan.join("\n"), index, sql);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_walk_along_their_index_on_postgres() {
    let Some(server) = std::env::var("VESTA_TEST_POSTGRES").ok().filter(|url| !url.is_empty()) else {
        assert!(std::env::var_os("CI").is_none(), "CI must set VESTA_TEST_POSTGRES");
        eprintln!("NOT RUN on PostgreSQL: plans. Set VESTA_TEST_POSTGRES, as by `tests/postgres start`.");
        return;
    };
    let schema = format!("test_plans_{}", std::process::id());
    let mut connection = PgConnection::connect(&server).await.expect("the server answers");
    let run = async |connection: &mut PgConnection, sql: String| {
        raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.expect("the statement is right")
    };
    run(&mut connection, format!("CREATE SCHEMA {schema}")).await;
    let url = format!("{server}?options=-csearch_path%3D{schema}");
    SqlStore::open_postgres(&url, PostgresOptions::default()).await.expect("opens").close().await;

    // One archive among many small ones, with few contacts: what a planner that believes in averages gets wrong.
    let fill = "INSERT INTO accounts (account, domain, created_at) SELECT 'a' || n || '@b', 'b', 0 FROM generate_series(1, 500) n; \
                INSERT INTO logs (account) SELECT account FROM accounts; \
                INSERT INTO log_entries (owner, id, peer_hash, peer, archived, waiting, stanza) \
                SELECT CASE WHEN n % 2 = 0 THEN 1 ELSE n % 500 END, n, n % 7, 'p', TRUE, FALSE, '' FROM generate_series(1, 10000) n; \
                ANALYZE";
    let session: String =
        crate::database::POSTGRES_PLANNER.iter().map(|(name, value)| format!("SET {name} = '{value}'; ")).collect();
    run(&mut connection, format!("SET search_path = {schema}; {session} {fill}")).await;
    for (index, sql) in planned_statements() {
        let parameters = sql.matches('$').map(|_| "NULL").collect::<Vec<_>>();
        let highest = (1..=parameters.len()).rev().find(|place| sql.contains(&format!("${place}"))).unwrap_or(0);
        run(&mut connection, format!("PREPARE question AS {sql}")).await;
        let rows =
            run(&mut connection, format!("EXPLAIN EXECUTE question ({})", parameters[..highest].join(", "))).await;
        let plan: Vec<_> = rows.iter().map(|row| row.get::<String, _>(0)).collect();
        assert_good(&plan.join("\n"), index, sql);
        run(&mut connection, "DEALLOCATE question".to_owned()).await;
    }
    run(&mut connection, format!("DROP SCHEMA {schema} CASCADE")).await;
}
