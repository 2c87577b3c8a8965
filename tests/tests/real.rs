//! The unreliable path never stalls: real browsers, real kernels, a real server, and a link
//! between them that loses datagrams and tells which.
//!
//! Each cell runs in Chromium and Firefox for half a minute. All cells of the
//! virtual lab take about 50 minutes:
//!
//! ```text
//! NET_REAL=grid tests/lib/private-network cargo test --offline --workspace --test real \
//!     the_whole_grid -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::env;
use std::thread;
use std::time::Duration;

use net_tests::browser::Kind;
use net_tests::lab::{Cell, Load, Report, grid};
use net_tests::link::Direction::{self, Down, Up};
use net_tests::plane::Plane;
use net_tests::real::{End, Flow, Plan, Programs};

const TIME: Duration = Duration::from_secs(30);
const NEAR: Duration = Duration::from_millis(20);
const FAR: Duration = Duration::from_millis(100);
const LARGE: Load = Load::steady(60, 1_000);

/// The targets, over what the link takes; a browser's event loop and the scheduler of a busy
/// machine included.
const MEDIAN_OVER: Duration = Duration::from_millis(2);
const P99_OVER: Duration = Duration::from_millis(10);
/// The page gets the messages of a burst one after the other, each in an event of its own.
const EVENT: Duration = Duration::from_micros(20);
const LONGEST_SILENCE: Duration = Duration::from_millis(200);
const LEAST_KEPT: f64 = 0.99;

/// How often a run that missed is taken again. A busy machine makes latency worse, never
/// better, and now and then; a path that stalls does so in every run.
const AGAIN: usize = 2;

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn large_messages_from_near() {
    assert_fresh(LARGE, NEAR, 0.05, Down);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn large_messages_to_near() {
    assert_fresh(LARGE, NEAR, 0.05, Up);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn large_messages_from_far() {
    assert_fresh(LARGE, FAR, 0.05, Down);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn large_messages_to_far() {
    assert_fresh(LARGE, FAR, 0.05, Up);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn many_messages_from_near() {
    assert_fresh(Load::steady(600, 200), NEAR, 0.1, Down);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn bursts_from_near() {
    assert_fresh(Load::bursts(100, 10, 200), NEAR, 0.05, Down);
}

/// What the others would look like without a data plane of our own.
#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn plain_sctp_stalls() {
    let cell = Cell::new(LARGE, FAR, 0.05, Down).by(Plane::Stock);
    for report in in_both_browsers(cell, measure) {
        assert!(report.median > FAR + 10 * MEDIAN_OVER, "{report}");
        assert!(misses(&report, cell).len() >= 2, "{report}");
    }
}

#[test]
#[ignore = "with NET_REAL=grid, about 50 minutes"]
fn the_whole_grid() {
    if env::var("NET_REAL").as_deref() != Ok("grid") {
        println!("left out: NET_REAL=grid runs it");
        return;
    }
    let missed: Vec<String> = grid().into_iter().flat_map(shortfalls).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[track_caller]
fn assert_fresh(load: Load, delay: Duration, loss: f64, direction: Direction) {
    let missed = shortfalls(Cell::new(load, delay, loss, direction));
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Both browsers in this cell: the targets that were missed, each with the whole report.
fn shortfalls(cell: Cell) -> Vec<String> {
    in_both_browsers(cell, shortfall).into_iter().flatten().collect()
}

/// Side by side; but bursts, which take a whole processor each, one after the other.
fn in_both_browsers<T: Send + 'static>(cell: Cell, run: fn(Kind, Cell) -> T) -> [T; 2] {
    let browsers = [Kind::Chromium, Kind::Firefox];
    if cell.load.burst > 1 {
        return browsers.map(|kind| run(kind, cell));
    }
    let runs = browsers.map(|kind| thread::spawn(move || run(kind, cell)));
    runs.map(|run| run.join().expect("the run does not panic"))
}

fn shortfall(kind: Kind, cell: Cell) -> Option<String> {
    let mut missed = words(kind, cell, &measure(kind, cell));
    for _ in 0..AGAIN {
        let Some(why) = &missed else { break };
        println!("once more: {why}");
        missed = words(kind, cell, &measure(kind, cell));
    }
    missed
}

/// The targets that a run missed, if it missed any.
fn words(kind: Kind, cell: Cell, report: &Report) -> Option<String> {
    let missed = misses(report, cell).join(", ");
    (!missed.is_empty()).then(|| format!("{kind:?}, {cell}: {missed}: {report}"))
}

/// One run; says if the machine stood still in it.
fn measure(kind: Kind, cell: Cell) -> Report {
    let cell = Cell { time: TIME, ..cell };
    let flow = Flow::start(&programs(), &Plan::from(cell), |query| Ok(End::browser(kind, query)));
    let mut flow = flow.unwrap();
    while flow.step().unwrap() {}
    let report = Report::of(&flow.logs()[0].part(cell.warm_up, cell.time));
    let kept = report.kept_share() * 100.0;
    let stalled: Duration = flow.take_stalls().iter().sum();
    println!(
        "{kind:?}, {:?}, {cell}: {report}, {kept:.2} % of what passed; \
         the machine stood still for {stalled:?}",
        cell.server
    );
    report
}

fn misses(report: &Report, cell: Cell) -> Vec<&'static str> {
    let least = cell.conditions.delay;
    let events = EVENT * cell.load.burst;
    let checks = [
        (report.median < least, "median under what the link takes: the clocks differ"),
        (report.median > least + events + MEDIAN_OVER, "median"),
        (report.p99 > least + events + P99_OVER, "p99"),
        (report.unexplained > LONGEST_SILENCE, "silence"),
        (report.kept_share() < LEAST_KEPT, "delivered"),
        (report.duplicates > 0, "duplicates"),
    ];
    checks.into_iter().filter_map(|(missed, words)| missed.then_some(words)).collect()
}

fn programs() -> Programs {
    Programs {
        link: env!("CARGO_BIN_EXE_lossy-link").into(),
        server: env!("CARGO_BIN_EXE_flow-server").into(),
    }
}
