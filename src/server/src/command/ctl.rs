//! `vesta ctl …`: asks and tells a running server, over its Unix socket on the same machine, or over mutual TLS from elsewhere.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use vesta_wire::administration::{
    AccountAction, AccountCommand, Administration, AdministrationAddress, ClusterStatus, GroupStatus,
};
use vesta_wire::grpc::AdministrationClient;
use vesta_wire::tls::{NodeTls, NodeTlsFiles, Security};
use vesta_xmpp::{BareJid, Jid, Secret};

use super::{DEFAULT_DATA, Failure, output, runtime};

/// `vesta ctl`.
#[derive(Debug, Args)]
pub struct Ctl {
    /// The data directory of a server on this machine: its socket is there.
    #[arg(long, default_value = DEFAULT_DATA, value_name = "DIR", global = true)]
    data: PathBuf,
    /// A router elsewhere: `host:port` of its `cluster.listen`. Needs --authority, --certificate and --key.
    #[arg(long, value_name = "HOST:PORT", global = true, requires_all = ["authority", "certificate", "key"])]
    address: Option<String>,
    /// PEM file with the cluster's authority.
    #[arg(long, value_name = "FILE", global = true)]
    authority: Option<PathBuf>,
    /// PEM file with an administrator's certificate.
    #[arg(long, value_name = "FILE", global = true)]
    certificate: Option<PathBuf>,
    /// PEM file with its key.
    #[arg(long, value_name = "FILE", global = true)]
    key: Option<PathBuf>,
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Accounts.
    #[command(subcommand)]
    User(UserAction),
    /// Sessions of clients.
    #[command(subcommand)]
    Session(SessionAction),
    /// The cluster.
    #[command(subcommand)]
    Cluster(ClusterAction),
}

#[derive(Debug, Subcommand)]
enum UserAction {
    /// Makes an account. The password is asked for, or read as a line from standard input.
    Add {
        /// user@domain
        account: String,
    },
    /// Sets a new password; the account's sessions end.
    Passwd {
        /// user@domain
        account: String,
    },
    /// Removes an account, all its data and its sessions.
    Remove {
        /// user@domain
        account: String,
    },
    /// Lists the accounts of a domain.
    List {
        /// The domain.
        domain: String,
    },
}

#[derive(Debug, Subcommand)]
enum SessionAction {
    /// Lists sessions.
    List {
        /// Only of this domain.
        domain: Option<String>,
    },
    /// Ends a session (user@domain/resource), or all of an account (user@domain).
    Close {
        /// Whose.
        address: String,
    },
}

#[derive(Debug, Subcommand)]
enum ClusterAction {
    /// Shows routers, connection managers, shards with their leaders, and the database.
    Status,
}

impl Ctl {
    /// Does what was asked.
    pub fn run(self) -> Result<(), Failure> {
        runtime(1)?.block_on(async {
            let server = self.connect().await?;
            match &self.subject {
                Subject::User(action) => user(&server, action).await,
                Subject::Session(action) => session(&server, action).await,
                Subject::Cluster(ClusterAction::Status) => {
                    print_status(&patiently(server.cluster_status()).await?);
                    Ok(())
                }
            }
        })
    }

    async fn connect(&self) -> Result<AdministrationClient, Failure> {
        let (address, security) = match (&self.address, &self.authority, &self.certificate, &self.key) {
            (Some(address), Some(ca), Some(certificate), Some(key)) => {
                let files = NodeTlsFiles { ca: ca.clone(), certificate: certificate.clone(), key: key.clone() };
                let tls = NodeTls::load(files).map_err(|error| Failure::Usage(error.to_string()))?;
                (AdministrationAddress::Network(address.clone()), Security::MutualTls(tls))
            }
            _ => {
                let socket = self.data.join(crate::compose::SOCKET);
                if !socket.exists() {
                    return Err(Failure::Unreachable(format!(
                        "no server runs with the data directory {} (there is no {}): start it, or name its directory with \
                         --data, or a router elsewhere with --address",
                        self.data.display(),
                        socket.display()
                    )));
                }
                (AdministrationAddress::Socket(socket), Security::PlainText)
            }
        };
        let connected = AdministrationClient::connect(&address, &security).await;
        connected.map_err(|error| Failure::Unreachable(error.to_string()))
    }
}

fn account_of(text: &str) -> Result<BareJid, Failure> {
    BareJid::parse(text).map_err(|error| Failure::Usage(format!("{text:?} is no account (user@domain): {error}")))
}

async fn carry_out(server: &AdministrationClient, account: BareJid, action: AccountAction) -> Result<(), Failure> {
    patiently(server.administer(AccountCommand { account, action })).await?;
    Ok(())
}

