//! The message log in its tables: `append` writes it, `page` reads it, `prune` takes away what is too old.

pub(crate) mod append;
pub(crate) mod page;
mod peer;
#[cfg(test)]
mod plans;
pub(crate) mod prune;
