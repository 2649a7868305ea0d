//! What bounds peers: who is let in, how fast a session is read (threats T8, T10).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use vesta_xmpp::BareJid;

use super::guessing::Guesses;
use crate::config::{LimitsConfig, Rate};
use crate::metrics::{ByTransport, LimitLabel, Metrics, TransportLabel};

/// A token bucket that may be overdrawn: what was read has been read, the next read waits.
#[derive(Debug)]
pub(crate) struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { level: rate.burst, at: now }
    }

    /// Takes `amount`, and says how long it is until the bucket is out of debt.
    pub(crate) fn take(&mut self, rate: Rate, amount: f64, now: Instant) -> Duration {
        self.refill(rate, now);
        self.level -= amount;
        if self.level >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.level / rate.per_second.max(1e-3))
        }
    }

    /// Takes one if there is one.
    fn try_take(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let there = self.level >= 1.0;
        if there {
            self.level -= 1.0;
        }
        there
    }

    fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.level >= rate.burst
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + elapsed * rate.per_second).min(rate.burst);
        self.at = now;
    }
}

/// Lets connections in and remembers, per address, how many there are.
///
/// An address is remembered while it has connections or has used up some of its rate; so the table is bounded by the
/// connections and by what the listeners can accept while a bucket refills.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: LimitsConfig,
    metrics: Metrics,
    table: Mutex<Table>,
    guesses: Guesses,
}

#[derive(Debug)]
struct Table {
    connections: usize,
    addresses: HashMap<IpAddr, Address>,
    tidy_at: usize,
}

#[derive(Debug)]
struct Address {
    connections: u32,
    bucket: Bucket,
}

/// The table's size at which it is first tidied.
const TIDY_AT: usize = 1024;

impl Admission {
    pub(crate) fn new(limits: LimitsConfig, metrics: Metrics) -> Arc<Self> {
        let table = Table { connections: 0, addresses: HashMap::new(), tidy_at: TIDY_AT };
        Arc::new(Self { limits, metrics, table: Mutex::new(table), guesses: Guesses::default() })
    }

    /// Lets a connection in, or `None` where a limit stands against it: it is to be closed without a word.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr, transport: TransportLabel, now: Instant) -> Option<Admitted> {
        let network = network_of(ip);
        if let Err(limit) = self.table.lock().admit(&self.limits, network, now) {
            self.metrics.limit(limit);
            return None;
        }
        let by = ByTransport { transport };
        self.metrics.accepted.get_or_create(&by).inc();
        self.metrics.connections.get_or_create(&by).inc();
        Some(Admitted { admission: self.clone(), network, transport })
    }
}

impl Table {
    fn admit(&mut self, limits: &LimitsConfig, network: IpAddr, now: Instant) -> Result<(), LimitLabel> {
        if self.connections >= limits.connections_max {
            return Err(LimitLabel::Connections);
        }
        if self.addresses.len() >= self.tidy_at {
            self.tidy(limits, now);
        }
        let fresh = || Address { connections: 0, bucket: Bucket::new(limits.connection_rate, now) };
        let address = self.addresses.entry(network).or_insert_with(fresh);
        if address.connections >= limits.connections_per_address {
            return Err(LimitLabel::ConnectionsPerAddress);
        }
        if !address.bucket.try_take(limits.connection_rate, now) {
            return Err(LimitLabel::ConnectionRate);
        }
        address.connections += 1;
        self.connections += 1;
        Ok(())
    }

    fn tidy(&mut self, limits: &LimitsConfig, now: Instant) {
        self.addresses
            .retain(|_, address| address.connections > 0 || !address.bucket.is_full(limits.connection_rate, now));
        self.tidy_at = (self.addresses.len() * 2).max(TIDY_AT);
    }
}

/// A connection that was let in. Dropping it makes room.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    network: IpAddr,
    transport: TransportLabel,
}

impl Admitted {
    /// How long an attempt at an account has to wait for its outcome (T11).
    pub(crate) fn delay(&self, account: &BareJid, now: Instant) -> Duration {
        self.admission.guesses.delay(self.network, account, now)
    }

    /// An attempt at an account has failed.
    pub(crate) fn failed(&self, account: &BareJid, now: Instant) {
        self.admission.guesses.failed(self.network, account, now);
    }

