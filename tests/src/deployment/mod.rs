//! Servers to test against.
//!
//! | file | subject |
//! |---|---|
//! | `single` | `vesta serve`: one process on SQLite |
//! | `cluster` | connection managers and session routers on PostgreSQL, with mutual TLS |
//! | `settings` | the configuration files that both are given |
//! | `ports` | free ports on loopback |
//! | `certificate` | the certificate that clients are shown |

mod certificate;
mod cluster;
mod ports;
mod settings;
mod single;

use std::net::SocketAddr;
use std::path::PathBuf;

use vesta_client::{Config, Security, Trust};

pub use certificate::Certificate;
pub use cluster::{Cluster, Node, NodeCertificates, SHARDS};
pub use settings::Options;
pub use single::Single;

use crate::process::{Output, vesta};

/// The domain that every deployment serves, beside those of [`Options::hosts`].
pub const DOMAIN: &str = "vesta.example";

/// The password of every account, unless a test says otherwise.
pub const PASSWORD: &str = "a rose by any other name";

/// What a client and an administrator need to know of a deployment.
#[derive(Clone)]
pub struct Access {
    /// Where connections begin in clear, one address for each connection manager.
    pub starttls: Vec<SocketAddr>,
    /// Where connections begin with TLS.
    pub direct_tls: Vec<SocketAddr>,
    /// The certificate that clients are shown.
    pub certificate: Certificate,
    /// Data directory of a process that administers.
    pub administered: PathBuf,
}

impl Access {
    /// A client's configuration: `address` is a bare or a full JID, `manager` says which connection manager to go to.
    ///
    /// # Panics
    /// `address` is no JID.
    pub fn client(&self, address: &str, manager: usize) -> Config {
        let address_of_manager = self.starttls[manager % self.starttls.len()];
        let (account, resource) = match address.split_once('/') {
            Some((account, resource)) => (account, Some(resource.to_owned())),
            None => (address, None),
        };
        let mut config = Config::new(account, PASSWORD)
            .expect("a bare JID")
            .with_server(address_of_manager.ip().to_string(), address_of_manager.port(), Security::StartTls)
            .with_trust(self.trust());
        config.resource = resource;
        config.timeouts.negotiate = crate::PATIENCE;
        config.reconnect = None;
        config
    }

    /// Trust in what clients are shown, and in nothing else.
    pub fn trust(&self) -> Trust {
        Trust::Only(vec![self.certificate.der.clone()])
    }

    /// Runs `vesta ctl` on the machine of the server.
    pub async fn ctl(&self, arguments: &[&str], input: &str) -> Output {
        let data = self.administered.to_str().expect("a plain path");
        vesta(&[&["ctl", "--data", data], arguments].concat(), input).await
    }

    /// As [`Access::ctl`], and again while the server says that it can't just now: on a machine with too much to do, a shard
    /// may be without leader for a moment. Gives what the command has printed.
    ///
    /// # Panics
    /// The server refuses for good.
    pub async fn administer(&self, arguments: &[&str], input: &str) -> String {
        crate::until("the server to obey", async || {
            let output = self.ctl(arguments, input).await;
            let later = output.errors.contains("just now");
            (!later).then(|| output.success())
        })
        .await
    }

    /// Makes an account with [`PASSWORD`].
    ///
    /// # Panics
    /// The server refuses.
    pub async fn add_user(&self, account: &str) {
        self.administer(&["user", "add", account], &format!("{PASSWORD}\n")).await;
    }
}
