//! Paths that drop long datagrams and say nothing, in virtual time: their loss is of length, and
//! is not read as loss of the path.

use std::time::Duration;

use net::{Delivery, PeerId, Repair};
use net_tests::agent::Manners;
use net_tests::lab::{Cell, Load, Log, Run};
use net_tests::link::{Cause, Conditions, Direction};
use net_tests::world::World;

const NEAR: Duration = Duration::from_millis(20);
const FAR: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(20);
/// What a path may need until its length is known, from the first packet that was too long.
const UNKNOWN: Duration = SECOND;
/// A message, and around it SCTP, DTLS 1.2, UDP and IPv4.
const AROUND: usize = 28 + 37 + 28;

fn cell(load: Load, delay: Duration, loss: f64) -> Cell {
    let cell = Cell::new(load, delay, loss, Direction::Down);
    Cell { time: TIME, repair: Repair::On, ..cell }
}

fn limited(max_packet: usize, cell: &Cell) -> Conditions {
    Conditions { max_packet: Some(max_packet), ..cell.conditions }
}

/// From the beginning on, longer packets do not pass.
fn from_the_beginning(max_packet: usize, cell: Cell) -> Log {
    Run::new(Cell { conditions: limited(max_packet, &cell), ..cell }).finish()
}

/// The path carries less after three seconds.
fn later(max_packet: usize, cell: Cell) -> Log {
    let mut run = Run::new(cell);
    run.advance(3 * SECOND);
    run.shape(limited(max_packet, &cell));
    run.finish()
}

/// The share that arrived of what was sent from a second after the first packet that was too long.
fn arrived_after(log: &Log) -> f64 {
    assert_eq!(log.faults(), Vec::<String>::new());
    let begin = log.flights[0].sent;
    let long = log.dropped.iter().find(|dropped| dropped.cause == Cause::Length);
    let from = long.map_or(Duration::ZERO, |dropped| dropped.at - begin + UNKNOWN);
    let part = log.part(from, log.cell.time);
    let arrived = part.flights.iter().filter(|flight| flight.arrived.is_some()).count();
    let share = arrived as f64 / part.flights.len() as f64;
    let too_long = log.dropped.iter().filter(|dropped| dropped.cause == Cause::Length).count();
    println!("{}: {:.2} % arrived, {too_long} packets too long", log.cell, share * 100.0);
    share
}

#[test]
fn whatever_fits_alone_arrives_with_repair_on() {
    for max in [700, 800, 1_000, 1_100, 1_124] {
        let most = (max - AROUND).min(1_000);
        let loads = [
            Load::steady(60, 200),
            Load::steady(60, most.min(516)),
            Load::bursts(4, 20, 250),
            Load::steady(60, most),
            Load::steady(10, most),
        ];
        for load in loads {
            for delay in [NEAR, FAR] {
                for play in [from_the_beginning, later] {
                    let log = play(max, cell(load, delay, 0.0));
                    assert!(arrived_after(&log) >= 0.95, "limit {max}, {}", log.cell);
                }
            }
        }
    }
}

/// Beside loss by chance, which takes its share of what is in two packets twice.
#[test]
fn loss_by_chance_hides_no_limit() {
    for max in [700, 1_100] {
        for play in [from_the_beginning, later] {
            let log = play(max, cell(Load::steady(60, 516), NEAR, 0.05));
            assert!(arrived_after(&log) >= 0.93, "limit {max}, {}", log.cell);
        }
    }
}

/// What no packet carries that passes is cut to such as do.
#[test]
fn longer_messages_travel_in_pieces_that_pass() {
    for max in [700, 1_000] {
        for play in [from_the_beginning, later] {
            let log = play(max, cell(Load::steady(60, 1_000), NEAR, 0.0));
            assert!(arrived_after(&log) >= 0.95, "limit {max}, {}", log.cell);
        }
    }
}

/// What is lost for its length is no loss of the path, and lowers no rate.
#[test]
fn the_state_of_the_path_does_not_tell_of_it() {
    for max in [700, 1_100] {
        let mut world = World::new(1, net::Config { repair: Repair::On, ..Default::default() });
        let line = world.join(Manners::Good);
        world.run(3 * SECOND);
        let id = PeerId::from(0);
        let limit = Conditions { max_packet: Some(max), ..Conditions::default() };
        world.shape(limit);
        let mut before = None;
        for tick in 0..600 {
            world.serve(|hub, now| hub.send(now, id, Delivery::Unreliable, vec![7; 516].into()));
            world.serve(|hub, now| hub.send(now, id, Delivery::Unreliable, vec![7; 480].into()));
            world.run(SECOND / 60);
            let path = world.serve(|hub, _| hub.path_monitor(id)).expect("it is open").snapshot();
            assert!(path.loss < 0.02, "{path:?} at {tick}");
            assert!(path.allowed_rate >= before.unwrap_or(path.allowed_rate), "{path:?} at {tick}");
            before = Some(path.allowed_rate);
        }
        let _ = world.take_heard(line);
    }
}

/// All of it is lost for a while, and the length has nothing to do with it.
#[test]
fn an_outage_is_over_when_it_is_over() {
    let mut run = Run::new(cell(Load::steady(60, 1_000), NEAR, 0.0));
    run.advance(3 * SECOND);
    let (dark, light) = (run.now(), run.now() + 2 * SECOND);
    run.link(Direction::Up).black_out(dark..light);
    run.link(Direction::Down).black_out(dark..light);
    let log = run.finish();
    let late = log.flights.iter().filter(|flight| flight.sent >= light + SECOND);
    assert!(late.clone().all(|flight| flight.latency() == Some(NEAR)), "in one packet each");
    assert!(late.count() > 600);
}

/// On a path that carries everything one probe tells, and no more are sent.
#[test]
fn knowing_it_costs_one_packet() {
    let log = Run::new(Cell { repair: Repair::Off, ..cell(Load::steady(60, 1_000), NEAR, 0.0) });
    let log = log.finish();
    let over = log.forth.datagrams as i64 - log.flights.len() as i64;
    assert!((0..=20).contains(&over), "{over} datagrams more than messages");
}
