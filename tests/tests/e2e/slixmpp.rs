//! A client that we did not write: slixmpp logs in, subscribes, chats, sees unavailable presence, and resumes its session.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use vesta_tests::deployment::{Access, Cluster, DOMAIN, PASSWORD, Single};
use vesta_tests::{run, within};

/// Where `tests/slixmpp/install` has put it; installs it if nobody has.
async fn python() -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("slixmpp");
    let output = Command::new(place.join("install")).output().await.expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

/// Runs both clients of a script. `kill` is called once it asks for Juliet's connection to be lost.
async fn play(script: &str, access: &Access, kill: impl AsyncFnOnce()) {
    for name in ["romeo", "juliet"] {
        access.add_user(&format!("{name}@{DOMAIN}")).await;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("slixmpp").join(script);
    let (first, last) = (access.starttls[0], access.starttls[access.starttls.len() - 1]);
    let mut child = Command::new(python().await)
        .arg(script)
        .args([&first.port().to_string(), &last.port().to_string(), DOMAIN, PASSWORD])
        .arg(&access.certificate.certificate)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut kill = Some(kill);
    while let Some(line) = within("slixmpp to go on", lines.next_line()).await.expect("text") {
        println!("{line}");
        if line == "lose juliet" {
            (kill.take().expect("it asks once"))().await;
        }
    }
    let status = within("slixmpp to end", child.wait()).await.expect("it can be waited for");
    assert!(status.success(), "slixmpp says no: {status}");
    assert!(kill.is_none(), "slixmpp did not come so far");
}

#[test]
fn converses_through_one_process() {
    run(async {
        let single = Single::start().await;
        // Both are on the same process: her session is closed instead.
        let access = single.access.clone();
        let close = async || {
            access.ctl(&["session", "close", &format!("juliet@{DOMAIN}")], "").await.success();
        };
        play("converse.py", &single.access, close).await;
    });
}

#[test]
fn converses_across_a_cluster_and_sees_a_killed_connection_manager() {
    run(async {
        let mut cluster = Cluster::start().await;
        let access = cluster.access.clone();
        play("converse.py", &access, async || cluster.managers[1].process.kill().await).await;
    });
}

/// XEP-0198: at the other connection manager, after the first was killed.
#[test]
fn resumes_its_session_at_another_connection_manager() {
    run(async {
        let mut cluster = Cluster::start().await;
        let access = cluster.access.clone();
        play("resume.py", &access, async || cluster.managers[1].process.kill().await).await;
    });
}
