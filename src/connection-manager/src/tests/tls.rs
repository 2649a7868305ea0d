//! TLS as clients see it: the hybrid group, SNI, ALPN, reload, channel bindings.

use std::sync::Arc;

use rustls::{HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vesta_wire::attach::ToRouter;
use vesta_xmpp::sasl::Question;

use super::client::{handshake, header, tls_config};
use super::{Client, HOSTS, World, run};
use crate::config::TlsConfig;
use crate::tls::Certificates;

async fn connect(world: &World, host: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
    let tcp = TcpStream::connect(world.direct_tls()).await.expect("a connection");
    handshake(tcp, tls_config(world), host).await.expect("a handshake")
}

fn leaf(stream: &tokio_rustls::client::TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().expect("certificates")[0].to_vec()
}

#[test]
fn the_hybrid_post_quantum_group_is_negotiated() {
    run(async {
        let world = World::start();
        let stream = connect(&world, HOSTS[0]).await;
        let group = stream.get_ref().1.negotiated_key_exchange_group().expect("a group");
        assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"xmpp-client"[..]));
    });
}

#[test]
fn the_server_name_chooses_the_certificate_and_an_unknown_one_gets_the_default() {
    run(async {
        let world = World::start();
        // The client checks the names itself: a wrong certificate would fail its handshake.
        let (capulet, montague) = (connect(&world, HOSTS[0]).await, connect(&world, HOSTS[1]).await);
        assert_ne!(leaf(&capulet), leaf(&montague));
        let tcp = TcpStream::connect(world.direct_tls()).await.expect("a connection");
        assert!(handshake(tcp, tls_config(&world), "verona.example").await.is_err());
    });
}

/// RFC 8446 §2.2; and a ticket is no good at another virtual host.
#[test]
fn a_client_that_comes_back_resumes_its_tls_session_at_the_same_host() {
    run(async {
        let world = World::start();
        let config = tls_config(&world);
        let connect = async |host| {
            let tcp = TcpStream::connect(world.direct_tls()).await.expect("a connection");
            let mut stream = handshake(tcp, config.clone(), host).await.expect("a handshake");
            stream.write_all(header(host).as_bytes()).await.expect("written");
            // The tickets come before the first answer.
            stream.read_u8().await.expect("an answer");
            stream.get_ref().1.handshake_kind().expect("it is done")
        };
        assert_eq!(connect(HOSTS[0]).await, HandshakeKind::Full);
        assert_eq!(connect(HOSTS[0]).await, HandshakeKind::Resumed);
        assert_eq!(connect(HOSTS[1]).await, HandshakeKind::Full);
    });
}

#[test]
fn xep0368_a_client_that_offers_another_protocol_only_is_refused() {
    run(async {
        let world = World::start();
        let mut config = tls_config(&world);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = TcpStream::connect(world.direct_tls()).await.expect("a connection");
        let refused = match handshake(tcp, config, HOSTS[0]).await {
            Err(error) => error,
            Ok(stream) => {
                let mut client = Client::over(stream);
                assert_eq!(client.rest().await, "");
                return;
            }
        };
        assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    });
}

#[test]
fn a_changed_certificate_serves_the_next_handshake_and_a_bad_one_changes_nothing() {
    run(async {
        let world = World::start();
        let path = |name: &str| world.data.path().join(format!("tls/{}.{name}.pem", HOSTS[0]));
        let before = leaf(&connect(&world, HOSTS[0]).await);

        let good = std::fs::read(path("crt")).expect("a file");
        std::fs::write(path("crt"), "no certificate").expect("written");
        world.manager.reload_certificates();
        std::fs::write(path("crt"), &good).expect("written");
        assert_eq!(leaf(&connect(&world, HOSTS[0]).await), before);

        let other = tempfile::tempdir().expect("a directory");
        let made = crate::tls::self_signed::ensure(other.path(), HOSTS[0]).expect("another certificate");
        std::fs::copy(made.certificate, path("crt")).expect("copied");
        std::fs::copy(made.key, path("key")).expect("copied");
        world.manager.reload_certificates();
        assert_ne!(leaf(&connect(&world, HOSTS[0]).await), before);
    });
}

