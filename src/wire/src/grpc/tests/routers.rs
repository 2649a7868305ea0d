//! What the tests share: certificates, routers that hand out what comes in, addresses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::NodeId;
use crate::attach::RouterInfo;
use crate::grpc::{GrpcDialer, Services, serve};
use crate::link::{AttachAcceptor, ForwardAcceptor, OwnerLink, RouterLink};
use crate::tls::{NodeIdentity, NodeTls, NodeTlsFiles, Pem, Role, Security, authority, issue};

/// The authority of one cluster, and a directory for its nodes' files.
pub(super) struct Cluster {
    pub(super) directory: TempDir,
    pub(super) authority: Pem,
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self { directory: TempDir::new().expect("a directory"), authority: authority().expect("an authority") }
    }

    /// What a node of this cluster proves itself with.
    pub(super) fn node(&self, role: Role, name: &str) -> Security {
        let files = self.files(role, name);
        Security::MutualTls(NodeTls::load(files).expect("usable files"))
    }

    /// Writes a node's files.
    pub(super) fn files(&self, role: Role, name: &str) -> NodeTlsFiles {
        let pem = issue(&self.authority, &NodeIdentity { role, name: name.to_owned() }).expect("a certificate");
        let files = self.paths(name);
        write(&files.ca, &self.authority.certificate);
        write(&files.certificate, &pem.certificate);
        write(&files.key, &pem.key);
        files
    }

    fn paths(&self, name: &str) -> NodeTlsFiles {
        let path = |kind: &str| -> PathBuf { self.directory.path().join(format!("{name}.{kind}.pem")) };
        NodeTlsFiles { ca: path("ca"), certificate: path("certificate"), key: path("key") }
    }
}

pub(super) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file that can be written");
}

/// Puts what comes in where the test takes it out.
pub(super) struct Inbox<L>(mpsc::UnboundedSender<(L, Option<String>)>);

impl AttachAcceptor for Inbox<RouterLink> {
    fn accept(&self, link: RouterLink, peer: Option<String>) {
        self.0.send((link, peer)).expect("the test waits for links");
    }
}

impl ForwardAcceptor for Inbox<OwnerLink> {
    fn accept(&self, link: OwnerLink, peer: Option<String>) {
        self.0.send((link, peer)).expect("the test waits for links");
    }
}

/// A router that serves on a free port, and stops when it is dropped.
pub(super) struct TestRouter {
    pub(super) info: RouterInfo,
    pub(super) attached: mpsc::UnboundedReceiver<(RouterLink, Option<String>)>,
    pub(super) forwarded: mpsc::UnboundedReceiver<(OwnerLink, Option<String>)>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl TestRouter {
    /// A router called `name` that serves links, and `services` beside.
    pub(super) async fn start(name: &str, security: Security, services: Services) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (attach, attached) = mpsc::unbounded_channel();
        let (forward, forwarded) = mpsc::unbounded_channel();
        let services =
            Services { attach: Some(Arc::new(Inbox(attach))), forward: Some(Arc::new(Inbox(forward))), ..services };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(serve(listener, security, services, stop.clone()));
        tasks.close();
        let info = RouterInfo { node: NodeId(1), name: name.into(), address: address.into() };
        Self { info, attached, forwarded, stop, tasks }
    }

    /// The next link of a manager.
    pub(super) async fn manager(&mut self) -> RouterLink {
        self.attached.recv().await.expect("a link").0
    }
}

impl Drop for TestRouter {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) fn dialer(security: Security) -> GrpcDialer {
    GrpcDialer::new(security, TaskTracker::new(), CancellationToken::new())
}
