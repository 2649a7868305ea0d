//! What operators use of running servers: health, metrics, `vesta ctl`.

use std::path::Path;

use vesta_tests::deployment::{Cluster, DOMAIN, Single};
use vesta_tests::player::Player;
use vesta_tests::process::{Output, vesta};
use vesta_tests::{http, run};

fn address(name: &str) -> String {
    format!("{name}@{DOMAIN}")
}

#[test]
fn every_role_tells_its_health_and_metrics() {
    run(async {
        let cluster = Cluster::start().await;
        let single = Single::start().await;
        let nodes = cluster.nodes().map(|node| (node.name.as_str(), node.http)).chain([("single", single.http)]);
        for (name, at) in nodes {
            assert_eq!(http::get(at, "/healthz").await, Some((200, "ok\n".into())), "{name}");
            let (status, ready) = http::get(at, "/readyz").await.expect("an answer");
            assert!(status == 200 && ready.ends_with("ready\n"), "{name}: {ready}");
            let (status, metrics) = http::get(at, "/metrics").await.expect("an answer");
            assert!(status == 200 && metrics.ends_with("# EOF\n"), "{name}: {metrics}");
            let documented = metrics.lines().filter(|line| line.starts_with("# HELP")).count();
            assert!(documented > 5, "{name} shows {documented} metrics");
            assert_eq!(http::get(at, "/nothing").await.map(|(status, _)| status), Some(404), "{name}");
        }
    });
}

#[test]
fn accounts_and_sessions_are_administered_by_ctl() {
    run(async {
        let single = Single::start().await;
        let ctl = &single.access;
        let romeo = address("romeo");
        ctl.add_user(&romeo).await;
        ctl.add_user(&address("juliet")).await;
        let again = ctl.ctl(&["user", "add", &romeo], "secret\n").await;
        assert_ne!(again.code, Some(0), "{again:?}");
        assert!(again.errors.contains("exists"), "{again:?}");
        let list = ctl.ctl(&["user", "list", DOMAIN], "").await.success();
        assert_eq!(list, format!("{}\n{romeo}\n", address("juliet")));

        let mut player = Player::online("romeo", ctl.client(&format!("{romeo}/orchard"), 0)).await;
        let sessions = ctl.ctl(&["session", "list"], "").await.success();
        assert!(sessions.starts_with(player.address()) && sessions.contains("priority 0"), "{sessions}");
        ctl.ctl(&["session", "close", player.address()], "").await.success();
        player.receive_the_rest().await;
        assert_eq!(ctl.ctl(&["session", "list"], "").await.success(), "");

        for (arguments, input, code) in [
            (&["user", "add", "no account"][..], "secret\n", 64),
            (&["user", "add", "somebody@vesta.example"], "\n", 64),
            (&["user", "passwd", "nobody@vesta.example"], "secret\n", 1),
            (&["user", "add", "somebody@elsewhere.example"], "secret\n", 1),
        ] {
            let refused = ctl.ctl(arguments, input).await;
            assert_eq!(refused.code, Some(code), "{refused:?}");
            assert!(refused.errors.starts_with("vesta: "), "{refused:?}");
        }
        ctl.ctl(&["user", "remove", &romeo], "").await.success();
        assert_eq!(ctl.ctl(&["user", "list", DOMAIN], "").await.success(), format!("{}\n", address("juliet")));
    });
}

/// `vesta ctl` from another machine, with a certificate.
async fn remote(cluster: &Cluster, name: &str, router: usize, arguments: &[&str]) -> Output {
    let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let (authority, certificate) =
        (text(&cluster.certificates.authority()), text(&cluster.certificates.certificate(name)));
    let key = text(&cluster.certificates.key(name));
    let at = cluster.routers[router].internal.expect("routers listen").to_string();
    let options = ["ctl", "--address", &at, "--authority", &authority, "--certificate", &certificate, "--key", &key];
    vesta(&[&options, arguments].concat(), "secret\n").await
}

#[test]
fn t58_a_cluster_is_administered_over_mutual_tls_by_administrators_alone() {
    run(async {
        let cluster = Cluster::start().await;
        cluster.certificates.issue("administrator", "operator").await;
        remote(&cluster, "operator", 1, &["user", "add", &address("romeo")]).await.success();
        // Asked of another router, the answer is the same.
        let list = remote(&cluster, "operator", 2, &["user", "list", DOMAIN]).await.success();
        assert_eq!(list, format!("{}\n", address("romeo")));
        let status = remote(&cluster, "operator", 0, &["cluster", "status"]).await.success();
        for name in
            ["router-0", "router-1", "router-2", "manager-0", "manager-1", "meta", "shard 0", "database answers"]
        {
            assert!(status.contains(name), "no {name} in {status}");
        }
        // A connection manager faces the Internet: its certificate does not open this door.
        for arguments in
            [&["user", "list", DOMAIN][..], &["user", "add", "tybalt@vesta.example"], &["cluster", "status"]]
        {
            let refused = remote(&cluster, "manager-0", 1, arguments).await;
            assert_ne!(refused.code, Some(0), "{refused:?}");
        }
        let list = remote(&cluster, "operator", 0, &["user", "list", DOMAIN]).await.success();
        assert_eq!(list, format!("{}\n", address("romeo")));
    });
}
