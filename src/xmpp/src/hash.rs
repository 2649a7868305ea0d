//! Hash maps of the stanza's way. A message is looked up some thirty times on its way, and the standard library's hash function
//! took a quarter of all instructions.
//!
//! The function is seeded at random for each map, so that nobody can know beforehand which keys collide. It does not withstand who
//! can watch the map closely: tables of what has not authenticated (addresses, guesses) keep the standard one.

pub use foldhash::quality::RandomState;

/// [`std::collections::HashMap`] with [`RandomState`].
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// [`std::collections::HashSet`] with [`RandomState`].
pub type HashSet<T> = std::collections::HashSet<T, RandomState>;
