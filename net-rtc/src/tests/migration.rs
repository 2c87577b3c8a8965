//! Connection migration: peers whose address changes, and peers that vanish and return.

use std::time::{Duration, Instant};

use crate::tests::data_channel::{SERVER, config};
use crate::tests::nat_sim::{Browser, MS, NatSim, ONE_WAY, TICK, address};
use crate::{Config, DataPathMode, DtlsVersions, HandshakeOptions};

const BROWSERS: [Browser; 2] = [Browser::Chromium, Browser::Firefox];
/// Another mapping of the same NAT, and another network.
const MOVES: [&str; 2] = ["198.51.100.1:15000", "203.0.113.77:6000"];

/// Who sends, 60 times a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrafficDirection {
    Both,
    Down,
    Up,
}

/// Lets both sides talk for so many ticks.
pub(super) fn talk(street: &mut NatSim, talk: TrafficDirection, ticks: u32) {
    for _ in 0..ticks {
        if talk != TrafficDirection::Up {
            street.send_down(0, vec![1; 200]);
        }
        if talk != TrafficDirection::Down {
            street.send_up(0, vec![2; 200]);
        }
        street.run(TICK);
    }
}

/// The longest silence that begins after `from` in these times of arrival.
pub(super) fn silence(from: Instant, times: impl Iterator<Item = Instant>) -> Duration {
    let mut last = from;
    let mut longest = Duration::ZERO;
    for time in times.filter(|time| *time > from) {
        longest = longest.max(time - last);
        last = time;
    }
    assert!(last > from + 8_000 * MS, "it ended");
    longest
}

/// What a move made silent, down and up, and how long the client took to make a check.
#[derive(Clone, Copy, Debug, Default)]
struct Interruption {
    down: Duration,
    up: Duration,
    check: Duration,
}

/// One move, so long after the client's last check.
fn move_once(browser: Browser, how: TrafficDirection, to: &str, phase: Duration) -> Interruption {
    let mut street = NatSim::with(browser);
    talk(&mut street, how, 300);
    street.run(phase);
    talk(&mut street, how, 3);
    street.clients[0].public = address(to);
    let moved = street.now;
    talk(&mut street, how, 600);
    let house = &street.clients[0];
    let none = Duration::ZERO;
    let down = || silence(moved, house.received.iter().map(|(at, _)| *at));
    let up = || silence(moved, street.received.iter().map(|(at, ..)| *at));
    assert_eq!(street.events.len(), 1, "it is still open");
    Interruption {
        down: if how == TrafficDirection::Up { none } else { down() },
        up: if how == TrafficDirection::Down { none } else { up() },
        check: *house.checks.iter().find(|at| **at > moved).unwrap() - moved,
    }
}

/// Whoever sends is found at once, or, far away, once it is missing; who does not, with its
/// next check.
#[test]
fn t56_a_peer_whose_address_changes_goes_on() {
    for (browser, to) in BROWSERS.into_iter().flat_map(|b| MOVES.map(|to| (b, to))) {
        for how in [TrafficDirection::Both, TrafficDirection::Down, TrafficDirection::Up] {
            let gaps = (0..20).map(|phase| {
                let gap = move_once(browser, how, to, browser.check_pause() / 20 * phase);
                let found = if to == MOVES[0] { 20 * MS } else { 270 * MS };
                let found = if how == TrafficDirection::Down { gap.check } else { found };
                let round = ONE_WAY * 4 + TICK;
                assert!(gap.down <= found + round && gap.up <= found + TICK, "{gap:?}");
                gap
            });
            let worst = gaps.reduce(|worst, gap| Interruption {
                down: worst.down.max(gap.down),
                up: worst.up.max(gap.up),
                check: worst.check.max(gap.check),
            });
            println!("{browser:?} {how:?} to {to}: {worst:?}");
        }
    }
}

