//! Messages both ways for a long time, over real kernels with 5 % loss, and whether anything
//! drifts:
//!
//! ```text
//! cargo build --release -p net-tests --bins
//! tests/lib/private-network target/release/hour --browser firefox --minutes 60
//! ```
//!
//! 60 messages a second of 200 bytes, 20 ms one way. `--browser` is chromium, firefox or
//! aiortc (Python: `NET_TESTS_PYTHON`). Prints a line for each direction and part of 5 minutes
//! (`--part`, in minutes), and at the end what drifted. Other work on the machine shows as its
//! stalls and in the latencies.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, io};

use net_tests::browser::Kind;
use net_tests::lab::{Cell, Load, Log, Report};
use net_tests::link::Direction;
use net_tests::real::{Client, Flow, Plan, Programs, arguments};

const LOAD: Load = Load::steady(60, 200);
const DELAY: Duration = Duration::from_millis(20);
const LOSS: f64 = 0.05;
/// Both ends have told of a message by then.
const TOLD: Duration = Duration::from_secs(10);

/// By how much the last part may be over the first.
const LATENCY_DRIFT: Duration = Duration::from_millis(5);
const RSS_DRIFT_KIB: u64 = 2_048;
/// A silence that the link does not explain.
const LONGEST_SILENCE: Duration = Duration::from_millis(200);
/// Messages that must arrive, of those that the link let through.
const LEAST_KEPT: f64 = 0.99;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    env_logger::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let options = Options::parse(&words)?;
    let flow = Flow::start(&programs()?, &options.plan, &[options.client])?;
    let parts = Hour { part: options.part, flow, parts: Vec::new() }.run()?;
    let drifts = drifts(&parts);
    match drifts.is_empty() {
        true => println!("no drift"),
        false => println!("DRIFT: {}", drifts.join("; ")),
    }
    Ok(ExitCode::from(u8::from(!drifts.is_empty())))
}

struct Options {
    client: Client,
    part: Duration,
    plan: Plan,
}

impl Options {
    fn parse(words: &[String]) -> Result<Options, Box<dyn Error>> {
        let minutes = |value: &str| value.parse::<f64>().map(|m| Duration::from_secs_f64(60.0 * m));
        let mut options =
            Options { client: Client::Browser(Kind::Firefox), part: minutes("5")?, plan: plan() };
        for (name, value) in arguments(words)? {
            match name {
                "--browser" => options.client = who(value)?,
                "--minutes" => options.plan.time = minutes(value)?,
                "--part" => options.part = minutes(value)?,
                "--first-tsn" => options.plan.first_tsn = Some(value.parse()?),
                _ => return Err(format!("no option {name}").into()),
            }
        }
        Ok(options)
    }
}

fn plan() -> Plan {
    let time = Duration::from_secs(3_600);
    let down = Plan::from(Cell::new(LOAD, DELAY, LOSS, Direction::Down));
    Plan { up: Some(LOAD), time, ..down }
}

fn who(name: &str) -> Result<Client, String> {
    match name {
        "chromium" => Ok(Client::Browser(Kind::Chromium)),
        "firefox" => Ok(Client::Browser(Kind::Firefox)),
        "aiortc" => Ok(Client::Aiortc),
        _ => Err(format!("no client {name}")),
    }
}

/// The programs that were built beside this one.
fn programs() -> io::Result<Programs> {
    let here = env::current_exe()?;
    Ok(Programs {
        link: here.with_file_name("lossy-link"),
        server: here.with_file_name("flow-server"),
    })
}

/// A part of the run.
struct Part {
    reports: Vec<(&'static str, Report)>,
    rss_kib: u64,
    stalls: Vec<Duration>,
}

struct Hour {
    part: Duration,
    flow: Flow,
    parts: Vec<Part>,
}

impl Hour {
    fn run(mut self) -> io::Result<Vec<Part>> {
        while self.flow.step()? {
            self.tell_of(TOLD);
        }
        self.tell_of(Duration::ZERO);
        Ok(self.parts)
    }

    /// Prints the parts that were over so long ago.
    fn tell_of(&mut self, before: Duration) {
        loop {
            let from = self.part * self.parts.len() as u32;
            let until = from + self.part;
            if self.flow.sent_time() < until + before {
                return;
            }
            let part = self.sum_up(from, until);
            part.print(until);
            self.parts.push(part);
        }
    }

    fn sum_up(&mut self, from: Duration, until: Duration) -> Part {
        let logs = self.flow.logs();
        let report = |log: &Log| (log.cell.way(), Report::of(&log.part(from, until)));
        let reports = logs.iter().map(report).collect();
        Part { reports, rss_kib: self.flow.rss_kib(), stalls: self.flow.take_stalls() }
    }
}

impl Part {
    fn print(&self, until: Duration) {
        for (way, report) in &self.reports {
            println!(
                "{:5.1} min {way:4} {report}, {:.2} % of what passed, server {} KiB",
                until.as_secs_f64() / 60.0,
                report.kept_share() * 100.0,
                self.rss_kib,
            );
        }
        if let Some(longest) = self.stalls.iter().max() {
            println!(
                "          the machine stalled {} times, up to {longest:?}",
                self.stalls.len()
            );
        }
    }
}

/// What is not as it was, or should be.
fn drifts(parts: &[Part]) -> Vec<String> {
    let mut drifts: Vec<String> = parts.iter().flat_map(faults).collect();
    // The first part still warms up.
    let (Some(early), Some(late)) = (parts.get(1), parts.last()) else { return drifts };
    for ((way, before), (_, after)) in early.reports.iter().zip(&late.reports) {
        if after.median > before.median + LATENCY_DRIFT || after.p99 > before.p99 + LATENCY_DRIFT {
            drifts.push(format!("latency {way} from {before} to {after}"));
        }
    }
    if late.rss_kib > early.rss_kib + RSS_DRIFT_KIB {
        drifts.push(format!("memory from {} to {} KiB", early.rss_kib, late.rss_kib));
    }
    drifts
}

fn faults(part: &Part) -> Vec<String> {
    let bad = |(way, report): &(&str, Report)| {
        let is_bad = report.unexplained > LONGEST_SILENCE
            || report.kept_share() < LEAST_KEPT
            || report.duplicates > 0;
        is_bad.then(|| format!("{way}: {report}"))
    };
    part.reports.iter().filter_map(bad).collect()
}
