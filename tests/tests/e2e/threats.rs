//! Hostile clients against real processes: the server lives, others notice nothing, memory stays bounded. The names begin
//! with the number of the threat; what unit tests show of it is not repeated.

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vesta_client::xmpp::Element;
use vesta_client::xmpp::sasl::Mechanism;
use vesta_tests::deployment::{Cluster, DOMAIN, Options, Single};
use vesta_tests::player::{Incoming, Player, header};
use vesta_tests::raw::{Offer, Raw, direct_tls};
use vesta_tests::{run, within};

/// What any two of these tests may add to a process that holds nothing for them any more: buffers, caches, the allocator's
/// reserve. Without bounds, what is sent would come to many times as much.
const MAY_GROW_BYTES: u64 = 96 * 1024 * 1024;

fn address(name: &str) -> String {
    format!("{name}@{DOMAIN}")
}

async fn player(single: &Single, name: &str, resource: &str) -> Player {
    Player::logged_in(name, single.access.client(&format!("{}/{resource}", address(name)), 0)).await
}

/// A server with Juliet, who must notice nothing.
async fn with_witness() -> (Single, Player) {
    let single = Single::start().await;
    for name in ["juliet", "romeo", "tybalt"] {
        single.access.add_user(&address(name)).await;
    }
    let mut juliet = player(&single, "juliet", "balcony").await;
    juliet.come_online().await;
    (single, juliet)
}

fn condition(element: &Element) -> Option<&str> {
    let error =
        if element.name() == "error" { Some(element) } else { element.children().find(|it| it.name() == "error") };
    error?.children().next().map(Element::name)
}

#[test]
fn t2_a_stanza_nested_5000_deep_ends_one_stream() {
    run(async {
        let (mut single, mut juliet) = with_witness().await;
        for depth in [65, 5_000, 60_000] {
            let mut tybalt = player(&single, "tybalt", "street").await;
            let nested = "<a>".repeat(depth);
            tybalt.try_send(&format!("<message to='{}'>{nested}", juliet.address())).await;
            let rest = tybalt.receive_the_rest().await;
            assert_eq!(rest.last().and_then(condition), Some("policy-violation"), "{rest:?}");
        }
        juliet.ping().await;
        assert!(single.process.runs());
    });
}

#[test]
fn t1_t3_hostile_xml_ends_its_stream_and_no_other() {
    run(async {
        let (mut single, mut juliet) = with_witness().await;
        let inputs = [
            "<message><!DOCTYPE a [<!ENTITY b 'c'>]></message>",
            "<message><!-- --></message>",
            "<message><?pi?></message>",
            "<message>&undeclared;</message>",
            "<message>&#0;</message>",
            "<message><a xmlns:x='urn:1' xmlns:y='urn:1' x:b='' y:b=''/></message>",
            "<message><unbound:a/></message>",
            "<message></presence>",
            "</message>",
        ];
        for input in inputs {
            let mut tybalt = player(&single, "tybalt", "street").await;
            tybalt.try_send(input).await;
            let rest = tybalt.receive_the_rest().await;
            assert!(rest.last().is_some_and(|it| condition(it).is_some()), "{input}: {rest:?}");
        }
        juliet.ping().await;
        assert!(single.process.runs());
    });
}

#[test]
fn t5_oversized_stanzas_are_bounded_in_memory_and_others_are_served() {
    run(async {
        let (single, mut juliet) = with_witness().await;
        // The first round warms up what stays.
        oversized(&single).await;
        let before = single.process.resident_bytes();
        for _ in 0..4 {
            oversized(&single).await;
        }
        juliet.ping().await;
        let grown = single.process.resident_bytes().saturating_sub(before);
        assert!(grown < MAY_GROW_BYTES, "the server has grown by {grown} bytes");
    });
}

/// Some clients at once that send a stanza which never ends.
async fn oversized(single: &Single) {
    let mut clients = Vec::new();
    for number in 0..8 {
        let mut tybalt = player(single, "tybalt", &format!("street-{number}")).await;
        // Short of the limit: all of it is kept.
        tybalt.send(&format!("<message><body>{}", "a".repeat(200_000))).await;
        clients.push(tybalt);
    }
    for client in &mut clients {
        client.try_send(&"a".repeat(200_000)).await;
        let rest = client.receive_the_rest().await;
        assert_eq!(rest.last().and_then(condition), Some("policy-violation"), "{rest:?}");
    }
}

