//! The unreliable path never stalls: real browsers, real kernels, a real server, and a link
//! between them that loses datagrams and tells which.
//!
//! Each cell runs in Chromium and Firefox side by side. `NET_REAL=grid` runs all cells of the
//! virtual lab as well, which takes about 50 minutes.

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

/// The targets; what a browser's event loop and the scheduler of a busy machine take included.
const MEDIAN_OVER: Duration = Duration::from_millis(2);
const P99_OVER: Duration = Duration::from_millis(10);
const LONGEST_SILENCE: Duration = Duration::from_millis(200);
const LEAST_KEPT: f64 = 0.99;

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
    for report in measure(Cell::new(LARGE, FAR, 0.05, Down).by(Plane::Stock)) {
        assert!(report.median > FAR + 10 * MEDIAN_OVER, "{report}");
        assert!(misses(&report, FAR).len() >= 2, "{report}");
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
    let words = |report: &Report| {
        let missed = misses(report, cell.conditions.delay).join(", ");
        (!missed.is_empty()).then(|| format!("{cell}: {missed}: {report}"))
    };
    measure(cell).iter().filter_map(words).collect()
}

/// Chromium and Firefox, side by side.
fn measure(cell: Cell) -> Vec<Report> {
    let browsers = [Kind::Chromium, Kind::Firefox];
    let runs = browsers.map(|kind| thread::spawn(move || measure_in(kind, cell)));
    runs.into_iter().map(|run| run.join().expect("the run does not panic")).collect()
}

fn measure_in(kind: Kind, cell: Cell) -> Report {
    let cell = Cell { time: TIME, ..cell };
    let flow = Flow::start(&programs(), &Plan::from(cell), |query| Ok(End::browser(kind, query)));
    let logs = flow.unwrap().finish().unwrap();
    let report = Report::of(&logs[0].part(cell.warm_up, cell.time));
    let kept = report.kept_share() * 100.0;
    println!("{kind:?}, {:?}, {cell}: {report}, {kept:.2} % of what passed", cell.server);
    report
}

fn misses(report: &Report, delay: Duration) -> Vec<&'static str> {
    let checks = [
        (report.median < delay, "median before light: the clocks differ"),
        (report.median > delay + MEDIAN_OVER, "median"),
        (report.p99 > delay + P99_OVER, "p99"),
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
