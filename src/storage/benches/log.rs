//! What the message log costs: CPU and bytes of each row that is appended, CPU of a page at the start, in the middle and at the
//! end of an archive, CPU of each entry that is pruned.
//!
//! ```text
//! cargo bench -p vesta-storage --bench log -- append sqlite 200000 512 1000
//! cargo bench -p vesta-storage --bench log -- append $(tests/postgres start) 200000 512 1000
//! cargo bench -p vesta-storage --bench log -- pages sqlite 1000000
//! ```
//!
//! `append` takes the number of rows, how many messages are under way at once, and the number of accounts; a rate (messages a
//! second) may follow, else each message that is done lets the next one come. A message is two rows, its sender's and its
//! recipient's. The CPU is that of this process and of all processes named `postgres` on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval};
use vesta_engine::log::{LogEntry, LogId, LogQuery, Mark, View};
use vesta_engine::store::{Change, Credentials};
use vesta_engine::{Fence, Store, Timestamp};
use vesta_storage::{PostgresOptions, SqlStore};
use vesta_xmpp::{BareJid, Jid};

const SHARDS: u32 = 8;
const NOW: u64 = 1_767_225_600_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |place: usize, default: u64| {
        arguments.get(place).map_or(default, |argument| argument.parse().expect("a number"))
    };
    let Some(database) = arguments.get(1) else {
        println!("say append or pages, and sqlite or the URL of a PostgreSQL server: see the documentation");
        return;
    };
    let place = Place::new(database).await;
    let store = Arc::new(place.open().await);
    match arguments[0].as_str() {
        "append" => {
            append(&place, store.clone(), number(2, 200_000), number(3, 512), number(4, 1_000), number(5, 0)).await
        }
        "pages" => pages(&place, store.clone(), number(2, 1_000_000)).await,
        other => panic!("{other} is neither append nor pages"),
    }
    store.close().await;
}

/// Where the data lies: a directory or a schema of its own, left behind for whoever wants to look at it.
enum Place {
    Sqlite(PathBuf),
    Postgres { server: String, url: String },
}

impl Place {
    async fn new(database: &str) -> Self {
        let name = format!("bench_{}", std::process::id());
        if database == "sqlite" {
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&directory).expect("a directory");
            println!("in {}", directory.display());
            return Place::Sqlite(directory.join("log.db"));
        }
        let mut connection = PgConnection::connect(database).await.expect("the server answers");
        let sql = format!("CREATE SCHEMA {name}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.expect("a schema");
        println!("in the schema {name}");
        Place::Postgres { server: database.into(), url: format!("{database}?options=-csearch_path%3D{name}") }
    }

    async fn open(&self) -> SqlStore {
        match self {
            Place::Sqlite(path) => SqlStore::open_sqlite(path).await,
            Place::Postgres { url, .. } => SqlStore::open_postgres(url, PostgresOptions::default()).await,
        }
        .expect("the store opens")
    }

    /// Bytes that the database has written so far: to its files, or to its write-ahead log.
    async fn written(&self) -> u64 {
        match self {
            Place::Sqlite(_) => {
                let io = std::fs::read_to_string("/proc/self/io").expect("Linux");
                let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("wchar");
                line.parse().expect("a number")
            }
            Place::Postgres { server, .. } => {
                let mut connection = PgConnection::connect(server).await.expect("the server answers");
                let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS bytes";
                let row = sqlx::query(sql).fetch_one(&mut connection).await.expect("a row");
                row.get::<i64, _>("bytes").unsigned_abs()
            }
        }
    }
}

/// CPU time of this process and of PostgreSQL's, in seconds.
#[derive(Clone, Copy)]
struct Cpu {
    own: f64,
    database: f64,
}