/// By the plane and by plain SCTP, in DTLS 1.3 and 1.2, with every step that opens sooner and
/// with none.
#[test]
fn t56_so_it_does_however_it_is_connected() {
    let ways = [
        HandshakeOptions::default(),
        HandshakeOptions::COMPATIBLE,
        HandshakeOptions::STR0M_DEFAULTS,
    ];
    for (connecting, plain) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let mut street = NatSim::new(Config { handshake: connecting, ..config(SERVER) });
        street.join(Browser::Chromium, address("198.51.100.1:5000"), |c| c.handshake = connecting);
        let expected = if connecting.dtls_versions == DtlsVersions::Auto { 13 } else { 12 };
        assert_eq!(street.server.dtls_version(&0), Some(expected));
        if plain {
            street.server.fall_back(&0);
        }
        for to in MOVES {
            talk(&mut street, TrafficDirection::Both, 120);
            street.clients[0].public = address(to);
            let moved = street.now;
            talk(&mut street, TrafficDirection::Both, 600);
            let house = &street.clients[0];
            let down = silence(moved, house.received.iter().map(|(at, _)| *at));
            let up = silence(moved, street.received.iter().map(|(at, ..)| *at));
            assert!(down < 400 * MS && up < 300 * MS, "{connecting:?} {plain}: {down:?} {up:?}");
        }
    }
}

/// Every address costs a place among sixteen, and str0m one for ever.
#[test]
fn who_moves_all_day_is_followed_each_time() {
    let mut street = NatSim::with(Browser::Chromium);
    for port in 10_000..10_400 {
        street.clients[0].public = ([198, 51, 100, 1], port).into();
        talk(&mut street, TrafficDirection::Both, 30);
        let house = &street.clients[0];
        let last = house.received.last().map(|(at, _)| *at);
        assert!(last.is_some_and(|at| at + 100 * MS > street.now), "{port}");
    }
    // Back where it was an hour ago.
    street.clients[0].public = address("198.51.100.1:5000");
    let moved = street.now;
    talk(&mut street, TrafficDirection::Both, 600);
    assert!(silence(moved, street.clients[0].received.iter().map(|(at, _)| *at)) < 100 * MS);
}

/// Players behind one NAT whose mappings change places: what comes from where another was.
#[test]
fn t56_two_behind_one_nat_may_change_places() {
    for (both, plane) in [true, false]
        .into_iter()
        .flat_map(|b| [(b, DataPathMode::LowLatency), (b, DataPathMode::PlainSctp)])
    {
        let mut street = NatSim::with_plane(Browser::Chromium, plane);
        street.join(Browser::Firefox, address("198.51.100.1:5001"), |config| {
            config.data_path = plane;
        });
        let chat = |street: &mut NatSim, ticks: u32| {
            for _ in 0..ticks {
                for player in [0, 1] {
                    street.send_up(player, vec![player as u8; 100]);
                    street.send_down(player, vec![player as u8; 100]);
                }
                street.run(TICK);
            }
        };
        chat(&mut street, 200);
        let last = if both { "198.51.100.1:5000" } else { "198.51.100.1:7777" };
        street.clients[0].public = address("198.51.100.1:5001");
        street.clients[1].public = address(last);
        let moved = street.now;
        chat(&mut street, 700);
        for player in [0, 1] {
            let house = &street.clients[player];
            let down = silence(moved, house.received.iter().map(|(at, _)| *at));
            let ups = street.received.iter().filter(|(_, key, _)| *key == player as u32);
            let up = silence(moved, ups.map(|(at, ..)| *at));
            println!("{plane:?} {player} of a swap ({both}): {down:?} down, {up:?} up");
            // A client's SCTP whose window is full waits for a timer of a second, or two.
            let most = if plane == DataPathMode::LowLatency { 400 * MS } else { 2_100 * MS };
            assert!(down < most && up < most, "{down:?} {up:?}");
            assert!(house.received.iter().all(|(_, m)| m[0] == player as u8), "to the right one");
        }
    }
}

/// Whoever answers chooses its own ufrag, and may take another's.
#[test]
fn t32_two_clients_with_one_ufrag() {
    let mut street = NatSim::new(config(SERVER));
    for public in ["198.51.100.1:5000", "198.51.100.2:5000"] {
        street.join(Browser::Chromium, address(public), |config| config.seed = Some(5));
    }
    talk(&mut street, TrafficDirection::Both, 60);
    street.send_down(1, "to the second");
    street.send_up(1, "from the second");
    street.run(ONE_WAY * 2);
    assert_eq!(street.clients[1].received.last().map(|(_, m)| &m[..]), Some(&b"to the second"[..]));
    let (_, from, message) = street.received.last().expect("they talk");
    assert_eq!((*from, &message[..]), (1, &b"from the second"[..]));
    assert_eq!(street.events.len(), 2, "both are open");
}
