//! The verifiers of accounts. Reads that come together are one statement: in a storm of logins the way to the database and back
//! is most of what a read costs (measured on SQLite, where it is two switches of threads: 20 of 50 CPU seconds of 100,000 logins).

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use vesta_engine::StoreError;
use vesta_engine::store::{Credentials, Verifier};
use vesta_xmpp::sasl::Hash;
use vesta_xmpp::{BareJid, Secret};

use crate::database::{Row, Value};
use crate::fault::Fault;
use crate::operation::hash_name;
use crate::reader::Reader;

/// How many reads may wait. Further ones fail as `Unavailable` (P7).
const WAITING_MAX: usize = 8_192;
/// How many accounts one statement asks for. What is left over repeats the last account, so that few statements are prepared.
const SIZES: [usize; 3] = [1, 8, 32];

static STATEMENTS: LazyLock<[String; 3]> = LazyLock::new(|| SIZES.map(statement));

/// The account's own row comes in any case: an account without verifiers differs from none.
fn statement(accounts: usize) -> String {
    let places: Vec<_> = (1..=accounts).map(|place| format!("${place}")).collect();
    format!(
        "SELECT a.account, c.hash, c.salt, c.iterations, c.stored_key, c.server_key \
         FROM accounts a LEFT JOIN credentials c ON c.account = a.account WHERE a.account IN ({})",
        places.join(", ")
    )
}

/// A read that waits.
struct Asked {
    account: BareJid,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Option<Credentials>, StoreError>;

/// Where reads are handed in.
pub(crate) struct Verifiers(mpsc::Sender<Asked>);

/// Who carries them out: one statement at a time, while the next ones gather.
pub(crate) struct Gatherer {
    reader: Reader,
    asked: mpsc::Receiver<Asked>,
    stop: CancellationToken,
}

impl Verifiers {
    /// The entrance, and what [`Gatherer::run`] serves.
    pub(crate) fn new(reader: Reader, stop: CancellationToken) -> (Self, Gatherer) {
        let (sender, asked) = mpsc::channel(WAITING_MAX);
        (Self(sender), Gatherer { reader, asked, stop })
    }

    /// The verifiers of an account; `None` where there is no such account.
    pub(crate) async fn of(&self, account: &BareJid) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Asked { account: account.clone(), reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Unavailable("too many reads are waiting".into()),
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("the store is closed".into()),
        })?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the store was closed meanwhile".into())))
    }
}

impl Gatherer {
    /// Serves until it is stopped; what waits then fails.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.serve()).await;
    }

    async fn serve(&mut self) {
        let mut asked = Vec::new();
        while self.asked.recv_many(&mut asked, SIZES[SIZES.len() - 1]).await > 0 {
            let found = read(&self.reader, &asked).await;
            for Asked { account, reply } in asked.drain(..) {
                let answer = match &found {
                    Ok(found) => found.get(account.as_str()).cloned().transpose(),
                    Err(error) => Err(error.clone()),
                };
                // Whoever asked may have gone.
                let _ = reply.send(answer);
            }
        }
    }
}

/// What was found, by account. A row that can't be read fails its own account alone.
type Found = HashMap<String, Result<Credentials, StoreError>>;

async fn read(reader: &Reader, asked: &[Asked]) -> Result<Found, StoreError> {
    let Some(last) = asked.last() else { return Ok(HashMap::new()) };
    let size = SIZES.iter().position(|size| *size >= asked.len()).unwrap_or(SIZES.len() - 1);
    let accounts = asked.iter().chain(std::iter::repeat(last)).take(SIZES[size]);
    let values: Vec<_> = accounts.map(|asked| Value::Text(asked.account.as_str())).collect();
    let mut found = Found::new();
    for row in reader.rows(&STATEMENTS[size], &values).await? {
        let of_account = found.entry(row.get::<String>("account")?);
        let of_account = of_account.or_insert_with(|| Ok(Credentials { verifiers: BTreeMap::new() }));
        if let Ok(credentials) = of_account {
            match read_verifier(&row) {
                Ok(verifier) => credentials.verifiers.extend(verifier),
                Err(fault) => *of_account = Err(fault.into()),
            }
        }
    }
    Ok(found)
}

/// `None`: the row of an account without verifiers, or a hash function that only a newer version knows.
fn read_verifier(row: &Row) -> Result<Option<(Hash, Verifier)>, Fault> {
    let name: Option<String> = row.get("hash")?;
    let known = [Hash::Sha1, Hash::Sha256, Hash::Sha512];
    let Some(hash) = known.into_iter().find(|hash| Some(hash_name(*hash)) == name.as_deref()) else {
        return Ok(None);
    };
    let iterations = row.number("iterations")?;
    let verifier = Verifier {
        salt: row.get("salt")?,
        iterations: u32::try_from(iterations)
            .map_err(|_| Fault::Broken(format!("a verifier has {iterations} iterations")))?,
        stored_key: Secret::new(row.get::<Vec<u8>>("stored_key")?),
        server_key: Secret::new(row.get::<Vec<u8>>("server_key")?),
    };
    Ok(Some((hash, verifier)))
}