impl Cpu {
    fn now() -> Self {
        let mut database = 0.0;
        for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
            let directory = process.path();
            if std::fs::read_to_string(directory.join("comm")).is_ok_and(|name| name.trim() == "postgres") {
                database += Self::of(&directory).unwrap_or(0.0);
            }
        }
        Self { own: Self::of("/proc/self".as_ref()).expect("Linux"), database }
    }

    /// In hundredths of a second; the threads' own counters are finer and summed up.
    fn of(directory: &std::path::Path) -> Option<f64> {
        let threads = std::fs::read_dir(directory.join("task")).ok()?;
        let nanoseconds = threads.flatten().filter_map(|thread| {
            let schedule = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            schedule.split(' ').next()?.parse::<f64>().ok()
        });
        Some(nanoseconds.sum::<f64>() / 1e9)
    }
}

fn jid(number: u64) -> BareJid {
    BareJid::parse(&format!("user{number}@montague.example")).expect("a JID")
}

fn fence(account: u64) -> Fence {
    Fence { shard: account as u32 % SHARDS, generation: 1, term: 1 }
}

async fn accounts(store: &SqlStore, count: u64) -> Vec<BareJid> {
    let accounts: Vec<_> = (0..count).map(jid).collect();
    let none = Credentials { verifiers: Default::default() };
    let made = accounts
        .iter()
        .zip(0..)
        .map(|(account, number)| store.create_account(fence(number), account, &none, Timestamp(NOW)));
    for made in futures_util::future::join_all(made).await {
        assert_eq!(made, Ok(true));
    }
    accounts
}

/// Of 300 bytes, as in the load test.
fn entry(id: u64, peer: &BareJid) -> LogEntry {
    let mut stanza = format!(
        "<message xmlns='jabber:client' from='{peer}/balcony' to='romeo@montague.example' type='chat' id='{id}'><body>"
    );
    while stanza.len() < 300 - 17 {
        stanza.push('x');
    }
    stanza += "</body></message>";
    LogEntry {
        id: LogId(id),
        peer: Jid::parse(&format!("{peer}/balcony")).expect("a JID"),
        ingress: Some(Mark(id.into())),
        origin: Some(Mark(u128::from(id) << 64)),
        archived: true,
        waiting: false,
        stanza: stanza.into(),
    }
}

async fn append(place: &Place, store: Arc<SqlStore>, rows: u64, under_way: u64, count: u64, rate: u64) {
    let accounts = accounts(&store, count).await;
    let places = Arc::new(Semaphore::new(under_way as usize * 2));
    let mut ticks = (rate > 0).then(|| interval(Duration::from_secs_f64(10.0 / rate as f64)));
    if let Some(ticks) = &mut ticks {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    }
    let latencies = Arc::new(parking_lot::Mutex::new(Vec::with_capacity(rows as usize)));
    let (cpu, written, begun) = (Cpu::now(), place.written().await, Instant::now());
    let mut chance = 1_u64;
    for message in 0..rows / 2 {
        if let Some(ticks) = &mut ticks
            && message % 10 == 0
        {
            ticks.tick().await;
        }
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let sender = (chance >> 33) % count;
        // Everybody talks to ten others.
        let recipient = (sender + 1 + (chance >> 20) % 10) % count;
        for (owner, peer) in [(sender, recipient), (recipient, sender)] {
            let permit = places.clone().acquire_owned().await.expect("open");
            let change = Change::Log(entry(((NOW + message) << 20) + owner % 2, &accounts[peer as usize]));
            let (latencies, asked) = (latencies.clone(), Instant::now());
            let done = move |outcome| {
                assert_eq!(outcome, Ok(()));
                latencies.lock().push(asked.elapsed());
                drop(permit);
            };
            store.submit(fence(owner), &accounts[owner as usize], vec![change], Box::new(done));
        }
    }
    let _all = places.acquire_many(under_way as u32 * 2).await.expect("open");
    let (after, written) = (Cpu::now(), place.written().await - written);
    let per_row = |seconds: f64| seconds * 1e6 / rows as f64;
    let mut latencies = std::mem::take(&mut *latencies.lock());
    latencies.sort_unstable();
    let quantile = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    println!(
        "{rows} rows in {:.1?}: {:.1} + {:.1} µs of CPU and {} bytes written for each; durable after {:.1?} (median), {:.1?} (99 %)",
        begun.elapsed(),
        per_row(after.own - cpu.own),
        per_row(after.database - cpu.database),
        written / rows,
        quantile(0.5),
        quantile(0.99),
    );
}

