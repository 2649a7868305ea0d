//! The configuration: one TOML file, every key with a default and a documentation, every key overridable by the environment.
//!
//! The types are the only source: their doc comments become the generated default ([`mod@document`]), their fields the list that an
//! unknown key is compared with ([`mod@load`]).

pub mod document;
pub mod headers;
pub mod load;
pub mod quantity;
pub mod settings;

pub use load::{ConfigError, load};
pub use settings::Settings;
