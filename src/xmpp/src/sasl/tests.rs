//! Client against server for every mechanism and binding, and each against messages that no honest peer sends.

use proptest::prelude::*;

use super::client::{self, Choice, ClientError, Credentials, Terms, choose};
use super::scram::Keys;
use super::server::{self, Context, Step};
use super::*;

const SALT: &[u8] = b"sixteen bytes ok";
const ITERATIONS: u32 = 4096;

/// Whoever holds the verifiers: knows `juliet`, password "r0m30myr0m30".
pub(crate) fn directory(question: &Question) -> Answer {
    let password = Secret::from("r0m30myr0m30");
    let denied = Answer::Denied(SaslCondition::NotAuthorized);
    let known = question.account().as_str() == "juliet@im.example.com";
    match question {
        Question::Salt { .. } => Answer::Salt { salt: SALT.into(), iterations: ITERATIONS },
        Question::Proof { hash, auth_message, proof, .. } => {
            let keys = Keys::derive(*hash, &password, SALT, ITERATIONS);
            match keys.verify_proof(*hash, auth_message, proof) {
                Some(server_signature) if known => Answer::Accepted { server_signature },
                _ => denied,
            }
        }
        Question::Password { password: given, .. } => match known && given.matches(password.expose()) {
            true => Answer::Accepted { server_signature: Vec::new() },
            false => denied,
        },
    }
}

fn both() -> ChannelBindings {
    ChannelBindings { tls_exporter: Some(vec![7; 32]), tls_server_end_point: Some(vec![9; 32]) }
}

fn context(bindings: ChannelBindings) -> Context {
    Context {
        host: BareJid::parse("im.example.com").expect("a domain"),
        offered: Mechanism::ALL.iter().copied().filter(|it| !it.is_plus() || !bindings.is_empty()).collect(),
        bindings,
        nonce: "3rfcNHYJY1ZVvWVs7j".into(),
    }
}

fn juliet(password: &str) -> Credentials {
    Credentials { username: "juliet".into(), password: Secret::from(password) }
}

/// The context of a server that offers `mechanism` alone.
fn offering(mechanism: Mechanism, bindings: ChannelBindings) -> Context {
    Context { offered: vec![mechanism], ..context(bindings) }
}

/// What a client that can be bound by `ours` takes of what this server offers.
fn choice(ours: &ChannelBindings, server: &Context) -> Choice {
    let mechanisms: Vec<String> = server.offered.iter().map(|it| it.name().to_owned()).collect();
    let types: Vec<String> = server.bindings.types().map(|it| it.name().to_owned()).collect();
    let binding_types = (!types.is_empty()).then_some(&types[..]);
    choose(&Terms { mechanisms: &mechanisms, binding_types, bindings: ours, allowed: Mechanism::ALL }).expect("usable")
}

/// Runs both sides to the end.
fn run(choice: &Choice, credentials: &Credentials, ours: &ChannelBindings, context: Context) -> Outcome {
    let mut server = server::Exchange::new(choice.mechanism, context);
    let (mut client, response) = client::Exchange::start(choice, credentials, ours, "fyko+d2lbbFgONRv9qkxdawL".into());
    let mut step = server.respond(Some(&response));
    loop {
        step = match step {
            Step::Ask(question) => server.answer(directory(&question)),
            Step::Challenge(challenge) => {
                server.respond(Some(&client.challenge(&challenge).expect("a fair challenge")))
            }
            Step::Success { account, data } => return Ok((account, client.success(&data))),
            Step::Failure(failure) => return Err(failure),
        };
    }
}

type Outcome = Result<(BareJid, Result<(), ClientError>), SaslFailure>;

/// Feeds messages to a server whose questions are answered, and gives the last step.
fn feed(mechanism: Mechanism, context: Context, messages: &[&[u8]]) -> Step {
    let mut server = server::Exchange::new(mechanism, context);
    let mut last = server.respond(Some(messages[0]));
    for message in &messages[1..] {
        if let Step::Ask(question) = &last {
            last = server.answer(directory(question));
        }
        if let Step::Challenge(_) = last {
            last = server.respond(Some(message));
        }
    }
    if let Step::Ask(question) = &last {
        last = server.answer(directory(question));
    }
    last
}

fn condition(step: &Step) -> Option<SaslCondition> {
    match step {
        Step::Failure(failure) => Some(failure.condition),
        _ => None,
    }
}

