//! The process that starts the others, reads the figures when all of them are at a gate, and adds up what they have counted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::gate::Reading;
use super::line::Line;
use super::{Gate, Run};
use crate::error::Error;
use crate::process::Processes;
use crate::progress::{self, Snapshot};
use crate::tally::Tally;

/// Lines of all workers that are read and not worked at yet; then theirs wait in pipes.
const LINES_MAX: usize = 64;

/// Runs what this process was asked for in `count` copies of it, and measures `processes`.
pub(super) fn run(count: usize, processes: &Processes) -> Result<Run, Error> {
    let mut crew = Crew::start(count)?;
    let mut state = State::new(count);
    let mut line = progress::Line::default();
    loop {
        // A worker that ends tells so by the end of its lines: somebody always does.
        let (worker, said) = crew.lines.recv().map_err(|_| Error::WorkerFailed)?;
        match state.take(worker, said.ok_or(Error::WorkerFailed)?)? {
            Step::Wait => line.show(Snapshot::sum(&state.snapshots)),
            Step::Open(gate) => {
                state.run.readings.push((gate, Reading::take(gate, processes)?));
                crew.open_gate()?;
            }
            Step::Finish => return Ok(state.finish()),
        }
    }
}

/// How far all workers are.
struct State {
    snapshots: Vec<Snapshot>,
    /// Who waits at a gate.
    waiting: Vec<Option<Gate>>,
    tallies: Vec<Option<Tally>>,
    run: Run,
}

/// What follows from a line.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing yet.
    Wait,
    /// All are at this gate.
    Open(Gate),
    /// All are done.
    Finish,
}

impl State {
    fn new(count: usize) -> Self {
        Self {
            snapshots: vec![Snapshot::default(); count],
            waiting: vec![None; count],
            tallies: vec![None; count],
            run: Run::default(),
        }
    }

    fn take(&mut self, worker: usize, line: Line) -> Result<Step, Error> {
        match line {
            Line::Progress(snapshot) => self.snapshots[worker] = snapshot,
            Line::Tally(tally) => self.tallies[worker] = Some(tally),
            Line::Gate(gate) => {
                self.waiting[worker] = Some(gate);
                if self.waiting.iter().all(|it| *it == Some(gate)) {
                    self.waiting.fill(None);
                    return Ok(Step::Open(gate));
                }
                if self.waiting.iter().all(Option::is_some) {
                    return Err(Error::Usage("the workers wait at different gates".into()));
                }
            }
        }
        let is_done = self.tallies.iter().all(Option::is_some);
        Ok(if is_done { Step::Finish } else { Step::Wait })
    }

    /// Adds up, in the order of the workers' shares.
    fn finish(mut self) -> Run {
        for tally in self.tallies.into_iter().flatten() {
            self.run.tally.merge(tally);
        }
        self.run
    }
}

/// The processes that this one has started. They end with it.
struct Crew {
    workers: Vec<(Child, ChildStdin)>,
    /// Which worker said what; `None` at the end of what it says.
    lines: mpsc::Receiver<(usize, Option<Line>)>,
}

impl Crew {
    fn start(count: usize) -> Result<Self, Error> {
        let (sender, lines) = mpsc::sync_channel(LINES_MAX);
        let mut crew = Self { workers: Vec::new(), lines };
        for index in 0..count {
            let mut child = start(index, count)?;
            let (input, output) = (child.stdin.take(), child.stdout.take());
            let (input, output) = (input.expect("it is a pipe"), output.expect("it is a pipe"));
            let sender = sender.clone();
            // Ends with the worker's output, or when nobody listens any more.
            thread::spawn(move || read(index, output, &sender));
            crew.workers.push((child, input));
        }
        Ok(crew)
    }

    fn open_gate(&mut self) -> Result<(), Error> {
        for (_, input) in &mut self.workers {
            input.write_all(b"\n").map_err(Error::system("a worker's input"))?;
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (child, _) in &mut self.workers {
            // Whether it has ended already or not: afterwards it has.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// This program with the same arguments, as one of several.
fn start(index: usize, count: usize) -> Result<Child, Error> {
    let program = std::env::current_exe().map_err(Error::system("this program's own file"))?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).arg("--worker").arg(format!("{index}/{count}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().map_err(Error::system("a worker process"))
}

fn read(worker: usize, output: ChildStdout, sender: &mpsc::SyncSender<(usize, Option<Line>)>) {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    for line in lines.map_while(|line| Line::parse(&line)) {
        let is_last = matches!(line, Line::Tally(_));
        if sender.send((worker, Some(line))).is_err() || is_last {
            return;
        }
    }
    // Nobody listening is as well: then the run is over.
    let _ = sender.send((worker, None));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lost: u64) -> Line {
        let mut tally = Tally::default();
        tally.add("lost", lost);
        Line::Tally(tally)
    }

    #[test]
    fn a_gate_opens_when_all_are_there_and_the_run_ends_when_all_are_done() {
        let mut state = State::new(2);
        let begin = || Line::Gate(Gate::Begin);
        let script = [
            (0, begin(), Step::Wait),
            (1, begin(), Step::Open(Gate::Begin)),
            (1, Line::Gate(Gate::End), Step::Wait),
            (0, Line::Gate(Gate::End), Step::Open(Gate::End)),
            (0, tally(3), Step::Wait),
            (1, tally(4), Step::Finish),
        ];
        for (worker, line, step) in script {
            assert_eq!(state.take(worker, line).expect("all is well"), step);
        }
        assert_eq!(state.finish().tally.count("lost"), 7);
    }

    #[test]
    fn workers_at_different_gates_would_wait_for_ever() {
        let mut state = State::new(2);
        assert!(state.take(0, Line::Gate(Gate::Begin)).is_ok());
        assert!(state.take(1, Line::Gate(Gate::End)).is_err());
    }
}
