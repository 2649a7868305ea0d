//! Which crate may use which. A new edge is a decision: it is taken in ARCHITECTURE.md first, and then here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Each crate with all that it may use of the workspace; what only its tests use is in brackets.
const EDGES: &[(&str, &str)] = &[
    ("vesta-admin", "vesta-engine vesta-wire vesta-xmpp"),
    ("vesta-client", "vesta-xmpp"),
    ("vesta-connection-manager", "vesta-wire vesta-xmpp [vesta-client]"),
    ("vesta-engine", "vesta-xmpp"),
    ("vesta-loadtest", "vesta-client vesta-xmpp"),
    ("vesta-modules", "vesta-engine vesta-xmpp"),
    ("vesta-router", "vesta-engine vesta-wire vesta-xmpp [vesta-modules vesta-storage]"),
    (
        "vesta-server",
        "vesta-admin vesta-connection-manager vesta-engine vesta-modules vesta-router vesta-storage vesta-wire vesta-xmpp",
    ),
    ("vesta-storage", "vesta-engine vesta-xmpp"),
    // The harness meets the server as a process: it shares nothing with it but xmpp.
    ("vesta-tests", "vesta-client vesta-xmpp"),
    ("vesta-wire", "vesta-xmpp"),
    ("vesta-xmpp", ""),
];

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// Every crate of the workspace with what it uses: at run time or for building, and in tests alone.
fn edges() -> BTreeMap<String, [BTreeSet<String>; 2]> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list").iter();
    packages
        .map(|package| {
            let mut used = [BTreeSet::new(), BTreeSet::new()];
            let dependencies = package["dependencies"].as_array().expect("a list").iter();
            for dependency in dependencies.filter(|dependency| !dependency["path"].is_null()) {
                let in_tests = dependency["kind"] == "dev";
                used[usize::from(in_tests)].insert(dependency["name"].as_str().expect("a name").to_owned());
            }
            (package["name"].as_str().expect("a name").to_owned(), used)
        })
        .collect()
}

#[test]
fn crates_use_only_those_that_they_may() {
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    for (name, [used, in_tests]) in edges() {
        let Some(allowed) = allowed.get(name.as_str()) else {
            panic!("{name} is new: give it a sentence in ARCHITECTURE.md and a line in {}", file!());
        };
        let (always, tests) = allowed.split_once('[').unwrap_or((allowed, ""));
        let list = |text: &str| text.split([' ', ']']).filter(|it| !it.is_empty()).map(str::to_owned).collect();
        let (always, tests): (BTreeSet<String>, BTreeSet<String>) = (list(always), list(tests));
        let remedy = "let them meet in a crate that both may use, or change ARCHITECTURE.md first";
        let strange: Vec<_> = used.difference(&always).collect();
        assert!(strange.is_empty(), "{name} may not use {strange:?}: {remedy}");
        let strange: Vec<_> = in_tests.iter().filter(|it| !always.contains(*it) && !tests.contains(*it)).collect();
        assert!(strange.is_empty(), "{name} may not use {strange:?} in tests: {remedy}");
    }
}

#[test]
fn only_tests_and_the_load_generator_use_the_client_library() {
    for (name, [used, _]) in edges() {
        let may = ["vesta-tests", "vesta-loadtest"].contains(&name.as_str());
        assert!(may || !used.contains("vesta-client"), "{name} uses vesta-client");
    }
}
