//! A database that is away: at start, in the middle, and behind a wall that swallows bytes. Shown on PostgreSQL through a
//! relay that can be cut, so that no server has to be killed.

use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vesta_engine::store::Change;
use vesta_engine::{Store, StoreError};
use vesta_storage::{OpenError, PostgresOptions, SqlStore};

use crate::place::{LEADER, Place, account};

/// A relay on a port of its own. While it is down the port refuses connections.
struct Relay {
    port: u16,
    target: String,
    up: Option<(CancellationToken, JoinSet<()>)>,
}

impl Relay {
    /// In front of the place's server, down; and the place's URL by way of it.
    async fn before(place: &Place) -> (Self, String) {
        let url = place.url();
        let address = url.split(['@', '/']).nth(3).expect("user@host:port").to_owned();
        let port = TcpListener::bind("127.0.0.1:0").await.and_then(|it| it.local_addr()).expect("a port").port();
        let through = url.replace(&address, &format!("127.0.0.1:{port}"));
        (Self { port, target: address, up: None }, through)
    }

    async fn up(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("the port is free");
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (target, stopped) = (self.target.clone(), stop.clone());
        tasks.spawn(async move {
            let mut relayed = JoinSet::new();
            while let Some(Ok((mut near, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let target = target.clone();
                relayed.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        self.up = Some((stop, tasks));
    }

    async fn down(&mut self) {
        if let Some((stop, tasks)) = self.up.take() {
            stop.cancel();
            tasks.join_all().await;
        }
    }
}

/// Notices quickly that the database is away, and waits for it.
fn patient() -> PostgresOptions {
    PostgresOptions { connect_timeout: Duration::from_millis(300), ..PostgresOptions::default() }
}

/// Notices it, and gives up.
fn impatient() -> PostgresOptions {
    PostgresOptions { patience: Duration::from_millis(300), ..patient() }
}

async fn place(test: &str) -> Option<Place> {
    Place::postgres(test).await
}

/// Asks until the database answers. Bounded by the test runner's patience, not by a time of ours.
async fn until_back(store: &SqlStore) {
    while store.ping().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_starts_without_its_database_and_finds_it_later() {
    let Some(place) = place("a_store_starts_without_its_database_and_finds_it_later").await else { return };
    let (mut relay, url) = Relay::before(&place).await;
    let store = SqlStore::open_postgres(&url, impatient()).await.expect("absence is no error");
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(
        store.write(LEADER, &crate::place::jid("a@b"), Vec::new()).await,
        Err(StoreError::Unavailable(_))
    ));
    relay.up().await;
    until_back(&store).await;
    account(&store, "romeo@montague.example").await;
    store.close().await;
    relay.down().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_all_is_unavailable_and_then_well_again() {
    let Some(place) = place("while_the_database_is_away_all_is_unavailable_and_then_well_again").await else { return };
    let (mut relay, url) = Relay::before(&place).await;
    relay.up().await;
    let store = SqlStore::open_postgres(&url, impatient()).await.expect("opens");
    let romeo = account(&store, "romeo@montague.example").await;
    let put = |value: &'static str| vec![Change::DataPut { key: "k".into(), value: value.into() }];
    assert_eq!(store.write(LEADER, &romeo, put("before")).await, Ok(()));

    relay.down().await;
    assert!(matches!(store.write(LEADER, &romeo, put("lost")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.data(&romeo, "k").await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));

    relay.up().await;
    until_back(&store).await;
    assert_eq!(store.data(&romeo, "k").await, Ok(Some("before".into())));
    assert_eq!(store.write(LEADER, &romeo, put("after")).await, Ok(()));
    assert_eq!(store.data(&romeo, "k").await, Ok(Some("after".into())));
    store.close().await;
    relay.down().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_absence_is_not_noticed_by_writes() {
    let Some(place) = place("a_short_absence_is_not_noticed_by_writes").await else { return };
    let (mut relay, url) = Relay::before(&place).await;
    relay.up().await;
    let store = SqlStore::open_postgres(&url, impatient()).await.expect("opens");
    let romeo = account(&store, "romeo@montague.example").await;
    // The writer's connection is cut; the next write finds out and makes another.
    relay.down().await;
    relay.up().await;
    let change = Change::DataPut { key: "k".into(), value: "v".into() };
    assert_eq!(store.write(LEADER, &romeo, vec![change]).await, Ok(()));
    store.close().await;
    relay.down().await;
    place.remove().await;
}

/// F11: a fail-over of some seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_database_is_away_is_done_when_it_is_back() {
    let Some(place) = place("what_comes_while_the_database_is_away_is_done_when_it_is_back").await else { return };
    let (mut relay, url) = Relay::before(&place).await;
    relay.up().await;
    let store = SqlStore::open_postgres(&url, patient()).await.expect("opens");
    let romeo = account(&store, "romeo@montague.example").await;
    relay.down().await;
    let change = Change::DataPut { key: "k".into(), value: "v".into() };
    let absence = async {
        // Each of them waits for a connection as long as it may.
        for _ in 0..10 {
            assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))), "a ping does not wait");
        }
        relay.up().await;
    };
    let (written, read, ()) = tokio::join!(store.write(LEADER, &romeo, vec![change]), store.roster(&romeo), absence);
    assert_eq!(written, Ok(()));
    assert!(read.is_ok(), "{read:?}");
    assert_eq!(store.data(&romeo, "k").await, Ok(Some("v".into())));
    store.close().await;
    relay.down().await;
    place.remove().await;
}

#[tokio::test]
async fn a_wrong_url_is_an_error_in_plain_words() {
    for url in ["", "mysql://host/db", "postgres://[::1/db", "postgres://u@127.0.0.1:99999/db"] {
        let error = SqlStore::open_postgres(url, impatient()).await.err().expect("an error");
        assert!(matches!(error, OpenError::Url(_)), "{url}: {error}");
        assert!(error.to_string().contains("postgres://user:password@host:5432/database"));
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_an_error_in_plain_words() {
    let Some(place) = place("a_database_that_does_not_exist_is_an_error_in_plain_words").await else { return };
    let url = place.url();
    let wrong =
        format!("{}/no_such_database", url.split('?').next().and_then(|it| it.rsplit_once('/')).expect("a path").0);
    let error = SqlStore::open_postgres(&wrong, impatient()).await.err().expect("an error");
    assert!(matches!(&error, OpenError::Refused(reason) if reason.contains("no_such_database")), "{error}");
    place.remove().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_an_error_in_plain_words() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("missing").join("vesta.sqlite");
    let error = SqlStore::open_sqlite(&path).await.err().expect("an error");
    assert!(matches!(&error, OpenError::File { path: named, .. } if *named == path), "{error}");
}
