//! A bare relay of bytes as physical reference: what sockets alone cost. Connections come in pairs, and what one sends the other
//! gets, unread.
//!
//! A connection begins with a line that says whose end it is, [`Hello`]; it stands in for the login.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::Error;

/// The first line of a connection: `PAIR 000000000000002a A`. All are of the same length, so that what follows is not read with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Which pair: the other end says the same.
    pub pair: u64,
    /// Which end of it.
    pub side: Side,
}

/// One end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The sender's.
    A,
    /// The receiver's.
    B,
}

/// How long a connection may take to say its line.
const HELLO_MAX: Duration = Duration::from_secs(10);

impl Hello {
    /// Bytes of the line.
    const BYTES: usize = "PAIR 0123456789abcdef A\n".len();

    /// `None`: not such a line.
    fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.strip_prefix("PAIR ")?.strip_suffix('\n')?;
        let (pair, side) = line.split_once(' ')?;
        let side = match side {
            "A" => Side::A,
            "B" => Side::B,
            _ => return None,
        };
        Some(Self { pair: u64::from_str_radix(pair, 16).ok()?, side })
    }
}

impl fmt::Display for Hello {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "PAIR {:016x} {:?}", self.pair, self.side)
    }
}

/// Relays until the task is dropped.
///
/// # Errors
/// No more connections can be taken.
pub async fn serve(listener: TcpListener) -> Result<(), Error> {
    let (mut greetings, mut relays) = (JoinSet::new(), JoinSet::new());
    // One end of each pair whose other end is not there yet; as many as there are connections.
    let mut waiting = HashMap::<u64, (Side, TcpStream)>::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (connection, _) = accepted.map_err(Error::system("a connection"))?;
                greetings.spawn(greet(connection));
            }
            Some(greeted) = greetings.join_next() => {
                let Ok(Some((hello, connection))) = greeted else { continue };
                match waiting.remove(&hello.pair) {
                    Some((side, other)) if side != hello.side => {
                        relays.spawn(relay(connection, other));
                    }
                    // The same end again: the first one is of no use any more.
                    _ => {
                        waiting.insert(hello.pair, (hello.side, connection));
                    }
                }
            }
            Some(_) = relays.join_next() => {}
        }
    }
}

/// `None`: whoever it is does not speak to a relay.
async fn greet(mut connection: TcpStream) -> Option<(Hello, TcpStream)> {
    connection.set_nodelay(true).ok()?;
    let mut line = [0; Hello::BYTES];
    timeout(HELLO_MAX, connection.read_exact(&mut line)).await.ok()?.ok()?;
    Some((Hello::parse(&line)?, connection))
}

async fn relay(mut one: TcpStream, mut other: TcpStream) {
    // A broken connection ends its pair: whoever measures sees that at the other end.
    let _ = copy_bidirectional(&mut one, &mut other).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[test]
    fn a_hello_is_read_as_it_was_written() {
        for hello in [Hello { pair: 42, side: Side::A }, Hello { pair: u64::MAX, side: Side::B }] {
            let line = hello.to_string();
            assert_eq!((line.len(), Hello::parse(line.as_bytes())), (Hello::BYTES, Some(hello)));
        }
        assert_eq!(Hello { pair: 42, side: Side::A }.to_string(), "PAIR 000000000000002a A\n");
        for line in
            ["", "PAIR 1 A", "PAIR 000000000000002a C\n", "PAIR 00000000000000zz A\n", "<?xml version='1.0'?>  "]
        {
            assert_eq!(Hello::parse(line.as_bytes()), None, "{line:?}");
        }
    }

    #[tokio::test]
    async fn what_one_end_sends_the_other_gets() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let ends = async {
            let connect = |side, pair| async move {
                let mut connection = TcpStream::connect(address).await.expect("it listens");
                connection.write_all(Hello { pair, side }.to_string().as_bytes()).await.expect("it reads");
                connection
            };
            let _stranger = connect(Side::A, 8).await;
            let mut sender = connect(Side::A, 7).await;
            sender.write_all(b"<message/>").await.expect("it waits");
            let mut receiver = connect(Side::B, 7).await;
            let mut came = [0; 10];
            receiver.read_exact(&mut came).await.expect("they come");
            assert_eq!(&came, b"<message/>");
        };
        tokio::select! {
            ended = serve(listener) => panic!("{ended:?}"),
            () = ends => {}
        }
    }
}