#[test]
fn t6_what_is_pipelined_behind_starttls_is_never_read() {
    run(async {
        let (single, mut juliet) = with_witness().await;
        let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        let message = format!("<message to='{}'><body>smuggled</body></message>", juliet.address());
        for pipelined in [message, header(DOMAIN), "<auth".to_owned()] {
            let mut raw = Raw::connect(single.access.starttls[0]).await;
            raw.send(header(DOMAIN)).await;
            raw.read_to("</stream:features>").await;
            raw.send(format!("{starttls}{pipelined}")).await;
            let rest = raw.rest().await;
            assert!(!rest.contains("<mechanisms") && !rest.contains("<success"), "{rest}");
        }
        juliet.ping().await;
    });
}

#[test]
fn t8_half_handshakes_do_not_keep_others_from_logging_in() {
    run(async {
        let (single, mut juliet) = with_witness().await;
        let mut half = Vec::new();
        for number in 0..400 {
            let address = if number % 2 == 0 { single.access.direct_tls[0] } else { single.access.starttls[0] };
            let mut raw = Raw::connect(address).await;
            // The first bytes of a ClientHello, or of a stream; nothing follows.
            raw.send(if number % 2 == 0 { &b"\x16\x03\x01\x02\x00\x01"[..] } else { b"<stream:stream " }).await;
            half.push(raw);
        }
        player(&single, "romeo", "orchard").await.ping().await;
        juliet.ping().await;
        drop(half);
    });
}

#[test]
fn t10_connections_that_come_and_go_leave_no_memory_behind() {
    run(async {
        let (single, mut juliet) = with_witness().await;
        come_and_go(&single, 200).await;
        let before = single.process.resident_bytes();
        come_and_go(&single, 2_000).await;
        juliet.ping().await;
        let grown = single.process.resident_bytes().saturating_sub(before);
        assert!(grown < MAY_GROW_BYTES / 4, "the server has grown by {grown} bytes");
    });
}

async fn come_and_go(single: &Single, count: usize) {
    for _ in 0..count {
        let mut raw = Raw::connect(single.access.starttls[0]).await;
        raw.send(header(DOMAIN) + "<half").await;
    }
}

#[test]
fn t10_whoever_drips_bytes_is_ended_and_others_are_served() {
    run(async {
        let options = Options::with_overrides("limits.login_time = \"2 s\"");
        let single = Single::start_with(&options).await;
        single.access.add_user(&address("romeo")).await;
        let mut raw = Raw::connect(single.access.starttls[0]).await;
        raw.send(header(DOMAIN)).await;
        let (mut read, mut write) = tokio::io::split(raw.0);
        // A byte whenever the server lets us, until it hangs up.
        let drip = async {
            let mut pause = tokio::time::interval(std::time::Duration::from_millis(100));
            loop {
                pause.tick().await;
                if write.write_all(b" ").await.is_err() {
                    return;
                }
            }
        };
        let hear = async {
            let mut all = Vec::new();
            let _ = read.read_to_end(&mut all).await;
            String::from_utf8_lossy(&all).into_owned()
        };
        let said = within("the server to hang up", async {
            tokio::select! {
                said = hear => said,
                () = drip => String::new(),
            }
        });
        let said = said.await;
        assert!(said.is_empty() || said.contains("<stream:error>"), "{said}");
        player(&single, "romeo", "orchard").await.ping().await;
    });
}

#[test]
fn t11_a_stream_has_so_many_tries_to_log_in() {
    run(async {
        let (single, mut juliet) = with_witness().await;
        let mut tybalt = Player::new("tybalt", single.access.client(&address("tybalt"), 0));
        tybalt.connect().await;
        tybalt.secure().await;
        tybalt.open().await;
        let mut failures = 0;
        loop {
            // \0tybalt\0wrong
            tybalt
                .try_send(
                    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHR5YmFsdAB3cm9uZw==</auth>",
                )
                .await;
            match tybalt.receive().await {
                Incoming::Element(it) if it.name() == "failure" => failures += 1,
                Incoming::Element(it) if it.name() == "features" => {}
                Incoming::Element(it) => assert_eq!(condition(&it), Some("policy-violation"), "{it:?}"),
                Incoming::Header { .. } | Incoming::StreamEnd => {}
                Incoming::ConnectionEnd => break,
            }
        }
        // RFC 6120 §6.4.5: at least 2 and at most 5.
        assert!((2..=5).contains(&failures), "{failures} failures");
        juliet.ping().await;
    });
}

#[test]
fn t14_absent_and_existing_accounts_look_alike_in_every_mechanism() {
    run(async {
        let (single, _juliet) = with_witness().await;
        for mechanism in ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let known = dialogue(&single, mechanism, "romeo").await;
            let unknown = dialogue(&single, mechanism, "nobody").await;
            assert_eq!(known, unknown, "{mechanism}");
        }
        // The salt of an absent account is the same every time, as of one that exists.
        assert_eq!(salt(&single, "nobody").await, salt(&single, "nobody").await);
        assert_ne!(salt(&single, "nobody").await, salt(&single, "nobody-else").await);
    });
}

