//! The rules that a history must keep to, whatever has died meanwhile (`C1`–`C10`, as far as clients can see them).
//!
//! The rules are about what is *promised*. What was not acknowledged is unknown: it may be there or not, but only once, only as it
//! was written. What was refused with an error is the sender's again. In a new session a server may deliver again what it can't know
//! to have come; within one session never.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::history::{Account, Event, History, Row};
use super::line::Line;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// C1: what is counted is in the archives of its sender and its recipient.
    NothingLost,
    /// C1: what is counted comes to its recipient, sooner or later, unless its session was lost meanwhile: then its archive has it.
    AllDelivered,
    /// C2: nothing is in an archive twice, nothing comes twice in one session.
    NothingDoubled,
    /// C3: what one account sends to another comes, and is archived, in the order of sending.
    InOrder,
    /// C4: nobody is unavailable whose session goes on.
    PresenceKept,
    /// C8: nothing is altered, nothing appears that nobody has sent.
    NothingAltered,
    /// C9: an archive's ids grow, and both ways through it see the same.
    ArchivesWhole,
    /// C10: nothing is counted that was not sent.
    CountedRight,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 8] = [
        Rule::NothingLost,
        Rule::AllDelivered,
        Rule::NothingDoubled,
        Rule::InOrder,
        Rule::PresenceKept,
        Rule::NothingAltered,
        Rule::ArchivesWhole,
        Rule::CountedRight,
    ];
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How.
    pub what: String,
}

/// How much a history shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages sent.
    pub sent: usize,
    /// Messages counted by the server.
    pub counted: usize,
    /// Messages that came back as errors.
    pub refused: usize,
    /// Messages sent again in a new session.
    pub resent: usize,
    /// Messages that came.
    pub received: usize,
    /// Messages that came again in a later session: allowed, and better seldom.
    pub redelivered: usize,
    /// Connections lost.
    pub disconnections: usize,
    /// Sessions that went on.
    pub resumptions: usize,
    /// Sessions that did not.
    pub new_sessions: usize,
    /// Rows in all archives.
    pub archived: usize,
}

/// Every rule that the history breaks.
pub fn check(history: &History) -> Vec<Violation> {
    let sent = lines(history, |event| match event {
        Event::Sent(line) => Some(*line),
        _ => None,
    });
    let mut violations = Violations::default();
    for (number, account) in &history.0 {
        check_archive(*number, &account.archive, &sent, &mut violations);
        check_walks(*number, account, &mut violations);
        check_deliveries(*number, account, &sent, &mut violations);
        check_presence(*number, account, history, &mut violations);
    }
    check_promises(history, &sent, &mut violations);
    violations.0
}

/// Counts what the history shows.
pub fn summary(history: &History) -> Summary {
    let mut summary = Summary::default();
    for account in history.0.values() {
        let mut seen = HashSet::new();
        for event in &account.events {
            match event {
                Event::Sent(_) => summary.sent += 1,
                Event::Counted(_) => summary.counted += 1,
                Event::Refused(_) => summary.refused += 1,
                Event::Resent(_) => summary.resent += 1,
                Event::Received(line) => {
                    summary.received += 1;
                    summary.redelivered += usize::from(!seen.insert(*line));
                }
                Event::Disconnected => summary.disconnections += 1,
                Event::Resumed => summary.resumptions += 1,
                Event::NewSession => summary.new_sessions += 1,
                Event::Altered(_) | Event::Unavailable(_) | Event::Miscounted => {}
            }
        }
        summary.archived += account.archive.len();
    }
    summary
}

#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, rule: Rule, what: String) {
        self.0.push(Violation { rule, what });
    }
}

fn lines(history: &History, which: impl Fn(&Event) -> Option<Line>) -> BTreeSet<Line> {
    history.0.values().flat_map(|account| &account.events).filter_map(which).collect()
}

