//! A relay in front of a connection manager, whose connections can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes bytes both ways. Dropped, it and its connections end.
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    /// How often its connections were cut.
    cuts: watch::Sender<u64>,
    connections: Arc<AtomicUsize>,
    _listening: JoinSet<()>,
}

impl Relay {
    /// Starts one in front of `target`.
    ///
    /// # Panics
    /// No port is free.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (cuts, cut) = watch::channel(0);
        let connections = Arc::new(AtomicUsize::new(0));
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, target, cut, connections.clone()));
        Self { address, cuts, connections, _listening: listening }
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn listen(listener: TcpListener, target: SocketAddr, cut: watch::Receiver<u64>, connections: Arc<AtomicUsize>) {
    let mut relayed = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                relayed.spawn(pass(client, target, cut.clone(), connections.clone()));
            }
            Some(_) = relayed.join_next() => {}
        }
    }
}

async fn pass(mut client: TcpStream, target: SocketAddr, mut cut: watch::Receiver<u64>, connections: Arc<AtomicUsize>) {
    // Whoever connects while nobody listens behind sees the connection closed.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    cut.mark_unchanged();
    connections.fetch_add(1, Ordering::Relaxed);
    tokio::select! {
        // However it ends, both sides are closed.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.changed() => {}
    }
    connections.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn bytes_pass_until_the_connection_is_cut() {
        crate::run(async {
            let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let relay = Relay::start(target.local_addr().expect("it is bound")).await;
            let mut client = TcpStream::connect(relay.address).await.expect("it listens");
            let (mut server, _) = target.accept().await.expect("a connection");
            client.write_all(b"Hist").await.expect("it is read");
            let mut read = [0; 4];
            server.read_exact(&mut read).await.expect("four bytes");
            assert_eq!((&read, relay.connections()), (b"Hist", 1));
            relay.cut();
            assert!(matches!(server.read(&mut read).await, Ok(0) | Err(_)));
            assert!(matches!(client.read(&mut read).await, Ok(0) | Err(_)));
        });
    }
}
