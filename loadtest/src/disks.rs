//! What this machine's disks have been given to write, as they count it (`/sys/block`).
//!
//! The kernel counts writes by process, too (`write_bytes` in `/proc/PID/io`), but there a write counts with the whole folio that it
//! makes dirty: up to 2 MiB for the 8 KiB of a page in PostgreSQL's log.

use std::fs;
use std::path::Path;

/// Of the disk's own counts.
const SECTOR_BYTES: u64 = 512;

/// Bytes since the machine was started, of all disks together; 0 where the system tells nothing of them. What is written but not
/// synced is in it later or never.
pub fn written_bytes() -> u64 {
    let Ok(disks) = fs::read_dir("/sys/block") else { return 0 };
    disks.flatten().filter_map(|disk| written_to(&disk.path())).sum()
}

/// `None` for what is no disk of its own: partitions joined by software, memory, files.
fn written_to(disk: &Path) -> Option<u64> {
    disk.join("device").exists().then_some(())?;
    Some(sectors_written(&fs::read_to_string(disk.join("stat")).ok()?)? * SECTOR_BYTES)
}

/// The seventh number of a disk's `stat`.
fn sectors_written(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_found_among_the_counts_of_a_disk() {
        assert_eq!(
            sectors_written(" 1646467 23583 91720642 2244174 3253345 361973 319365672 3990337 0\n"),
            Some(319_365_672)
        );
        assert_eq!(sectors_written("1 2 3"), None);
    }

    #[test]
    fn what_has_no_device_is_no_disk() {
        assert_eq!(written_to(Path::new("/nowhere")), None);
    }
}
