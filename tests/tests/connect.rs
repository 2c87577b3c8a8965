//! How soon a connection opens, in virtual time.

use std::time::Duration;

use net_rtc::HandshakeOptions;
use net_tests::lab::{Meeting, switches};

const MS: Duration = Duration::from_millis(1);

/// When both are open, or that they never are.
fn took(meeting: Meeting) -> Duration {
    let met = meeting.run();
    let [server, client] = met.opened;
    let both = server.zip(client).map(|(server, client)| server.max(client));
    both.unwrap_or_else(|| panic!("{:?} in {meeting:?}", met.ended))
}

fn sorted(meeting: Meeting, seeds: u64) -> Vec<Duration> {
    let mut times: Vec<_> = (1..=seeds).map(|seed| took(Meeting { seed, ..meeting })).collect();
    times.sort_unstable();
    times
}

#[test]
fn without_loss_it_takes_two_and_a_half_round_trips() {
    for round_trip in [20, 100, 200].map(|ms| ms * MS) {
        let took = took(Meeting { round_trip, ..Meeting::default() });
        assert!(took <= round_trip * 5 / 2 + 10 * MS, "{took:?} at {round_trip:?}");
    }
}

#[test]
fn no_switch_alone_is_ever_in_the_way() {
    for round_trip in [20, 200].map(|ms| ms * MS) {
        for (name, server) in switches() {
            let took = took(Meeting { server, round_trip, ..Meeting::default() });
            assert!(took <= round_trip * 7 + 10 * MS, "{name}: {took:?} at {round_trip:?}");
        }
    }
}

#[test]
fn loss_costs_little_and_nobody_is_left_out() {
    let (lossy, seeds) = (Meeting { loss: 0.05, ..Meeting::default() }, 100);
    let all = sorted(lossy, seeds);
    let stock = sorted(Meeting { server: HandshakeOptions::STR0M_DEFAULTS, ..lossy }, seeds / 4);
    let p90 = |times: &[Duration]| times[times.len() * 9 / 10];
    assert!(p90(&all) <= 1_000 * MS, "{all:?}");
    assert!(p90(&stock) >= 1_000 * MS, "there is nothing to cure: {stock:?}");
}

#[test]
fn one_in_ten_is_lost_and_they_meet_all_the_same() {
    let all = sorted(Meeting { loss: 0.1, round_trip: 50 * MS, ..Meeting::default() }, 60);
    assert!(all[30] <= 1_000 * MS, "{all:?}");
}
