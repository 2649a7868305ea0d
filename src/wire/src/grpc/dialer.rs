//! The dialing side: a node's links and calls to routers.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::CALL_TIMEOUT;
use super::batch::Batch;
use super::connect::{call_error, connect, connect_lazy};
use super::heartbeats::Heartbeats;
use super::pump::pump;
use crate::attach::RouterInfo;
use crate::convert::Malformed;
use crate::link::{self, Link, LinkError};
use crate::tls::Security;

/// How many channels for calls are kept; at the limit all are dropped and made again as they are needed.
const CHANNELS_MAX: usize = 1024;

/// Dials routers over gRPC. Each link has a connection of its own, so that Raft's heartbeats never wait behind stanzas; all
/// calls to one router share another one, made with the first of them and again after it broke. A clone is the same dialer.
#[derive(Clone)]
pub struct GrpcDialer {
    shared: Arc<Shared>,
}

struct Shared {
    security: Security,
    tasks: TaskTracker,
    stop: CancellationToken,
    channels: Mutex<HashMap<Callee, Channel>>,
    heartbeats: Heartbeats,
}

/// An address, and the name of the router that must be there, where it is known.
type Callee = (String, Option<Arc<str>>);

impl GrpcDialer {
    /// A dialer that proves itself with `security`. The links' tasks run on `tasks`; `stop` ends them, whatever is still
    /// under way.
    pub fn new(security: Security, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            shared: Arc::new(Shared {
                security,
                tasks,
                stop,
                channels: Mutex::default(),
                heartbeats: Heartbeats::default(),
            }),
        }
    }

    /// The heartbeats that wait to go.
    pub(super) fn heartbeats(&self) -> &Heartbeats {
        &self.shared.heartbeats
    }

    /// Spawns a task that ends when the node stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.shared.stop.clone();
        self.shared.tasks.spawn(async move {
            let _ = stop.run_until_cancelled_owned(task).await;
        });
    }

    /// The channel for calls to the router at `address`. Where the router's name is not known, any router will do.
    pub(super) fn channel(&self, address: &str, name: Option<&Arc<str>>) -> Result<Channel, LinkError> {
        let key = (address.to_owned(), name.cloned());
        let mut channels = self.shared.channels.lock();
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        let channel = connect_lazy(address, name.cloned(), &self.shared.security)?;
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        channels.insert(key, channel.clone());
        Ok(channel)
    }

    /// Opens a link to `router`: `open` makes the service's call with the stream of outgoing batches.
    pub(super) async fn open_link<S, R, Out, In, Open, Opening>(
        &self,
        router: &RouterInfo,
        open: Open,
    ) -> Result<Link<S, R>, LinkError>
    where
        S: Send + 'static,
        R: TryFrom<In::Frame, Error = Malformed> + Send + 'static,
        Out: Batch,
        Out::Frame: From<S>,
        In: Batch,
        Open: FnOnce(Channel, Request<ReceiverStream<Out>>) -> Opening,
        Opening: Future<Output = Result<Response<Streaming<In>>, Status>>,
    {
        let channel = connect(&router.address, known_name(router), &self.shared.security).await?;
        let (wire, batches) = mpsc::channel(1);
        let opening = open(channel.clone(), Request::new(ReceiverStream::new(batches)));
        let incoming = within(CALL_TIMEOUT, opening).await.map_err(|status| call_error(&router.address, &status))?;
        let (near, far) = link::pair();
        let (stop, name) = (self.shared.stop.clone(), router.address.clone());
        self.shared.tasks.spawn(async move {
            match pump(far, wire, incoming, stop).await {
                Ok(()) => tracing::debug!(router = %name, "the link has ended"),
                Err(error) => tracing::warn!(router = %name, %error, "the link is broken"),
            }
            // The connection lives as long as its link.
            drop(channel);
        });
        Ok(near)
    }

    /// Makes a call to the router at `address`, answered within [`CALL_TIMEOUT`].
    pub(super) async fn call<T>(
        &self,
        address: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, LinkError> {
        within(CALL_TIMEOUT, call).await.map_err(|status| call_error(address, &status))
    }
}

/// Waits for an answer no longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

/// The name that the router's certificate must show; a router that is only known by its address may be any.
fn known_name(router: &RouterInfo) -> Option<Arc<str>> {
    Some(router.name.clone()).filter(|name| !name.is_empty())
}
