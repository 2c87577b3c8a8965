//! Fresh or not at all: the unreliable path of a whole server, in virtual time over lossy
//! networks, to and from a client with plain SCTP that stands for an unmodified browser.
//!
//! `cargo run --release -p net-tests --bin fresh` measures the whole grid.

use std::time::Duration;

use net_tests::lab::{Cell, Load, Long, Report};
use net_tests::link::Direction;
use net_tests::plane::Plane;

const NEAR: Duration = Duration::from_millis(20);
const FAR: Duration = Duration::from_millis(100);
const TIME: Duration = Duration::from_secs(20);

fn measure(cell: Cell) -> Report {
    let report = Cell { time: TIME, ..cell }.measure();
    println!("{cell}: {report}");
    report
}

fn assert_fresh(load: Load, delay: Duration, loss: f64, direction: Direction) {
    let cell = Cell::new(load, delay, loss, direction);
    let misses = measure(cell).misses();
    assert!(misses.is_empty(), "{cell}: {}", misses.join(", "));
}

/// Without this the lab could not tell good from bad.
#[test]
fn plain_sctp_stalls_on_loss() {
    for direction in [Direction::Down, Direction::Up] {
        let cell = Cell::new(Load::steady(60, 1_000), FAR, 0.05, direction).by(Plane::Stock);
        let report = measure(cell);
        assert!(report.median > 5 * FAR && report.kept_share() < 0.8, "{report}");
        assert!(report.misses().len() >= 3, "{:?}", report.misses());
    }
}

#[test]
fn without_loss_plain_sctp_is_prompt() {
    let cell = Cell::new(Load::steady(60, 200), NEAR, 0.0, Direction::Down).by(Plane::Stock);
    let report = measure(cell);
    assert_eq!((report.delivered_share(), report.misses()), (1.0, vec![]), "{report}");
    assert!(report.max < NEAR + Duration::from_millis(1), "{report}");
}

#[test]
fn a_run_repeats() {
    let cell = Cell::new(Load::steady(60, 1_000), NEAR, 0.1, Direction::Down).by(Plane::Stock);
    assert_eq!(measure(cell), measure(cell));
    assert_ne!(measure(cell), measure(Cell { seed: 2, ..cell }));
}

#[test]
#[ignore = "needs the data plane"]
fn loss_stalls_nothing_toward_the_client() {
    assert_fresh(Load::steady(60, 200), NEAR, 0.2, Direction::Down);
    assert_fresh(Load::steady(60, 1_000), FAR, 0.05, Direction::Down);
    assert_fresh(Load::steady(600, 200), FAR, 0.1, Direction::Down);
}

#[test]
#[ignore = "needs the data plane"]
fn loss_stalls_nothing_toward_the_server() {
    assert_fresh(Load::steady(60, 200), NEAR, 0.2, Direction::Up);
    assert_fresh(Load::steady(60, 1_000), FAR, 0.05, Direction::Up);
    assert_fresh(Load::steady(600, 200), FAR, 0.1, Direction::Up);
}

#[test]
#[ignore = "needs the data plane"]
fn bursts_leave_at_once() {
    assert_fresh(Load::bursts(100, 10, 200), NEAR, 0.05, Direction::Down);
    assert_fresh(Load::bursts(100, 10, 200), FAR, 0.0, Direction::Up);
}

#[test]
#[ignore = "needs the data plane; takes a while without optimisation"]
fn half_an_hour_of_loss_changes_nothing() {
    for direction in [Direction::Down, Direction::Up] {
        let long = Long::run(direction, 1);
        println!("{direction:?}\n{long}");
        let misses = long.misses();
        assert!(misses.is_empty(), "{direction:?}: {}", misses.join(", "));
    }
}