const SHA256: Mechanism = Mechanism::Scram { hash: Hash::Sha256, plus: false };
const SHA256_PLUS: Mechanism = Mechanism::Scram { hash: Hash::Sha256, plus: true };

#[test]
fn each_mechanism_is_found_by_its_name() {
    for &mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        assert_eq!(mechanism.is_plus(), mechanism.name().ends_with("-PLUS"));
        assert_eq!(Mechanism::WITHOUT_PASSWORD.contains(&mechanism), mechanism != Mechanism::Plain);
    }
}

#[test]
fn client_and_server_agree_for_every_mechanism_and_binding() {
    let ChannelBindings { tls_exporter, tls_server_end_point } = both();
    let exporter = ChannelBindings { tls_exporter, tls_server_end_point: None };
    let end_point = ChannelBindings { tls_exporter: None, tls_server_end_point };
    for &mechanism in Mechanism::ALL {
        for bindings in [both(), exporter.clone(), end_point.clone()] {
            let server = offering(mechanism, bindings.clone());
            let choice = choice(&bindings, &server);
            let (account, authentic) = run(&choice, &juliet("r0m30myr0m30"), &bindings, server).expect("success");
            assert_eq!((account.as_str(), authentic), ("juliet@im.example.com", Ok(())), "{mechanism:?} {bindings:?}");
        }
    }
}

#[test]
fn the_exchange_of_rfc_6120_section_9_1_comes_out() {
    let unbound = ChannelBindings::default();
    let choice = choice(&unbound, &offering(Mechanism::Scram { hash: Hash::Sha1, plus: false }, unbound.clone()));
    let nonce = "oMsTAAwAAAAMAAAANP0TAAAAAABPU0AA".to_owned();
    let (mut client, response) = client::Exchange::start(&choice, &juliet("r0m30myr0m30"), &unbound, nonce);
    assert_eq!(encode_base64(&response), "biwsbj1qdWxpZXQscj1vTXNUQUF3QUFBQU1BQUFBTlAwVEFBQUFBQUJQVTBBQQ==");
    let challenge = "r=oMsTAAwAAAAMAAAANP0TAAAAAABPU0AAe124695b-69a9-4de6-9c30-b51b3808c59e,\
                     s=NjhkYTM0MDgtNGY0Zi00NjdmLTkxMmUtNDlmNTNmNDNkMDMz,i=4096";
    assert_eq!(
        String::from_utf8(client.challenge(challenge.as_bytes()).expect("a fair challenge")).as_deref(),
        Ok("c=biws,r=oMsTAAwAAAAMAAAANP0TAAAAAABPU0AAe124695b-69a9-4de6-9c30-b51b3808c59e,\
            p=UA57tM/SvpATBkH2FXs0WDXvJYw=")
    );
    assert_eq!(client.success(b"v=pNNDFVEQxuXxCoSEiW8GEZ+1RSo="), Ok(()));
}

#[test]
fn a_wrong_password_and_an_unknown_account_fail_alike() {
    // T14
    for &mechanism in Mechanism::ALL {
        let wrong = juliet("wrong");
        let unknown = Credentials { username: "nobody".into(), ..juliet("r0m30myr0m30") };
        for credentials in [wrong, unknown] {
            let server = offering(mechanism, both());
            let failure = run(&choice(&both(), &server), &credentials, &both(), server).expect_err("refused");
            assert_eq!(failure, SaslFailure::new(SaslCondition::NotAuthorized));
        }
    }
}

#[test]
fn a_proof_made_for_another_channel_is_refused() {
    // Somebody between two TLS connections: each side sees other keying material.
    let theirs = ChannelBindings { tls_exporter: Some(vec![8; 32]), ..both() };
    let server = offering(SHA256_PLUS, both());
    let failure = run(&choice(&theirs, &server), &juliet("r0m30myr0m30"), &theirs, server);
    assert_eq!(failure, Err(SaslCondition::NotAuthorized.into()));
}

#[test]
fn a_client_that_was_shown_no_plus_where_one_was_offered_is_refused() {
    // T13: the list of mechanisms has been edited on its way.
    let seen = choice(&both(), &offering(SHA256, both()));
    let failure = run(&seen, &juliet("r0m30myr0m30"), &both(), context(both()));
    assert_eq!(failure.expect_err("refused").condition, SaslCondition::NotAuthorized);
}

