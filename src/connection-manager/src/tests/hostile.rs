//! What comes in is hostile: each threat gets the RFC's error, once, and others notice nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vesta_wire::attach::Inbound;

use super::client::{Clear, STARTTLS, header};
use super::{Client, HOSTS, World, run};
use crate::metrics::{ByLimit, LimitLabel};

fn hits(world: &World, limit: LimitLabel) -> u64 {
    world.metrics.limits.get_or_create(&ByLimit { limit }).get()
}

/// RFC 6120 §11.1 and what XML itself forbids. `@` stands for the stream's header, where that is not the fault.
const T1: [(&[u8], &str); 34] = [
    (b"<!DOCTYPE stream [<!ENTITY lol 'lol'>]><stream:stream>", "restricted-xml"),
    (b"<?xml version='1.0'?><!DOCTYPE s SYSTEM 'file:///etc/passwd'>", "restricted-xml"),
    (b"@<!DOCTYPE a>", "restricted-xml"),
    (b"@<!-- a comment -->", "restricted-xml"),
    (b"@<?xml-stylesheet href='a'?>", "restricted-xml"),
    (b"@<?xml version='1.0'?>", "restricted-xml"),
    (b"@<message>&lol;</message>", "restricted-xml"),
    (b"@<message b='&lol;'/>", "restricted-xml"),
    (b"@<message><!-- a comment --></message>", "restricted-xml"),
    (b"@<message><?php exit ?></message>", "restricted-xml"),
    (b"@<message><!ENTITY b 'c'></message>", "restricted-xml"),
    (b"@<message></b>", "not-well-formed"),
    (b"@</a>", "not-well-formed"),
    (b"@<message b=c/>", "not-well-formed"),
    (b"@<message b/>", "not-well-formed"),
    (b"@<message b='1'c='2'/>", "not-well-formed"),
    (b"@<message b='1' b='2'/>", "not-well-formed"),
    (b"@<message b='<'/>", "not-well-formed"),
    (b"@<message>&</message>", "not-well-formed"),
    (b"@<message>&#0;</message>", "not-well-formed"),
    (b"@<message>&#xFFFE;</message>", "not-well-formed"),
    (b"@<message>&#xD800;</message>", "not-well-formed"),
    (b"@<message>]]></message>", "not-well-formed"),
    (b"@<message>\x01</message>", "not-well-formed"),
    (b"@<message>\x00</message>", "not-well-formed"),
    (b"@<message><1a/></message>", "not-well-formed"),
    (b"@<message><a:b:c/></message>", "not-well-formed"),
    (b"@<message><nobody:a/></message>", "not-well-formed"),
    (b"@<message>< a/></message>", "not-well-formed"),
    (b"@<message xmlns:b=''/>", "not-well-formed"),
    (b"@<message xmlns:xml='urn:x'/>", "not-well-formed"),
    (b"@words between stanzas", "not-well-formed"),
    (b"@<message>\xff\xfe</message>", "unsupported-encoding"),
    (b"<?xml version='1.0' encoding='UTF-16'?>", "unsupported-encoding"),
];

