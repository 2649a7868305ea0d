//! How soon one may guess a password again (threat T11).
//!
//! Failed authentications are counted twice: by address and account, where few are free, and by address alone, where many
//! are. So one who has forgotten a password slows nobody else behind the same router, and one who tries a password on many
//! accounts is slowed all the same. Nobody waits for what comes from other addresses: guessing locks no account.
//!
//! A delay is the time that each attempt waits for its outcome, right or wrong. Attempts that are made at once wait at once:
//! how many those can be is bounded by the connections of an address.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use vesta_xmpp::BareJid;

/// Failures by one address at one account that cost nothing.
const FREE_AT_ACCOUNT: u32 = 3;
/// Failures by one address, at whatever accounts, that cost nothing: those of a large network on a Monday morning.
const FREE_OF_ADDRESS: u32 = 100;
/// After this long without a failure it is forgotten that there were any.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// The longest that an attempt waits.
const DELAY_MAX: Duration = Duration::from_secs(8);
/// How many failures of each kind are remembered, in 4 MiB. What finds no room is not remembered: an attacker with so
/// many addresses that they fill both tables is slowed at those that came first. One with few addresses fills only the table
/// of the accounts, and is slowed by the other.
const REMEMBERED_MAX: usize = 65_536;
/// How often a full table is searched for what can be forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// The failed authentications that count. An entry is of the same size whatever the names: its key is their hash, by a function
/// that nobody outside can know.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    hasher: RandomState,
    at_accounts: Mutex<Table>,
    of_addresses: Mutex<Table>,
}

impl Guesses {
    /// How long an attempt has to wait for its outcome: nothing after the first failures, then twice as long with each.
    pub(crate) fn delay(&self, network: IpAddr, account: &BareJid, now: Instant) -> Duration {
        let at_account = self.at_accounts.lock().failures(self.key((network, account)), now);
        let of_address = self.of_addresses.lock().failures(self.key(network), now);
        let beyond = at_account.saturating_sub(FREE_AT_ACCOUNT).max(of_address.saturating_sub(FREE_OF_ADDRESS));
        match beyond {
            0 => Duration::ZERO,
            _ => Duration::from_millis(125 << beyond.min(6)).min(DELAY_MAX),
        }
    }

    /// Remembers a failed attempt.
    pub(crate) fn failed(&self, network: IpAddr, account: &BareJid, now: Instant) {
        self.at_accounts.lock().add(self.key((network, account)), now);
        self.of_addresses.lock().add(self.key(network), now);
    }

    /// Somebody at this address has shown to know the account's password: failures there were slips.
    pub(crate) fn succeeded(&self, network: IpAddr, account: &BareJid) {
        self.at_accounts.lock().entries.remove(&self.key((network, account)));
    }

    fn key(&self, of: impl Hash) -> u64 {
        self.hasher.hash_one(of)
    }
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<u64, Failures>,
    tidied: Option<Instant>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGOTTEN_AFTER
    }
}

impl Table {
    fn failures(&self, key: u64, now: Instant) -> u32 {
        self.entries.get(&key).filter(|failures| !failures.is_forgotten(now)).map_or(0, |failures| failures.count)
    }

    fn add(&mut self, key: u64, now: Instant) {
        if !self.entries.contains_key(&key) && !self.has_room(now) {
            return;
        }
        let failures = self.entries.entry(key).or_insert(Failures { count: 0, last: now });
        failures.count = if failures.is_forgotten(now) { 1 } else { failures.count.saturating_add(1) };
        failures.last = now;
    }

    /// Whether there is room for another entry, if need be after a search for old ones.
    fn has_room(&mut self, now: Instant) -> bool {
        let is_due = self.tidied.is_none_or(|tidied| now.saturating_duration_since(tidied) >= TIDY_EVERY);
        if self.entries.len() >= REMEMBERED_MAX && is_due {
            self.entries.retain(|_, failures| !failures.is_forgotten(now));
            self.tidied = Some(now);
        }
        self.entries.len() < REMEMBERED_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));

    fn account(localpart: &str) -> BareJid {
        BareJid::parse(&format!("{localpart}@capulet.example")).expect("a JID")
    }

    #[test]
    fn t11_guessing_gets_slower_and_is_forgotten() {
        let (guesses, juliet, now) = (Guesses::default(), account("juliet"), Instant::now());
        let delays: Vec<_> = (0..12)
            .map(|_| {
                guesses.failed(HOME, &juliet, now);
                guesses.delay(HOME, &juliet, now).as_millis()
            })
            .collect();
        assert_eq!(delays, [0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]);
        let later = now + FORGOTTEN_AFTER;
        assert_eq!(guesses.delay(HOME, &juliet, later), Duration::ZERO);
        guesses.failed(HOME, &juliet, later);
        assert_eq!(guesses.delay(HOME, &juliet, later), Duration::ZERO, "it starts anew");
    }

    #[test]
    fn t11_a_wrong_password_slows_neither_neighbours_nor_the_account_elsewhere() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..20 {
            guesses.failed(HOME, &account("juliet"), now);
        }
        assert_eq!(guesses.delay(HOME, &account("juliet"), now), DELAY_MAX);
        assert_eq!(guesses.delay(HOME, &account("nurse"), now), Duration::ZERO, "behind the same address");
        assert_eq!(guesses.delay(ELSEWHERE, &account("juliet"), now), Duration::ZERO, "no account is locked");
    }

    #[test]
    fn t11_guessing_over_many_accounts_gets_slower_too() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for number in 0..FREE_OF_ADDRESS {
            guesses.failed(HOME, &account(&format!("guest{number}")), now);
        }
        assert_eq!(guesses.delay(HOME, &account("juliet"), now), Duration::ZERO);
        for number in 0..20 {
            guesses.failed(HOME, &account(&format!("servant{number}")), now);
        }
        assert_eq!(guesses.delay(HOME, &account("juliet"), now), DELAY_MAX);
        assert_eq!(guesses.delay(ELSEWHERE, &account("juliet"), now), Duration::ZERO);
    }

    #[test]
    fn who_knows_the_password_has_only_slipped() {
        let (guesses, juliet, now) = (Guesses::default(), account("juliet"), Instant::now());
        for _ in 0..6 {
            guesses.failed(HOME, &juliet, now);
        }
        guesses.succeeded(HOME, &juliet);
        assert_eq!(guesses.delay(HOME, &juliet, now), Duration::ZERO);
    }

    #[test]
    fn a_full_table_remembers_nobody_new_until_something_is_forgotten() {
        let (mut table, now) = (Table::default(), Instant::now());
        let newcomer = REMEMBERED_MAX as u64;
        for key in 0..newcomer {
            table.add(key, now);
        }
        table.add(newcomer, now);
        table.add(0, now);
        assert_eq!((table.failures(newcomer, now), table.failures(0, now)), (0, 2));
        let later = now + FORGOTTEN_AFTER;
        table.add(newcomer, later);
        assert_eq!((table.failures(newcomer, later), table.entries.len()), (1, 1));
    }
}