#[test]
fn a_client_that_cannot_bind_may_use_the_plain_variant() {
    let none = ChannelBindings::default();
    let server = context(both());
    assert!(run(&choice(&none, &server), &juliet("r0m30myr0m30"), &none, server).is_ok());
}

#[test]
fn a_client_finds_out_that_the_offer_was_edited() {
    // XEP-0474: fewer mechanisms, or fewer types of channel binding, than the server has offered.
    let end_point = ChannelBindings { tls_exporter: None, ..both() };
    for seen in [offering(SHA256_PLUS, both()), context(end_point)] {
        let choice = choice(&both(), &seen);
        let mut server = server::Exchange::new(choice.mechanism, context(both()));
        let (mut client, response) = client::Exchange::start(&choice, &juliet("x"), &both(), "abc".into());
        let Step::Ask(question) = server.respond(Some(&response)) else { panic!("a question is due") };
        let Step::Challenge(challenge) = server.answer(directory(&question)) else { panic!("a challenge is due") };
        assert_eq!(client.challenge(&challenge), Err(ClientError::Downgrade));
    }
}

#[test]
fn the_authorization_identity_must_be_the_account_itself() {
    // T12, for PLAIN and for SCRAM's a=.
    for (authzid, allowed) in [
        ("", true),
        ("juliet", true),
        ("Juliet", true),
        ("juliet@im.example.com", true),
        ("juliet@IM.example.com", true),
        ("romeo", false),
        ("romeo@im.example.com", false),
        ("juliet@example.com", false),
        ("juliet@im.example.com/balcony", false),
        ("im.example.com", false),
    ] {
        let plain = format!("{authzid}\0juliet\0r0m30myr0m30");
        let step = feed(Mechanism::Plain, context(both()), &[plain.as_bytes()]);
        let expected = (!allowed).then_some(SaslCondition::InvalidAuthzid);
        assert_eq!(condition(&step), expected, "PLAIN {authzid:?}");

        let authzid = if authzid.is_empty() { String::new() } else { format!("a={authzid}") };
        let scram = format!("n,{authzid},n=juliet,r=abc");
        let step = feed(SHA256, context(both()), &[scram.as_bytes()]);
        assert_eq!(condition(&step), expected, "SCRAM {authzid:?}");
    }
}

#[test]
fn malformed_plain_messages_are_refused() {
    for (message, expected) in [
        (&b""[..], SaslCondition::MalformedRequest),
        (b"juliet", SaslCondition::MalformedRequest),
        (b"\0juliet", SaslCondition::MalformedRequest),
        (b"\0juliet\0a\0b", SaslCondition::MalformedRequest),
        (b"\0juliet\0\xFF", SaslCondition::MalformedRequest),
        (b"\0\0r0m30myr0m30", SaslCondition::NotAuthorized),
        (b"\0juliet\0", SaslCondition::NotAuthorized),
        (b"\0jul iet\0r0m30myr0m30", SaslCondition::NotAuthorized),
    ] {
        assert_eq!(condition(&feed(Mechanism::Plain, context(both()), &[message])), Some(expected), "{message:?}");
    }
}

#[test]
fn malformed_first_messages_of_scram_are_refused() {
    for message in [
        "",
        "n",
        "n,,",
        "n,,n=juliet",
        "n,,r=abc,n=juliet",
        "n,,n=,r=abc",
        "n,,n=ju=20liet,r=abc",
        "n,,n=juliet,r=",
        "n,,n=juliet,r=a c",
        "n,,m=x,n=juliet,r=abc",
        "n,,n=juliet,r=abc,x",
        "n,b=juliet,n=juliet,r=abc",
        "x,,n=juliet,r=abc",
        "p=tls-exporter,,n=juliet,r=abc",
        "p=tls-unique,,n=juliet,r=abc",
        "F,n,,n=juliet,r=abc",
    ] {
        let step = feed(SHA256, context(both()), &[message.as_bytes()]);
        assert_eq!(condition(&step), Some(SaslCondition::MalformedRequest), "{message:?}");
    }
    for message in ["n,,n=juliet,r=abc", "y,,n=juliet,r=abc", "p=tls-unique,,n=juliet,r=abc", "p=,,n=juliet,r=abc"] {
        let step = feed(SHA256_PLUS, context(both()), &[message.as_bytes()]);
        assert_eq!(condition(&step), Some(SaslCondition::MalformedRequest), "{message:?}");
    }
}

