//! Bounded, ordered, two-way links of frames: in-process channels, or the ends of a gRPC stream.

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::attach::{RouterInfo, ToManager, ToRouter};
use crate::forward::{FromOwner, ToOwner};

/// How many frames wait in one direction of a link. A sender finds it full: managers wait, routers leave the frames in the
/// sessions' outboxes until there is room again.
pub const FRAMES_MAX: usize = 4096;

/// One end of a link: what this side sends, and what it receives. Either channel closed means that the link is gone.
#[derive(Debug)]
pub struct Link<S, R> {
    /// To the other side.
    pub sender: mpsc::Sender<S>,
    /// From the other side.
    pub receiver: mpsc::Receiver<R>,
}

/// A manager's end.
pub type ManagerLink = Link<ToRouter, ToManager>;
/// A router's end of a link to a manager.
pub type RouterLink = Link<ToManager, ToRouter>;
/// The end of a router that forwards.
pub type ForwardLink = Link<ToOwner, FromOwner>;
/// The end of a router that is forwarded to.
pub type OwnerLink = Link<FromOwner, ToOwner>;

/// Two ends within one process.
pub fn pair<A, B>() -> (Link<A, B>, Link<B, A>) {
    let (to_second, from_first) = mpsc::channel(FRAMES_MAX);
    let (to_first, from_second) = mpsc::channel(FRAMES_MAX);
    (Link { sender: to_second, receiver: from_second }, Link { sender: to_first, receiver: from_first })
}

/// Why a link could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody answers at the address.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// The transport's words.
        reason: String,
    },
    /// The other side refuses: wrong certificate, wrong role, wrong version.
    #[error("{address} refuses the link: {reason}")]
    Refused {
        /// Where.
        address: String,
        /// The other side's words.
        reason: String,
    },
}

/// Makes a manager's links to routers.
#[async_trait]
pub trait AttachDialer: Send + Sync + 'static {
    /// Connects to one router.
    async fn attach(&self, router: &RouterInfo) -> Result<ManagerLink, LinkError>;
}

/// Takes the links that managers make: the router.
pub trait AttachAcceptor: Send + Sync + 'static {
    /// Serves `link` until it is gone. `peer` is the name in the manager's certificate, where there is one.
    fn accept(&self, link: RouterLink, peer: Option<String>);
}

/// Makes a router's links to other routers.
#[async_trait]
pub trait ForwardDialer: Send + Sync + 'static {
    /// Connects to one router.
    async fn forward(&self, router: &RouterInfo) -> Result<ForwardLink, LinkError>;
}

/// Takes the links that other routers make.
pub trait ForwardAcceptor: Send + Sync + 'static {
    /// Serves `link` until it is gone. `peer` is the name in the router's certificate, where there is one.
    fn accept(&self, link: OwnerLink, peer: Option<String>);
}
