//! SASL's questions (RFC 4616, RFC 5802), answered from the verifiers.
//!
//! An account that does not exist has a decoy: verifiers that come out of a secret of the deployment, the same at each try, and that
//! no password fits. All that follows is the same work for both, and so is the answer (T14).

use vesta_xmpp::sasl::scram::Keys;
use vesta_xmpp::sasl::{Answer, Hash, Question, SaslCondition};
use vesta_xmpp::{BareJid, Secret};

use crate::accounts::{SALT_BYTES, hmac, run_blocking};
use crate::store::{StoreError, Verifier};
use crate::{Engine, Ports};

/// The verifier that a PLAIN password is compared with.
const PLAIN_HASH: Hash = Hash::Sha256;

/// A verifier, and whether anything may be accepted with it.
struct Found {
    verifier: Verifier,
    genuine: bool,
}

pub(crate) async fn answer(engine: &Engine, question: Question, ports: &dyn Ports) -> Answer {
    match try_answer(engine, question, ports).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%error, "a login can't be decided");
            Answer::Denied(SaslCondition::TemporaryAuthFailure)
        }
    }
}

async fn try_answer(engine: &Engine, question: Question, ports: &dyn Ports) -> Result<Answer, StoreError> {
    Ok(match question {
        Question::Salt { account, hash } => {
            let Found { verifier, .. } = find(engine, &account, hash, ports).await?;
            Answer::Salt { salt: verifier.salt, iterations: verifier.iterations }
        }
        Question::Proof { account, hash, auth_message, proof } => {
            let Found { verifier, genuine } = find(engine, &account, hash, ports).await?;
            let keys = Keys { stored_key: verifier.stored_key, server_key: verifier.server_key };
            verdict(keys.verify_proof(hash, &auth_message, &proof).filter(|_| genuine))
        }
        Question::Password { account, password } => {
            let Found { verifier, genuine } = find(engine, &account, PLAIN_HASH, ports).await?;
            let verify = move || {
                let Verifier { salt, iterations, stored_key, server_key } = verifier;
                Keys { stored_key, server_key }.verify_password(PLAIN_HASH, &password, &salt, iterations)
            };
            match run_blocking(ports, verify).await {
                Ok(right) => verdict((right && genuine).then(Vec::new)),
                Err(_) => Answer::Denied(SaslCondition::TemporaryAuthFailure),
            }
        }
    })
}

fn verdict(server_signature: Option<Vec<u8>>) -> Answer {
    match server_signature {
        Some(server_signature) => Answer::Accepted { server_signature },
        None => Answer::Denied(SaslCondition::NotAuthorized),
    }
}

async fn find(engine: &Engine, account: &BareJid, hash: Hash, ports: &dyn Ports) -> Result<Found, StoreError> {
    // Made for every account, so that it takes its time for every account.
    let decoy = decoy(&secret(engine, ports).await?, account, hash, engine.settings().scram_iterations);
    let credentials = ports.store().credentials(account).await?;
    let served = engine.hooks(account.domain()).is_some();
    let verifier = credentials.filter(|_| served).and_then(|mut it| it.verifiers.remove(&hash));
    Ok(match verifier {
        Some(verifier) => Found { verifier, genuine: true },
        None => Found { verifier: decoy, genuine: false },
    })
}

fn decoy(secret: &Secret, account: &BareJid, hash: Hash, iterations: u32) -> Verifier {
    let part = |name: &str| hmac(secret, format!("{name} {hash:?} {account}").as_bytes());
    let mut salt = part("salt");
    salt.truncate(SALT_BYTES);
    let key = Secret::new(part("key").into_iter().cycle().take(hash.output_len()).collect::<Vec<_>>());
    Verifier { salt, iterations, stored_key: key.clone(), server_key: key }
}

async fn secret(engine: &Engine, ports: &dyn Ports) -> Result<Secret, StoreError> {
    if let Some(secret) = engine.decoy_secret.get() {
        return Ok(secret.clone());
    }
    let mut fresh = [0; 32];
    let random = format!("{}{}", ports.random_id(), ports.random_id());
    fresh.copy_from_slice(&hmac(&Secret::from(random.as_str()), b"decoy"));
    let secret = ports.store().deployment_secret("scram-decoy", fresh).await?;
    Ok(engine.decoy_secret.get_or_init(|| secret).clone())
}