/// What the server says to a wrong password: names of elements and shapes of challenges, without what is random.
async fn dialogue(single: &Single, mechanism: &str, user: &str) -> Vec<String> {
    let mut config = single.access.client(&address(user), 0);
    config.password = "wrong".into();
    config.mechanisms.clear();
    let mut player = Player::new(user, config);
    player.connect().await;
    player.secure().await;
    player.open().await;
    player.receive_element().await;
    let first = if mechanism == "PLAIN" { format!("\0{user}\0wrong") } else { format!("n,,n={user},r=client") };
    player.send(&auth(mechanism, &first)).await;
    let mut said = Vec::new();
    let mut answer = player.receive_element().await;
    if answer.name() == "challenge" {
        let challenge = decode(&answer.text());
        let shape: Vec<_> = challenge.split(',').map(|part| (part.chars().next(), part.len())).collect();
        let iterations = challenge.split(',').find(|part| part.starts_with("i="));
        said.push(format!("{shape:?} {iterations:?}"));
        let nonce = challenge.split(',').next().unwrap_or_default();
        let proof = encode(&"p".repeat(digest_bytes(mechanism)));
        let last = encode(&format!("c=biws,{nonce},p={proof}"));
        player.send(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{last}</response>")).await;
        answer = player.receive_element().await;
    }
    said.push(format!("{answer:?}"));
    said
}

async fn salt(single: &Single, user: &str) -> String {
    let mut player = Player::new(user, single.access.client(&address(user), 0));
    player.connect().await;
    player.secure().await;
    player.open().await;
    player.receive_element().await;
    player.send(&auth("SCRAM-SHA-1", &format!("n,,n={user},r=client"))).await;
    let challenge = decode(&player.receive_element().await.text());
    challenge.split(',').find(|part| part.starts_with("s=")).expect("a salt").to_owned()
}

fn digest_bytes(mechanism: &str) -> usize {
    match mechanism {
        "SCRAM-SHA-1" => 20,
        "SCRAM-SHA-256" => 32,
        _ => 64,
    }
}

fn auth(mechanism: &str, initial: &str) -> String {
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{}</auth>", encode(initial))
}

fn encode(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(text)
}

fn decode(text: &str) -> String {
    use base64::Engine;
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(text).expect("base64")).expect("plain text")
}

#[test]
fn t17_t60_no_log_of_any_process_shows_a_password() {
    run(async {
        // All that we write ourselves and all that sees requests; what Raft and HTTP/2 say of each frame would only be slow.
        let log = "telemetry.log = \"trace,openraft=info,h2=info,hyper=info,hyper_util=info,tower=info\"";
        let mut cluster = Cluster::start_with(&Options::with_overrides(log)).await;
        let (account, canary) = (address("romeo"), "canary-in-the-mine");
        cluster.access.administer(&["user", "add", &account], &format!("{canary}\n")).await;
        for plain in [false, true] {
            let mut config = cluster.access.client(&account, usize::from(plain));
            config.password = canary.into();
            if plain {
                config.mechanisms = vec![Mechanism::Plain];
            }
            let mut romeo = Player::logged_in("romeo", config).await;
            romeo.ping().await;
            romeo.leave().await;
        }
        cluster.access.administer(&["user", "passwd", &account], &format!("{canary}-2\n")).await;
        cluster.ready().await;
        let encoded = encode(&format!("\0romeo\0{canary}"));
        for node in cluster.nodes() {
            let log = node.process.log();
            assert!(!log.is_empty(), "{} logs nothing", node.name);
            assert!(!log.contains(canary) && !log.contains(&encoded), "{} has logged the password", node.name);
        }
    });
}

#[test]
fn t20_a_new_password_or_the_account_s_end_ends_its_sessions_on_every_node() {
    run(async {
        let cluster = Cluster::start().await;
        for name in ["romeo", "juliet"] {
            cluster.access.add_user(&address(name)).await;
        }
        let mut here = Player::logged_in("here", cluster.access.client(&address("romeo"), 0)).await;
        let mut there = Player::logged_in("there", cluster.access.client(&address("romeo"), 1)).await;
        let mut juliet = Player::logged_in("juliet", cluster.access.client(&address("juliet"), 1)).await;
        cluster.access.administer(&["user", "passwd", &address("romeo")], "another password\n").await;
        here.receive_the_rest().await;
        there.receive_the_rest().await;
        let mut again = Player::new("again", cluster.access.client(&address("romeo"), 0));
        assert!(again.try_log_in().await.is_err(), "the old password still works");
        cluster.access.administer(&["user", "remove", &address("juliet")], "").await;
        juliet.receive_the_rest().await;
    });
}

