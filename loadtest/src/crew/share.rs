//! Which part of everything is a process's.

use std::ops::Range;
use std::str::FromStr;

/// One of several equal parts. Written `INDEX/OF`, the index from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: usize,
    of: usize,
}

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share { index: 0, of: 1 };

    /// This part of `total` things that are numbered from 0. The parts of all processes are adjacent and differ by one at most.
    pub fn range(self, total: usize) -> Range<usize> {
        let until = |index: usize| (total as u128 * index as u128 / self.of as u128) as usize;
        until(self.index)..until(self.index + 1)
    }

    /// How many of `total` things this part has.
    pub fn count(self, total: u64) -> u64 {
        self.range(total as usize).len() as u64
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            _ => Err("a part is written INDEX/OF"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_up_the_whole() {
        for of in 1..9 {
            let parts: Vec<Share> = (0..of).map(|index| format!("{index}/{of}").parse().expect("a part")).collect();
            for total in [0, 1, 7, 8, 100_000] {
                let mut next = 0;
                for part in &parts {
                    let range = part.range(total);
                    assert_eq!(range.start, next);
                    assert!((total / of..=total / of + 1).contains(&range.len()));
                    next = range.end;
                }
                assert_eq!(next, total);
            }
        }
    }

    #[test]
    fn what_is_no_part_is_refused() {
        assert_eq!("0/1".parse(), Ok(Share::WHOLE));
        for text in ["", "1", "1/1", "2/1", "0/0", "-1/2", "a/b"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
