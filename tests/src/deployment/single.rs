//! `vesta serve`: one process on SQLite.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::ports::free_address;
use super::{Access, Certificate, Options, settings};
use crate::process::Process;
use crate::{http, until};

/// One process with every role.
pub struct Single {
    /// The process.
    pub process: Process,
    /// How it is reached.
    pub access: Access,
    /// Health and metrics.
    pub http: SocketAddr,
    directory: TempDir,
}

impl Single {
    /// Starts it with default options and waits until it is ready.
    pub async fn start() -> Self {
        Self::start_with(&Options::default()).await
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// It does not become ready.
    pub async fn start_with(options: &Options) -> Self {
        let directory = tempfile::Builder::new().prefix("vesta-e2e").tempdir().expect("a directory");
        let certificate = Certificate::make(directory.path());
        let (starttls, direct_tls, http) = (free_address(), free_address(), free_address());
        let mut file = options.common("single", &certificate, http);
        file.insert("clients".into(), settings::clients(starttls, direct_tls));
        options.write(file, &config(directory.path()));
        let process = launch(directory.path());
        let administered = data(directory.path());
        let access = Access { starttls: vec![starttls], direct_tls: vec![direct_tls], certificate, administered };
        let mut single = Self { process, access, http, directory };
        single.ready().await;
        single
    }

    /// Starts it again after its end, with the same data.
    pub async fn restart(&mut self) {
        self.process = launch(self.directory.path());
        self.ready().await;
    }

    /// The directory that everything of it is in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    async fn ready(&mut self) {
        until("the server to be ready", async || {
            assert!(self.process.runs(), "the server has ended:\n{}", self.process.log());
            http::get(self.http, "/readyz").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }
}

fn launch(directory: &Path) -> Process {
    let (data, config) = (data(directory), config(directory));
    let arguments = ["serve", "--data", data.to_str().expect("plain"), "--config", config.to_str().expect("plain")];
    Process::start("vesta serve", &arguments, &directory.join("log"))
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn config(directory: &Path) -> PathBuf {
    directory.join("vesta.toml")
}