/// C2, C3, C8 in an archive.
fn check_archive(owner: u32, archive: &[Row], sent: &BTreeSet<Line>, violations: &mut Violations) {
    let mut seen = HashSet::new();
    let mut last: HashMap<(u32, u32), u32> = HashMap::new();
    for row in archive {
        let line = match &row.line {
            Ok(line) if sent.contains(line) && (line.from == owner || line.to == owner) => *line,
            Ok(line) => {
                violations
                    .add(Rule::NothingAltered, format!("{line:?} in the archive of {owner} was never sent there"));
                continue;
            }
            Err(text) => {
                violations.add(Rule::NothingAltered, format!("{text:?} in the archive of {owner} was never written"));
                continue;
            }
        };
        if !seen.insert(line) {
            violations.add(Rule::NothingDoubled, format!("{line:?} is twice in the archive of {owner}"));
            continue;
        }
        let last = last.entry((line.from, line.to)).or_default();
        if line.sequence < *last {
            violations.add(Rule::InOrder, format!("{line:?} is behind {last} in the archive of {owner}"));
        }
        *last = line.sequence.max(*last);
    }
}

/// C9: two walks see the same. Ids of one server grow by length, then by character.
fn check_walks(owner: u32, account: &Account, violations: &mut Violations) {
    let forwards: Vec<_> = account.archive.iter().map(|row| &row.id).collect();
    for pair in forwards.windows(2) {
        let grows = (pair[0].len(), pair[0]) < (pair[1].len(), pair[1]);
        if !grows {
            violations.add(Rule::ArchivesWhole, format!("in the archive of {owner}, {} follows {}", pair[1], pair[0]));
        }
    }
    let backwards = account.backwards.as_ref().map(|ids| ids.iter().rev().collect::<Vec<_>>());
    if let Some(backwards) = backwards.filter(|backwards| *backwards != forwards) {
        let what = format!("{} rows in the archive of {owner}, backwards {}", forwards.len(), backwards.len());
        violations.add(Rule::ArchivesWhole, what);
    }
}

/// C2, C3, C8 for what came, C10.
fn check_deliveries(owner: u32, account: &Account, sent: &BTreeSet<Line>, violations: &mut Violations) {
    let (mut of_session, mut ever) = (HashSet::new(), HashSet::new());
    let mut last: HashMap<u32, u32> = HashMap::new();
    for event in &account.events {
        match event {
            Event::Received(line) => {
                if !sent.contains(line) || line.to != owner {
                    violations.add(Rule::NothingAltered, format!("{line:?} came to {owner} and was never sent there"));
                }
                if !of_session.insert(*line) {
                    violations.add(Rule::NothingDoubled, format!("{line:?} came twice in one session"));
                }
                if !ever.insert(*line) {
                    continue;
                }
                let last = last.entry(line.from).or_default();
                if line.sequence < *last {
                    violations.add(Rule::InOrder, format!("{line:?} came behind {last}"));
                }
                *last = line.sequence.max(*last);
            }
            Event::Altered(text) => {
                violations.add(Rule::NothingAltered, format!("{text:?} came to {owner} and was never written"));
            }
            Event::Miscounted => {
                violations.add(Rule::CountedRight, format!("{owner} was told of more than it had sent"))
            }
            Event::NewSession => of_session.clear(),
            _ => {}
        }
    }
}

/// C4.
fn check_presence(owner: u32, account: &Account, history: &History, violations: &mut Violations) {
    for event in &account.events {
        let Event::Unavailable(other) = event else { continue };
        let other_events = history.0.get(other).map(|other| &other.events[..]).unwrap_or_default();
        if !other_events.contains(&Event::NewSession) {
            violations.add(Rule::PresenceKept, format!("{owner} saw {other} leave, whose session went on"));
        }
    }
}

