//! The ledger: nothing acknowledged is lost, nothing comes twice, nothing is overtaken, whatever dies meanwhile.
//!
//! `VESTA_LEDGER_SEED` chooses another order of faults, `VESTA_LEDGER_ROUNDS` more of them.

use std::time::Duration;

use tokio::time::Instant;
use vesta_tests::deployment::{Access, Cluster, Options, Single};
use vesta_tests::ledger::check::{Rule, check, summary};
use vesta_tests::ledger::crew::{Crew, Plan};
use vesta_tests::ledger::history::History;
use vesta_tests::ledger::nemesis::{self, Fault, Scene};
use vesta_tests::ledger::relay::Relay;
use vesta_tests::ledger::setting;
use vesta_tests::{postgres, run};

/// A run with less traffic has shown nothing: messages counted in a second, on average.
const TRAFFIC_MIN: f64 = 50.0;
/// Messages that are to come through between two faults.
const BETWEEN: usize = 300;

/// Where clients connect: relays before the connection managers.
async fn relayed(access: &Access) -> (Vec<Relay>, Access) {
    let mut relays = Vec::new();
    for manager in &access.starttls {
        relays.push(Relay::start(*manager).await);
    }
    let starttls = relays.iter().map(|relay| relay.address).collect();
    (relays, Access { starttls, ..access.clone() })
}

/// Counts what comes through from its making to its end.
struct Traffic {
    begun: Instant,
    counted: usize,
}

impl Traffic {
    fn begin(crew: &Crew) -> Self {
        Self { begun: Instant::now(), counted: crew.counted() }
    }

    /// Messages in a second.
    fn end(self, crew: &Crew) -> f64 {
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = (crew.counted() - self.counted) as f64 / seconds;
        println!("{rate:.0} messages/s came through for {seconds:.0} s");
        assert!(rate >= TRAFFIC_MIN, "the run is invalid: {rate:.0} messages/s are too few");
        rate
    }
}

/// Tells how long everything took: for people, nothing is decided by it.
struct Clock(Instant);

impl Clock {
    fn tell(&mut self, what: &str) {
        println!("{what}: {} ms", self.0.elapsed().as_millis());
        self.0 = Instant::now();
    }
}

/// Says what was seen, and fails if a rule is broken.
fn judge(history: &History) {
    /// So many violations of a rule are shown.
    const SHOWN: usize = 8;
    println!("{:#?}", summary(history));
    let violations = check(history);
    for rule in Rule::ALL {
        let broken: Vec<_> = violations.iter().filter(|violation| violation.rule == rule).collect();
        println!("{rule:?}: broken {} times", broken.len());
        broken.iter().take(SHOWN).for_each(|violation| println!("    {}", violation.what));
    }
    assert!(violations.is_empty(), "rules are broken, see above: {}", violations.len());
}

#[test]
fn nothing_acknowledged_is_lost_when_processes_of_a_cluster_die() {
    run(async {
        let (seed, rounds) = (setting("VESTA_LEDGER_SEED", 4), setting("VESTA_LEDGER_ROUNDS", 1));
        let faults = nemesis::plan(seed, rounds);
        println!("VESTA_LEDGER_SEED={seed} VESTA_LEDGER_ROUNDS={rounds}: {faults:?}");
        let mut clock = Clock(Instant::now());
        let (database, url) = postgres::Server::start().await;
        let mut cluster = Cluster::start_on(&Options::default(), &url).await;
        let (relays, access) = relayed(&cluster.access).await;
        let plan = Plan { pairs: 16, away: 8, pace: Duration::from_millis(125) };
        let mut crew = Crew::assemble(plan, &format!("c{seed}"), &cluster.access, access).await;
        clock.tell("everybody is there");
        crew.write();
        crew.goes_on(BETWEEN).await;
        let traffic = Traffic::begin(&crew);
        for fault in &faults {
            let before = crew.new_sessions();
            Scene { cluster: &mut cluster, database: &database, url: &url, relays: &relays, crew: &crew }
                .suffer(*fault)
                .await;
            crew.goes_on(BETWEEN).await;
            // Only with both of them does a session's count die.
            let resumed = *fault == Fault::KillManagerAndLeader || crew.new_sessions() == before;
            assert!(resumed, "after {fault:?} {} sessions did not go on", crew.new_sessions() - before);
            clock.tell(&format!("{fault:?} is got over"));
        }
        traffic.end(&crew);
        crew.quiet().await;
        clock.tell("all is quiet");
        let history = crew.history().await;
        clock.tell("everything is read");
        println!("{} faults were injected, each was proved", faults.len());
        let seen = summary(&history);
        let cuts = [Fault::KillManager, Fault::PauseManager, Fault::CutClients, Fault::KillManagers];
        let cut = faults.iter().any(|fault| cuts.contains(fault));
        assert!(!cut || seen.resumptions > 0, "no session went on after its connection was lost: {seen:?}");
        judge(&history);
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_one_process_is_killed() {
    run(async {
        let kills = 3 * setting("VESTA_LEDGER_ROUNDS", 1);
        let mut single = Single::start().await;
        let (_relays, access) = relayed(&single.access).await;
        let plan = Plan { pairs: 10, away: 4, pace: Duration::from_millis(50) };
        let mut crew = Crew::assemble(plan, "s", &single.access, access).await;
        crew.write();
        crew.goes_on(BETWEEN).await;
        let traffic = Traffic::begin(&crew);
        for _ in 0..kills {
            single.process.kill().await;
            single.restart().await;
            crew.goes_on(BETWEEN).await;
        }
        traffic.end(&crew);
        crew.quiet().await;
        let history = crew.history().await;
        println!("{kills} times the process was killed");
        assert!(summary(&history).new_sessions > 0, "the run is invalid: no client has noticed");
        judge(&history);
    });
}
