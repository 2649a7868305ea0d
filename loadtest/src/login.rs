//! A stream brought up with little work on this side (RFC 6120 §4–7): the client library's own negotiation derives the keys of
//! SCRAM each time, and takes TLS wherever it is offered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use vesta_client::Stream;
use vesta_xmpp::payload::bind::{Bound, Request};
use vesta_xmpp::sasl::{Hash, Mechanism, decode_base64, encode_base64, scram};
use vesta_xmpp::scan::Item;
use vesta_xmpp::{Element, Envelope, FullJid, IqType, StanzaType, ns};

use crate::account::{Account, Salted};
use crate::error::Error;
use crate::target::{Security, Target};

/// How long a login may take before it counts as failed.
const LOGIN_MAX: Duration = Duration::from_secs(60);

/// Connects and logs in.
///
/// # Errors
/// The server can't be reached or does not let us in.
pub async fn log_in(
    target: &Target,
    account: &Account,
    mechanism: Mechanism,
    resource: &str,
) -> Result<(Stream, FullJid), Error> {
    let mut stream = enter(target, account, mechanism).await?;
    let binding = bind(&mut stream, resource);
    let jid = timeout(LOGIN_MAX, binding).await.map_err(|_| Error::TimedOut("a login"))??;
    Ok((stream, jid))
}

/// Connects and authenticates, up to where a resource is bound or an earlier stream resumed.
///
/// # Errors
/// As [`log_in`].
pub async fn enter(target: &Target, account: &Account, mechanism: Mechanism) -> Result<Stream, Error> {
    let entering = async {
        let mut stream = connect(target).await?;
        authenticate(&mut stream, account, mechanism).await?;
        stream.restart();
        open(&mut stream, target).await?;
        Ok(stream)
    };
    timeout(LOGIN_MAX, entering).await.map_err(|_| Error::TimedOut("a login"))?
}

/// Connects, and opens the stream up to the features that lead to authentication.
///
/// # Errors
/// The server can't be reached, or has no TLS where it should.
pub async fn connect(target: &Target) -> Result<Stream, Error> {
    let mut stream = target.dial().await?;
    open(&mut stream, target).await?;
    if target.security() == Security::Starttls {
        stream.send_raw(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        let answer = stream.next().await?;
        let Item::Element(element) = &answer else { return Err(Error::unexpected("leave to start TLS", &answer)) };
        if !element.is(ns::TLS, "proceed") {
            return Err(Error::unexpected("leave to start TLS", &answer));
        }
        target.start_tls(&mut stream).await?;
        open(&mut stream, target).await?;
    }
    Ok(stream)
}

/// Authenticates. Returns the keys, where SCRAM derived or used some.
///
/// # Errors
/// The server does not let us in, or could not prove that it knows the account.
pub async fn authenticate(
    stream: &mut Stream,
    account: &Account,
    mechanism: Mechanism,
) -> Result<Option<Salted>, Error> {
    match mechanism {
        Mechanism::Plain => plain(stream, account).await.map(|()| None),
        Mechanism::Scram { hash, .. } => scram(stream, account, hash).await.map(Some),
    }
}

async fn open(stream: &mut Stream, target: &Target) -> Result<Element, Error> {
    let header = format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         version='1.0' to='{}'>",
        target.domain()
    );
    stream.send_raw(header.as_bytes()).await?;
    match stream.next().await? {
        Item::Open(_) => {}
        other => return Err(Error::unexpected("a stream header", &other)),
    }
    match stream.next().await? {
        Item::Element(features) if features.is(ns::STREAM, "features") => Ok(features),
        other => Err(Error::unexpected("stream features", &other)),
    }
}

async fn plain(stream: &mut Stream, account: &Account) -> Result<(), Error> {
    send_auth(stream, "PLAIN", &format!("\0{}\0{}", account.name, account.password)).await?;
    sasl(stream, "success").await.map(drop)
}

/// RFC 5802 §5, without channel binding.
async fn scram(stream: &mut Stream, account: &Account, hash: Hash) -> Result<Salted, Error> {
    let first = format!("n={},r={}", account.name, nonce());
    send_auth(stream, Mechanism::Scram { hash, plus: false }.name(), &format!("n,,{first}")).await?;
    let challenge = sasl(stream, "challenge").await?;
    let attribute = |name| challenge.split(',').find_map(|it| it.strip_prefix(name)).unwrap_or_default();
    let salt = decode_base64(attribute("s=")).unwrap_or_default();
    let iterations = attribute("i=").parse().unwrap_or_default();
    let salted = salted(account, hash, salt, iterations)?;

    let without_proof = format!("c=biws,r={}", attribute("r="));
    let auth_message = format!("{first},{challenge},{without_proof}");
    let proof = encode_base64(&scram::client_proof(hash, &salted.password, auth_message.as_bytes()));
    let response = encode_base64(format!("{without_proof},p={proof}").as_bytes());
    stream.send_raw(format!("<response xmlns='{}'>{response}</response>", ns::SASL).as_bytes()).await?;

    let last = sasl(stream, "success").await?;
    let signature = last.strip_prefix("v=").and_then(|text| decode_base64(text).ok()).unwrap_or_default();
    if !scram::verify_server_signature(hash, &salted.password, auth_message.as_bytes(), &signature) {
        return Err(Error::Unexpected { expected: "the server's signature", got: last });
    }
    Ok(salted)
}

/// The account's keys, derived only where it has none: in the middle of a measurement that would be load of our own.
fn salted(account: &Account, hash: Hash, salt: Vec<u8>, iterations: u32) -> Result<Salted, Error> {
    match &account.salted {
        None => Ok(Salted::derive(hash, &account.password, salt, iterations)),
        Some(known) if (known.hash, &known.salt, known.iterations) == (hash, &salt, iterations) => Ok(known.clone()),
        Some(_) => Err(Error::Usage(format!(
            "the keys of {} are for another server or mechanism: make the file of accounts anew",
            account.name
        ))),
    }
}

/// Unique is enough: nobody attacks these streams.
fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("loadtest{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn send_auth(stream: &mut Stream, mechanism: &str, message: &str) -> Result<(), Error> {
    let message = encode_base64(message.as_bytes());
    let auth = format!("<auth xmlns='{}' mechanism='{mechanism}'>{message}</auth>", ns::SASL);
    Ok(stream.send_raw(auth.as_bytes()).await?)
}

/// The text of SASL's next element, which must have this name.
async fn sasl(stream: &mut Stream, name: &'static str) -> Result<String, Error> {
    let item = stream.next().await?;
    match &item {
        Item::Element(element) if element.is(ns::SASL, name) => {
            let text = decode_base64(&element.text()).unwrap_or_default();
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        _ => Err(Error::unexpected(name, &item)),
    }
}

async fn bind(stream: &mut Stream, resource: &str) -> Result<FullJid, Error> {
    let request = Request { resource: Some(resource.to_owned()) };
    stream.send(&Envelope::iq(IqType::Set, "bind", Some(&request.to_element()))).await?;
    let item = stream.next().await?;
    let Item::Stanza(answer) = &item else { return Err(Error::unexpected("a bound resource", &item)) };
    if answer.kind != StanzaType::Iq(IqType::Result) {
        return Err(Error::unexpected("a bound resource", &item));
    }
    let payload = answer.payload_element().ok().flatten();
    let bound = payload.and_then(|payload| Bound::parse(&payload).ok());
    bound.map(|bound| bound.jid).ok_or_else(|| Error::unexpected("a bound resource", &item))
}
