//! What an operator's receiver gets to see of a running server: what nodes do, as spans.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::info_span;
use vesta_wire::administration::{AccountAction, AccountCommand, Administration, AdministrationAddress};
use vesta_wire::grpc::AdministrationClient;
use vesta_wire::tls::Security;
use vesta_xmpp::negotiation::initiating::{Action, Config, Event, Initiating};
use vesta_xmpp::scan::{Item, Limits, Scanner};
use vesta_xmpp::{BareJid, Secret, ns};

use super::tests::{Place, Sink, settings};
use super::*;
use crate::compose::{Node, SOCKET};

/// A client as far as a bound resource. It has never heard of STARTTLS.
struct Client {
    connection: TcpStream,
    scanner: Scanner,
    read: VecDeque<u8>,
}

impl Client {
    async fn log_in(address: SocketAddr, account: BareJid, password: Secret) -> Self {
        let connection = TcpStream::connect(address).await.expect("somebody listens");
        let scanner = Scanner::new(Limits::AUTHENTICATED);
        let mut client = Self { connection, scanner, read: VecDeque::new() };
        let mut machine = Initiating::new(Config { require_tls: false, ..Config::new(account, password) });
        let mut event = Event::Connected;
        loop {
            for action in machine.handle(event, &mut |nonce| nonce.fill(7)) {
                match action {
                    Action::Send(bytes) => client.connection.write_all(&bytes).await.expect("the server reads"),
                    Action::Restart => client.scanner = Scanner::new(Limits::AUTHENTICATED),
                    Action::Established { .. } => return client,
                    other => panic!("{other:?}"),
                }
            }
            event = Event::Item(client.next().await);
        }
    }

    async fn next(&mut self) -> Item {
        loop {
            let bytes = self.read.make_contiguous();
            let mut rest = &*bytes;
            let item = self.scanner.next(&mut rest).expect("XMPP");
            let taken = bytes.len() - rest.len();
            self.read.drain(..taken);
            match item {
                Some(Item::Element(mut features)) => {
                    features.take_child(ns::TLS, "starttls");
                    return Item::Element(features);
                }
                Some(item) => return item,
                None => {}
            }
            let mut more = [0; 4096];
            let count = self.connection.read(&mut more).await.expect("the server writes");
            self.read.extend(&more[..count]);
        }
    }
}

/// Settings of a server on loopback that needs no TLS.
fn server(receiver: &str) -> Settings {
    let mut settings = settings(receiver);
    settings.clients.require_tls = false;
    settings.clients.starttls = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    settings.clients.direct_tls = Vec::new();
    settings.clients.drain = crate::config::quantity::Period::seconds(1);
    settings.administration.http = None;
    // Traces do not depend on it.
    settings.telemetry.log = "error".into();
    settings
}

async fn add_account(data: &Path, account: &BareJid, password: &Secret) {
    let address = AdministrationAddress::Socket(data.join(SOCKET));
    let administration = AdministrationClient::connect(&address, &Security::PlainText).await.expect("the socket");
    let action = AccountAction::Create { password: password.clone() };
    let made = administration.administer(AccountCommand { account: account.clone(), action }).await;
    made.expect("the account is made");
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Runs a server, with one login from its first to its last day.
async fn life(receiver: &str, account: BareJid, password: Secret) {
    let directory = tempfile::tempdir().expect("a directory");
    let (settings, metrics) = (server(receiver), ExportMetrics::default());
    let (dispatch, telemetry) = build(&settings, Roles::All, std::io::sink, false, &metrics).expect("telemetry");
    // The runtime has one thread: everything that the server does is traced.
    let traced = tracing::dispatcher::set_default(&dispatch);
    let node = Node::start(settings, directory.path(), Roles::All).await.expect("the server starts");
    add_account(directory.path(), &account, &password).await;
    let address = node.manager().expect("it serves clients").addresses().starttls[0];
    let client = Client::log_in(address, account, password).await;
    drop(client);
    node.stop().await;
    drop(traced);
    telemetry.end().await;
}

#[tokio::test]
async fn a_receiver_gets_the_spans_of_what_a_server_does() {
    let place = Place::new();
    let address = place.address();
    let (sink, _running) = Sink::start(place);
    let account = BareJid::parse("juliet@localhost").expect("a JID");
    life(&address, account, Secret::from("s3cret")).await;

    let received = sink.received();
    let spans = &received.spans[..];
    let [login] = named(spans, "login")[..] else { panic!("{:?}", named(spans, "login")) };
    assert_eq!(text(login, "xmpp.sasl.mechanism"), Some("SCRAM-SHA-512"));
    assert_eq!(text(login, "xmpp.login.outcome"), Some("bound"));
    let asked = named(spans, "ask a router");
    assert_eq!(asked.len(), 2, "for the salt and about the proof");
    for child in asked.into_iter().chain(named(spans, "bind a resource")) {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&login.trace_id, &login.span_id), "{}", child.name);
    }
    for name in [
        "administration",
        "attach a connection manager",
        "bind a resource",
        "database transaction",
        "drain",
        "link to a router",
        "migrate the database",
        "take over a shard",
    ] {
        assert!(!named(spans, name).is_empty(), "no {name}");
    }
    // Neither passwords nor who is there.
    let all = format!("{spans:?}");
    assert!(!all.contains("s3cret") && !all.contains("juliet"), "{all}");
    assert!(received.logs.is_empty(), "nothing went wrong");
}

#[test]
fn a_span_costs_nothing_where_nobody_receives_it() {
    let settings = Settings::default();
    let (dispatch, _) =
        build(&settings, Roles::All, std::io::sink, false, &ExportMetrics::default()).expect("telemetry");
    let span = info_span!("a span");
    let metadata = span.metadata().expect("a span knows what it is");
    assert!(dispatch.register_callsite(metadata).is_never());
}
