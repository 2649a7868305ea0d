//! The session router: store, engine, Raft, and what listens.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use vesta_engine::{Engine, Host, Hosts};
use vesta_router::administration::RouterAdministration;
use vesta_router::raft::{RaftHost, RaftSettings, abort};
use vesta_router::{Dialers, Founder, LogPlace, Parts, Router, RouterConfig, RouterMetrics};
use vesta_storage::{PostgresOptions, SqlStore};

use super::ComposeError;
use crate::clock;
use crate::config::{Settings, load};

/// How often it is asked what the database promises.
const DURABILITY_EVERY: Duration = Duration::from_secs(60);

/// A router and what it stands on. A clone is the same.
#[derive(Clone)]
pub struct RouterParts {
    /// The router.
    pub router: Arc<Router>,
    /// Its replicas.
    pub raft: RaftHost,
    /// Its store.
    pub store: Arc<SqlStore>,
    /// What operators may ask.
    pub administration: Arc<RouterAdministration>,
}

/// The engine of all virtual hosts.
pub fn engine(settings: &Settings) -> Result<Arc<Engine>, ComposeError> {
    let started_at = clock::now();
    let mut hosts = Vec::new();
    for host in &settings.hosts {
        let modules = vesta_modules::all(&load::modules_of(&settings.modules, host)?, started_at);
        hosts.push((Host { domain: host.domain.clone() }, modules));
    }
    let engine = vesta_engine::engine::Settings {
        roster_items_max: settings.limits.roster_items,
        scram_iterations: settings.authentication.scram_iterations,
    };
    Ok(Arc::new(Engine::new(engine, hosts)))
}

/// Opens the store that the configuration names.
pub async fn open_store(settings: &Settings, data: &Path, alone: bool) -> Result<Arc<SqlStore>, ComposeError> {
    let url = &settings.storage.url;
    if url != "sqlite" {
        let options = PostgresOptions {
            pool_size: settings.storage.pool_size,
            connect_timeout: settings.storage.connect_timeout.0,
            patience: settings.storage.patience.0,
        };
        return Ok(Arc::new(SqlStore::open_postgres(url, options).await?));
    }
    if !alone {
        let reason = "a cluster's routers share their data: set a PostgreSQL URL \
                      (postgres://user:password@host:5432/database)";
        return Err(ComposeError::Setting { key: "storage.url", reason: reason.into() });
    }
    Ok(Arc::new(SqlStore::open_sqlite(&data.join("vesta.db")).await?))
}

/// Builds a router; it is in no cluster yet.
pub async fn build(
    settings: &Settings,
    config: RouterConfig,
    dialers: Dialers,
    store: Arc<SqlStore>,
    engine: Arc<Engine>,
    metrics: Arc<RouterMetrics>,
) -> Result<RouterParts, ComposeError> {
    let raft = match &config.log {
        LogPlace::Memory => RaftHost::in_memory(RaftSettings::alone(), abort()),
        LogPlace::Disk(path) => {
            make_directory(path)?;
            RaftHost::on_disk(path, RaftSettings::default(), abort())?
        }
    };
    let hosts = settings.hosts.iter().map(|host| Host { domain: host.domain.clone() });
    let parts = Parts { config, engine, store: store.clone(), hosts: Arc::new(Hosts::new(hosts)), dialers, metrics };
    let router = Router::new(parts);
    let note = Arc::new(RwLock::new("not asked yet".to_owned()));
    router.spawn(watch_durability(store.clone(), note.clone()));
    let administration =
        Arc::new(RouterAdministration { router: router.clone(), database_note: Arc::new(move || note.read().clone()) });
    Ok(RouterParts { router, raft, store, administration })
}

/// What `vesta serve` is: a cluster of one.
pub fn alone(settings: &Settings) -> RouterConfig {
    let own = Founder { name: settings.name.clone(), address: String::new() };
    RouterConfig {
        name: settings.name.clone(),
        address: String::new(),
        founders: vec![own],
        shards: shards_alone(),
        log: LogPlace::Memory,
        manager_grace: settings.cluster.manager_grace.0,
    }
}

/// How many shards one process has: enough that its threads seldom wait for each other. Each takes about 1.5 MB.
fn shards_alone() -> u32 {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
    (2 * threads).clamp(4, 64)
}

/// A router of a cluster.
pub fn of_cluster(settings: &Settings, data: &Path) -> Result<RouterConfig, ComposeError> {
    let founders: Vec<_> = settings
        .cluster
        .routers
        .iter()
        .map(|router| Founder { name: router.name.clone(), address: router.address.clone() })
        .collect();
    let Some(own) = founders.iter().find(|founder| founder.name == settings.name) else {
        let reason = format!("the list must name this router: {:?} (its `name`) is not among them", settings.name);
        return Err(ComposeError::Setting { key: "cluster.routers", reason });
    };
    Ok(RouterConfig {
        name: settings.name.clone(),
        address: own.address.clone(),
        shards: settings.cluster.shards,
        log: LogPlace::Disk(data.join("raft")),
        manager_grace: settings.cluster.manager_grace.0,
        founders,
    })
}

/// Says what promise P1 means with this database's settings, whenever that changes (D4).
async fn watch_durability(store: Arc<SqlStore>, note: Arc<RwLock<String>>) {
    loop {
        if let Ok(durability) = store.durability_note().await
            && *note.read() != durability.note
        {
            let text = durability.note;
            if durability.crash {
                tracing::info!(durability = text, "what the database promises");
            } else {
                tracing::warn!(durability = text, "the database may forget what it has acknowledged");
            }
            *note.write() = text;
        }
        tokio::time::sleep(DURABILITY_EVERY).await;
    }
}

/// Makes a directory that only this user may read.
pub fn make_directory(path: &Path) -> Result<(), ComposeError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|reason| ComposeError::Directory { path: path.into(), reason })
}
