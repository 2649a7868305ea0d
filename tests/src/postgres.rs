//! Databases for clusters. One PostgreSQL server serves a whole run: `VESTA_TEST_POSTGRES` is its URL; without it, the script
//! `tests/postgres` starts one, which stays for the next run until `tests/postgres stop`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The run's server.
static SERVER: OnceCell<String> = OnceCell::const_new();

/// Makes an empty database of its own and gives its URL.
///
/// # Panics
/// There is no PostgreSQL.
pub async fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(async || match std::env::var("VESTA_TEST_POSTGRES") {
        Ok(url) if !url.is_empty() => url,
        _ => script("start", None).await,
    });
    let name = format!("e2e_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    create(server.await, &name).await
}

async fn create(server: &str, name: &str) -> String {
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    let made = Command::new("psql")
        .args(["--quiet", "--no-psqlrc", "-c", &format!("CREATE DATABASE {name}"), server])
        .output()
        .await
        .expect("psql is installed (Debian: postgresql-client)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!("{base}/{name}")
}

async fn script(action: &str, directory: Option<&Path>) -> String {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres"));
    command.arg(action);
    if let Some(directory) = directory {
        command.env("VESTA_POSTGRES_DIR", directory);
    }
    let output = command.output().await.expect("tests/postgres runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A PostgreSQL server of a test's own, that can be stopped and started again.
pub struct Server {
    /// The place of its directory; readable by the user that PostgreSQL runs as.
    place: TempDir,
}

impl Server {
    /// Starts one, and gives the URL of an empty database on it.
    ///
    /// # Panics
    /// There is no PostgreSQL.
    pub async fn start() -> (Self, String) {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::Builder::new().prefix("vesta-pg").tempdir().expect("a directory");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path(), open).expect("the directory is ours");
        let server = Self { place };
        let url = create(&script("start", Some(&server.directory())).await, "vesta_e2e").await;
        (server, url)
    }

    fn directory(&self) -> PathBuf {
        self.place.path().join("server")
    }

    /// Stops it at once, as a crash would, and waits until it is gone. Its data stay.
    ///
    /// # Panics
    /// It does not end.
    pub async fn crash(&self) {
        let file = self.directory().join("data/postmaster.pid");
        let content = std::fs::read_to_string(&file).expect("it runs");
        let id = content.lines().next().expect("its first line is the process id").to_owned();
        let status = Command::new("sh").args(["-c", &format!("kill -QUIT {id}")]).status().await.expect("sh runs");
        assert!(status.success(), "PostgreSQL can't be stopped");
        crate::until("the end of PostgreSQL", async || (!file.exists()).then_some(())).await;
    }

    /// Has every write to the logs of the database at `url` wait until the result is dropped, for some seconds at most.
    ///
    /// # Panics
    /// It can't be asked for.
    pub fn slow_down(url: &str) -> tokio::process::Child {
        let hold = "BEGIN; LOCK TABLE log_entries IN EXCLUSIVE MODE; SELECT pg_sleep(4)";
        let psql = Command::new("psql").args(["--quiet", "--no-psqlrc", "-c", hold, url]).kill_on_drop(true).spawn();
        psql.expect("psql is installed (Debian: postgresql-client)")
    }

    /// Starts it again, with the same data at the same port.
    ///
    /// # Panics
    /// It does not start.
    pub async fn restart(&self) {
        script("start", Some(&self.directory())).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres"));
        // The script removes the directory even if the server is down; nothing more can be done if it fails.
        let _ = command.arg("stop").env("VESTA_POSTGRES_DIR", self.directory()).status();
    }
}
