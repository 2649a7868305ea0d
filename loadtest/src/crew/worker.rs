//! What a scenario sees of the process that it runs in.

use std::io::BufRead as _;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::gate::Reading;
use super::line::Line;
use super::{Gate, Run, Scenario, Share};
use crate::error::Error;
use crate::process::Processes;
use crate::progress::{self, Progress};
use crate::tally::Tally;

/// One process that does its share.
#[derive(Debug)]
pub struct Worker {
    /// Which part of everything is its own.
    pub share: Share,
    /// Where it says how far it has come.
    pub progress: Arc<Progress>,
    tie: Tie,
    /// What it has read itself.
    readings: Vec<(Gate, Reading)>,
}

/// Who reads the figures at a gate.
#[derive(Debug)]
enum Tie {
    /// The process itself: those of these.
    Alone(Processes),
    /// The coordinator, which answers here when all others are there, too.
    Coordinated(mpsc::Receiver<()>),
}

impl Worker {
    fn new(share: Share, tie: Tie) -> Self {
        Self { share, progress: Arc::default(), tie, readings: Vec::new() }
    }

    /// Waits at a gate until all processes are there and the figures are read.
    ///
    /// # Errors
    /// A process of the server is gone, or the coordinator is.
    pub async fn meet(&mut self, gate: Gate) -> Result<(), Error> {
        match &mut self.tie {
            Tie::Alone(processes) => {
                let processes = processes.clone();
                // On another thread: traffic may go on meanwhile.
                let reading = tokio::task::spawn_blocking(move || Reading::take(gate, &processes));
                self.readings.push((gate, reading.await.map_err(Error::task)??));
                Ok(())
            }
            Tie::Coordinated(opened) => {
                println!("{}", Line::Gate(gate).to_json());
                opened.recv().await.ok_or(Error::CoordinatorGone)
            }
        }
    }
}

/// Does everything in this process.
pub(super) fn run_alone(scenario: &impl Scenario) -> Result<Run, Error> {
    let mut worker = Worker::new(Share::WHOLE, Tie::Alone(scenario.processes().clone()));
    let mut line = progress::Line::default();
    let tally = work(scenario, &mut worker, |snapshot| line.show(snapshot))?;
    Ok(Run { readings: worker.readings, tally })
}

/// Does a share, and tells the coordinator what came of it.
pub(super) fn run_coordinated(scenario: &impl Scenario, share: Share) -> Result<(), Error> {
    let mut worker = Worker::new(share, Tie::Coordinated(listen()));
    let tell = |snapshot| println!("{}", Line::Progress(snapshot).to_json());
    let tally = work(scenario, &mut worker, tell)?;
    println!("{}", Line::Tally(tally).to_json());
    Ok(())
}

fn work(scenario: &impl Scenario, worker: &mut Worker, tell: impl FnMut(progress::Snapshot)) -> Result<Tally, Error> {
    // One thread: cheaper than many, and the machine's other cores stay the server's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let progress = worker.progress.clone();
    runtime.map_err(Error::system("a runtime"))?.block_on(async {
        tokio::select! {
            tally = Box::pin(scenario.work(worker)) => tally,
            never = progress.tell(tell) => match never {},
        }
    })
}

/// The coordinator's answers. When it ends, so does this process: nobody wants to know any more.
fn listen() -> mpsc::Receiver<()> {
    // A worker waits at one gate at a time.
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(()).is_err() {
                return;
            }
        }
        std::process::exit(1);
    });
    receiver
}
