//! A running process: its roles, what listens for operators, and how all of it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vesta_admin::Health;
use vesta_connection_manager::{ConnectionManager, Handle, Metrics};
use vesta_engine::Store;
use vesta_router::{Acceptor, Dialers, RouterMetrics};
use vesta_wire::grpc::{GrpcDialer, Services, bind_socket, serve, serve_socket};
use vesta_wire::tls::{NodeTls, NodeTlsFiles, Security};

use super::in_process::{Alone, LocalDialer};
use super::router::{self, RouterParts, make_directory};
use super::{ComposeError, Roles, manager};
use crate::config::Settings;

/// The name of the administration's socket in the data directory.
pub const SOCKET: &str = "administration.sock";

/// See the module's documentation.
pub struct Node {
    settings: Settings,
    data: PathBuf,
    manager: Option<Handle>,
    router: Option<RouterParts>,
    health: Health,
    registry: Arc<Registry>,
    /// Ends what listens for operators and other nodes.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Node {
    /// Starts the roles. Returns when clients can connect, or the router has found its way into the cluster.
    ///
    /// # Errors
    /// See [`ComposeError`].
    pub async fn start(settings: Settings, data: &Path, roles: Roles) -> Result<Self, ComposeError> {
        make_directory(data)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut registry = Registry::default();
        crate::telemetry::register_process_metrics(&mut registry);
        let manager_metrics = Metrics::default();
        let router_metrics = Arc::new(RouterMetrics::default());
        if roles != Roles::SessionRouter {
            vesta_connection_manager::register(&manager_metrics, &mut registry);
        }
        if roles != Roles::ConnectionManager {
            router_metrics.register(&mut registry);
        }
        let mut node = Self {
            data: data.into(),
            manager: None,
            router: None,
            health: Health::default(),
            registry: Arc::new(registry),
            stop,
            tasks,
            settings,
        };
        // Nothing else is asked yet: without this, a node would call itself ready before it has begun.
        let started = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = started.clone();
        node.health.add("the node has started", move || seen.load(std::sync::atomic::Ordering::Relaxed));
        if let Err(error) = node.start_roles(roles, manager_metrics, router_metrics).await {
            // What has been started ends in order, so that the log's last words are the cause.
            node.stop().await;
            return Err(error);
        }
        started.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(node)
    }

    async fn start_roles(
        &mut self,
        roles: Roles,
        manager_metrics: Metrics,
        router_metrics: Arc<RouterMetrics>,
    ) -> Result<(), ComposeError> {
        self.serve_http().await?;
        match roles {
            Roles::All => self.start_all(manager_metrics, router_metrics).await,
            Roles::SessionRouter => self.start_router(router_metrics).await,
            Roles::ConnectionManager => self.start_manager(manager_metrics),
        }
    }

    async fn start_all(&mut self, metrics: Metrics, router_metrics: Arc<RouterMetrics>) -> Result<(), ComposeError> {
        let engine = router::engine(&self.settings)?;
        let store = router::open_store(&self.settings, &self.data, true).await?;
        let dialers = Dialers { raft: Arc::new(Alone), forward: Arc::new(Alone), cluster: Arc::new(Alone) };
        let config = router::alone(&self.settings);
        let parts = router::build(&self.settings, config, dialers, store, engine.clone(), router_metrics).await?;
        self.router = Some(parts.clone());
        vesta_router::meta::join::join(parts.router.clone(), parts.raft.clone()).await?;
        self.watch_router(&parts);
        self.serve_socket(&parts)?;
        let dialer = Arc::new(LocalDialer(Arc::new(Acceptor(parts.router.clone()))));
        let config = manager::config(&self.settings, &self.data, &engine);
        let handle = ConnectionManager::start(config, dialer, metrics)?;
        handle.ready().await;
        self.watch_manager(&handle);
        self.manager = Some(handle);
        Ok(())
    }

