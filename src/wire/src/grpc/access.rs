//! Which role may call which service.

use tonic::{Request, Status};

use crate::tls::{NodeIdentity, Role};

/// Who is at the other end of a connection. An extension of each of its requests.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// A node that has shown its certificate.
    Node(NodeIdentity),
    /// Somebody who may open the administration socket.
    LocalUser,
    /// Anybody: plain text, for development.
    Anybody,
}

/// The check in front of a service: lets calls of `roles` through.
pub(super) fn only(roles: &'static [Role]) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone {
    move |request| match request.extensions().get::<Peer>() {
        Some(Peer::Node(node)) if roles.contains(&node.role) => Ok(request),
        Some(Peer::LocalUser | Peer::Anybody) => Ok(request),
        Some(Peer::Node(node)) => {
            tracing::warn!(peer = %node, "a node called a service that its role may not call");
            Err(Status::permission_denied(format!("a node of the role {} may not call this service", node.role)))
        }
        None => Err(Status::unauthenticated("the caller is not known")),
    }
}

/// The name in the caller's certificate, where it has shown one.
pub(super) fn peer_name<T>(request: &Request<T>) -> Option<String> {
    match request.extensions().get::<Peer>() {
        Some(Peer::Node(node)) => Some(node.name.clone()),
        _ => None,
    }
}