#[test]
fn t21_a_forged_sender_is_overwritten_or_refused() {
    run(async {
        let (single, mut juliet) = with_witness().await;
        let mut tybalt = player(&single, "tybalt", "street").await;
        for from in [address("romeo"), DOMAIN.to_owned(), "tybalt@vesta.example/elsewhere".into()] {
            let id = tybalt.fresh_id();
            let to = juliet.address().to_owned();
            tybalt.send(&format!("<message from='{from}' to='{to}' id='{id}'><body>x</body></message>")).await;
            let received = juliet.wait_for("a message", |it| it.attribute("id") == Some(&id)).await;
            assert_eq!(received.attribute("from"), Some(tybalt.address()), "{received:?}");
        }
        // What is no address at all comes back, and nobody else hears of it.
        let id = tybalt.fresh_id();
        tybalt.send(&format!("<message from='@@' to='{}' id='{id}'><body>x</body></message>", juliet.address())).await;
        let answer = tybalt.wait_for("an error", |it| it.attribute("id") == Some(&id)).await;
        assert_eq!(answer.attribute("type"), Some("error"), "{answer:?}");
        juliet.ping().await;
    });
}

#[test]
fn t22_a_restarted_stream_can_not_go_to_another_virtual_host() {
    run(async {
        let other = format!("other.{DOMAIN}");
        let single = Single::start_with(&Options::with_hosts([other.clone()])).await;
        single.access.add_user(&address("romeo")).await;
        let mut romeo = Player::new("romeo", single.access.client(&address("romeo"), 0));
        romeo.connect().await;
        romeo.secure().await;
        romeo.open().await;
        romeo.receive_element().await;
        romeo.send(&auth("PLAIN", &format!("\0romeo\0{}", vesta_tests::deployment::PASSWORD))).await;
        assert_eq!(romeo.receive_element().await.name(), "success");
        romeo.stream().restart();
        romeo.try_send(&header(&other)).await;
        let rest = romeo.receive_the_rest().await;
        assert!(rest.last().is_some_and(|it| condition(it).is_some()), "{rest:?}");
    });
}

#[test]
fn t9_tls_1_2_and_1_3_are_spoken_with_the_protocol_of_xep0368() {
    run(async {
        let (single, _juliet) = with_witness().await;
        for version in [&TLS12, &TLS13] {
            let offer = Offer { version, protocol: b"xmpp-client" };
            let address = single.access.direct_tls[0];
            let mut raw = direct_tls(address, &single.access.certificate, &offer).await.expect("a handshake");
            let connection = raw.0.get_ref().1;
            assert_eq!(connection.alpn_protocol(), Some(&b"xmpp-client"[..]));
            if version.version == rustls::ProtocolVersion::TLSv1_3 {
                let group = connection.negotiated_key_exchange_group().map(|group| group.name());
                assert_eq!(group, Some(rustls::NamedGroup::X25519MLKEM768));
            }
            raw.send(header(DOMAIN)).await;
            let features = raw.read_to("</stream:features>").await;
            assert!(features.contains("SCRAM-SHA-256") && !features.contains("<starttls"), "{features}");
        }
        let offer = Offer { version: &TLS13, protocol: b"http/1.1" };
        let refused = direct_tls(single.access.direct_tls[0], &single.access.certificate, &offer).await;
        assert!(refused.is_err(), "a client of another protocol is served");
    });
}

#[test]
fn t61_a_client_that_does_not_read_is_bounded_and_others_are_served() {
    run(async {
        let options = Options::with_overrides("limits.outgoing = \"256 KiB\"");
        let mut single = Single::start_with(&options).await;
        for name in ["romeo", "juliet", "tybalt"] {
            single.access.add_user(&address(name)).await;
        }
        let mut deaf = player(&single, "juliet", "deaf").await;
        let mut romeo = player(&single, "romeo", "orchard").await;
        let before = single.process.resident_bytes();
        let body = "a".repeat(50_000);
        // 50 MB for somebody who reads nothing; what the system's own buffers hold is little beside it.
        for _ in 0..1_000 {
            romeo.send(&format!("<message to='{}'><body>{body}</body></message>", deaf.address())).await;
        }
        romeo.ping().await;
        assert!(single.process.runs());
        let grown = single.process.resident_bytes().saturating_sub(before);
        assert!(grown < MAY_GROW_BYTES, "the server has grown by {grown} bytes");
        player(&single, "tybalt", "street").await.ping().await;
        deaf.vanish();
    });
}
