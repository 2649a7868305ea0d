//! What a node says of itself: whether it lives, and whether it is ready for work.
//!
//! Liveness means that this process still answers: it never depends on a quorum or a database, since restarting would not mend
//! those. Readiness is the conjunction of named checks.

use std::fmt::Write;
use std::sync::Arc;

use parking_lot::RwLock;

/// One condition of readiness. Called for each request, so it must be quick.
pub type Check = Arc<dyn Fn() -> bool + Send + Sync>;

/// The checks of a node. A clone is the same.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<Vec<(&'static str, Check)>>>,
}

impl Health {
    /// Adds a condition. `name` is what operators read: `links to routers`.
    pub fn add(&self, name: &'static str, check: impl Fn() -> bool + Send + Sync + 'static) {
        self.checks.write().push((name, Arc::new(check)));
    }

    /// Whether every check holds, and each with its outcome, a line each.
    pub fn report(&self) -> (bool, String) {
        let mut text = String::new();
        let mut ready = true;
        for (name, check) in self.checks.read().iter() {
            let holds = check();
            ready &= holds;
            let _ = writeln!(text, "[{}] {name}", if holds { "ok" } else { "not yet" });
        }
        let _ = writeln!(text, "{}", if ready { "ready" } else { "not ready" });
        (ready, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_every_check_holds() {
        let health = Health::default();
        assert_eq!(health.report(), (true, "ready\n".into()));
        health.add("listeners", || true);
        health.add("database", || false);
        assert_eq!(health.report(), (false, "[ok] listeners\n[not yet] database\nnot ready\n".into()));
    }
}
