//! What processes have used, as Linux counts it in `/proc`. A process counts with its descendants: a database, say, is one that
//! has many.

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::path::Path;

use clap::Args;

use crate::error::Error;

/// `utime` and `stime` are counted in these, whatever the kernel's own tick (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Whose use is measured.
#[derive(Clone, Debug, Default, Args)]
pub struct Processes {
    /// A process of the server (or of its database), by its id; its child processes count too. May be given several times: the
    /// figures are sums.
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
}

/// What was used since the processes began, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of CPU in user mode.
    pub user_s: f64,
    /// Seconds of CPU in the kernel.
    pub system_s: f64,
    /// Context switches.
    pub switches: u64,
}

impl Usage {
    /// Seconds of CPU.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Usage) -> Usage {
        Usage {
            user_s: self.user_s - earlier.user_s,
            system_s: self.system_s - earlier.system_s,
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.user_s += other.user_s;
        self.system_s += other.system_s;
        self.switches += other.switches;
    }
}

impl Processes {
    /// This process, and those that it has started.
    pub fn own() -> Self {
        Self { pids: vec![std::process::id()] }
    }

    /// How many were named.
    pub fn count(&self) -> usize {
        self.pids.len()
    }

    /// What they have used up to now.
    ///
    /// # Errors
    /// One of them is gone, or is not ours to look at.
    pub fn usage(&self) -> Result<Usage, Error> {
        let mut sum = Usage::default();
        for pid in self.family() {
            // A descendant may end while we look: what it has used counts as its parent's then.
            match usage(pid) {
                Err(error) if self.pids.contains(&pid) => return Err(error),
                usage => sum += usage.unwrap_or_default(),
            }
        }
        Ok(sum)
    }

    /// Their memory in bytes: what is theirs alone, and their part of what is shared (PSS).
    ///
    /// # Errors
    /// As [`Processes::usage`].
    pub fn memory_bytes(&self) -> Result<u64, Error> {
        let mut sum = 0;
        for pid in self.family() {
            match memory_bytes(pid) {
                Err(error) if self.pids.contains(&pid) => return Err(error),
                bytes => sum += bytes.unwrap_or_default(),
            }
        }
        Ok(sum)
    }

    /// Those that were named and all their descendants, each once.
    fn family(&self) -> BTreeSet<u32> {
        let (mut family, mut found) = (BTreeSet::new(), self.pids.clone());
        while let Some(pid) = found.pop() {
            if family.insert(pid) {
                found.extend(children(pid));
            }
        }
        family
    }
}

/// A process is the child of the thread that started it.
fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let texts = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    texts.flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn usage(pid: u32) -> Result<Usage, Error> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; `state` is the first field behind it, `utime`, `stime`, `cutime` and `cstime` (those
    // of children that have ended) the 12th to 15th.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let seconds = |at: usize| fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0.0) / TICKS_PER_SECOND;
    Ok(Usage { user_s: seconds(11) + seconds(13), system_s: seconds(12) + seconds(14), switches: switches(pid)? })
}

/// Of all threads that still run.
fn switches(pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/task");
    let tasks = std::fs::read_dir(&path).map_err(Error::file(Path::new(&path)))?;
    // A thread may end while we look.
    let texts = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    Ok(texts.map(|text| value(&text, "voluntary_ctxt_switches:") + value(&text, "nonvoluntary_ctxt_switches:")).sum())
}

fn memory_bytes(pid: u32) -> Result<u64, Error> {
    Ok(value(&read(&format!("/proc/{pid}/smaps_rollup"))?, "Pss:") * 1024)
}

/// The number in the line that begins with `name`.
pub fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn read(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(Error::file(Path::new(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_cpu_and_memory() {
        assert!(Processes::own().memory_bytes().expect("of Linux") > 100 * 1024);
        assert!(Processes::own().usage().expect("of Linux").switches > 0);
        assert!(Processes { pids: vec![u32::MAX] }.usage().is_err());
    }

    #[test]
    fn a_process_counts_with_its_children_and_only_once() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("of every system");
        let own = Processes::own();
        assert!(own.family().contains(&child.id()));
        let both = Processes { pids: vec![std::process::id(), child.id()] };
        assert_eq!(both.family(), own.family());
        child.kill().expect("it runs");
        child.wait().expect("it has ended");
    }

    #[test]
    fn values_are_read_by_their_whole_name() {
        let status = "voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(value(status, "voluntary_ctxt_switches:"), 12);
        assert_eq!(value("Rss:   5 kB\nPss:                 7 kB\nPss_Dirty: 1 kB\n", "Pss:"), 7);
    }
}
