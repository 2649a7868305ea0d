//! Servers for tests: one that follows a script, and one that lets a client log in.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsAcceptor;
use vesta_xmpp::negotiation::receiving::{Action, Event, Offer, Receiving};
use vesta_xmpp::sasl::scram::{Keys, salted_password};
use vesta_xmpp::sasl::{Answer, ChannelBindings, Question, SaslCondition};
use vesta_xmpp::scan::{Limits, Scanner};
use vesta_xmpp::{Element, FullJid, Secret, ns};

use crate::stream::Transport;
use crate::{Client, Config, Established, Events, Keepalive, Stream, random};

pub const ACCOUNT: &str = "juliet@capulet.example";
pub const PASSWORD: &str = "r0m30myr0m30";

/// The client's configuration in tests: no timer, no second attempt.
pub fn config() -> Config {
    let config = Config::new(ACCOUNT, PASSWORD).expect("a bare JID");
    Config { keepalive: Keepalive::Off, reconnect: None, ..config }
}

/// A server that says and hears what the test tells it.
pub struct Script {
    pipe: Box<dyn Transport>,
    heard: Vec<u8>,
}

impl Script {
    /// A client whose session is up, and the server at its other end.
    pub async fn with_client(config: Config) -> (Client, Events, Script) {
        let (near, far) = duplex(64 * 1024);
        let mut script = Script::over(Box::new(far));
        script
            .say("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>")
            .await;
        let established = Established {
            jid: FullJid::parse("juliet@capulet.example/balcony").expect("a JID"),
            features: Element::new(ns::STREAM, "features"),
        };
        let (client, events) = Client::over(Stream::over(near, &config), established, config);
        (client, events, script)
    }

    /// A server on a stream that is up.
    pub fn over(pipe: Box<dyn Transport>) -> Self {
        Self { pipe, heard: Vec::new() }
    }

    pub async fn say(&mut self, xml: &str) {
        self.pipe.write_all(xml.as_bytes()).await.expect("the client reads");
    }

    /// Reads on until `end` has come, and gives all up to there.
    pub async fn hear(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.heard.windows(end.len()).position(|window| window == end.as_bytes()) {
                let heard: Vec<u8> = self.heard.drain(..at + end.len()).collect();
                return String::from_utf8(heard).expect("clients write UTF-8");
            }
            let read = self.pipe.read_buf(&mut self.heard).await.expect("the pipe holds");
            assert_ne!(read, 0, "the client closed after {:?}", String::from_utf8_lossy(&self.heard));
        }
    }

    /// The next stanza written, which has no content.
    pub async fn hear_empty(&mut self) -> String {
        self.hear("/>").await
    }

    /// What is still written before the client closes the connection.
    pub async fn hear_all(mut self) -> String {
        self.pipe.read_to_end(&mut self.heard).await.expect("the pipe holds");
        String::from_utf8(self.heard).expect("clients write UTF-8")
    }
}

/// A certificate for a domain, and the key that belongs to it.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    pub fn new(domain: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new([domain.to_owned()]).and_then(|it| it.self_signed(&key));
        Self { certificate: certificate.expect("a certificate").der().clone(), key }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key);
        let mut config = config.expect("the key is the certificate's");
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that lets [`ACCOUNT`] log in.
pub struct LoginServer {
    pub identity: Option<Identity>,
    /// What is put behind `<proceed/>`, in clear.
    pub behind_proceed: &'static str,
    /// What is offered after authentication beside resource binding.
    pub features: &'static str,
}

impl LoginServer {
    /// A server in clear that manages streams.
    pub const MANAGING: LoginServer =
        LoginServer { identity: None, behind_proceed: "", features: "<sm xmlns='urn:xmpp:sm:3'/>" };

