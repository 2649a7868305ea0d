//! The client's side of PLAIN (RFC 4616) and SCRAM (RFC 5802, 7677).

use super::message::{BindingFlag, are_extensions, escape_name, is_nonce, offered_text, take_attribute};
use super::{ChannelBindingType, ChannelBindings, Hash, Mechanism, decode_base64, encode_base64, scram};
use crate::Secret;

/// Iteration counts below this come from no honest server (RFC 7677 §4).
pub const ITERATIONS_MIN: u32 = 4096;

/// Iteration counts above this would keep a client busy for minutes.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// What the server has to offer, and what this client would take.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The names of the mechanisms offered.
    pub mechanisms: &'a [String],
    /// The types of channel binding offered (XEP-0440); `None` where the server does not say.
    pub binding_types: Option<&'a [String]>,
    /// What this side of the channel can be bound by.
    pub bindings: &'a ChannelBindings,
    /// The mechanisms that may be chosen. PLAIN must be among them inside TLS only.
    pub allowed: &'a [Mechanism],
}

/// Who authenticates.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The localpart of the account.
    pub username: String,
    /// The password, prepared by [`super::prepare_password`].
    pub password: Secret,
}

/// Why a client goes no further. The server is at fault, or is not the server that it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A message that is not of the mechanism's form, or out of its order.
    #[error("the server's message is malformed: {0}")]
    Malformed(&'static str),
    /// An iteration count outside [`ITERATIONS_MIN`] to [`ITERATIONS_MAX`].
    #[error("the server asks for {0} iterations")]
    Iterations(u32),
    /// The server has offered other mechanisms or channel bindings than those that came (XEP-0474): somebody has edited them.
    #[error("the server's list of mechanisms or channel bindings was changed on its way")]
    Downgrade,
    /// The server's signature is wrong or missing: it does not know the account.
    #[error("the server could not prove that it knows the account")]
    NotAuthentic,
}

/// A mechanism, and how the channel takes part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The mechanism for `<auth/>`.
    pub mechanism: Mechanism,
    flag: BindingFlag,
    /// What was offered, as XEP-0474 hashes it.
    offered: String,
}

/// Chooses the strongest mechanism of those offered, in the order of [`Mechanism::ALL`]. `None`: none may be used.
///
/// The flag tells the server what we saw: `y` if we could bind the channel but no `-PLUS` was offered, so that a server which
/// did offer one learns of the attack (RFC 5802 §6, T13).
pub fn choose(terms: &Terms<'_>) -> Option<Choice> {
    let offered = |mechanism: Mechanism| terms.mechanisms.iter().any(|name| name == mechanism.name());
    let kind = binding_type(terms);
    let plus_offered = terms.mechanisms.iter().any(|name| name.ends_with("-PLUS"));
    let flag = |mechanism: Mechanism| match kind {
        Some(kind) if mechanism.is_plus() => BindingFlag::Bound(kind),
        _ if !plus_offered && !terms.bindings.is_empty() => BindingFlag::NotOffered,
        _ => BindingFlag::Unsupported,
    };
    let usable = |mechanism: &Mechanism| terms.allowed.contains(mechanism) && (!mechanism.is_plus() || kind.is_some());
    let mechanism = Mechanism::ALL.iter().copied().filter(usable).find(|&mechanism| offered(mechanism))?;
    let binding_types = terms.binding_types.unwrap_or_default().iter().map(String::as_str);
    let offered = offered_text(terms.mechanisms.iter().map(String::as_str), binding_types);
    Some(Choice { mechanism, flag: flag(mechanism), offered })
}

/// The strongest type that both sides have.
fn binding_type(terms: &Terms<'_>) -> Option<ChannelBindingType> {
    terms.bindings.types().find(|kind| match terms.binding_types {
        Some(offered) => offered.iter().any(|name| name == kind.name()),
        None => true,
    })
}

/// One authentication, from `<auth/>` to `<success/>`.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

#[derive(Debug)]
enum State {
    /// PLAIN: everything has been said.
    Plain,
    /// SCRAM: waits for salt and iteration count.
    First { hash: Hash, binding: Vec<u8>, bare: String, nonce: String, offered: String, password: Secret },
    /// SCRAM: waits for the server's signature.
    Final { hash: Hash, salted_password: Secret, auth_message: Vec<u8> },
    /// SCRAM: the signature was right; it came as a challenge of its own.
    Verified,
    /// Something was wrong.
    Failed,
}