#[test]
fn malformed_final_messages_of_scram_are_refused() {
    let nonce = "abc3rfcNHYJY1ZVvWVs7j";
    let proof = encode_base64(&[1; 32]);
    for (message, expected) in [
        (format!("c=biws,r={nonce},p={proof}"), SaslCondition::NotAuthorized),
        (format!("c=eSws,r={nonce},p={proof}"), SaslCondition::NotAuthorized),
        (format!("c=biws,r=abc,p={proof}"), SaslCondition::NotAuthorized),
        (format!("c=biws,r={nonce},p=AAAA"), SaslCondition::MalformedRequest),
        (format!("c=biws,r={nonce},p=="), SaslCondition::MalformedRequest),
        (format!("c=biw,r={nonce},p={proof}"), SaslCondition::MalformedRequest),
        (format!("r={nonce},c=biws,p={proof}"), SaslCondition::MalformedRequest),
        (format!("c=biws,r={nonce}"), SaslCondition::MalformedRequest),
        (String::new(), SaslCondition::MalformedRequest),
    ] {
        let step = feed(SHA256, context(both()), &[b"n,,n=juliet,r=abc", message.as_bytes()]);
        assert_eq!(condition(&step), Some(expected), "{message:?}");
    }
}

#[test]
fn a_name_with_comma_and_equals_sign_comes_through() {
    let step = server::Exchange::new(SHA256, context(both())).respond(Some(b"n,,n=ju=2Cli=3Det,r=abc"));
    assert!(matches!(step, Step::Ask(question) if question.account().local() == Some("ju,li=et")));
}

#[test]
fn without_initial_response_an_empty_challenge_comes_first() {
    let mut server = server::Exchange::new(Mechanism::Plain, context(both()));
    assert!(matches!(server.respond(None), Step::Challenge(challenge) if challenge.is_empty()));
    assert!(matches!(server.respond(Some(b"\0juliet\0x")), Step::Ask(_)));
}

#[test]
fn an_exchange_that_is_over_takes_nothing_more() {
    let mut server = server::Exchange::new(Mechanism::Plain, context(both()));
    assert_eq!(condition(&server.respond(Some(b"nonsense"))), Some(SaslCondition::MalformedRequest));
    assert_eq!(condition(&server.respond(Some(b"\0juliet\0r0m30myr0m30"))), Some(SaslCondition::MalformedRequest));
    let accepted = Answer::Accepted { server_signature: Vec::new() };
    assert_eq!(condition(&server.answer(accepted)), Some(SaslCondition::TemporaryAuthFailure));
}

#[test]
fn the_client_chooses_the_strongest_that_may_be_used() {
    let all: Vec<String> = Mechanism::ALL.iter().map(|mechanism| mechanism.name().to_owned()).collect();
    let unbound = ChannelBindings::default();
    let bound = both();
    let strange = ["X-OTHER".to_owned()];
    let end_point = ["tls-server-end-point".to_owned()];
    let other = ["tls-unique".to_owned()];
    let choose = |mechanisms: &[String], types: Option<&[String]>, bindings, allowed| {
        let choice = choose(&Terms { mechanisms, binding_types: types, bindings, allowed })?;
        let (_, response) = client::Exchange::start(&choice, &juliet("x"), bindings, "abc".into());
        let header = String::from_utf8(response).expect("UTF-8").split(',').next().map(str::to_owned);
        Some((choice.mechanism.name(), header.unwrap_or_default()))
    };
    let all_sha_256 = [SHA256, SHA256_PLUS];
    let chosen = |name, header: &str| Some((name, header.to_owned()));

    assert_eq!(choose(&all, None, &bound, Mechanism::ALL), chosen("SCRAM-SHA-512-PLUS", "p=tls-exporter"));
    assert_eq!(
        choose(&all, Some(&end_point), &bound, Mechanism::ALL),
        chosen("SCRAM-SHA-512-PLUS", "p=tls-server-end-point")
    );
    // XEP-0440: no type in common is no attack.
    assert_eq!(choose(&all, Some(&other), &bound, Mechanism::ALL), chosen("SCRAM-SHA-512", "n"));
    assert_eq!(choose(&all, None, &unbound, Mechanism::ALL), chosen("SCRAM-SHA-512", "n"));
    // No -PLUS came, though we could: tell the server.
    assert_eq!(choose(&all[4..], None, &bound, Mechanism::ALL), chosen("SCRAM-SHA-256", "y"));
    assert_eq!(choose(&all[6..], None, &bound, Mechanism::ALL), chosen("PLAIN", "\0juliet\0x"));
    assert_eq!(choose(&all[6..], None, &bound, Mechanism::WITHOUT_PASSWORD), None);
    // What was agreed on earlier may be insisted on.
    assert_eq!(choose(&all, None, &bound, &all_sha_256), chosen("SCRAM-SHA-256-PLUS", "p=tls-exporter"));
    assert_eq!(choose(&all[6..], None, &bound, &all_sha_256), None);
    assert_eq!(choose(&strange, None, &bound, Mechanism::ALL), None);
}

