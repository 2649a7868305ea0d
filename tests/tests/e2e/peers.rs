//! The client library against a server that we did not write: what our server and our client agree on may be wrong in both.
//!
//! Needs Prosody: `cargo test -p vesta-tests -- --ignored peers` installs it from Debian's packages (as root) and runs it on loopback, by
//! `loadtest/peers`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use vesta_client::xmpp::payload::carbon::Direction;
use vesta_client::xmpp::{BareJid, Jid};
use vesta_client::{Archived, Backoff, Client, Config, Error, Event, Events, History, Security, Trust, stanza};
use vesta_tests::ledger::relay::Relay;
use vesta_tests::{run, within};

const PASSWORD: &str = "a rose";

/// A Prosody that runs. Dropped, it is stopped.
struct Prosody {
    directory: TempDir,
    address: SocketAddr,
    /// Its certificate's: it is no certificate of a public server.
    fingerprint: [u8; 32],
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../loadtest/peers/prosody")
}

async fn output(command: &mut Command) -> String {
    let output = within("a command to end", command.output()).await.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// SHA-256 of a certificate.
async fn fingerprint(certificate: &Path) -> [u8; 32] {
    let mut openssl = Command::new("openssl");
    let said = output(openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(certificate)).await;
    let digits = said.trim().rsplit('=').next().unwrap_or_default().split(':');
    let bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect();
    bytes.try_into().expect("32 bytes")
}

impl Prosody {
    async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("vesta-peer").tempdir().expect("a directory");
        let facts = output(Command::new(script()).arg("start").arg(directory.path()).arg("--archive")).await;
        let address = facts.split_whitespace().find_map(|fact| fact.strip_prefix("starttls="));
        let address = address.and_then(|address| address.parse().ok()).expect("it prints where it listens");
        let fingerprint = fingerprint(&directory.path().join("clients.pem")).await;
        let prosody = Self { directory, address, fingerprint };
        for name in ["romeo", "juliet"] {
            let config = prosody.directory.path().join("prosody.cfg.lua");
            let mut register = Command::new("prosodyctl");
            output(register.arg("--config").arg(config).args(["register", name, "localhost", PASSWORD])).await;
        }
        prosody
    }

    /// Ends it, and starts it again with the same data.
    async fn restart(&self) {
        output(Command::new(script()).arg("restart").arg(self.directory.path())).await;
    }
}

impl Drop for Prosody {
    fn drop(&mut self) {
        // Nothing more can be done if it does not stop.
        let _ = std::process::Command::new(script()).arg("stop").arg(self.directory.path()).status();
    }
}

/// A client that is there, with the events it gets.
struct Player {
    client: Client,
    events: Events,
    /// How often its session went on over another connection.
    resumptions: u32,
}

impl Prosody {
    /// Logs in at `address`: its own, or a relay's before it.
    async fn online(&self, name: &str, resource: &str, address: SocketAddr) -> Player {
        let config = Config::new(&format!("{name}@localhost"), PASSWORD)
            .expect("a bare JID")
            .with_server(address.ip().to_string(), address.port(), Security::StartTls)
            .with_resource(resource)
            .with_trust(Trust::Pinned(vec![self.fingerprint]));
        let reconnect = Some(Backoff { first: Duration::from_millis(50), ..Backoff::default() });
        let config = Config { reconnect, answer_receipts: true, ..config };
        let (client, events) = within("a login", Client::connect(config)).await.expect("logs in");
        client.set_presence(None, None, 0).await.expect("there is a session");
        let mut player = Player { client, events, resumptions: 0 };
        player.wait_for("its own presence", |event| matches!(event, Event::Presence(_)).then_some(())).await;
        player
    }
}

impl Player {
    async fn wait_for<T>(&mut self, what: &str, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.next().await.expect("the client lives");
                self.resumptions += u32::from(matches!(event, Event::Resumed));
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        })
        .await
    }

    /// Reads until a message with this body has come, and gives the bodies of all on the way.
    async fn read_until(&mut self, last: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        self.wait_for(&format!("the message {last:?}"), |event| {
            if let Event::Message(message) = event {
                bodies.extend(stanza::body(&message));
            }
            bodies.last().is_some_and(|body| body == last).then_some(())
        })
        .await;
        bodies
    }

    async fn chat(&self, to: &str, body: &str) {
        let to = Jid::parse(to).expect("a JID");
        within("a place for a message", self.client.chat(to, body)).await.expect("there is a session");
    }
}

async fn read_all(mut history: History) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some(Archived { message, stamp, .. }) = within("a page", history.next()).await.expect("an archive") {
        assert!(stamp.is_some(), "an archived message without time");
        bodies.extend(stanza::body(&message));
    }
    bodies
}

