//! XEP-0092: Software Version (version 1.1).
//!
//! Tells the name and the version of the server. The operating system is told only where the operator wants it: it helps
//! nobody but an attacker (§5).

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::hooks::{Context, Hooks, IqAnswer, IqHandler, IqRequest, Scope};
use vesta_engine::module::{Module, Spec, Status};
use vesta_xmpp::ns;
use vesta_xmpp::payload::version::Version;

/// What is fulfilled.
pub const SPEC: Spec =
    Spec { number: 92, title: "Software Version", version: "1.1", status: Status::Complete, since: "0.1.0", note: "" };

/// Key `version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the module is there. Default: true.
    pub enabled: bool,
    /// Whether the name of the operating system is told. Default: false.
    pub show_os: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, show_os: false }
    }
}

/// The module.
pub struct SoftwareVersion {
    answer: Version,
}

impl SoftwareVersion {
    /// With `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            answer: Version {
                name: "Vesta".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                os: config.show_os.then(|| std::env::consts::OS.into()),
            },
        }
    }
}

impl Module for SoftwareVersion {
    fn name(&self) -> &'static str {
        "version"
    }

    fn specs(&self) -> &'static [Spec] {
        &[SPEC]
    }

    fn register(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.server.feature(ns::VERSION);
        hooks.iq_get(ns::VERSION, "query", Scope::Server, self);
    }
}

#[async_trait]
impl IqHandler for SoftwareVersion {
    async fn answer(&self, _: &mut Context<'_>, _: &IqRequest<'_>) -> IqAnswer {
        Ok(Some(self.answer.to_element()))
    }
}

#[cfg(test)]
mod tests {
    use vesta_engine::testing::World;

    use super::*;

    const QUESTION: &str = "<iq type='get' id='version_1' to='example.com'><query xmlns='jabber:iq:version'/></iq>";

    /// §3, §5: name and version, and the operating system only where that is wanted.
    #[test]
    fn the_operating_system_is_told_where_it_is_configured() {
        for show_os in [false, true] {
            let config = Config { show_os, ..Config::default() };
            let world = World::new(vec![Arc::new(SoftwareVersion::new(&config))]);
            let romeo = world.online("romeo@example.net/orchard");
            romeo.sends(QUESTION);
            let os = if show_os { format!("<os>{}</os>", std::env::consts::OS) } else { String::new() };
            romeo.receives(&format!(
                "<iq type='result' id='version_1' from='example.com'><query xmlns='jabber:iq:version'>\
                 <name>Vesta</name><version>{}</version>{os}</query></iq>",
                env!("CARGO_PKG_VERSION")
            ));
        }
    }
}
