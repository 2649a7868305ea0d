//! `relay`: the physical reference, a process of its own so that its use can be taken like a server's.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use clap::Args;
use tokio::net::TcpListener;

use crate::error::Error;
use crate::relay::serve;

/// See the module's documentation.
#[derive(Debug, Args)]
pub struct Relay {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5299")]
    listen: SocketAddr,
    /// How many threads work. Default: one for each core, as a server has.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl Relay {
    /// Serves until the process is told to end.
    pub fn run(&self) -> Result<(), Error> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = self.threads {
            runtime.worker_threads(threads.get());
        }
        runtime.enable_all().build().map_err(Error::system("a runtime"))?.block_on(async {
            let listener = TcpListener::bind(self.listen).await.map_err(Error::system("the address to listen on"))?;
            eprintln!("relaying on {}", self.listen);
            tokio::select! {
                served = serve(listener) => served,
                ended = tokio::signal::ctrl_c() => ended.map_err(Error::system("signals")),
            }
        })
    }
}