impl Exchange {
    /// Starts, and gives the initial response. `nonce`: as [`super::server::Context::nonce`].
    pub fn start(
        choice: &Choice,
        credentials: &Credentials,
        bindings: &ChannelBindings,
        nonce: String,
    ) -> (Self, Vec<u8>) {
        match choice.mechanism {
            Mechanism::Plain => {
                let response = [b"\0", credentials.username.as_bytes(), b"\0", credentials.password.expose()].concat();
                (Self { state: State::Plain }, response)
            }
            Mechanism::Scram { hash, .. } => {
                let header = choice.flag.header();
                let bare = format!("n={},r={nonce}", escape_name(&credentials.username));
                let response = format!("{header}{bare}").into_bytes();
                let data = match choice.flag {
                    BindingFlag::Bound(kind) => bindings.data(kind).unwrap_or_default(),
                    BindingFlag::NotOffered | BindingFlag::Unsupported => &[],
                };
                let binding = [header.as_bytes(), data].concat();
                let password = credentials.password.clone();
                let offered = choice.offered.clone();
                (Self { state: State::First { hash, binding, bare, nonce, offered, password } }, response)
            }
        }
    }

    /// Takes a challenge, decoded, and gives the response. Costs milliseconds of CPU: PBKDF2.
    ///
    /// # Errors
    /// See [`ClientError`]. Close the stream.
    pub fn challenge(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::First { hash, binding, bare, nonce, offered, password } => {
                let first = ServerFirst::parse(challenge, &nonce)?;
                if first.offer_hash.is_some_and(|it| it != encode_base64(&hash.of(offered.as_bytes()))) {
                    return Err(ClientError::Downgrade);
                }
                let salted_password = scram::salted_password(hash, &password, &first.salt, first.iterations);
                let without_proof = format!("c={},r={}", encode_base64(&binding), first.nonce);
                let auth_message = format!("{bare},{},{without_proof}", first.message).into_bytes();
                let proof = encode_base64(&scram::client_proof(hash, &salted_password, &auth_message));
                self.state = State::Final { hash, salted_password, auth_message };
                Ok(format!("{without_proof},p={proof}").into_bytes())
            }
            // Servers that don't use additional data with success send the signature as a last challenge.
            State::Final { hash, salted_password, auth_message } => {
                verify(hash, &salted_password, &auth_message, challenge)?;
                self.state = State::Verified;
                Ok(Vec::new())
            }
            State::Plain | State::Verified | State::Failed => Err(ClientError::Malformed("a challenge out of order")),
        }
    }

    /// Takes `<success/>` with its additional data, decoded.
    ///
    /// # Errors
    /// [`ClientError::NotAuthentic`] also for a success that comes too early. Close the stream.
    pub fn success(&mut self, data: &[u8]) -> Result<(), ClientError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Plain | State::Verified if data.is_empty() => Ok(()),
            State::Final { hash, salted_password, auth_message } => verify(hash, &salted_password, &auth_message, data),
            State::Plain | State::Verified => Err(ClientError::Malformed("data with a success that needs none")),
            State::First { .. } | State::Failed => Err(ClientError::NotAuthentic),
        }
    }
}

/// `server-first-message`, taken apart.
struct ServerFirst<'m> {
    message: &'m str,
    nonce: &'m str,
    salt: Vec<u8>,
    iterations: u32,
    /// XEP-0474; older servers send none.
    offer_hash: Option<&'m str>,
}

impl<'m> ServerFirst<'m> {
    fn parse(message: &'m [u8], client_nonce: &str) -> Result<Self, ClientError> {
        let message = std::str::from_utf8(message).map_err(|_| ClientError::Malformed("not UTF-8"))?;
        let mut rest = message;
        let nonce = take_attribute(&mut rest, 'r')
            .filter(|nonce| is_nonce(nonce) && nonce.len() > client_nonce.len() && nonce.starts_with(client_nonce))
            .ok_or(ClientError::Malformed("the nonce does not go on from ours"))?;
        let salt = take_attribute(&mut rest, 's')
            .and_then(|salt| decode_base64(salt).ok())
            .filter(|salt| !salt.is_empty())
            .ok_or(ClientError::Malformed("the salt"))?;
        let iterations: u32 = take_attribute(&mut rest, 'i')
            .and_then(|count| count.parse().ok())
            .ok_or(ClientError::Malformed("the iteration count"))?;
        if !are_extensions(rest) {
            return Err(ClientError::Malformed("an extension"));
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ClientError::Iterations(iterations));
        }
        let offer_hash = rest.split(',').find_map(|attribute| attribute.strip_prefix("h="));
        Ok(Self { message, nonce, salt, iterations, offer_hash })
    }
}

/// Checks `server-final-message`.
fn verify(hash: Hash, salted_password: &Secret, auth_message: &[u8], message: &[u8]) -> Result<(), ClientError> {
    let mut rest = std::str::from_utf8(message).map_err(|_| ClientError::NotAuthentic)?;
    let signature = take_attribute(&mut rest, 'v').and_then(|text| decode_base64(text).ok());
    match signature {
        Some(signature) if scram::verify_server_signature(hash, salted_password, auth_message, &signature) => Ok(()),
        _ => Err(ClientError::NotAuthentic),
    }
}
