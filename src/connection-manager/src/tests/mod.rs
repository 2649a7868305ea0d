//! The connection manager as its neighbours see it: real loopback sockets on one side, scripted routers on the other.
//!
//! [`World`] starts one, [`Router`] is a router's end of a link with its frames spelled out, [`Client`] is a client's with
//! its XML. Nothing here waits for time to pass: every step waits for what it is told.

mod client;
mod hostile;
mod login;
mod management;
mod resumption;
mod router;
mod sessions;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, LimitsConfig};
use crate::manager::{ConnectionManager, Handle};
use crate::metrics::Metrics;
use client::Client;
use router::{Dialer, Router};

/// The virtual hosts of the tests; the first is the default one.
const HOSTS: [&str; 2] = ["capulet.example", "montague.example"];

/// A connection manager, its metrics, and the routers that it dials.
struct World {
    manager: Handle,
    metrics: Metrics,
    dialer: Arc<Dialer>,
    data: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        Self::start_with(|_| ())
    }

    fn start_with_limits(change: impl FnOnce(&mut LimitsConfig)) -> Self {
        Self::start_with(|config| change(&mut config.limits))
    }

    fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut config = Config::new(HOSTS.map(str::to_owned).to_vec(), data.path().join("tls"));
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        config.starttls = vec![loopback];
        config.direct_tls = vec![loopback];
        config.routers = vec!["verona".into()];
        change(&mut config);
        let dialer = Arc::new(Dialer::default());
        let metrics = Metrics::default();
        let manager = ConnectionManager::start(config, dialer.clone(), metrics.clone()).expect("a manager");
        Self { manager, metrics, dialer, data }
    }

    /// The router at `verona`, said welcome to the manager, leading every shard in term 1.
    async fn router(&self) -> Router {
        let mut router = self.dialer.accept("verona").await;
        router.welcome(1, &["verona"]).await;
        self.manager.ready().await;
        router
    }

    fn starttls(&self) -> SocketAddr {
        self.manager.addresses().starttls[0]
    }

    fn direct_tls(&self) -> SocketAddr {
        self.manager.addresses().direct_tls[0]
    }

    /// Juliet's stream, bound as session 7 with resource `balcony`.
    async fn juliet(&self, router: &mut Router) -> Client {
        self.bound(router, 7, "balcony").await
    }

    async fn bound(&self, router: &mut Router, number: u64, resource: &str) -> Client {
        let mut client = Client::direct_tls(self, HOSTS[0]).await;
        tokio::join!(client.log_in(resource), router.log_in(number));
        client
    }
}

/// Runs a test with a guard against hanging.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
    });
}