/// The condition that ends a stream; some faults may be told by either of two.
fn is_told(all: &str, condition: &str) -> bool {
    let alternatives: &[&str] = match condition {
        "not-well-formed" => &["not-well-formed", "bad-format", "bad-namespace-prefix"],
        "restricted-xml" => &["restricted-xml", "not-well-formed"],
        _ => &["unsupported-encoding", "not-well-formed"],
    };
    let told = |condition: &&str| all.contains(&format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"));
    alternatives.iter().any(told) && all.matches("<stream:error>").count() == 1 && all.ends_with("</stream:stream>")
}

#[test]
fn t1_hostile_xml_ends_one_stream_with_one_error() {
    run(async {
        let world = World::start();
        for (input, condition) in T1 {
            let mut client = Client::tcp(world.starttls()).await;
            let bytes = match input.split_first() {
                Some((b'@', rest)) => [header(HOSTS[0]).as_bytes(), rest].concat(),
                _ => input.to_vec(),
            };
            client.try_send(&bytes).await;
            let all = client.rest().await;
            assert!(is_told(&all, condition), "{}: {all}", String::from_utf8_lossy(input));
        }
    });
}

#[test]
fn t1_hostile_xml_is_told_alike_when_it_comes_byte_by_byte() {
    run(async {
        let world = World::start();
        for (input, condition) in T1.into_iter().step_by(7) {
            let mut client = Client::tcp(world.starttls()).await;
            let bytes = match input.split_first() {
                Some((b'@', rest)) => [header(HOSTS[0]).as_bytes(), rest].concat(),
                _ => input.to_vec(),
            };
            for byte in bytes {
                client.try_send(&[byte]).await;
            }
            let all = client.rest().await;
            assert!(is_told(&all, condition), "{}: {all}", String::from_utf8_lossy(input));
        }
    });
}

#[test]
fn t2_depth_attributes_names_and_declarations_are_bounded_before_login() {
    run(async {
        let world = World::start();
        let attributes: String = (0..100).map(|n| format!(" a{n}=''")).collect();
        let declarations: String = (0..50).map(|n| format!(" xmlns:p{n}='urn:{n}'")).collect();
        let name = "n".repeat(300);
        let inputs =
            ["<a>".repeat(100), format!("<a{attributes}/>"), format!("<a{declarations}/>"), format!("<{name}/>")];
        for input in inputs {
            let mut client = Client::tcp(world.starttls()).await;
            client.try_send((header(HOSTS[0]) + "<message>" + &input).as_bytes()).await;
            let all = client.rest().await;
            assert!(all.contains("<policy-violation "), "{all}");
        }
    });
}

#[test]
fn t2_so_many_bytes_in_all_may_come_before_login() {
    run(async {
        let world = World::start();
        let mut client = Client::direct_tls(&world, HOSTS[0]).await;
        client.open(HOSTS[0]).await;
        client.try_send(" ".repeat(50_000).as_bytes()).await;
        assert!(client.rest().await.contains("<policy-violation "));
        assert_eq!(hits(&world, LimitLabel::Authentication), 1);
    });
}

#[test]
fn t5_an_oversized_stanza_ends_the_stream_before_and_after_login() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut before = Client::direct_tls(&world, HOSTS[0]).await;
        before.open(HOSTS[0]).await;
        before.try_send(format!("<message><body>{}", "a".repeat(10_000)).as_bytes()).await;
        assert!(before.rest().await.contains("<policy-violation "));

        let mut after = world.juliet(&mut router).await;
        after.send(&format!("<message><body>{}</body></message>", "a".repeat(200_000))).await;
        assert_eq!(router.stanza(7).await.1.content.len(), 200_000 + "<body></body>".len());
        after.try_send(format!("<message><body>{}", "a".repeat(256 * 1024)).as_bytes()).await;
        assert!(after.rest().await.contains("<policy-violation "));
        assert!(matches!(router.inbound(7).await, (2, vesta_wire::attach::Inbound::Ended(_))));
    });
}

#[test]
fn a_stanza_nested_5000_deep_ends_its_stream_and_no_other() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.bound(&mut router, 7, "balcony").await;
        let mut nurse = world.bound(&mut router, 8, "chamber").await;
        nurse.try_send(format!("<message>{}{}</message>", "<a>".repeat(5000), "</a>".repeat(5000)).as_bytes()).await;
        assert!(nurse.rest().await.contains("<policy-violation "));
        assert!(matches!(router.inbound(8).await, (1, vesta_wire::attach::Inbound::Ended(_))));
        juliet.send("<presence/>").await;
        assert_eq!(router.stanza(7).await.0, 1);
    });
}

/// What somebody in between may put behind `<starttls/>` into one segment with it.
#[test]
fn t6_whatever_follows_starttls_in_clear_closes_the_connection() {
    run(async {
        let world = World::start();
        let header = header(HOSTS[0]);
        let half = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mech";
        for behind in [super::client::PLAIN, &header, half, " "] {
            let mut clear = Clear::connect(world.starttls()).await;
            clear.open(HOSTS[0]).await;
            clear.send(&format!("{STARTTLS}{behind}")).await;
            let all = clear.rest().await;
            assert!(all.contains("<policy-violation "), "{behind}: {all}");
            assert!(!all.contains("<proceed"), "{behind}: {all}");
        }
    });
}