async fn pages(place: &Place, store: Arc<SqlStore>, rows: u64) {
    append(place, store.clone(), 20_000, 512, 100, 0).await;
    let romeo = accounts_of_one(&store).await;
    // Nine of ten come from one contact, the others from a thousand.
    let peers: Vec<_> = (0..1_000).map(jid).collect();
    let at = |number: u64| LogId((NOW + number * 1_000) << 20);
    for first in (0..rows).step_by(1_000) {
        let peer = |number: u64| &peers[if number.is_multiple_of(10) { (number / 10 % 1_000) as usize } else { 0 }];
        let changes = (first..(first + 1_000).min(rows)).map(|number| Change::Log(entry(at(number).0, peer(number))));
        store.write(fence(0), &romeo, changes.collect()).await.expect("written");
    }
    let all = LogQuery {
        view: View::Archived,
        peer: None,
        after: None,
        before: None,
        ids: None,
        limit: 50,
        backwards: false,
    };
    let rare = LogQuery { peer: Some(peers[500].clone().into()), ..all.clone() };
    let often = LogQuery { peer: Some(peers[0].clone().into()), ..all.clone() };
    let middle = Some(at(rows / 2));
    let ids = Some((0..50).map(|number| at(number * (rows / 50))).collect());
    let questions = [
        ("first page", all.clone()),
        ("page behind the middle", LogQuery { after: middle, ..all.clone() }),
        ("page before the middle", LogQuery { before: middle, backwards: true, ..all.clone() }),
        ("last page", LogQuery { backwards: true, ..all.clone() }),
        ("first page of a frequent contact", often.clone()),
        ("page of a frequent contact behind the middle", LogQuery { after: middle, ..often.clone() }),
        ("last page of a frequent contact", LogQuery { backwards: true, ..often }),
        ("first page of a rare contact", rare.clone()),
        ("page of a rare contact behind the middle", LogQuery { after: middle, ..rare.clone() }),
        ("last page of a rare contact", LogQuery { backwards: true, ..rare }),
        ("fifty ids", LogQuery { ids, ..all.clone() }),
        ("what waits, of which there is nothing", LogQuery { view: View::Waiting, ..all }),
    ];
    for (name, query) in questions {
        let (cpu, times) = (Cpu::now(), 500);
        let mut found = 0;
        for _ in 0..times {
            found = store.log_page(&romeo, &query).await.expect("reads").len();
        }
        let after = Cpu::now();
        let per_page = |seconds: f64| seconds * 1e6 / f64::from(times);
        let (own, database) = (per_page(after.own - cpu.own), per_page(after.database - cpu.database));
        println!("{name}: {found} entries, {own:.0} + {database:.0} µs of CPU");
    }
    prune(&store, at(rows / 2)).await;
}

/// What it costs to take away a part of a long archive.
async fn prune(store: &SqlStore, before: LogId) {
    let (cpu, mut taken) = (Cpu::now(), 0);
    for _ in 0..20 {
        taken += store.log_prune("montague.example", before, 500).await.expect("pruned");
    }
    let after = Cpu::now();
    let each = |seconds: f64| seconds * 1e6 / taken as f64;
    let (own, database) = (each(after.own - cpu.own), each(after.database - cpu.database));
    println!("{taken} entries pruned, {own:.1} + {database:.1} µs of CPU for each");
}

async fn accounts_of_one(store: &SqlStore) -> BareJid {
    let romeo = BareJid::parse("romeo@montague.example").expect("a JID");
    let none = Credentials { verifiers: Default::default() };
    assert_eq!(store.create_account(fence(0), &romeo, &none, Timestamp(NOW)).await, Ok(true));
    romeo
}