/// Waits for an answer. A router waits a while for a shard's leader and for the database: who sits before it is told.
async fn patiently<T>(mut answer: impl Future<Output = T> + Unpin) -> T {
    /// After that it is told.
    const SOON: Duration = Duration::from_secs(1);
    match tokio::time::timeout(SOON, &mut answer).await {
        Ok(answer) => answer,
        Err(_) => {
            eprintln!("vesta: no answer yet, the server may be waiting for another one or for its database");
            answer.await
        }
    }
}

async fn user(server: &AdministrationClient, action: &UserAction) -> Result<(), Failure> {
    match action {
        UserAction::Add { account } => {
            let account = account_of(account)?;
            let password = ask_password()?;
            carry_out(server, account.clone(), AccountAction::Create { password }).await?;
            output::line(format_args!("{account} was added."));
        }
        UserAction::Passwd { account } => {
            let account = account_of(account)?;
            let password = ask_password()?;
            carry_out(server, account.clone(), AccountAction::SetPassword { password }).await?;
            output::line(format_args!("{account} has a new password; its sessions were ended."));
        }
        UserAction::Remove { account } => {
            let account = account_of(account)?;
            carry_out(server, account.clone(), AccountAction::Remove).await?;
            output::line(format_args!("{account} was removed."));
        }
        UserAction::List { domain } => list_users(server, domain).await?,
    }
    Ok(())
}

async fn list_users(server: &AdministrationClient, domain: &str) -> Result<(), Failure> {
    /// Rows of one question.
    const PAGE: u32 = 1_000;
    let mut after: Option<BareJid> = None;
    loop {
        let rows = patiently(server.users(domain, after.as_ref(), PAGE)).await?;
        for row in &rows {
            output::line(&row.account);
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE as usize => after = Some(last.account.clone()),
            _ => return Ok(()),
        }
    }
}

async fn session(server: &AdministrationClient, action: &SessionAction) -> Result<(), Failure> {
    /// Sessions shown; a cluster may have millions.
    const ROWS: u32 = 10_000;
    match action {
        SessionAction::List { domain } => {
            let rows = patiently(server.sessions(domain.as_deref(), ROWS)).await?;
            for row in &rows {
                let priority = row.priority.map_or_else(|| "-".to_owned(), |priority| priority.to_string());
                output::line(format_args!(
                    "{}\tmanager {}\tshard {}\tpriority {priority}",
                    row.jid, row.manager, row.shard
                ));
            }
            if rows.len() == ROWS as usize {
                eprintln!("(only the first {ROWS} are shown)");
            }
        }
        SessionAction::Close { address } => {
            let address =
                Jid::parse(address).map_err(|error| Failure::Usage(format!("{address:?} is no address: {error}")))?;
            let resource = address.resource().map(str::to_owned);
            carry_out(server, address.to_bare(), AccountAction::CloseSessions { resource }).await?;
            output::line(format_args!("{address} was closed."));
        }
    }
    Ok(())
}

/// Reads a password: from a person twice and without echo, from a pipe one line.
fn ask_password() -> Result<Secret, Failure> {
    let unreadable = |reason| Failure::Io { what: "the password can't be read".into(), reason };
    if std::io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ").map_err(unreadable)?;
        let second = rpassword::prompt_password("Once more: ").map_err(unreadable)?;
        if first != second {
            return Err(Failure::Usage("the two passwords differ; nothing was changed".into()));
        }
        return Ok(Secret::from(first.as_str()));
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(Failure::Usage("a password is wanted as a line on standard input".into()));
    }
    Ok(Secret::from(password))
}

fn print_status(status: &ClusterStatus) {
    output::line(format_args!("cluster {} (Vesta {})", status.cluster, status.version));
    output::line(format_args!("\nrouters"));
    for router in &status.routers {
        let leads = status.groups.iter().filter(|group| group.leader == Some(router.node)).count();
        let state = if router.reachable { "up" } else { "unreachable" };
        output::line(format_args!(
            "  {:<20} id {:<4} {:<24} {state}, leads {leads}",
            router.name, router.node, router.address
        ));
    }
    output::line(format_args!("\nconnection managers"));
    for manager in &status.managers {
        output::line(format_args!("  {:<20} {} sessions", manager.name, manager.sessions));
    }
    output::line(format_args!("\ngroups"));
    for group in &status.groups {
        output::line(format_args!("  {}", group_line(group)));
    }
    let state = if status.database.reachable { "answers" } else { "DOES NOT ANSWER" };
    output::line(format_args!("\ndatabase {state}: {}", status.database.note));
}

fn group_line(group: &GroupStatus) -> String {
    let name = group.shard.map_or_else(|| "meta".to_owned(), |shard| format!("shard {shard}"));
    let leader = group.leader.map_or_else(|| "NO LEADER".to_owned(), |node| format!("leader {node}"));
    let voters: Vec<_> = group.voters.iter().map(ToString::to_string).collect();
    let sessions = group.sessions.map_or_else(String::new, |count| format!(", {count} sessions"));
    format!("{name:<10} {leader} in term {}, voters {}{sessions}", group.term.0, voters.join(" "))
}
