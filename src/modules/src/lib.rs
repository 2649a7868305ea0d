//! The XEPs, one file each, on the engine's hooks.
//!
//! A file says all there is to say about its specification: what is fulfilled and what is left out, its configuration with
//! its limits, its handlers, its tests as transcripts. [`all`] is the only list, in the order of running; nothing else
//! names a module. A module reaches the world through [`vesta_engine::hooks::Context`] alone.
//!
//! | module | subject | key under `modules` |
//! |---|---|---|
//! | [`xep0030_disco`] | service discovery | `disco` |
//! | [`xep0157_contact_addresses`] | whom to write to about the service | `contact_addresses` |
//! | [`xep0199_ping`] | ping | `ping` |
//! | [`xep0092_version`] | software version | `version` |
//! | [`xep0202_time`] | entity time | `time` |
//! | [`xep0012_last_activity`] | last activity | `last_activity` |
//! | [`xep0049_private`] | private XML storage | `private` |
//! | [`xep0054_vcard`] | vcard-temp | `vcard` |
//! | [`xep0077_registration`] | in-band registration, off by default | `registration` |
//! | [`xep0313_archive`] | message archive, with preferences and stanza ids | `archive` |
//! | [`xep0160_offline`] | offline messages, with delayed delivery | `offline` |
//! | [`xep0280_carbons`] | copies for the account's other clients | `carbons` |
//!
//! To add one: a file named `xepNNNN_name.rs` or a folder of that name, a field of [`Config`], a line in the list below, and
//! `VESTA_UPDATE=1 cargo test -p vesta-modules` for the table in the README and `doap.xml`.

mod elsewhere;
mod switch;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod transcript;
pub mod xep0012_last_activity;
pub mod xep0030_disco;
pub mod xep0049_private;
pub mod xep0054_vcard;
pub mod xep0077_registration;
pub mod xep0092_version;
pub mod xep0157_contact_addresses;
pub mod xep0160_offline;
pub mod xep0199_ping;
pub mod xep0202_time;
pub mod xep0280_carbons;
pub mod xep0313_archive;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vesta_engine::Timestamp;
use vesta_engine::module::{Module, Spec};

pub use switch::Switch;

/// The configuration of all modules of a virtual host, the table `[modules]`: a table for each, `[modules.offline]` for
/// instance. Every module can be switched off with `enabled = false`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// XEP-0030: service discovery.
    pub disco: xep0030_disco::Config,
    /// XEP-0157: whom to write to about the service.
    pub contact_addresses: xep0157_contact_addresses::Config,
    /// XEP-0199: ping.
    pub ping: xep0199_ping::Config,
    /// XEP-0092: software version.
    pub version: xep0092_version::Config,
    /// XEP-0202: entity time.
    pub time: xep0202_time::Config,
    /// XEP-0012: last activity.
    pub last_activity: xep0012_last_activity::Config,
    /// XEP-0049: private XML storage.
    pub private: xep0049_private::Config,
    /// XEP-0054: vcard-temp.
    pub vcard: xep0054_vcard::Config,
    /// XEP-0077: in-band registration.
    pub registration: xep0077_registration::Config,
    /// XEP-0313: message archive.
    pub archive: xep0313_archive::Config,
    /// XEP-0160: offline messages.
    pub offline: xep0160_offline::Config,
    /// XEP-0280: message carbons.
    pub carbons: xep0280_carbons::Config,
}

/// The modules that `config` switches on, in the order of running. `started_at` is when this process began to serve, for
/// those who ask how long it has been up.
pub fn all(config: &Config, started_at: Timestamp) -> Vec<Arc<dyn Module>> {
    list(config, started_at).into_iter().filter_map(|(enabled, module)| enabled.then_some(module)).collect()
}

/// Every specification that this server fulfils, by modules and elsewhere, in the order of numbers.
pub fn supported() -> Vec<Spec> {
    let modules = list(&Config::default(), Timestamp::default());
    let of_modules = modules.iter().flat_map(|(_, module)| module.specs());
    let mut specs: Vec<Spec> = of_modules.chain(elsewhere::ELSEWHERE).copied().collect();
    specs.sort_by_key(|spec| spec.number);
    specs
}

/// The list: each module, and whether it is switched on.
fn list(config: &Config, started_at: Timestamp) -> Vec<(bool, Arc<dyn Module>)> {
    let last_activity = xep0012_last_activity::LastActivity::new(&config.last_activity, started_at);
    vec![
        (config.disco.enabled, Arc::new(xep0030_disco::ServiceDiscovery)),
        (
            config.contact_addresses.enabled,
            Arc::new(xep0157_contact_addresses::ContactAddresses::new(&config.contact_addresses)),
        ),
        (config.ping.enabled, Arc::new(xep0199_ping::Ping)),
        (config.version.enabled, Arc::new(xep0092_version::SoftwareVersion::new(&config.version))),
        (config.time.enabled, Arc::new(xep0202_time::Time)),
        (config.last_activity.enabled, Arc::new(last_activity)),
        (config.private.enabled, Arc::new(xep0049_private::PrivateStorage::new(&config.private))),
        (config.vcard.enabled, Arc::new(xep0054_vcard::VCards::new(&config.vcard))),
        (config.registration.enabled, Arc::new(xep0077_registration::Registration::new(&config.registration))),
        (config.archive.enabled, Arc::new(xep0313_archive::Archive::new(&config.archive))),
        (config.offline.enabled, Arc::new(xep0160_offline::OfflineMessages::new(&config.offline))),
        (config.carbons.enabled, Arc::new(xep0280_carbons::Carbons)),
    ]
}
