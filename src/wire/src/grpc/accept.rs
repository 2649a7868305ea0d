//! Takes TCP connections and finds out who calls, before a byte of HTTP/2 is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::Connected;

use super::access::Peer;
use super::server::Door;
use super::{CONNECT_TIMEOUT, READ_BYTES};
use crate::tls::{NodeIdentity, Security};

/// After a failed accept (no file handles left, mostly), the next is tried so much later.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes TCP connections and hands them on once it is known who calls.
pub(super) async fn accept(listener: TcpListener, security: Security, accepted: mpsc::Sender<Connection>, door: Door) {
    let stop = door.stop.clone();
    let listen = async {
        loop {
            let room = door.room().await;
            match listener.accept().await {
                Ok((stream, address)) => {
                    let greeting = greet(stream, security.clone(), room, accepted.clone());
                    door.tasks.spawn(door.stop.clone().run_until_cancelled_owned(async move {
                        if let Err(error) = greeting.await {
                            tracing::warn!(%address, %error, "a connection to the node's port was refused");
                        }
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = listen => {}
    }
}

/// Finds out who calls.
async fn greet(
    stream: TcpStream,
    security: Security,
    room: OwnedSemaphorePermit,
    accepted: mpsc::Sender<Connection>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = match security {
        Security::PlainText => Connection::new(stream, Peer::Anybody, room),
        Security::MutualTls(tls) => {
            let stream = BufReader::with_capacity(READ_BYTES, stream);
            let handshake = TlsAcceptor::from(tls.keys().server.clone()).accept(stream);
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, handshake).await.map_err(io::Error::other)??;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = certificate.ok_or_else(|| io::Error::other("no certificate was shown"))?;
            let node = NodeIdentity::from_certificate(certificate).map_err(io::Error::other)?;
            Connection::new(stream, Peer::Node(node), room)
        }
    };
    accepted.send(connection).await.map_err(|_| io::Error::other("the node is stopping"))
}

/// Bytes both ways.
trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A connection whose other end is known.
pub(super) struct Connection {
    stream: Pin<Box<dyn Duplex>>,
    peer: Peer,
    /// Given back with the connection's end.
    _room: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        peer: Peer,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self { stream: Box::pin(stream), peer, _room: room }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