#[test]
fn the_client_refuses_an_unfair_challenge() {
    for (challenge, expected) in [
        ("r=abcdef,s=c2FsdA==,i=4095", ClientError::Iterations(4095)),
        ("r=abcdef,s=c2FsdA==,i=4000000000", ClientError::Iterations(4_000_000_000)),
        ("r=abc,s=c2FsdA==,i=4096", ClientError::Malformed("the nonce does not go on from ours")),
        ("r=xyzdef,s=c2FsdA==,i=4096", ClientError::Malformed("the nonce does not go on from ours")),
        ("m=x,r=abcdef,s=c2FsdA==,i=4096", ClientError::Malformed("the nonce does not go on from ours")),
        ("r=abcdef,s=,i=4096", ClientError::Malformed("the salt")),
        ("r=abcdef,s=c2FsdA==,i=-1", ClientError::Malformed("the iteration count")),
    ] {
        let unbound = ChannelBindings::default();
        let (mut client, _) =
            client::Exchange::start(&choice(&unbound, &offering(SHA256, both())), &juliet("x"), &unbound, "abc".into());
        assert_eq!(client.challenge(challenge.as_bytes()), Err(expected), "{challenge:?}");
    }
}

#[test]
fn the_client_believes_no_success_without_the_servers_signature() {
    let unbound = ChannelBindings::default();
    let start = || {
        client::Exchange::start(&choice(&unbound, &offering(SHA256, both())), &juliet("x"), &unbound, "abc".into()).0
    };
    assert_eq!(start().success(b""), Err(ClientError::NotAuthentic));
    assert_eq!(start().success(b"v=AAAA"), Err(ClientError::NotAuthentic));
    for data in ["", "v=", "v=AAAA", "e=other-error"] {
        let mut client = start();
        client.challenge(b"r=abcdef,s=c2FsdA==,i=4096").expect("a fair challenge");
        assert_eq!(client.success(data.as_bytes()), Err(ClientError::NotAuthentic), "{data:?}");
    }
}

proptest! {
    #[test]
    fn garbage_never_breaks_either_side(messages in prop::collection::vec(message(), 1..4), at in 0..Mechanism::ALL.len()) {
        let mechanism = Mechanism::ALL[at];
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let step = feed(mechanism, context(both()), &messages);
        let succeeded = matches!(step, Step::Success { .. });
        prop_assert!(!succeeded);
        let choice = choice(&both(), &offering(mechanism, both()));
        let (mut client, _) = client::Exchange::start(&choice, &juliet("x"), &both(), "abc".into());
        let refused = client.challenge(messages[0]).is_err() || mechanism != Mechanism::Plain;
        prop_assert!(refused);
        if mechanism != Mechanism::Plain {
            prop_assert!(client.success(messages[0]).is_err());
        }
    }
}

/// Bytes that look now and then like a message.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "n,",
        "y,",
        "p=tls-exporter,",
        ",",
        "a=juliet",
        "n=juliet,",
        "r=abc",
        "r=abc3rfcNHYJY1ZVvWVs7j,",
        "m=x,",
        "c=biws,",
        "p=AAAA",
        "s=c2FsdA==,",
        "i=1",
        "v=AAAA",
        "=",
        "=2C",
        "\0",
        "juliet",
        "é",
        "\u{202E}",
    ]);
    let pieces = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![4 => pieces, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}
