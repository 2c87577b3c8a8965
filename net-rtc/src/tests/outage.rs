//! Path outages shorter and longer than the idle timeout.

use std::time::{Duration, Instant};

use crate::datagram::is_stun;
use crate::tests::migration::{TrafficDirection, talk};
use crate::tests::nat_sim::{Browser, MS, NatSim, ONE_WAY, TICK};
use crate::{CloseReason, DataPathMode, Event};

/// Which ways are out.
const OUT: [[bool; 2]; 3] = [[true, true], [false, true], [true, false]];

/// An outage, so long after which messages that were sent after it began to arrive, down and up:
/// the time from the return of the path to the first.
fn outage(
    plane: DataPathMode,
    how: TrafficDirection,
    time: Duration,
    out: [bool; 2],
) -> [Option<Duration>; 2] {
    let mut street = NatSim::with_plane(Browser::Firefox, plane);
    talk(&mut street, how, 300);
    let (from, back) = (street.now, street.now + time);
    let dark = out.map(|out| out.then_some(from..back));
    street.clients[0].blackouts = dark;
    let before = (time.as_micros() / TICK.as_micros()) as u32;
    talk(&mut street, how, before + 300);
    assert_eq!(street.events.len(), 1, "{:?}", street.events);
    let after = |at: &Instant| *at > back;
    [
        street.clients[0].received.iter().map(|(at, _)| *at).find(after).map(|at| at - back),
        street.received.iter().map(|(at, ..)| *at).find(after).map(|at| at - back),
    ]
}

#[test]
fn t55_after_an_outage_the_first_message_arrives_in_a_round_trip_and_a_tick() {
    // What comes up waits for the timers of a client's SCTP, if it has no plane.
    for (seconds, plane) in [3, 9]
        .into_iter()
        .flat_map(|s| [(s, DataPathMode::LowLatency), (s, DataPathMode::PlainSctp)])
    {
        for how in [TrafficDirection::Both, TrafficDirection::Down, TrafficDirection::Up] {
            for out in OUT {
                let time = Duration::from_secs(seconds);
                let [down, up] = outage(plane, how, time, out);
                println!(
                    "{plane:?} {seconds} s, {how:?}, out (up, down) {out:?}: {down:?} down, {up:?} up"
                );
                let soon = ONE_WAY * 2 + TICK;
                if how != TrafficDirection::Up {
                    assert!(down.is_some_and(|down| down <= soon), "{down:?}");
                }
                if how != TrafficDirection::Down && plane == DataPathMode::LowLatency {
                    assert!(up.is_some_and(|up| up <= soon), "{up:?}");
                }
            }
        }
    }
}

#[test]
fn t55_after_ten_seconds_only_probes_are_sent_and_the_return_is_noticed_at_once() {
    for how in [TrafficDirection::Both, TrafficDirection::Down] {
        let mut street = NatSim::with(Browser::Firefox);
        talk(&mut street, how, 300);
        let (from, back) = (street.now, street.now + 15_000 * MS);
        street.clients[0].blackouts = [0, 1].map(|_| Some(from..back));
        talk(&mut street, how, 15 * 60);
        let late = street.sent.iter().filter(|(at, _)| *at > from + 10_100 * MS);
        let sizes: Vec<usize> = late.map(|(_, transmit)| transmit.contents.len()).collect();
        println!("in the last 4.9 s: {sizes:?}");
        assert!((15..=21).contains(&sizes.len()) && sizes.iter().all(|size| *size < 80));
        assert!(street.server.stats().dropped.expired > 250);
        street.run(back - street.now);
        talk(&mut street, how, 120);
        let first = street.clients[0].received.iter().find(|(at, _)| *at > back).unwrap().0 - back;
        println!("{how:?}: back after {first:?}");
        let soon = ONE_WAY * 3 + TICK * 2;
        assert!(
            first <= if how == TrafficDirection::Both { soon } else { soon + 250 * MS },
            "{first:?}"
        );
        let heard = street.clients[0].received.iter().filter(|(at, _)| *at > back + 400 * MS);
        assert!(heard.count() > 90, "at the full rate again");
        assert_eq!(street.events.len(), 1);
    }
}

/// Neither says a word, and the browser makes its checks.
#[test]
fn a_page_and_a_server_that_are_silent_live_on() {
    for browser in [Browser::Chromium, Browser::Firefox] {
        let mut street = NatSim::with(browser);
        let sent = street.sent.len();
        street.run(120_000 * MS);
        assert_eq!(street.events.len(), 1, "{:?}", street.events);
        let probes = street.sent[sent..].iter().filter(|(_, t)| !is_stun(&t.contents)).count();
        println!("{browser:?}: {probes} datagrams but answers to checks in two minutes");
        assert!((10..40).contains(&probes), "{probes}");
    }
}

#[test]
fn t55_after_twenty_it_is_lost() {
    let mut street = NatSim::with(Browser::Chromium);
    talk(&mut street, TrafficDirection::Both, 60);
    let from = street.now;
    street.clients[0].blackouts = [0, 1].map(|_| Some(from..from + 60_000 * MS));
    for _ in 0..1_260 {
        let _ = street.server.send(street.now, &0, "anyone?");
        street.run(TICK);
    }
    let (at, _, event) = street.events.last().unwrap();
    assert_eq!(*event, Event::Closed(CloseReason::IdleTimeout));
    let after = *at - from;
    assert!(after > 19_900 * MS && after < 20_100 * MS, "{after:?}");
    assert!(street.server.is_empty());
}
