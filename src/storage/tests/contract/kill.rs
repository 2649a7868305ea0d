//! A PostgreSQL server that is killed and comes back: what was acknowledged is there, what was not is unavailable.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use vesta_engine::store::Change;
use vesta_engine::{Store, StoreError};
use vesta_storage::{PostgresOptions, SqlStore};

use crate::place::{LEADER, account, server};

/// A server of the test's own, by the script `tests/postgres`.
struct Server {
    directory: PathBuf,
}

impl Server {
    /// Starts it, or starts it again, and gives its URL.
    fn start(&self) -> String {
        self.script("start")
    }

    /// SIGKILL to the process that rules the others; they end by themselves.
    fn kill(&self) {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).expect("the server runs");
        let process = file.lines().next().expect("its process id");
        let status = Command::new("kill").args(["-9", process]).status().expect("kill runs");
        assert!(status.success());
    }

    fn script(&self, verb: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/postgres");
        let output = Command::new(script).arg(verb).env("VESTA_POSTGRES_DIR", &self.directory).output();
        let output = output.expect("tests/postgres runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.script("stop");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_acknowledged_and_is_used_again_when_it_is_back() {
    if server().is_none() {
        eprintln!("NOT RUN: a server that is killed. Set VESTA_TEST_POSTGRES, as by `tests/postgres start`.");
        return;
    }
    let directory = std::env::temp_dir().join(format!("vesta-postgres-killed-{}", std::process::id()));
    let server = Server { directory };
    let soon = Duration::from_millis(300);
    let options = PostgresOptions { connect_timeout: soon, patience: soon, ..PostgresOptions::default() };
    let store = SqlStore::open_postgres(&server.start(), options).await.expect("opens");
    let romeo = account(&store, "romeo@montague.example").await;
    let put = |number: u32| vec![Change::DataPut { key: format!("k{number}"), value: "v".into() }];
    for number in 0..100 {
        assert_eq!(store.write(LEADER, &romeo, put(number)).await, Ok(()));
    }

    server.kill();
    // The process behind the writer's connection may take a moment to notice.
    let mut outcome = Ok(());
    while outcome.is_ok() {
        outcome = store.write(LEADER, &romeo, put(100)).await;
    }
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");

    server.start();
    while store.write(LEADER, &romeo, put(101)).await.is_err() {
        tokio::task::yield_now().await;
    }
    for number in (0..100).chain([101]) {
        assert_eq!(store.data(&romeo, &format!("k{number}")).await, Ok(Some("v".into())), "write {number}");
    }
    store.close().await;
}
