//! Messages of many packets over a lossy network, to browsers and aiortc at once: as many as
//! chance leaves whole arrive, and none waits long for one that is not. Clients of other families
//! get them in `independent.rs`.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;

use net_tests::browser::Kind;
use net_tests::lab::{Cell, Load, Report};
use net_tests::link::Direction;
use net_tests::real::{Client, Flow, Plan, Programs, assert_met};

const CLIENTS: [Client; 3] =
    [Client::Browser(Kind::Chromium), Client::Browser(Kind::Firefox), Client::Aiortc];
const TIME: Duration = Duration::from_secs(12);
const WARM_UP: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(20);
/// The data of a packet, in bytes.
const PIECE: usize = 1_088;
/// How long a whole message may wait at a client, the scheduler of a busy machine included.
const LONGEST: Duration = Duration::from_millis(250);

#[test]
#[ignore = "needs root, Chromium, Firefox and Python with aiortc: run tests/all"]
fn a_few_packets() {
    assert_delivered(Load::steady(50, 3_000), 0.1);
}

#[test]
#[ignore = "needs root, Chromium, Firefox and Python with aiortc: run tests/all"]
fn twenty_packets() {
    assert_delivered(Load::steady(5, 20_000), 0.05);
}

#[track_caller]
fn assert_delivered(load: Load, loss: f64) {
    let cell = Cell { time: TIME, ..Cell::new(load, DELAY, loss, Direction::Down) };
    assert_met(missed(cell, loss));
}

/// What the clients of a run missed.
fn missed(cell: Cell, loss: f64) -> Option<String> {
    let programs = Programs {
        server: env!("CARGO_BIN_EXE_flow-server").into(),
        link: env!("CARGO_BIN_EXE_lossy-link").into(),
    };
    let mut flow = Flow::start(&programs, &Plan::from(cell), &CLIENTS).unwrap();
    while flow.step().unwrap() {}
    let whole = (1.0 - loss).powi(cell.load.bytes.div_ceil(PIECE) as i32);
    let reports = flow.logs().into_iter().map(|log| Report::of(&log.part(WARM_UP, TIME)));
    let misses = CLIENTS.iter().zip(reports).filter_map(|(client, report)| {
        println!("{client}, {cell}: {report}");
        let deviation = (whole * (1.0 - whole) / report.sent as f64).sqrt();
        let share = report.delivered as f64 / report.sent as f64;
        let holds = share >= whole - 4.0 * deviation
            && report.max <= DELAY + LONGEST
            && report.duplicates == 0;
        (!holds).then(|| format!("{client}, {share:.3} of {whole:.3}: {report}"))
    });
    let misses: Vec<String> = misses.collect();
    (!misses.is_empty()).then(|| misses.join("; "))
}