#[test]
fn t8_half_handshakes_are_bounded_and_end() {
    run(async {
        let world = World::start_with_limits(|limits| {
            limits.handshakes_max = 4;
            limits.handshake_timeout = Duration::from_millis(300);
        });
        // The first bytes of a ClientHello, and never the rest.
        let mut half = Vec::new();
        for _ in 0..40 {
            let mut tcp = TcpStream::connect(world.direct_tls()).await.expect("a connection");
            tcp.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.expect("sent");
            half.push(tcp);
        }
        for tcp in &mut half {
            // Closed, or reset: either way over.
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
        // Each is counted just after it is closed.
        while hits(&world, LimitLabel::Handshake) < 40 {
            tokio::task::yield_now().await;
        }
        Client::direct_tls(&world, HOSTS[0]).await.open(HOSTS[0]).await;
    });
}

#[test]
fn t10_whatever_drips_in_the_time_to_log_in_is_bounded() {
    run(async {
        let world = World::start_with_limits(|limits| limits.authentication_timeout = Duration::from_millis(300));
        let mut silent = Client::tcp(world.starttls()).await;
        let mut dripping = Client::tcp(world.starttls()).await;
        dripping.open(HOSTS[0]).await;
        let drip = async {
            for _ in 0..10_000 {
                dripping.try_send(b" ").await;
                tokio::task::yield_now().await;
            }
            dripping.rest().await
        };
        let (dripped, silence) = tokio::join!(drip, silent.rest());
        assert!(silence.contains("<connection-timeout "), "{silence}");
        assert!(dripped.contains("<connection-timeout "), "{dripped}");
    });
}

#[test]
fn t10_connections_that_come_and_go_leave_nothing_behind() {
    run(async {
        let world = World::start_with_limits(|limits| {
            limits.connections_per_address = 8;
            limits.connection_rate = crate::config::Rate { per_second: 1e6, burst: 1e6 };
        });
        for _ in 0..500 {
            let mut client = Client::tcp(world.starttls()).await;
            client.send("</stream:stream>").await;
            client.rest().await;
        }
        while world.manager.connections() > 0 {
            tokio::task::yield_now().await;
        }
        let by = crate::metrics::ByTransport { transport: crate::metrics::TransportLabel::Starttls };
        assert_eq!(world.metrics.connections.get_or_create(&by).get(), 0);
    });
}

#[test]
fn an_address_with_too_many_connections_is_closed_without_a_word() {
    run(async {
        let world = World::start_with_limits(|limits| limits.connections_per_address = 1);
        let mut first = Client::tcp(world.starttls()).await;
        first.open(HOSTS[0]).await;
        assert_eq!(Client::tcp(world.starttls()).await.rest().await, "");
        assert_eq!(hits(&world, LimitLabel::ConnectionsPerAddress), 1);
        first.send("</stream:stream>").await;
        assert_eq!(first.rest().await, "</stream:stream>");
    });
}

/// RFC 6120 §8.1.2.1: exactly one `from`, and it is the session's, however the client wrote its own.
#[test]
fn t21_the_sender_is_stamped_whatever_the_client_wrote() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        let forged = [
            "<message to='nurse@capulet.example'/>",
            "<message from='romeo@montague.example' to='nurse@capulet.example'/>",
            "<message from=\"romeo@montague.example/orchard\" to='nurse@capulet.example'/>",
            "<message\n\tfrom = 'capulet.example'\r\nto='nurse@capulet.example'/>",
            "<message from='&#114;omeo@montague.example' to='nurse@capulet.example'/>",
            "<message xmlns:x='urn:x' x:from='romeo@montague.example' to='nurse@capulet.example'/>",
        ];
        for (at, stanza) in forged.iter().enumerate() {
            juliet.send(stanza).await;
            let (sequence, stanza) = router.stanza(7).await;
            assert_eq!(sequence, at as u64 + 1);
            let mut xml = Vec::new();
            stanza.write(&mut xml, None);
            let xml = String::from_utf8(xml).expect("UTF-8");
            assert!(xml.starts_with("<message from='juliet@capulet.example/balcony'"), "{xml}");
            assert_eq!(xml.matches(" from=").count(), 1, "{xml}");
        }
    });
}

