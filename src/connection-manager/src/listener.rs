//! Listening sockets: what they accept is let in by [`Admission`](crate::connection::limits::Admission), or closed at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connection::Shared;
use crate::metrics::TransportLabel;

/// The pause after an error that more attempts would only repeat: no descriptors, no memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener and what its clients speak first.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    transport: TransportLabel,
    /// How long sent bytes may stay unacknowledged by a peer's TCP.
    unacknowledged_max: Duration,
}

impl Listener {
    /// Listens at `address`.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn bind(
        address: SocketAddr,
        transport: TransportLabel,
        backlog: u32,
        unacknowledged_max: Duration,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            // IPv4 has a listener of its own.
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(Self { socket: TcpListener::from_std(socket.into())?, transport, unacknowledged_max })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop`.
    pub(crate) async fn run(self, shared: Arc<Shared>, stop: CancellationToken) {
        while let Some(accepted) = stop.run_until_cancelled(self.socket.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.admit(&shared, stream, peer),
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted for the moment");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
        let Some(admitted) = shared.admission.admit(peer.ip(), self.transport, Instant::now()) else { return };
        if let Err(error) = self.prepare(&stream) {
            tracing::debug!(%error, %peer, "a connection was gone before it began");
            return;
        }
        shared.serve(stream, admitted, self.transport == TransportLabel::DirectTls);
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        SockRef::from(stream).set_tcp_user_timeout(Some(self.unacknowledged_max))
    }
}

/// Errors of the connection that was to be accepted, not of the listener.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