#[test]
fn a_made_key_is_nobody_else_s_to_read_and_is_made_once() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().expect("a directory");
    let first = crate::tls::self_signed::ensure(data.path(), "καπουλέτος.example").expect("a certificate");
    let mode = std::fs::metadata(&first.key).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read(&first.certificate).expect("the certificate");
    crate::tls::self_signed::ensure(data.path(), "καπουλέτος.example").expect("the same");
    assert_eq!(std::fs::read(&first.certificate).expect("the certificate"), before);
}

#[test]
fn a_bad_file_at_the_start_is_named_in_the_error() {
    let data = tempfile::tempdir().expect("a directory");
    let made = crate::tls::self_signed::ensure(data.path(), HOSTS[0]).expect("a certificate");
    std::fs::write(&made.key, "no key").expect("written");
    let config = TlsConfig {
        certificates: vec![made.clone()],
        data: data.path().to_owned(),
        reload_every: std::time::Duration::from_secs(5),
    };
    let error = Certificates::load(&config, &[HOSTS[0].to_owned()]).expect_err("a bad key").to_string();
    assert!(error.starts_with(&*made.key.to_string_lossy()), "{error}");
}

#[test]
fn rfc5929_the_end_point_binding_is_the_hash_of_the_certificate() {
    run(async {
        let world = World::start();
        let stream = connect(&world, HOSTS[0]).await;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf(&stream));
        let config = TlsConfig {
            certificates: Vec::new(),
            data: world.data.path().join("tls"),
            reload_every: std::time::Duration::from_secs(5),
        };
        let certificates = Arc::new(Certificates::load(&config, &[HOSTS[0].to_owned()]).expect("certificates"));
        let host = certificates.for_server_name(Some("CAPULET.example"));
        assert_eq!(host.end_point.as_deref(), Some(digest.as_ref()));
    });
}

/// RFC 5802 with RFC 9266: the router is shown what both ends exported from the very connection.
#[test]
fn rfc9266_the_exporter_of_client_and_server_agree() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let stream = connect(&world, HOSTS[0]).await;
        let connection = stream.get_ref().1;
        let exported = connection.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b""));
        let mut binding = b"p=tls-exporter,,".to_vec();
        binding.extend_from_slice(&exported.expect("an exporter"));
        let binding = base64(&binding);

        let mut client = Client::over(stream);
        client.open(HOSTS[0]).await;
        let first = base64(b"p=tls-exporter,,n=juliet,r=rose");
        client
            .send(&format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256-PLUS'>{first}</auth>"
            ))
            .await;
        let ToRouter::Ask { request, question: Question::Salt { .. } } = router.next().await else {
            panic!("no salt asked for")
        };
        let answer = vesta_xmpp::sasl::Answer::Salt { salt: b"salt".to_vec(), iterations: 10_000 };
        router.send(vesta_wire::attach::ToManager::Answered { request, answer }).await;
        client.expect("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>").await;
        let challenge = client.expect("</challenge>").await;
        let challenge = from_base64(challenge.trim_end_matches("</challenge>"));
        let nonce = challenge.split(',').next().expect("a nonce").to_owned();
        let last = base64(format!("c={binding},{nonce},p={}", base64(&[0; 32])).as_bytes());
        client.send(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{last}</response>")).await;
        // With another binding than the server's own the proof would not even be asked about.
        let ToRouter::Ask { question: Question::Proof { .. }, .. } = router.next().await else {
            panic!("the binding was refused")
        };
    });
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = (word >> (18 - 6 * at) & 63) as usize;
            text.push(if at > chunk.len() { '=' } else { char::from(DIGITS[digit]) });
        }
    }
    text
}

fn from_base64(text: &str) -> String {
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        word = word << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits & 255) as u8);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
