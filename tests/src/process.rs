//! One process of the server: started, watched, signalled, and gone when its value is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::within;

/// A process that runs in the background. Dropped, it is killed; if the test has failed by then, the end of its log is shown.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Lines of a log that a failed test shows.
const TAIL_LINES: usize = 60;

/// Where the binary `vesta` is: `VESTA_TEST_BINARY` says so, or it stands next to the tests.
///
/// # Panics
/// It is not there; the message says how to build it.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("VESTA_TEST_BINARY") {
        return path.into();
    }
    // target/PROFILE/deps/e2e-HASH → target/PROFILE/vesta
    let own = std::env::current_exe().expect("a test runs from a file");
    let path = own.ancestors().nth(2).expect("cargo keeps tests in target/PROFILE/deps").join("vesta");
    assert!(
        path.exists(),
        "there is no {}: build it with `cargo build -p vesta-server`, or run tests/run",
        path.display()
    );
    path
}

/// A command that inherits no setting of the server's from the environment.
fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VESTA_")) {
        command.env_remove(name);
    }
    command.args(arguments).kill_on_drop(true);
    command
}

impl Process {
    /// Starts `vesta` with `arguments`. What it writes goes to `log`, behind what is there.
    ///
    /// # Panics
    /// It can't be started.
    pub fn start(name: &str, arguments: &[&str], log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = file.try_clone().expect("a second handle");
        let mut command = command(&binary(), arguments);
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn().expect("vesta starts");
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Its id.
    ///
    /// # Panics
    /// It has ended and was waited for.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a process that runs")
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Panics
    /// The system refuses.
    pub async fn kill(&mut self) {
        within("the end of a killed process", self.child.kill()).await.expect("it is ours to kill");
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    ///
    /// # Panics
    /// The system refuses.
    pub async fn signal(&self, signal: &str) {
        // The shell's own `kill`: not every machine has the program.
        let line = format!("kill -{signal} {}", self.id());
        let status = Command::new("sh").args(["-c", &line]).status().await.expect("sh runs");
        assert!(status.success(), "{line} failed");
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// It does not end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM").await;
        self.ended().await
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end.
    pub async fn ended(&mut self) -> ExitStatus {
        within(&format!("the end of {}", self.name), self.child.wait()).await.expect("it can be waited for")
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// There is no `/proc`, or the process has ended.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has it");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kibibytes * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!("--- the end of the log of {} ---\n{}", self.name, tail.join("\n"));
        }
    }
}

/// What a command that runs to its end has said.
#[derive(Debug)]
pub struct Output {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub errors: String,
}

impl Output {
    /// Standard output of a command that succeeded.
    ///
    /// # Panics
    /// It did not.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// Runs `vesta` with `arguments` to its end; `input` is its standard input.
///
/// # Panics
/// It can't be started or does not end.
pub async fn vesta(arguments: &[&str], input: &str) -> Output {
    let mut command = command(&binary(), arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("vesta starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that does not read its input has closed it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = within(&format!("vesta {}", arguments.join(" ")), child.wait_with_output()).await;
    let output = output.expect("it can be waited for");
    Output {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