#[test]
fn t25_what_only_a_server_may_assert_is_taken_out() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet
            .send(
                "<message to='nurse@capulet.example'><body>Hie</body>\
                 <stanza-id xmlns='urn:xmpp:sid:0' id='1' by='juliet@capulet.example'/>\
                 <s:stanza-id xmlns:s='urn:xmpp:sid:0' id='2' by='rooms.capulet.example'/></message>",
            )
            .await;
        assert_eq!(router.stanza(7).await.1.content, "<body>Hie</body>");
    });
}

/// RFC 6120 §8.3.3.8: its answer has a place among what goes to the router and comes from there; the stream goes on.
#[test]
fn a_stanza_to_no_jid_is_answered_and_the_next_one_goes_through() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet.send("<message id='m1' to='@@'><body>Hist</body></message><presence id='p'/>").await;
        let (1, Inbound::Rejected(Some(answer))) = router.inbound(7).await else { panic!("no rejected stanza") };
        router.deliver(7, 1, 1, answer).await;
        let error = juliet.expect("</message>").await;
        assert!(error.contains("<jid-malformed ") && error.contains("id='m1'"), "{error}");
        let (2, Inbound::Stanza(presence)) = router.inbound(7).await else { panic!("no presence") };
        assert_eq!(presence.id.as_deref(), Some("p"));
    });
}

#[test]
fn rfc6120_4_9_3_24_a_first_level_element_that_is_no_stanza_ends_the_stream() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        juliet.send("<enable xmlns='urn:xmpp:sm:2'/>").await;
        let all = juliet.rest().await;
        assert!(all.contains("<unsupported-stanza-type "), "{all}");
    });
}

/// RFC 6120 §4.9.1.1, §4.4: whoever is told of an error closes the stream, and tells of none itself.
#[test]
fn a_stream_error_of_the_client_is_answered_by_closing() {
    run(async {
        let world = World::start();
        let mut router = world.router().await;
        let mut juliet = world.juliet(&mut router).await;
        let error = "<not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
        juliet.send(&format!("<stream:error>{error}</stream:error></stream:stream>")).await;
        assert_eq!(juliet.rest().await, "</stream:stream>");
    });
}

/// T61: who sends what must be answered at the edge, and doesn't read the answers, is read no further; none is lost.
#[test]
fn t61_answers_that_nobody_reads_stop_the_reading() {
    const REQUESTS: usize = 50_000;
    const OUTGOING: usize = 64 * 1024;
    run(async {
        let world = World::start_with_limits(|limits| {
            limits.outgoing_bytes = OUTGOING;
            limits.stanza_rate = crate::config::Rate { per_second: 1e9, burst: 1e9 };
        });
        let mut router = world.router().await;
        let juliet = world.juliet(&mut router).await;
        let (mut reader, mut writer) = juliet.split();
        let send = async move {
            let requests = "<r xmlns='urn:xmpp:sm:3'/>".repeat(REQUESTS);
            let all = format!("<enable xmlns='urn:xmpp:sm:3'/>{requests}</stream:stream>");
            writer.write_all(all.as_bytes()).await.expect("read in the end");
            writer
        };
        let mut most = 0;
        let receive = async {
            let (mut answers, mut bytes) = (0, vec![0; 16 * 1024]);
            loop {
                let count = reader.read(&mut bytes).await.expect("answers");
                if count == 0 {
                    return answers;
                }
                answers += bytes[..count].iter().filter(|byte| **byte == b'0').count();
                world.manager.for_each_session(|session| most = most.max(session.waiting().outgoing_bytes));
            }
        };
        let (_writer, answers) = tokio::join!(send, receive);
        // And the last word.
        assert_eq!(answers, REQUESTS + 1);
        assert!(most <= OUTGOING + 1024, "{most}");
    });
}
