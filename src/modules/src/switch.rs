//! The configuration of a module that can be switched on and off and has nothing else to be configured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A module's switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Switch {
    /// Whether the module is there. Default: true. Where it is not, its requests are answered with `service-unavailable`.
    pub enabled: bool,
}

impl Default for Switch {
    fn default() -> Self {
        Self { enabled: true }
    }
}
