//! `vesta config …`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Failure, output};
use crate::config::{document, load};

/// What may be asked of the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Prints every key with its documentation and default.
    PrintDefault,
    /// Says what is wrong with a file (and the VESTA_… variables), or that it is good.
    Check {
        /// The file.
        file: PathBuf,
    },
}

impl ConfigAction {
    /// Does it.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            ConfigAction::PrintDefault => output::text(document::default_file()),
            ConfigAction::Check { file } => {
                load(Some(&file), std::env::vars())?;
                output::line(format_args!("{} is good.", file.display()));
            }
        }
        Ok(())
    }
}
