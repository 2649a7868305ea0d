//! `vesta certificates …`: an authority of the cluster's own, and certificates for its nodes.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use vesta_wire::tls::{NodeIdentity, Pem, Role, authority, issue};

use super::{Failure, output};

/// What can be made.
#[derive(Debug, Subcommand)]
pub enum CertificatesAction {
    /// Makes an authority: authority.pem, to be given to every node, and authority.key, to be kept apart.
    Authority {
        /// The directory for both files.
        #[arg(long, default_value = ".", value_name = "DIR")]
        out: PathBuf,
    },
    /// Makes a node's certificate and key: NAME.pem and NAME.key.
    Issue {
        /// What the node may do.
        #[arg(long)]
        role: RoleArgument,
        /// Its name, as in its configuration.
        #[arg(long)]
        name: String,
        /// The directory with authority.pem and authority.key.
        #[arg(long, default_value = ".", value_name = "DIR")]
        authority: PathBuf,
        /// The directory for both files.
        #[arg(long, default_value = ".", value_name = "DIR")]
        out: PathBuf,
    },
}

/// A role, as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleArgument {
    /// Holds clients' connections.
    ConnectionManager,
    /// Leads shards.
    SessionRouter,
    /// Asks and tells with `vesta ctl`.
    Administrator,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Role {
        match role {
            RoleArgument::ConnectionManager => Role::ConnectionManager,
            RoleArgument::SessionRouter => Role::SessionRouter,
            RoleArgument::Administrator => Role::Administrator,
        }
    }
}

impl CertificatesAction {
    /// Makes it.
    pub fn run(self) -> Result<(), Failure> {
        let refused = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        match self {
            CertificatesAction::Authority { out } => {
                write(&out, "authority", &authority().map_err(|error| refused(&error))?)
            }
            CertificatesAction::Issue { role, name, authority, out } => {
                let identity: NodeIdentity = format!("vesta://{}/{name}", Role::from(role).name())
                    .parse()
                    .map_err(|error: vesta_wire::tls::IdentityError| refused(&error))?;
                let authority = Pem {
                    certificate: read(&authority.join("authority.pem"))?,
                    key: read(&authority.join("authority.key"))?,
                };
                write(&out, &name, &issue(&authority, &identity).map_err(|error| refused(&error))?)
            }
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|reason| Failure::Io { what: format!("{} can't be read", path.display()), reason })
}

/// Writes both files, the key for this user alone. Existing ones stay: a key that is in use must not be lost by a slip.
fn write(directory: &Path, name: &str, pem: &Pem) -> Result<(), Failure> {
    for (extension, content, mode) in [("key", &pem.key, 0o600), ("pem", &pem.certificate, 0o644)] {
        let path = directory.join(format!("{name}.{extension}"));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(|reason| Failure::Io { what: format!("{} can't be written", path.display()), reason })?;
        output::line(format_args!("{}", path.display()));
    }
    Ok(())
}
