//! What goes wrong: one fault after the other, in an order that follows from a seed, each with the proof that it took hold.

use std::net::SocketAddr;

use tokio::process::Command;

use super::crew::Crew;
use super::prove;
use super::relay::Relay;
use crate::deployment::{Cluster, Node, SHARDS};
use crate::{http, postgres};

/// A fault (in brackets: the number in the list of faults that the design was made for).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection manager with the most clients is killed (F1), and comes back when all have gone on at another.
    KillManager,
    /// The router that leads the most shards is killed (F2).
    KillLeader,
    /// The connection manager with the most clients and the router that leads the most shards are killed at once (F3).
    KillManagerAndLeader,
    /// The database crashes (F11).
    CrashDatabase,
    /// The database crashes, and before it is back the router that leads the most shards is killed (F11 and F2): what it had not
    /// stored is gone.
    KillLeaderWithoutDatabase,
    /// The router that leads the most shards sleeps, and wakes (F9).
    PauseLeader,
    /// The connection manager with the most clients sleeps (F9), and wakes when all have gone on at another.
    PauseManager,
    /// The connections of the clients of one connection manager are cut.
    CutClients,
    /// All connections to the router that leads the most shards are cut: those of connection managers and of other routers.
    CutLinks,
    /// The database holds back every write for some seconds (F13).
    SlowDatabase,
    /// All connection managers are killed, and all clients come back at once (F21).
    KillManagers,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 11] = [
        Fault::KillManager,
        Fault::KillLeader,
        Fault::KillManagerAndLeader,
        Fault::CrashDatabase,
        Fault::KillLeaderWithoutDatabase,
        Fault::PauseLeader,
        Fault::PauseManager,
        Fault::CutClients,
        Fault::CutLinks,
        Fault::SlowDatabase,
        Fault::KillManagers,
    ];
}

/// So many messages are sent while there is no database.
const UNSTORED: usize = 100;

/// Every fault once for each round, in an order that follows from the seed.
pub fn plan(seed: u64, rounds: u64) -> Vec<Fault> {
    let mut chance = Chance(seed);
    let mut faults = Vec::new();
    for _ in 0..rounds {
        let mut round = Fault::ALL;
        for at in (1..round.len()).rev() {
            round.swap(at, chance.below(at + 1));
        }
        faults.extend(round);
    }
    faults
}

/// SplitMix64: the same seed gives the same numbers for ever.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// What faults happen to.
pub struct Scene<'a> {
    /// The servers.
    pub cluster: &'a mut Cluster,
    /// Their database.
    pub database: &'a postgres::Server,
    /// Its URL.
    pub url: &'a str,
    /// What stands before the connection managers, in their order.
    pub relays: &'a [Relay],
    /// The clients.
    pub crew: &'a Crew,
}

