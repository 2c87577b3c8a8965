//! Fresh or not at all: the unreliable path of a whole server, in virtual time over lossy
//! networks, to and from a client with plain SCTP that stands for an unmodified browser.
//!
//! `cargo run --release -p net-tests --bin fresh` measures the whole grid.

use std::time::Duration;

use net_tests::agent::Manners;
use net_tests::lab::{Cell, Load, Report, Run};
use net_tests::link::{Conditions, Direction, Loss, Rate, Reorder};
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

/// Asked for an acknowledgement of each message, a client sends as many; a deaf one waits for
/// the second.
#[test]
fn the_deaf_acknowledge_half_as_often() {
    let cell = Cell::new(Load::steady(10, 200), NEAR, 0.0, Direction::Down);
    let good = measure(cell).back.datagrams;
    let deaf = measure(Cell { manners: Manners::Deaf, ..cell }).back.datagrams;
    assert!(good > 0.95 && deaf < 0.65, "{good} and {deaf} a message");
}

#[test]
fn a_run_repeats() {
    let cell = Cell::new(Load::steady(60, 1_000), NEAR, 0.1, Direction::Down).by(Plane::Stock);
    assert_eq!(measure(cell), measure(cell));
    assert_ne!(measure(cell), measure(Cell { seed: 2, ..cell }));
}

#[test]
fn loss_stalls_nothing_toward_the_client() {
    assert_fresh(Load::steady(60, 200), NEAR, 0.2, Direction::Down);
    assert_fresh(Load::steady(60, 1_000), FAR, 0.05, Direction::Down);
    assert_fresh(Load::steady(600, 200), FAR, 0.1, Direction::Down);
}

#[test]
fn loss_stalls_nothing_toward_the_server() {
    assert_fresh(Load::steady(60, 200), NEAR, 0.2, Direction::Up);
    assert_fresh(Load::steady(60, 1_000), FAR, 0.05, Direction::Up);
    assert_fresh(Load::steady(600, 200), FAR, 0.1, Direction::Up);
}

#[test]
fn bursts_leave_at_once() {
    assert_fresh(Load::bursts(100, 10, 200), NEAR, 0.05, Direction::Down);
    assert_fresh(Load::bursts(100, 10, 200), FAR, 0.0, Direction::Up);
}

#[test]
fn a_rough_network_stalls_nothing() {
    let conditions = Conditions {
        delay: NEAR,
        jitter: Duration::from_millis(10),
        loss: Loss::Random(0.1),
        reorder: Reorder { share: 0.05, by: Duration::from_millis(30) },
        duplicates: 0.05,
        ..Conditions::default()
    };
    for direction in [Direction::Down, Direction::Up] {
        let cell = Cell::new(Load::steady(60, 1_000), NEAR, 0.1, direction);
        let misses = measure(Cell { conditions, ..cell }).misses();
        assert!(misses.is_empty(), "{direction:?}: {}", misses.join(", "));
    }
}

#[test]
fn losses_in_runs_stall_nothing_toward_the_client() {
    let loss = Loss::Runs { share: 0.1, mean: 3.0 };
    let conditions = Conditions { delay: NEAR, loss, ..Conditions::default() };
    for bytes in [200, 1_000] {
        let cell = Cell::new(Load::steady(60, bytes), NEAR, 0.1, Direction::Down);
        let misses = measure(Cell { conditions, ..cell }).misses();
        assert!(misses.is_empty(), "{bytes} bytes: {}", misses.join(", "));
    }
}

/// Half of it cannot pass; what does has waited in the network's own queue, and for its turn no
/// longer than a message may.
#[test]
fn twice_what_the_network_carries_does_not_queue() {
    let rate = Some(Rate { bytes_per_second: 125_000, queue_bytes: 12_500 });
    let conditions = Conditions { delay: NEAR, rate, ..Conditions::default() };
    let cell = Cell::new(Load::steady(250, 1_000), NEAR, 0.0, Direction::Down);
    let report = measure(Cell { conditions, ..cell });
    let longest = conditions.slowest() + net::Config::default().unreliable_max_age;
    assert!(report.max <= longest + Duration::from_millis(5), "{report}");
    assert!(report.silence < Duration::from_millis(200), "{report}");
    assert!(report.delivered_share() > 0.4, "{report}");
}

/// The first new message arrives within one round trip and one tick of the network's return.
/// Toward the server only a short outage is that harmless: a longer one fills the window of the
/// browser's own SCTP, which then waits for its timer of a second and more.
#[test]
fn after_an_outage_the_first_new_message_arrives() {
    let tick = Duration::from_millis(17);
    for (direction, ms) in
        [(Direction::Down, 1_000), (Direction::Down, 5_000), (Direction::Up, 200)]
    {
        let outage = Duration::from_millis(ms);
        let mut run = Run::new(Cell::new(Load::steady(60, 200), NEAR, 0.0, direction));
        run.advance(TIME);
        let (dark, light) = (run.now(), run.now() + outage);
        run.link(Direction::Up).black_out(dark..light);
        run.link(Direction::Down).black_out(dark..light);
        let log = run.finish();
        let arrivals = log.flights.iter().filter_map(|flight| flight.arrived);
        let first = arrivals.filter(|at| *at >= light).min().expect("it goes on") - light;
        assert!(first <= 2 * NEAR + tick, "{direction:?} after {outage:?}: {first:?}");
        let late = log.flights.iter().filter(|flight| flight.sent >= light + 2 * NEAR + tick);
        let promptly = late.filter_map(|flight| flight.latency()).all(|time| time < NEAR + tick);
        assert!(promptly, "{direction:?} after {outage:?}: the rest is late");
    }
}
