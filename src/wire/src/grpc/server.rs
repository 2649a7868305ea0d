//! The serving side: takes connections, finds out who calls, and hands links and calls to the router.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Streaming;
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;

use super::accept::{Connection, accept};
use super::access::only;
use super::administration::AdministrationService;
use super::attach::AttachService;
use super::batch::Batch;
use super::cluster::ClusterService;
use super::forward::ForwardService;
use super::pump::pump;
use super::raft::RaftService;
use super::{
    CALL_TIMEOUT, CONNECTION_WINDOW_BYTES, CONNECTIONS_MAX, HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, PENDING_RESETS_MAX,
    PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::administration::Administration;
use crate::cluster::ClusterAcceptor;
use crate::convert::Malformed;
use crate::link::{self, AttachAcceptor, ForwardAcceptor, Link};
use crate::proto::administration_server::AdministrationServer;
use crate::proto::attach_server::AttachServer;
use crate::proto::cluster_server::ClusterServer;
use crate::proto::forward_server::ForwardServer;
use crate::proto::raft_server::RaftServer;
use crate::raft::RaftAcceptor;
use crate::tls::{Role, Security};

/// What a router serves. What is `None` is not there.
#[derive(Clone, Default)]
pub struct Services {
    /// Links of connection managers.
    pub attach: Option<Arc<dyn AttachAcceptor>>,
    /// Links of other routers.
    pub forward: Option<Arc<dyn ForwardAcceptor>>,
    /// Raft calls of other routers.
    pub raft: Option<Arc<dyn RaftAcceptor>>,
    /// Other calls of other routers.
    pub cluster: Option<Arc<dyn ClusterAcceptor>>,
    /// Requests of administrators.
    pub administration: Option<Arc<dyn Administration>>,
}

/// Serving has ended otherwise than by shutdown.
#[derive(Debug, thiserror::Error)]
#[error("the node can no longer be called: {0}")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves nodes and administrators until `shutdown`, then ends all links and waits for the calls under way, a few
/// seconds at most.
///
/// # Errors
/// Only where the HTTP/2 server fails as a whole; what single connections do wrong ends only them.
pub async fn serve(
    listener: TcpListener,
    security: Security,
    services: Services,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    if matches!(security, Security::PlainText) {
        tracing::warn!("nodes are served in plain text: whoever reaches the port may do everything");
    }
    let door = Door::new(shutdown.child_token());
    let (accepted, connections) = mpsc::channel(1);
    door.tasks.spawn(accept(listener, security, accepted, door.clone()));
    door.serve(services, ReceiverStream::new(connections)).await
}

/// What the connections of one listener share.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    room: Arc<Semaphore>,
}

impl Door {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { tasks: TaskTracker::new(), stop, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }

    /// Waits for room for one connection more.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        self.room.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    pub(super) async fn serve(
        self,
        services: Services,
        connections: impl Stream<Item = Connection>,
    ) -> Result<(), ServeError> {
        let links = LinkTasks { tasks: self.tasks.clone(), stop: self.stop.clone() };
        let serving = http2()
            .add_routes(routes(services, &links))
            .serve_with_incoming_shutdown(connections.map(Ok::<_, Infallible>), self.stop.clone().cancelled_owned());
        let overdue = async {
            self.stop.cancelled().await;
            tokio::time::sleep(CALL_TIMEOUT).await;
        };
        let served = tokio::select! {
            served = serving => served,
            () = overdue => Ok(()),
        };
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        Ok(served?)
    }
}

/// The limits of each connection.
fn http2() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
}

/// Each service behind the check of who may call it.
fn routes(services: Services, links: &LinkTasks) -> Routes {
    const MANAGERS: &[Role] = &[Role::ConnectionManager];
    const ROUTERS: &[Role] = &[Role::SessionRouter];
    const ADMINISTRATORS: &[Role] = &[Role::Administrator, Role::SessionRouter];
    let mut routes = RoutesBuilder::default();
    if let Some(acceptor) = services.attach {
        let server = AttachServer::new(AttachService { acceptor, tasks: links.clone() });
        let server = server.max_decoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(InterceptedService::new(server, only(MANAGERS)));
    }
    if let Some(acceptor) = services.forward {
        let server = ForwardServer::new(ForwardService { acceptor, tasks: links.clone() });
        let server = server.max_decoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(InterceptedService::new(server, only(ROUTERS)));
    }
    if let Some(acceptor) = services.raft {
        let server = RaftServer::new(RaftService { acceptor }).max_decoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(InterceptedService::new(server, only(ROUTERS)));
    }
    if let Some(acceptor) = services.cluster {
        let server = ClusterServer::new(ClusterService { acceptor }).max_decoding_message_size(MESSAGE_BYTES_MAX);
        routes.add_service(InterceptedService::new(server, only(ROUTERS)));
    }
    if let Some(administration) = services.administration {
        let server = AdministrationServer::new(AdministrationService { administration });
        routes.add_service(InterceptedService::new(server, only(ADMINISTRATORS)));
    }
    routes.routes()
}

/// Where the tasks of links run.
#[derive(Clone)]
pub(super) struct LinkTasks {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl LinkTasks {
    /// Makes a link of a stream that came in: the router's end, and the batches to send.
    pub(super) fn accept<S, R, Out, In>(
        &self,
        incoming: Streaming<In>,
        peer: Option<String>,
    ) -> (Link<S, R>, ReceiverStream<Out>)
    where
        S: Send + 'static,
        R: TryFrom<In::Frame, Error = Malformed> + Send + 'static,
        Out: Batch,
        Out::Frame: From<S>,
        In: Batch,
    {
        let (near, far) = link::pair();
        let (wire, batches) = mpsc::channel(1);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            match pump(far, wire, incoming, stop).await {
                Ok(()) => tracing::debug!(peer, "the link has ended"),
                Err(error) => tracing::warn!(peer, %error, "the link is broken"),
            }
        });
        (near, ReceiverStream::new(batches))
    }
}