impl Scene<'_> {
    /// Lets a fault happen, proves that it took hold, and heals it.
    ///
    /// # Panics
    /// It does not take hold, or the cluster does not recover.
    pub async fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::KillManager => {
                let manager = self.busiest_manager();
                self.clients_notice(async |scene| scene.cluster.managers[manager].process.kill().await).await;
                self.crew.goes_on(0).await;
                self.cluster.managers[manager].restart();
            }
            Fault::PauseManager => {
                let manager = self.busiest_manager();
                self.clients_notice(async |scene| scene.cluster.managers[manager].process.signal("STOP").await).await;
                self.crew.goes_on(0).await;
                self.cluster.managers[manager].process.signal("CONT").await;
            }
            Fault::CutClients => {
                let manager = self.busiest_manager();
                self.clients_notice(async |scene| scene.relays[manager].cut()).await;
            }
            Fault::CutLinks => {
                let router = self.busiest_router().await;
                let address = self.cluster.routers[router].internal.expect("a router listens for other nodes");
                cut_connections_to(address).await;
            }
            Fault::SlowDatabase => {
                let slow = postgres::Server::slow_down(self.url);
                let (taken, counted) = (self.crew.taken(), self.crew.counted());
                prove("messages wait for the database", async || (self.crew.taken() > taken + UNSTORED).then_some(()))
                    .await;
                let stored = self.crew.counted() - counted;
                assert!(stored < UNSTORED, "the run is invalid: {stored} messages were stored all the same");
                drop(slow);
            }
            Fault::KillManagers => {
                self.clients_notice(async |scene| {
                    for manager in &mut scene.cluster.managers {
                        manager.process.kill().await;
                    }
                })
                .await;
                self.cluster.managers.iter_mut().for_each(Node::restart);
                self.crew.goes_on(0).await;
            }
            Fault::KillLeader => {
                let router = self.busiest_router().await;
                self.cluster.routers[router].process.kill().await;
                self.others_lead(router).await;
                self.cluster.routers[router].restart();
            }
            Fault::KillManagerAndLeader => {
                let (manager, router) = (self.busiest_manager(), self.busiest_router().await);
                self.clients_notice(async |scene| {
                    let Cluster { managers, routers, .. } = &mut *scene.cluster;
                    tokio::join!(managers[manager].process.kill(), routers[router].process.kill());
                })
                .await;
                self.others_lead(router).await;
                self.crew.goes_on(0).await;
                self.cluster.managers[manager].restart();
                self.cluster.routers[router].restart();
            }
            Fault::PauseLeader => {
                let router = self.busiest_router().await;
                self.cluster.routers[router].process.signal("STOP").await;
                self.others_lead(router).await;
                self.cluster.routers[router].process.signal("CONT").await;
            }
            Fault::CrashDatabase => {
                self.lose_database().await;
                self.database.restart().await;
            }
            Fault::KillLeaderWithoutDatabase => {
                let router = self.busiest_router().await;
                self.lose_database().await;
                let before = self.crew.taken();
                prove("messages wait for the database", async || (self.crew.taken() > before + UNSTORED).then_some(()))
                    .await;
                self.cluster.routers[router].process.kill().await;
                self.others_lead(router).await;
                self.database.restart().await;
                self.cluster.routers[router].restart();
            }
        }
        self.cluster.ready().await;
    }

    async fn lose_database(&self) {
        self.database.crash().await;
        let router = self.cluster.routers[0].http;
        prove("a router misses its database", async || {
            http::get(router, "/readyz").await.filter(|(status, _)| *status != 200)
        })
        .await;
    }

    /// The connection manager with the most clients.
    fn busiest_manager(&self) -> usize {
        let managers = 0..self.relays.len();
        managers.max_by_key(|manager| self.relays[*manager].connections()).expect("there are managers")
    }

    async fn clients_notice(&mut self, happen: impl AsyncFnOnce(&mut Self)) {
        let before = self.crew.disconnections();
        happen(self).await;
        let crew = self.crew;
        prove("a client has lost its connection", async || (crew.disconnections() > before).then_some(())).await;
    }

    /// The router that leads the most shards.
    async fn busiest_router(&self) -> usize {
        let mut busiest = (0, 0);
        for (number, router) in self.cluster.routers.iter().enumerate() {
            busiest = busiest.max((led_shards(router).await.unwrap_or(0), number));
        }
        let (shards, router) = busiest;
        assert!(shards > 0, "the run is invalid: no router leads a shard");
        router
    }

    /// Waits until the others lead all shards.
    async fn others_lead(&self, lost: usize) {
        prove("other routers lead all shards", async || {
            let mut led = 0;
            for (number, router) in self.cluster.routers.iter().enumerate() {
                if number != lost {
                    led += led_shards(router).await?;
                }
            }
            (led >= SHARDS).then_some(())
        })
        .await;
    }
}

/// Cuts all TCP connections to a listener on this machine, at both ends.
async fn cut_connections_to(address: SocketAddr) {
    let port = format!(":{}", address.port());
    let arguments = ["-K", "-H", "-t", "state", "established", "dport", "=", &port];
    let direct = Command::new("ss").args(arguments).output().await.expect("ss is installed (Debian: iproute2)");
    let mut cut = direct.stdout;
    if cut.is_empty() {
        // Only root may do that.
        let output = Command::new("sudo").args(["-n", "ss"]).args(arguments).output().await;
        cut = output.map(|output| output.stdout).unwrap_or_default();
    }
    assert!(!cut.is_empty(), "the run is invalid: no connection to {address} was cut; is this run by root?");
}

/// How many shards a router leads, as its metrics say.
async fn led_shards(router: &Node) -> Option<i64> {
    let (_, metrics) = http::get(router.http, "/metrics").await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("vesta_router_led_shards "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_an_order_and_every_round_has_every_fault() {
        let two = plan(7, 2);
        assert_eq!(two, plan(7, 2));
        assert_ne!(two, plan(8, 2));
        for round in two.chunks(Fault::ALL.len()) {
            assert!(Fault::ALL.iter().all(|fault| round.contains(fault)), "{round:?}");
        }
    }
}
