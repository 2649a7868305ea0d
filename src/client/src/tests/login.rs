//! Logins: TLS both ways, channel binding, refusals, reconnection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use vesta_xmpp::negotiation::initiating::Failure;
use vesta_xmpp::sasl::{Hash, Mechanism, SaslCondition};

use super::server::{Identity, LoginServer, config};
use crate::config::{Security, Trust};
use crate::{Backoff, Client, Config, Error, Established, Event, Stream};

/// Logs in over a pipe against a server with this certificate.
async fn log_in(server: LoginServer, config: Config, direct: bool) -> Result<(Stream, Established), Error> {
    let (near, far) = duplex(64 * 1024);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(server.serve(far, direct).await) });
    let mut stream = Stream::over(near, &config);
    if direct {
        stream.secure(&config, true).await?;
    }
    let established = stream.negotiate(&config).await?;
    Ok((stream, established))
}

fn trusting(identity: &Identity) -> Config {
    config().with_trust(Trust::Only(vec![identity.certificate.clone()]))
}

fn server(identity: Identity) -> LoginServer {
    LoginServer { identity: Some(identity), behind_proceed: "", features: "" }
}

fn failure<T>(outcome: Result<T, Error>) -> Error {
    outcome.err().expect("the login fails")
}

#[tokio::test]
async fn direct_tls_has_its_alpn_and_a_key_exchange_safe_against_quantum_computers() {
    let identity = Identity::new("capulet.example");
    let config = trusting(&identity).with_resource("balcony");
    let (stream, established) = log_in(server(identity), config, true).await.expect("logs in");
    assert_eq!(established.jid.as_str(), "juliet@capulet.example/balcony");
    let tls = stream.tls().expect("TLS");
    assert_eq!(tls.protocol, rustls::ProtocolVersion::TLSv1_3);
    assert_eq!(tls.group, Some(rustls::NamedGroup::X25519MLKEM768));
    assert_eq!(tls.alpn.as_deref(), Some(b"xmpp-client".as_slice()));
}

#[tokio::test]
async fn starttls_and_every_scram_with_channel_binding() {
    for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
        let identity = Identity::new("capulet.example");
        let mechanisms = vec![Mechanism::Scram { hash, plus: true }];
        let config = Config { mechanisms, ..trusting(&identity) };
        let (stream, established) = log_in(server(identity), config, false).await.expect("logs in");
        assert_eq!(established.jid.as_str(), "juliet@capulet.example/given");
        assert!(stream.channel_bindings().tls_exporter.is_some());
        assert_eq!(stream.tls().and_then(|tls| tls.alpn.clone()), None);
    }
}

#[tokio::test]
async fn a_wrong_password_is_not_authorized_and_not_worth_another_attempt() {
    let identity = Identity::new("capulet.example");
    let config = Config { password: "wrong".into(), ..trusting(&identity) };
    let error = failure(log_in(server(identity), config, true).await);
    let Error::Negotiation(Failure::Authentication(refusal)) = &error else { panic!("{error}") };
    assert_eq!(refusal.condition, SaslCondition::NotAuthorized);
    assert!(!error.may_pass());
}

#[tokio::test]
async fn a_certificate_of_another_domain_or_authority_is_refused() {
    let other_domain = Identity::new("montague.example");
    let config = trusting(&other_domain);
    let error = failure(log_in(server(other_domain), config, true).await);
    assert!(matches!(error, Error::Connect { .. }), "{error}");

    let trusted = trusting(&Identity::new("capulet.example"));
    let error = failure(log_in(server(Identity::new("capulet.example")), trusted, true).await);
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_and_another_is_not() {
    let identity = Identity::new("anything.example");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &identity.certificate);
    let pin: [u8; 32] = digest.as_ref().try_into().expect("32 bytes");
    let pinned = || config().with_trust(Trust::Pinned(vec![pin]));
    assert!(log_in(server(identity), pinned(), true).await.is_ok());
    assert!(log_in(server(Identity::new("capulet.example")), pinned(), true).await.is_err());
}

#[tokio::test]
async fn a_server_without_tls_is_left() {
    let error =
        failure(log_in(LoginServer { identity: None, behind_proceed: "", features: "" }, config(), false).await);
    assert!(matches!(error, Error::Negotiation(Failure::TlsNotOffered)), "{error}");
}

/// T6: what an attacker puts behind `<proceed/>` would otherwise be read as if it had come inside TLS.
#[tokio::test]
async fn data_behind_proceed_ends_the_login() {
    let identity = Identity::new("capulet.example");
    let config = trusting(&identity);
    let server = LoginServer { identity: Some(identity), behind_proceed: "<stream:features/>", features: "" };
    let (near, far) = duplex(64 * 1024);
    let mut tasks = JoinSet::new();
    // Both in one read: the proxy holds back until all of it is there.
    let (relayed, back) = duplex(64 * 1024);
    tasks.spawn(async move { drop(server.serve(back, false).await) });
    tasks.spawn(hold_back_proceed(far, relayed));
    let error = failure(Stream::over(near, &config).negotiate(&config).await);
    assert!(matches!(error, Error::DataBeforeTls), "{error}");
}

async fn hold_back_proceed(client: tokio::io::DuplexStream, server: tokio::io::DuplexStream) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let upward = tokio::io::copy(&mut from_client, &mut to_server);
    let downward = async {
        let mut held = Vec::new();
        while matches!(from_server.read_buf(&mut held).await, Ok(1..)) {
            let text = String::from_utf8_lossy(&held);
            if text.contains("<proceed") && !text.contains("<stream:features/>") {
                continue;
            }
            to_client.write_all(&held).await?;
            held.clear();
        }
        Ok::<_, std::io::Error>(())
    };
    // Ends when either side does.
    let _ = tokio::join!(upward, downward);
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let reconnect = Backoff { first: Duration::from_millis(1), ..Backoff::default() };
    let config = Config { require_tls: false, reconnect: Some(reconnect), ..config() }.with_server(
        "127.0.0.1",
        port,
        Security::StartTls,
    );
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let server = LoginServer { identity: None, behind_proceed: "", features: "" };
        for _ in 0..2 {
            let (connection, _) = listener.accept().await.expect("a connection");
            let mut connection = server.serve(connection, false).await;
            // The first word of the client is the last of its connection.
            let _ = connection.read_u8().await;
        }
    });
    let (client, mut events) = Client::connect(config).await.expect("logs in");
    let first = client.jid().expect("a session");
    client.set_presence(None, None, 0).await.expect("connected");
    assert!(matches!(events.next().await, Some(Event::Disconnected(_))));
    let Some(Event::NewSession { jid, .. }) = events.next().await else { panic!("no second connection") };
    assert_eq!((client.jid(), &first), (Some(jid.clone()), &jid));
    client.close().await;
}
