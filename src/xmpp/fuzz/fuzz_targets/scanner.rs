//! The scanner on any bytes: cut anywhere, against quick-xml and rxml. What must hold is in `oracle`.
//!
//! The first byte of an input says how many of the next are cuts, and whether the rest stands behind a stream's header.

#![no_main]

#[path = "../oracle.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else { return };
    let (cuts, text) = rest.split_at(usize::from(first & 7).min(rest.len()));
    let cuts: Vec<usize> = cuts.iter().map(|&cut| usize::from(cut) * 8).collect();
    if first & 8 == 0 {
        oracle::check(&[oracle::HEADER.as_bytes(), text].concat(), &cuts);
    } else {
        oracle::check(text, &cuts);
    }
});