    /// An attempt at an account was right.
    pub(crate) fn succeeded(&self, account: &BareJid) {
        self.admission.guesses.succeeded(self.network, account);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut table = self.admission.table.lock();
        table.connections -= 1;
        if let Some(address) = table.addresses.get_mut(&self.network) {
            address.connections -= 1;
        }
        drop(table);
        self.admission.metrics.connections.get_or_create(&ByTransport { transport: self.transport }).dec();
    }
}

/// What counts as one address: an IPv4 address, or the IPv6 /64 that one subscriber is given.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALCONY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn admission(change: impl FnOnce(&mut LimitsConfig)) -> Arc<Admission> {
        let mut limits = LimitsConfig::default();
        change(&mut limits);
        Admission::new(limits, Metrics::default())
    }

    fn admit(admission: &Arc<Admission>, ip: IpAddr, now: Instant) -> Option<Admitted> {
        admission.admit(ip, TransportLabel::Starttls, now)
    }

    #[test]
    fn an_address_gets_so_many_connections_and_a_closed_one_makes_room() {
        let admission = admission(|limits| limits.connections_per_address = 2);
        let now = Instant::now();
        let first = admit(&admission, BALCONY, now).expect("room for one");
        let _second = admit(&admission, BALCONY, now).expect("room for two");
        assert!(admit(&admission, BALCONY, now).is_none());
        drop(first);
        assert!(admit(&admission, BALCONY, now).is_some());
    }

    #[test]
    fn neighbours_in_an_ipv6_network_count_as_one_and_mapped_addresses_as_ipv4() {
        let network = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.7"), BALCONY);
    }

    #[test]
    fn all_addresses_share_the_limit_in_all() {
        let admission = admission(|limits| limits.connections_max = 1);
        let now = Instant::now();
        let _one = admit(&admission, BALCONY, now).expect("room");
        assert!(admit(&admission, "192.0.2.8".parse().expect("an address"), now).is_none());
    }

    #[test]
    fn new_connections_come_at_the_rate_allowed() {
        let admission = admission(|limits| limits.connection_rate = Rate { per_second: 1.0, burst: 2.0 });
        let now = Instant::now();
        assert!(admit(&admission, BALCONY, now).is_some());
        assert!(admit(&admission, BALCONY, now).is_some());
        assert!(admit(&admission, BALCONY, now).is_none());
        assert!(admit(&admission, BALCONY, now + Duration::from_secs(1)).is_some());
    }

    #[test]
    fn a_bucket_in_debt_says_when_it_is_out_of_it() {
        let rate = Rate { per_second: 10.0, burst: 5.0 };
        let now = Instant::now();
        let mut bucket = Bucket::new(rate, now);
        assert_eq!(bucket.take(rate, 5.0, now), Duration::ZERO);
        assert_eq!(bucket.take(rate, 20.0, now), Duration::from_secs(2));
        assert_eq!(bucket.take(rate, 0.0, now + Duration::from_secs(2)), Duration::ZERO);
    }

    /// The /64 of a subscriber is one guesser, the next one's is another.
    #[test]
    fn t11_connections_of_one_network_guess_together() {
        let admission = admission(|_| ());
        let now = Instant::now();
        let from = |text: &str| admit(&admission, text.parse().expect("an address"), now).expect("room");
        let juliet = BareJid::parse("juliet@capulet.example").expect("a JID");
        let (phone, laptop, stranger) = (from("2001:db8:1:2::1"), from("2001:db8:1:2::9"), from("2001:db8:1:3::1"));
        for _ in 0..4 {
            phone.failed(&juliet, now);
        }
        assert!(!laptop.delay(&juliet, now).is_zero());
        assert!(stranger.delay(&juliet, now).is_zero());
        laptop.succeeded(&juliet);
        assert!(phone.delay(&juliet, now).is_zero());
    }

    #[test]
    fn the_table_forgets_addresses_that_are_gone() {
        let admission = admission(|limits| limits.connection_rate = Rate { per_second: 1.0, burst: 1.0 });
        let mut now = Instant::now();
        for n in 0..100_000u32 {
            now += Duration::from_millis(1);
            drop(admit(&admission, IpAddr::V4((0x0a00_0000 + n).into()), now));
        }
        assert!(admission.table.lock().addresses.len() <= 4 * TIDY_AT);
    }
}