fn numbered(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// XEP-0198: cut again and again, with messages both ways, nothing is lost, doubled or overtaken.
#[test]
#[ignore = "needs Prosody"]
fn prosody_resumes_sessions_whose_connections_were_cut() {
    run(async {
        let prosody = Prosody::start().await;
        let relay = Relay::start(prosody.address).await;
        let mut juliet = prosody.online("juliet", "balcony", relay.address).await;
        let mut romeo = prosody.online("romeo", "orchard", prosody.address).await;
        for round in 0..5 {
            let numbers = round * 10 + 1..=round * 10 + 10;
            for number in numbers.clone() {
                if number % 10 == 5 {
                    relay.cut();
                }
                juliet.chat("romeo@localhost", &number.to_string()).await;
                romeo.chat("juliet@localhost", &number.to_string()).await;
            }
            let last = numbers.end().to_string();
            assert_eq!(juliet.read_until(&last).await, numbered(numbers.clone()));
            assert_eq!(romeo.read_until(&last).await, numbered(numbers));
        }
        assert_eq!((juliet.resumptions, romeo.resumptions), (5, 0));
        juliet.client.close().await;
        romeo.client.close().await;
    });
}

/// XEP-0198 §5: a server that was restarted has forgotten the session; the client goes on with a new one, and says what may be lost.
#[test]
#[ignore = "needs Prosody"]
fn prosody_forgets_sessions_when_it_is_restarted() {
    run(async {
        let prosody = Prosody::start().await;
        let mut juliet = prosody.online("juliet", "balcony", prosody.address).await;
        juliet.chat("romeo@localhost", "before").await;
        juliet
            .wait_for("an acknowledgement", |event| {
                matches!(event, Event::Acknowledged(message) if stanza::body(&message).as_deref() == Some("before"))
                    .then_some(())
            })
            .await;
        prosody.restart().await;
        let unacknowledged = juliet
            .wait_for("a new session", |event| match event {
                Event::NewSession { unacknowledged, .. } => Some(unacknowledged),
                Event::Resumed => panic!("it was forgotten"),
                _ => None,
            })
            .await;
        assert_eq!(unacknowledged, []);
        juliet.chat("juliet@localhost", "after").await;
        juliet.client.set_presence(None, None, 0).await.expect("there is a session");
        assert_eq!(juliet.read_until("after").await, ["after"]);
        juliet.client.close().await;
    });
}

/// XEP-0313: over all pages, forwards, backwards, from a message on, and with one contact alone.
#[test]
#[ignore = "needs Prosody"]
fn prosodys_archive_is_walked_through() {
    run(async {
        let prosody = Prosody::start().await;
        let juliet = prosody.online("juliet", "balcony", prosody.address).await;
        let mut romeo = prosody.online("romeo", "orchard", prosody.address).await;
        for number in 1..=25 {
            juliet.chat("romeo@localhost", &number.to_string()).await;
        }
        romeo.read_until("25").await;
        let archive = || romeo.client.archive().pages_of(7);
        assert_eq!(read_all(archive().catch_up(None)).await, numbered(1..=25));
        let mut backwards = read_all(archive().backwards(None)).await;
        backwards.reverse();
        assert_eq!(backwards, numbered(1..=25));
        let mut walk = archive().catch_up(None);
        let mut tenth = None;
        for _ in 0..10 {
            tenth = walk.next().await.expect("an archive");
        }
        let tenth = tenth.expect("ten messages");
        assert_eq!(read_all(archive().catch_up(Some(&tenth.id))).await, numbered(11..=25));
        let contact = |name| BareJid::parse(name).expect("a bare JID");
        assert_eq!(read_all(archive().with(contact("juliet@localhost")).catch_up(None)).await, numbered(1..=25));
        assert_eq!(read_all(archive().with(contact("tybalt@localhost")).catch_up(None)).await, [""; 0]);
        let mut unknown = archive().catch_up(Some("no-such-id"));
        assert!(matches!(unknown.next().await, Err(Error::Refused(_))));
        juliet.client.close().await;
        romeo.client.close().await;
    });
}

/// XEP-0280 and XEP-0184: copies of both directions, and receipts that are asked for and given.
#[test]
#[ignore = "needs Prosody"]
fn prosody_sends_copies_and_passes_receipts() {
    run(async {
        let prosody = Prosody::start().await;
        let juliet = prosody.online("juliet", "balcony", prosody.address).await;
        let mut phone = prosody.online("juliet", "phone", prosody.address).await;
        let mut romeo = prosody.online("romeo", "orchard", prosody.address).await;
        phone.client.enable_carbons().await.expect("it knows copies");
        let mut copy = async |expected: Direction, body: &str| {
            let (direction, copied) = phone
                .wait_for("a copy", |event| match event {
                    Event::Carbon { direction, message, .. } => Some((direction, stanza::body(&message))),
                    _ => None,
                })
                .await;
            assert_eq!((direction, copied.as_deref()), (expected, Some(body)));
        };
        juliet.chat("romeo@localhost", "Art thou not Romeo?").await;
        copy(Direction::Sent, "Art thou not Romeo?").await;
        let balcony = Jid::parse("juliet@localhost/balcony").expect("a JID");
        let message = stanza::with_receipt_request(stanza::chat(balcony.clone(), "Neither, fair saint"));
        let sent = message.id.clone().expect("it has an id");
        romeo.client.send(message).await.expect("there is a session");
        copy(Direction::Received, "Neither, fair saint").await;
        let receipt = romeo
            .wait_for("a receipt", |event| match event {
                Event::Delivered { id, from } => Some((id, from)),
                _ => None,
            })
            .await;
        assert_eq!(receipt, (sent.to_string(), balcony));
        for player in [juliet, romeo, phone] {
            player.client.close().await;
        }
    });
}