    /// Plays the server until a session is up, an earlier stream is to be resumed, or the login has failed. Gives the connection,
    /// with nothing unread.
    pub async fn serve(&self, transport: impl Transport + 'static, direct_tls: bool) -> Box<dyn Transport> {
        let mut transport: Box<dyn Transport> = Box::new(transport);
        let mut machine = Receiving::new(Arc::new(self.offer()));
        let mut actions = Vec::new();
        if direct_tls {
            let bindings = self.accept_tls(&mut transport).await;
            actions = machine.handle(Event::TlsEstablished(bindings), &mut random::fill);
        }
        let (mut scanner, mut unread) = (scanner(), Vec::new());
        loop {
            let mut next = None;
            for action in actions {
                match action {
                    Action::Send(bytes) => {
                        transport.write_all(&bytes).await.expect("the client reads");
                        if bytes.starts_with(b"<proceed") {
                            transport.write_all(self.behind_proceed.as_bytes()).await.expect("the client reads");
                        }
                        transport.flush().await.expect("the client reads");
                    }
                    Action::StartTls if !self.behind_proceed.is_empty() => return transport,
                    Action::StartTls => {
                        scanner = self::scanner();
                        next = Some(Event::TlsEstablished(self.accept_tls(&mut transport).await));
                    }
                    Action::Restart => scanner = self::scanner(),
                    Action::Ask(question) => next = Some(Event::Answered(answer(&question))),
                    Action::Bind { account, resource } => {
                        let resource = resource.unwrap_or_else(|| "given".into());
                        next = Some(Event::Bound(Ok(account.with_resource(&resource).expect("a resource"))));
                    }
                    Action::Established(_) | Action::Resume { .. } | Action::Fail(_) | Action::Close => {
                        return transport;
                    }
                    Action::Register(_) => unreachable!("registration is not offered"),
                }
            }
            let event = match next {
                Some(event) => event,
                None => match next_item(&mut scanner, &mut unread, &mut transport).await {
                    Some(event) => event,
                    None => return transport,
                },
            };
            actions = machine.handle(event, &mut random::fill);
        }
    }

    fn offer(&self) -> Offer {
        Offer {
            hosts: vec!["capulet.example".into()],
            starttls: self.identity.is_some(),
            require_tls: self.identity.is_some(),
            registration: false,
            stanza_bytes: (10_000, 262_144),
            idle_seconds: None,
            attempts_max: 2,
            features: self.features.into(),
        }
    }

    async fn accept_tls(&self, transport: &mut Box<dyn Transport>) -> ChannelBindings {
        let identity = self.identity.as_ref().expect("a server with TLS has a certificate");
        let clear = std::mem::replace(transport, Box::new(tokio::io::empty()));
        let Ok(secured) = identity.acceptor().accept(clear).await else { return ChannelBindings::default() };
        let exporter = secured.get_ref().1.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b""));
        *transport = Box::new(secured);
        ChannelBindings { tls_exporter: exporter.ok(), tls_server_end_point: None }
    }
}

fn scanner() -> Scanner {
    Scanner::new(Limits::AUTHENTICATED)
}

/// `None`: the client has gone.
async fn next_item(scanner: &mut Scanner, unread: &mut Vec<u8>, transport: &mut Box<dyn Transport>) -> Option<Event> {
    loop {
        let mut rest = &unread[..];
        let item = scanner.next(&mut rest).expect("clients write XMPP");
        let read = unread.len() - rest.len();
        unread.drain(..read);
        if let Some(item) = item {
            return Some(Event::Item(item));
        }
        if !matches!(transport.read_buf(unread).await, Ok(1..)) {
            return None;
        }
    }
}

const SALT: &[u8] = b"a salt of 16 byte";
const ITERATIONS: u32 = 4096;

fn answer(question: &Question) -> Answer {
    let keys =
        |hash| Keys::from_salted_password(hash, &salted_password(hash, &Secret::from(PASSWORD), SALT, ITERATIONS));
    match question {
        Question::Salt { .. } => Answer::Salt { salt: SALT.to_vec(), iterations: ITERATIONS },
        Question::Proof { hash, auth_message, proof, .. } => {
            match keys(*hash).verify_proof(*hash, auth_message, proof) {
                Some(server_signature) => Answer::Accepted { server_signature },
                None => Answer::Denied(SaslCondition::NotAuthorized),
            }
        }
        Question::Password { .. } => Answer::Denied(SaslCondition::NotAuthorized),
    }
}
