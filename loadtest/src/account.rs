//! The file of accounts: a line each, with the keys of SCRAM derived beforehand (RFC 5802 §5.1 lets a client keep them), so that
//! a login costs this side microseconds.
//!
//! ```text
//! name TAB password TAB hash TAB salt TAB iterations TAB SaltedPassword
//! ```

use std::path::Path;

use vesta_xmpp::Secret;
use vesta_xmpp::sasl::{Hash, decode_base64, encode_base64, scram};

use crate::error::Error;

/// Somebody who can log in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The localpart.
    pub name: String,
    /// The password: ASCII, so that it needs no preparation.
    pub password: String,
    /// What the password comes to, once the server has named a salt.
    pub salted: Option<Salted>,
}

impl Account {
    /// Its line of the file, without the end. `None`: it has no keys, because it has never logged in with SCRAM.
    pub fn to_line(&self) -> Option<String> {
        let Account { name, password, salted: Some(salted) } = self else { return None };
        let (salt, key) = (encode_base64(&salted.salt), encode_base64(salted.password.expose()));
        let (hash, iterations) = (hash_name(salted.hash), salted.iterations);
        Some(format!("{name}\t{password}\t{hash}\t{salt}\t{iterations}\t{key}"))
    }
}

/// SaltedPassword, and what it was derived with.
#[derive(Clone, Debug)]
pub struct Salted {
    /// The mechanism's hash function.
    pub hash: Hash,
    /// The server's salt for this account.
    pub salt: Vec<u8>,
    /// The server's iteration count.
    pub iterations: u32,
    /// SaltedPassword.
    pub password: Secret,
}

impl Salted {
    /// Derives it: milliseconds of CPU.
    pub fn derive(hash: Hash, password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let password = scram::salted_password(hash, &password.into(), &salt, iterations);
        Self { hash, salt, iterations, password }
    }
}

/// Reads accounts that [`write_lines`] has written.
///
/// # Errors
/// The file can't be read, or is not of this form.
pub fn read_all(path: &Path) -> Result<Vec<Account>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    let malformed = |line| Error::Usage(format!("{}: line {line} is no account", path.display()));
    text.lines().enumerate().map(|(at, line)| parse(line).ok_or_else(|| malformed(at + 1))).collect()
}

/// Writes lines that [`Account::to_line`] has made.
///
/// # Errors
/// The file can't be written.
pub fn write_lines(path: &Path, lines: &[String]) -> Result<(), Error> {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    std::fs::write(path, text).map_err(Error::file(path))
}

fn parse(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, password, hash, salt, iterations, key] = fields[..] else { return None };
    let salted = Salted {
        hash: [Hash::Sha1, Hash::Sha256, Hash::Sha512].into_iter().find(|it| hash_name(*it) == hash)?,
        salt: decode_base64(salt).ok()?,
        iterations: iterations.parse().ok()?,
        password: Secret::new(decode_base64(key).ok()?),
    };
    Some(Account { name: name.into(), password: password.into(), salted: Some(salted) })
}

fn hash_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SHA-1",
        Hash::Sha256 => "SHA-256",
        Hash::Sha512 => "SHA-512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_reads_as_it_was_written() {
        let salted = Salted::derive(Hash::Sha256, "secret", b"salt".to_vec(), 1);
        let account = Account { name: "load1".into(), password: "secret".into(), salted: Some(salted) };
        let line = account.to_line().expect("it has keys");
        assert_eq!(format!("{:?}", parse(&line).expect("well-formed")), format!("{account:?}"));
        assert!(parse("load1\tsecret").is_none());
    }
}
