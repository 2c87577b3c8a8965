//! Measures the unreliable path over a grid of loads and bad networks in virtual time, our data
//! plane beside plain SCTP.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use net_tests::lab::{self, Cell, Long, Report};
use net_tests::link::Direction;
use net_tests::plane::Plane;

const HELP: &str = "\
Measures the unreliable path in virtual time: a server with our data plane beside
one with plain SCTP, each with an unmodified client, over every load and network.
A Markdown table goes to stdout, progress to stderr; the exit status is 0 only if
our data plane reached every target.

Usage: fresh [--seconds N] [--only TEXT] [--seed N] [--long]

  --seconds N   virtual seconds of each cell (default 60; from 4, because in the first
                3 the client's own SCTP may still be opening its window)
  --only TEXT   only cells whose name has TEXT in it, for example
                \"600/s\", \"20 ms, 5 %\" or \"up\"
  --seed N      what chance follows from (default 1)
  --long        instead of the grid, half an hour at 5 % loss in both directions:
                does latency or memory creep up?
  --help        this text";

/// What the user wants.
#[derive(Debug, PartialEq)]
enum Command {
    Help,
    Run(Settings),
}

#[derive(Debug, PartialEq)]
struct Settings {
    time: Duration,
    only: String,
    seed: u64,
    long: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { time: Duration::from_secs(60), only: String::new(), seed: 1, long: false }
    }
}

fn main() -> ExitCode {
    env_logger::init();
    match parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::Run(settings)) if settings.long => long(settings.seed),
        Ok(Command::Run(settings)) => grid(&settings),
        Err(error) => {
            eprintln!("fresh: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut settings = Settings::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        // Both `--seed 2` and `--seed=2`.
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value = || value.clone().or_else(|| args.next());
        match name.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--long" => settings.long = true,
            "--only" => settings.only = value().ok_or("--only needs a text, such as 600/s")?,
            "--seed" => settings.seed = number("--seed", value())?,
            "--seconds" => match number("--seconds", value())? {
                seconds @ 4..=86_400 => settings.time = Duration::from_secs(seconds),
                other => return Err(format!("--seconds goes from 4 to 86400, not to {other}")),
            },
            _ => return Err(format!("unknown argument {name:?}; --help lists all of them")),
        }
    }
    match settings.long || lab::grid().iter().any(|cell| settings.wants(cell)) {
        true => Ok(Command::Run(settings)),
        false => Err(no_cell(&settings.only)),
    }
}

fn number(name: &str, value: Option<String>) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number, such as {name} 10"))?;
    value.parse().map_err(|_| format!("{name} needs a whole number, not {value:?}"))
}

fn no_cell(only: &str) -> String {
    let names: Vec<_> = lab::grid().iter().map(Cell::to_string).collect();
    format!("no cell has {only:?} in its name; there are\n  {}", names.join("\n  "))
}

impl Settings {
    fn wants(&self, cell: &Cell) -> bool {
        cell.to_string().contains(&self.only)
    }
}

fn long(seed: u64) -> ExitCode {
    let mut passed = true;
    // One after the other, for the memory that is measured is that of the whole process.
    for direction in [Direction::Down, Direction::Up] {
        let long = Long::run(direction, seed);
        let misses = long.misses();
        passed &= misses.is_empty();
        println!("{direction:?}\n{long}\n{}\n", verdict(&misses));
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verdict(misses: &[String]) -> String {
    match misses {
        [] => "pass".to_owned(),
        _ => format!("MISSED: {}", misses.join(", ")),
    }
}

fn grid(settings: &Settings) -> ExitCode {
    let (time, seed) = (settings.time, settings.seed);
    let wanted = lab::grid().into_iter().filter(|cell| settings.wants(cell));
    let cells: Vec<Cell> = wanted.map(|cell| Cell { time, seed, ..cell }).collect();
    let reports = measure(&cells);
    println!("{}", lab::HEAD);
    let mut missed = 0;
    for (index, cell) in cells.iter().enumerate() {
        let (stock, ours) = (&reports[&(index, Plane::Stock)], &reports[&(index, Plane::Ours)]);
        missed += usize::from(!ours.misses().is_empty());
        println!("{}", lab::row(cell, stock, ours));
    }
    let all = cells.len();
    println!("\n{} of {all} cells reached every target.", all - missed);
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every cell with both planes, on every core.
fn measure(cells: &[Cell]) -> HashMap<(usize, Plane), Report> {
    let planes = [Plane::Stock, Plane::Ours];
    let jobs: Vec<_> =
        (0..cells.len()).flat_map(|index| planes.map(|plane| (index, plane))).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let reports = Mutex::new(HashMap::new());
    let work = || {
        while let Some((index, plane)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = cells[*index].by(*plane).measure();
            let number = done.fetch_add(1, Ordering::Relaxed) + 1;
            eprintln!("[{number}/{}] {}, {plane:?}: {report}", jobs.len(), cells[*index]);
            reports.lock().expect("no thread panicked").insert((*index, *plane), report);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    reports.into_inner().expect("no thread panicked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        assert_eq!(parsed(&[]), Ok(Command::Run(Settings::default())));
    }

    #[test]
    fn all_can_be_set_in_both_ways() {
        let wanted = Settings {
            time: Duration::from_secs(5),
            only: "20 ms, 5 %".to_owned(),
            seed: 9,
            long: true,
        };
        let apart = ["--seconds", "5", "--only", "20 ms, 5 %", "--seed", "9", "--long"];
        assert_eq!(parsed(&apart).as_ref(), Ok(&Command::Run(wanted)));
        let joined = ["--seconds=5", "--only=20 ms, 5 %", "--seed=9", "--long"];
        assert_eq!(parsed(&joined), parsed(&apart));
    }

    #[test]
    fn an_error_names_what_to_change() {
        let cases: [(&[&str], &str); 6] = [
            (&["--seconds"], "--seconds"),
            (&["--seconds", "0"], "from 4"),
            (&["--seed", "x"], "\"x\""),
            (&["--only"], "--only"),
            (&["--only", "61/s"], "60/s x 200 B, 20 ms, 0 %, down"),
            (&["fast"], "\"fast\""),
        ];
        for (args, named) in cases {
            let error = parsed(args).expect_err(named);
            assert!(error.contains(named), "{args:?}: {error}");
        }
    }
}
