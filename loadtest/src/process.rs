//! What processes have used, as Linux counts it in `/proc`.

use std::path::Path;

use clap::Args;

use crate::error::Error;

/// `utime` and `stime` are counted in these, whatever the kernel's own tick (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Whose use is measured.
#[derive(Clone, Debug, Args)]
pub struct Processes {
    /// A process of the server (or of its database), by its id. May be given several times: the figures are sums.
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
}

/// What was used since the processes began, all together.
#[derive(Clone, Copy, Debug, Default)]
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

impl Processes {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.pids.len()
    }

    /// What they have used up to now.
    ///
    /// # Errors
    /// One of them is gone.
    pub fn usage(&self) -> Result<Usage, Error> {
        self.pids.iter().try_fold(Usage::default(), |sum, pid| {
            let usage = usage(&pid.to_string())?;
            Ok(Usage {
                user_s: sum.user_s + usage.user_s,
                system_s: sum.system_s + usage.system_s,
                switches: sum.switches + usage.switches,
            })
        })
    }

    /// Their memory in bytes: what is theirs alone, and their part of what is shared (PSS).
    ///
    /// # Errors
    /// One of them is gone, or is not ours to look at.
    pub fn memory_bytes(&self) -> Result<u64, Error> {
        self.pids.iter().map(|pid| memory_bytes(&pid.to_string())).sum()
    }
}

/// What this process has used up to now.
///
/// # Errors
/// There is no `/proc`.
pub fn own_usage() -> Result<Usage, Error> {
    usage("self")
}

fn usage(process: &str) -> Result<Usage, Error> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold spaces; `state` is the first field behind it, `utime` and `stime` the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    let (user_s, system_s) = (ticks(11) / TICKS_PER_SECOND, ticks(12) / TICKS_PER_SECOND);
    Ok(Usage { user_s, system_s, switches: switches(process)? })
}

/// Of all threads that still run.
fn switches(process: &str) -> Result<u64, Error> {
    let path = format!("/proc/{process}/task");
    let tasks = std::fs::read_dir(&path).map_err(Error::file(Path::new(&path)))?;
    // A thread may end while we look.
    let texts = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    Ok(texts.map(|text| value(&text, "voluntary_ctxt_switches:") + value(&text, "nonvoluntary_ctxt_switches:")).sum())
}

fn memory_bytes(process: &str) -> Result<u64, Error> {
    Ok(value(&read(&format!("/proc/{process}/smaps_rollup"))?, "Pss:") * 1024)
}

/// The number in the line that begins with `name`.
fn value(text: &str, name: &str) -> u64 {
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
        let own = Processes { pids: vec![std::process::id()] };
        assert!(own.memory_bytes().expect("of Linux") > 100 * 1024);
        assert!(own.usage().expect("of Linux").switches > 0);
        assert!(Processes { pids: vec![u32::MAX] }.usage().is_err());
    }

    #[test]
    fn values_are_read_by_their_whole_name() {
        let status = "voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(value(status, "voluntary_ctxt_switches:"), 12);
        assert_eq!(value("Rss:   5 kB\nPss:                 7 kB\nPss_Dirty: 1 kB\n", "Pss:"), 7);
    }
}