/// C1, and the half of C10 that says that nothing is counted that was not sent.
fn check_promises(history: &History, sent: &BTreeSet<Line>, violations: &mut Violations) {
    let refused = lines(history, |event| match event {
        Event::Refused(line) => Some(*line),
        _ => None,
    });
    let archived: BTreeMap<u32, HashSet<Line>> = history
        .0
        .iter()
        .map(|(number, account)| (*number, account.archive.iter().filter_map(|row| row.line.clone().ok()).collect()))
        .collect();
    let received = lines(history, |event| match event {
        Event::Received(line) => Some(*line),
        _ => None,
    });
    let counted = lines(history, |event| match event {
        Event::Counted(line) => Some(*line),
        _ => None,
    });
    for line in counted {
        if !sent.contains(&line) {
            violations.add(Rule::CountedRight, format!("{line:?} was counted and never sent"));
        }
        if refused.contains(&line) {
            continue;
        }
        for owner in [line.from, line.to] {
            if !archived.get(&owner).is_some_and(|archive| archive.contains(&line)) {
                violations.add(Rule::NothingLost, format!("{line:?} was counted and is not in the archive of {owner}"));
            }
        }
        let keeps_session =
            history.0.get(&line.to).is_none_or(|recipient| !recipient.events.contains(&Event::NewSession));
        if keeps_session && !received.contains(&line) {
            violations.add(Rule::AllDelivered, format!("{line:?} was counted and never came"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u32) -> Line {
        Line { from: 1, to: 2, sequence }
    }

    fn row(id: u32, sequence: u32) -> Row {
        Row { id: format!("{id:x}"), line: Ok(line(sequence)) }
    }

    fn account(events: Vec<Event>, archive: Vec<Row>) -> Account {
        let backwards = Some(archive.iter().rev().map(|row| row.id.clone()).collect());
        Account { events, archive, backwards }
    }

    /// Account 1 sends three lines to account 2, all goes well.
    fn good() -> History {
        use Event::{Counted, Received, Sent};
        let one = (1..=3).flat_map(|n| [Sent(line(n)), Counted(line(n))]).collect();
        let two = (1..=3).map(|n| Received(line(n))).collect();
        let archive = || vec![row(9, 1), row(10, 2), row(0x100, 3)];
        History([(1, account(one, archive())), (2, account(two, archive()))].into())
    }

    fn rules(history: &History) -> Vec<Rule> {
        check(history).into_iter().map(|violation| violation.rule).collect()
    }

    /// The rules that are broken when `plant` was done to a good history.
    fn broken(plant: impl FnOnce(&mut Account, &mut Account)) -> Vec<Rule> {
        let mut history = good();
        let mut two = history.0.remove(&2).expect("it is there");
        plant(history.0.get_mut(&1).expect("it is there"), &mut two);
        history.0.insert(2, two);
        rules(&history)
    }

    fn set_archive(account: &mut Account, archive: Vec<Row>) {
        *account = self::account(account.events.clone(), archive);
    }

    #[test]
    fn a_good_history_breaks_no_rule() {
        assert_eq!(check(&good()), []);
        let summary = summary(&good());
        assert_eq!((summary.sent, summary.counted, summary.received, summary.archived), (3, 3, 3, 6));
    }

    #[test]
    fn a_counted_message_that_is_in_no_archive_is_lost() {
        let lost = |account: &mut Account| set_archive(account, vec![row(9, 1), row(10, 2)]);
        assert_eq!(broken(|_, two| lost(two)), [Rule::NothingLost]);
        assert_eq!(broken(|one, _| lost(one)), [Rule::NothingLost]);
    }

    #[test]
    fn a_counted_message_that_never_comes_is_not_delivered() {
        assert_eq!(broken(|_, two| two.events.truncate(2)), [Rule::AllDelivered]);
        let in_the_archive = broken(|_, two| {
            two.events.truncate(2);
            two.events.push(Event::NewSession);
        });
        assert_eq!(in_the_archive, []);
    }

    #[test]
    fn what_was_not_counted_or_was_refused_may_be_missing() {
        let missing = |two: &mut Account| {
            two.events.pop();
            set_archive(two, vec![row(9, 1), row(10, 2)]);
        };
        let uncounted = broken(|one, two| {
            missing(two);
            one.events.pop();
        });
        assert_eq!(uncounted, []);
        let refused = broken(|one, two| {
            missing(two);
            one.events.push(Event::Refused(line(3)));
        });
        assert_eq!(refused, []);
    }

    #[test]
    fn a_message_that_is_archived_twice_is_doubled() {
        let twice = |account: &mut Account| account.archive.push(row(0x101, 3));
        assert!(broken(|_, two| twice(two)).contains(&Rule::NothingDoubled));
        assert!(broken(|one, _| twice(one)).contains(&Rule::NothingDoubled));
    }

    #[test]
    fn a_message_that_comes_twice_is_doubled_unless_the_session_is_another() {
        let again = |between: Vec<Event>| {
            broken(|_, two| {
                two.events.extend(between);
                two.events.push(Event::Received(line(3)));
            })
        };
        assert_eq!(again(vec![]), [Rule::NothingDoubled]);
        assert_eq!(again(vec![Event::Disconnected, Event::Resumed]), [Rule::NothingDoubled]);
        assert_eq!(again(vec![Event::Disconnected, Event::NewSession]), []);
    }

    #[test]
    fn an_older_message_behind_a_newer_one_is_out_of_order() {
        assert_eq!(broken(|_, two| two.events.swap(0, 2)), [Rule::InOrder, Rule::InOrder]);
        assert_eq!(broken(|_, two| set_archive(two, vec![row(9, 2), row(10, 1), row(0x100, 3)])), [Rule::InOrder]);
    }

    #[test]
    fn nobody_leaves_whose_session_goes_on() {
        assert_eq!(broken(|_, two| two.events.push(Event::Unavailable(1))), [Rule::PresenceKept]);
        let ended = broken(|one, two| {
            one.events.push(Event::NewSession);
            two.events.push(Event::Unavailable(1));
        });
        assert_eq!(ended, []);
    }

    #[test]
    fn what_nobody_has_written_is_found() {
        let altered = Row { id: "101".into(), line: Err("ledger".into()) };
        let found = |rules: Vec<Rule>| rules.contains(&Rule::NothingAltered);
        assert!(found(broken(|_, two| two.archive.push(altered))));
        assert!(found(broken(|_, two| two.archive.push(row(0x101, 4)))));
        assert!(found(broken(|_, two| two.events.push(Event::Altered("ledger".into())))));
        assert!(found(broken(|_, two| two.events.push(Event::Received(line(4))))));
        // To the wrong account.
        assert!(found(broken(|one, _| one.events.push(Event::Received(line(3))))));
    }

    #[test]
    fn an_archive_whose_ids_fall_or_that_differs_from_itself_is_not_whole() {
        let falling = broken(|_, two| set_archive(two, vec![row(9, 1), row(0x100, 2), row(10, 3)]));
        assert_eq!(falling, [Rule::ArchivesWhole]);
        let same = broken(|_, two| set_archive(two, vec![row(9, 1), row(10, 2), row(10, 3)]));
        assert_eq!(same, [Rule::ArchivesWhole]);
        let one_less = |two: &mut Account| drop(two.backwards.as_mut().and_then(Vec::pop));
        assert_eq!(broken(|_, two| one_less(two)), [Rule::ArchivesWhole]);
        assert_eq!(broken(|_, two| two.backwards = None), []);
    }

    #[test]
    fn what_was_not_sent_can_not_be_counted() {
        assert_eq!(broken(|one, _| one.events.push(Event::Miscounted)), [Rule::CountedRight]);
        let invented = broken(|one, _| one.events.push(Event::Counted(line(4))));
        assert!(invented.contains(&Rule::CountedRight));
    }

    #[test]
    fn what_comes_again_in_a_later_session_is_told_in_the_summary() {
        let mut history = good();
        let two = history.0.get_mut(&2).expect("it is there");
        two.events.extend([Event::Disconnected, Event::NewSession, Event::Received(line(3))]);
        let summary = summary(&history);
        assert_eq!((summary.redelivered, summary.new_sessions, summary.disconnections), (1, 1, 1));
    }
}
