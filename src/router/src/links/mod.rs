//! The links that others make to this router, and those that it makes.
//!
//! | file | subject |
//! |---|---|
//! | [`attach`] | the links that connection managers make |
//! | [`managers`] | what waits for room on such a link, and which managers are there |
//! | [`forward`] | stanzas to other routers |
//! | [`lane`] | the order of those of one shard |
//! | [`owner`] | stanzas from other routers |

pub mod attach;
pub mod forward;
pub mod lane;
pub mod managers;
pub mod owner;
