//! A cluster: two connection managers and three session routers on PostgreSQL, with mutual TLS between them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use toml::{Table, Value};

use super::ports::free_address;
use super::{Access, Certificate, Options, settings};
use crate::process::{Process, vesta};
use crate::{http, postgres, until};

/// How many connection managers.
const MANAGERS: usize = 2;
/// How many session routers: as few as can lose one.
const ROUTERS: usize = 3;
/// Fewer shards than the default: elections of many groups take a debug build a while.
pub const SHARDS: i64 = 8;

/// The nodes, each a process.
pub struct Cluster {
    /// Connection managers, in the order of [`Access::starttls`].
    pub managers: Vec<Node>,
    /// Session routers.
    pub routers: Vec<Node>,
    /// How it is reached.
    pub access: Access,
    /// The nodes' certificates.
    pub certificates: NodeCertificates,
    directory: TempDir,
    /// Held as long as it runs.
    _turn: SemaphorePermit<'static>,
}

/// How many clusters run at the same time: five processes each, for which heartbeats must not come late.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new((cores / 3).max(1))
});

/// A node of a cluster.
pub struct Node {
    /// Its name, as in its certificate.
    pub name: String,
    /// The process.
    pub process: Process,
    /// Health and metrics.
    pub http: SocketAddr,
    /// Where it listens for other nodes: session routers alone.
    pub internal: Option<SocketAddr>,
    role: &'static str,
    directory: PathBuf,
}

/// The cluster's own authority and what it has signed.
pub struct NodeCertificates(PathBuf);

impl Cluster {
    /// Starts one on a database of its own and waits until it is ready.
    pub async fn start() -> Self {
        Self::start_with(&Options::default()).await
    }

    /// As [`Cluster::start`], with options.
    pub async fn start_with(options: &Options) -> Self {
        Self::start_on(options, &postgres::database().await).await
    }

    /// Starts one on a given database.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn start_on(options: &Options, database: &str) -> Self {
        let turn = TURNS.acquire().await.expect("it is never closed");
        let directory = tempfile::Builder::new().prefix("vesta-e2e").tempdir().expect("a directory");
        let certificate = Certificate::make(directory.path());
        let certificates = NodeCertificates::make(directory.path()).await;
        let plan = Plan { options, database, certificate: &certificate, certificates: &certificates };
        let internal: Vec<_> = (0..ROUTERS).map(|_| free_address()).collect();
        let mut routers = Vec::new();
        for (number, address) in internal.iter().enumerate() {
            routers.push(plan.router(number, *address, &internal, directory.path()).await);
        }
        let (mut managers, mut starttls, mut direct_tls) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..MANAGERS {
            starttls.push(free_address());
            direct_tls.push(free_address());
            let clients = settings::clients(starttls[number], direct_tls[number]);
            managers.push(plan.manager(number, clients, &internal, directory.path()).await);
        }
        let administered = routers[0].data();
        let access = Access { starttls, direct_tls, certificate, administered };
        let mut cluster = Self { managers, routers, access, certificates, directory, _turn: turn };
        cluster.ready().await;
        cluster
    }

    /// Waits until every node that runs is ready.
    ///
    /// # Panics
    /// One does not become ready.
    pub async fn ready(&mut self) {
        for node in self.routers.iter_mut().chain(&mut self.managers) {
            if node.process.runs() {
                node.ready().await;
            }
        }
    }

    /// The directory that everything of it is in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.routers.iter().chain(&self.managers)
    }
}

impl Node {
    /// Starts it again after its end, with the same data. Whoever needs it waits for [`Node::ready`].
    pub fn restart(&mut self) {
        self.process = launch(&self.name, self.role, &self.directory);
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn ready(&mut self) {
        until(&format!("{} to be ready", self.name), async || {
            assert!(self.process.runs(), "{} has ended:\n{}", self.name, self.process.log());
            http::get(self.http, "/readyz").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }
}

impl NodeCertificates {
    async fn make(directory: &Path) -> Self {
        let place = directory.join("nodes");
        std::fs::create_dir(&place).expect("a writable directory");
        let certificates = Self(place);
        vesta(&["certificates", "authority", "--out", certificates.place()], "").await.success();
        certificates
    }

    fn place(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }

    /// Issues a certificate: `connection-manager`, `session-router`, `administrator`.
    ///
    /// # Panics
    /// It can't be issued.
    pub async fn issue(&self, role: &str, name: &str) {
        let place = self.place();
        let arguments = ["certificates", "issue", "--role", role, "--name", name, "--authority", place, "--out", place];
        vesta(&arguments, "").await.success();
    }

    /// The authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.0.join("authority.pem")
    }

    /// A node's certificate.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    /// A node's key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }
}

/// What the nodes' configurations are made of.
struct Plan<'a> {
    options: &'a Options,
    database: &'a str,
    certificate: &'a Certificate,
    certificates: &'a NodeCertificates,
}

impl Plan<'_> {
    async fn router(&self, number: usize, address: SocketAddr, routers: &[SocketAddr], place: &Path) -> Node {
        let name = router_name(number);
        let mut own = settings::table([("listen", address.to_string().into())]);
        own.insert("shards".into(), SHARDS.into());
        let storage = settings::table([("url", self.database.into())]);
        let extra = settings::table([("storage", storage.into())]);
        let mut node = self.node("session-router", name, own, extra, routers, place).await;
        node.internal = Some(address);
        node
    }

    async fn manager(&self, number: usize, clients: Value, routers: &[SocketAddr], place: &Path) -> Node {
        let extra = settings::table([("clients", clients)]);
        self.node("connection-manager", format!("manager-{number}"), Table::new(), extra, routers, place).await
    }

    async fn node(
        &self,
        role: &'static str,
        name: String,
        mut cluster: Table,
        extra: Table,
        routers: &[SocketAddr],
        place: &Path,
    ) -> Node {
        self.certificates.issue(role, &name).await;
        let http = free_address();
        let routers = routers.iter().enumerate().map(|(number, address)| {
            let entry = [("name", router_name(number).into()), ("address", address.to_string().into())];
            Value::Table(settings::table(entry))
        });
        cluster.insert("routers".into(), Value::Array(routers.collect()));
        cluster.insert("authority".into(), settings::path(&self.certificates.authority()));
        cluster.insert("certificate".into(), settings::path(&self.certificates.certificate(&name)));
        cluster.insert("key".into(), settings::path(&self.certificates.key(&name)));
        let mut file = self.options.common(&name, self.certificate, http);
        file.insert("cluster".into(), cluster.into());
        file.extend(extra);
        let directory = place.join(&name);
        std::fs::create_dir(&directory).expect("a writable directory");
        self.options.write(file, &directory.join("vesta.toml"));
        let process = launch(&name, role, &directory);
        Node { name, process, http, internal: None, role, directory }
    }
}

fn router_name(number: usize) -> String {
    format!("router-{number}")
}

fn launch(name: &str, role: &str, directory: &Path) -> Process {
    let (data, config) = (directory.join("data"), directory.join("vesta.toml"));
    let arguments = [role, "--data", data.to_str().expect("plain"), "--config", config.to_str().expect("plain")];
    Process::start(name, &arguments, &directory.join("log"))
}