    async fn start_router(&mut self, metrics: Arc<RouterMetrics>) -> Result<(), ComposeError> {
        let security = self.security()?;
        let config = router::of_cluster(&self.settings, &self.data)?;
        let address = self.settings.cluster.listen;
        let listener = TcpListener::bind(address).await.map_err(|reason| ComposeError::Listen {
            key: "cluster.listen",
            address: address.to_string(),
            reason,
        })?;
        let engine = router::engine(&self.settings)?;
        let store = router::open_store(&self.settings, &self.data, false).await?;
        let dialer = Arc::new(GrpcDialer::new(security.clone(), self.tasks.clone(), self.stop.clone()));
        let dialers = Dialers { raft: dialer.clone(), forward: dialer.clone(), cluster: dialer };
        let parts = router::build(&self.settings, config, dialers, store, engine, metrics).await?;
        self.router = Some(parts.clone());
        self.watch_router(&parts);
        let acceptor = Arc::new(Acceptor(parts.router.clone()));
        let services = Services {
            attach: Some(acceptor.clone()),
            forward: Some(acceptor.clone()),
            raft: Some(Arc::new(parts.raft.clone())),
            cluster: Some(acceptor),
            administration: Some(parts.administration.clone()),
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            if let Err(error) = serve(listener, security, services, stop.clone()).await {
                tracing::error!(%error, "other nodes can't be served any more: the process ends");
                stop.cancel();
            }
        });
        self.serve_socket(&parts)?;
        vesta_router::meta::join::join(parts.router.clone(), parts.raft.clone()).await?;
        Ok(())
    }

    fn start_manager(&mut self, metrics: Metrics) -> Result<(), ComposeError> {
        if self.settings.cluster.routers.is_empty() {
            let reason = "a connection manager needs at least one router to begin with".into();
            return Err(ComposeError::Setting { key: "cluster.routers", reason });
        }
        let security = self.security()?;
        let engine = router::engine(&self.settings)?;
        let mut config = manager::config(&self.settings, &self.data, &engine);
        config.routers = manager::routers(&self.settings);
        let dialer = Arc::new(GrpcDialer::new(security, self.tasks.clone(), self.stop.clone()));
        let handle = ConnectionManager::start(config, dialer, metrics)?;
        self.watch_manager(&handle);
        self.manager = Some(handle);
        Ok(())
    }

    /// How this node speaks to others.
    fn security(&self) -> Result<Security, ComposeError> {
        let cluster = &self.settings.cluster;
        match (&cluster.authority, &cluster.certificate, &cluster.key) {
            (Some(ca), Some(certificate), Some(key)) => {
                let files = NodeTlsFiles { ca: ca.clone(), certificate: certificate.clone(), key: key.clone() };
                Ok(Security::MutualTls(NodeTls::load(files)?))
            }
            _ if cluster.insecure_plain_text => {
                tracing::warn!("nodes speak in clear and trust everybody: for development on one machine only");
                Ok(Security::PlainText)
            }
            _ => {
                let reason = "set cluster.authority, cluster.certificate and cluster.key (`vesta certificates` makes them), \
                              or cluster.insecure_plain_text = true for development on one machine";
                Err(ComposeError::Setting { key: "cluster.certificate", reason: reason.into() })
            }
        }
    }

    async fn serve_http(&self) -> Result<(), ComposeError> {
        let Some(address) = self.settings.administration.http else { return Ok(()) };
        let listener = TcpListener::bind(address).await.map_err(|reason| ComposeError::Listen {
            key: "administration.http",
            address: address.to_string(),
            reason,
        })?;
        let (health, registry, stop) = (self.health.clone(), self.registry.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            if let Err(error) = vesta_admin::serve(listener, health, registry, stop).await {
                tracing::error!(%error, "health and metrics can't be served any more");
            }
        });
        Ok(())
    }

    fn serve_socket(&self, parts: &RouterParts) -> Result<(), ComposeError> {
        let path = self.data.join(SOCKET);
        let listener = bind_socket(&path).map_err(|reason| ComposeError::Listen {
            key: "--data",
            address: path.display().to_string(),
            reason,
        })?;
        let (administration, stop) = (parts.administration.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            if let Err(error) = serve_socket(listener, administration, stop).await {
                tracing::error!(%error, "administration can't be served any more");
            }
        });
        Ok(())
    }

    fn watch_router(&self, parts: &RouterParts) {
        let router = parts.router.clone();
        self.health.add("the leader of every shard is known", move || {
            router.shards() > 0 && router.leaders().iter().all(|leader| leader.node.is_some())
        });
        let answers = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (store, seen) = (parts.store.clone(), answers.clone());
        parts.router.spawn(async move {
            loop {
                seen.store(store.ping().await.is_ok(), std::sync::atomic::Ordering::Relaxed);
                tokio::time::sleep(DATABASE_EVERY).await;
            }
        });
        self.health.add("the database answers", move || answers.load(std::sync::atomic::Ordering::Relaxed));
    }

    fn watch_manager(&self, handle: &Handle) {
        let ready = handle.readiness();
        self.health.add("clients are accepted and the leader of every shard is linked", ready);
    }

    /// The connection manager, if this process has that role.
    pub fn manager(&self) -> Option<&Handle> {
        self.manager.as_ref()
    }

    /// The registry that `/metrics` shows.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// Ended by itself: something that the process can't do without has failed.
    pub fn failed(&self) -> CancellationToken {
        self.router.as_ref().map_or_else(|| self.stop.clone(), |parts| parts.router.cancel.clone())
    }

    /// Ends in order: clients leave, leaderships go to others, links close, the store is left whole.
    pub async fn stop(mut self) {
        if let Some(handle) = self.manager.take() {
            handle.drain(self.settings.clients.drain.0).await;
            handle.shutdown().await;
        }
        if let Some(parts) = self.router.take() {
            vesta_router::meta::shards::hand_over(&parts.router).await;
            parts.router.stop().await;
            self.stop.cancel();
            parts.raft.stop().await;
            parts.store.close().await;
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // The socket's file is no use without the process.
        let _ = std::fs::remove_file(self.data.join(SOCKET));
    }
}

/// How often the database is asked whether it answers.
const DATABASE_EVERY: Duration = Duration::from_secs(2);
