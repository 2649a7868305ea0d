//! What the binary says to whoever types a command, as a process of its own. No server runs here.

use std::path::Path;
use std::process::{Command, Output};

fn vesta(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vesta"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VESTA_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().expect("vesta starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(file: &Path, content: &str) -> String {
    std::fs::write(file, content).expect("a writable directory");
    file.to_str().expect("a plain path").to_owned()
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_the_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("vesta.toml");
    for (content, told) in [
        ("limits.stanzas = \"1 MiB\"", "limits.stanza"),
        ("limits.stanza = \"lots\"", "with a unit"),
        ("[[hosts]]\ndomian = \"a.example\"", "domain"),
        ("this is not TOML", "not valid TOML"),
    ] {
        let refused = vesta(&["config", "check", &write(&file, content)]);
        let errors = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{content}: {errors}");
        assert!(errors.starts_with("vesta: ") && errors.contains(told), "{content}: {errors}");
    }
}

#[test]
fn the_printed_default_is_a_good_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let default = text(&vesta(&["config", "print-default"]).stdout);
    let checked = vesta(&["config", "check", &write(&directory.path().join("vesta.toml"), &default)]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}

#[test]
fn a_role_of_a_cluster_says_which_key_it_lacks() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = write(&directory.path().join("vesta.toml"), "administration.http = \"127.0.0.1:0\"");
    let data = directory.path().join("data");
    let data = data.to_str().expect("a plain path");
    for role in ["session-router", "connection-manager"] {
        let refused = vesta(&[role, "--data", data, "--config", &config]);
        let errors = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{errors}");
        assert!(errors.contains("vesta: cluster."), "{errors}");
    }
}

#[test]
fn ctl_says_where_it_has_looked_for_a_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused =
        vesta(&["ctl", "--data", directory.path().to_str().expect("a plain path"), "user", "list", "a.example"]);
    let errors = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("--data") && errors.contains("--address"), "{errors}");
}

#[test]
fn certificates_are_issued_by_an_authority_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_str().expect("a plain path");
    let authority = ["certificates", "authority", "--out", place];
    assert_eq!(vesta(&authority).status.code(), Some(0));
    assert_ne!(vesta(&authority).status.code(), Some(0), "an authority was overwritten");
    let issue =
        ["certificates", "issue", "--role", "session-router", "--name", "r1", "--authority", place, "--out", place];
    assert_eq!(vesta(&issue).status.code(), Some(0));
    let key = std::fs::metadata(directory.path().join("r1.key")).expect("a key");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}
