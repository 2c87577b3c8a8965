//! How fast the server sends, in virtual time: never a queue, its share beside others, and all
//! that the path carries. The same over minutes and many seeds: `cargo run --release -p net-tests
//! --bin fresh -- overload share tcp lift slow bounds`.

use std::time::Duration;

use net_tests::agent::Manners;
use net_tests::lab::{self, Bound, Load, Outcome, Rule, Scene};

const SECOND: Duration = Duration::from_secs(1);
const NEAR: Duration = Duration::from_millis(20);
const FAR: Duration = Duration::from_millis(80);

/// Plays for that many seconds.
fn play(scene: Scene, seconds: u32) -> Outcome {
    Scene { time: seconds * SECOND, ..scene }.play(&mut |_| {})
}

fn assert_met(what: &str, misses: &[String]) {
    assert!(misses.is_empty(), "{what}: {}", misses.join(", "));
}

#[test]
fn more_than_the_path_carries_does_not_queue() {
    for (times, bytes) in [(2, 1_000), (10, 1_000), (2, 200), (10, 200)] {
        let outcome = play(lab::overloaded(times, bytes, Rule::Adaptive), 20);
        assert_met(&format!("{times} x, {bytes} B"), &lab::overload_misses(&outcome));
    }
}

/// Without this the test before could not tell good from bad.
#[test]
fn the_simple_rule_and_plain_sctp_queue() {
    for rule in [Rule::Simple, Rule::Sctp] {
        let misses = lab::overload_misses(&play(lab::overloaded(2, 1_000, rule), 20));
        assert!(matches!(&misses[..], [p99] if p99.starts_with("p99")), "{rule}: {misses:?}");
    }
}

#[test]
fn two_clients_share() {
    for (delays, later) in
        [([NEAR, NEAR], 0), ([NEAR, NEAR], 10), ([NEAR, FAR], 0), ([FAR, NEAR], 0)]
    {
        let outcome = play(lab::shared(delays, later * SECOND, Rule::Adaptive), 60);
        assert_met(&format!("{delays:?}, {later} s later"), &lab::share_misses(&outcome));
    }
}

#[test]
fn beside_a_download_both_get_on() {
    let outcome = play(lab::beside_tcp(Load::steady(60, 200), Rule::Adaptive), 60);
    assert_met("60/s", &lab::tcp_misses(&outcome));
}

#[test]
fn what_a_lifted_limit_allows_is_soon_used() {
    for load in [Load::steady(250, 1_000), Load::bursts(5, 50, 1_000)] {
        let outcome = lab::lifted(load, Rule::Adaptive).play(&mut |_| {});
        assert_met(&load.to_string(), &lab::lift_misses(&outcome));
    }
}

#[test]
fn acknowledgements_that_are_late_are_no_queue() {
    for per_second in [1, 5, 10, 20] {
        for manners in [Manners::Good, Manners::Deaf] {
            let load = Load::steady(per_second, 200);
            let outcome = play(lab::slow_scene(load, manners), 120);
            assert_met(&format!("{load}, {manners:?}"), &lab::slow_misses(&outcome));
        }
    }
}

#[test]
fn loss_that_is_not_ours_does_not_lower_the_rate() {
    for manners in [Manners::Good, Manners::Deaf] {
        for per_second in [60, 600] {
            let load = Load::steady(per_second, 200);
            let bound = Bound::Loss(0.25);
            let outcome = play(Scene { manners, ..bound.scene(load) }, 20);
            assert_met(&format!("{load}, {manners:?}"), &bound.misses(&outcome));
        }
    }
}

#[test]
fn the_rate_stays_between_floor_and_cap() {
    for (bound, load) in
        [(Bound::Least, Load::steady(60, 200)), (Bound::Most, Load::steady(1_000, 1_000))]
    {
        assert_met(&bound.to_string(), &bound.misses(&play(bound.scene(load), 20)));
    }
}

/// RFC 8084.
#[test]
fn heavy_loss_stops_all_but_a_trickle() {
    for load in [Load::steady(60, 200), Load::steady(250, 1_000)] {
        let outcome = Bound::Breaker.scene(load).play(&mut |_| {});
        assert_met(&load.to_string(), &Bound::Breaker.misses(&outcome));
    }
}
