//! The lossy link of the virtual network does what its conditions say.

use std::time::{Duration, Instant};

use net_tests::link::{Cause, Conditions, Direction, Fate, Link, Loss, Rate, Reorder};

const SECOND: Duration = Duration::from_secs(1);
const MANY: usize = 100_000;

fn link(conditions: Conditions) -> (Link, Instant) {
    seeded(7, 0, Direction::Down, conditions)
}

fn seeded(seed: u64, peer: u64, way: Direction, conditions: Conditions) -> (Link, Instant) {
    let mut link = Link::new(seed, peer, way);
    link.conditions = conditions;
    (link, Instant::now())
}

fn losing(loss: Loss) -> Conditions {
    Conditions { loss, ..Conditions::default() }
}

/// Whether each of many datagrams was lost.
fn losses(conditions: Conditions) -> Vec<bool> {
    let (mut link, now) = link(conditions);
    (0..MANY).map(|_| link.send(now, 100) == Fate::Lost).collect()
}

fn share(of: &[bool]) -> f64 {
    of.iter().filter(|yes| **yes).count() as f64 / of.len() as f64
}

fn assert_near(value: f64, wanted: f64, tolerance: f64) {
    assert!((value - wanted).abs() <= tolerance, "{value} is not {wanted} ± {tolerance}");
}

/// Everything at once.
fn stormy() -> Conditions {
    Conditions {
        jitter: Duration::from_millis(9),
        loss: Loss::Runs { share: 0.1, mean: 3.0 },
        reorder: Reorder { share: 0.05, by: Duration::from_millis(30) },
        duplicates: 0.05,
        rate: Some(Rate { bytes_per_second: 125_000, queue_bytes: 8_000 }),
        ..Conditions::default()
    }
}

#[test]
fn by_default_everything_arrives_after_the_delay() {
    let (mut link, now) = link(Conditions::default());
    for number in 0..1_000 {
        let now = now + Duration::from_millis(number);
        assert_eq!(link.send(now, 1_200), Fate::Once(now + Duration::from_millis(20)));
    }
    assert_eq!((link.traffic().datagrams, link.traffic().bytes), (1_000, 1_200_000));
    assert_eq!(link.dropped(), []);
}

#[test]
fn a_seed_repeats_and_another_does_not() {
    let now = Instant::now();
    let fates = |seed, peer, way| {
        let (mut link, _) = seeded(seed, peer, way, stormy());
        (0..1_000).map(|n| link.send(now + n * SECOND / 200, 300)).collect::<Vec<_>>()
    };
    let once = fates(1, 1, Direction::Up);
    assert_eq!(once, fates(1, 1, Direction::Up));
    for other in [(2, 1, Direction::Up), (1, 2, Direction::Up), (1, 1, Direction::Down)] {
        assert_ne!(once, fates(other.0, other.1, other.2), "{other:?}");
    }
}

#[test]
fn chance_looks_at_numbers_only() {
    let (mut one, now) = link(losing(Loss::Random(0.3)));
    let (mut other, _) = link(Conditions { jitter: SECOND, duplicates: 0.5, ..one.conditions });
    for number in 0..1_000u32 {
        let lost = one.send(now, 100) == Fate::Lost;
        let size = number as usize % 1_200;
        assert_eq!(lost, other.send(now + number * SECOND, size) == Fate::Lost, "{number}");
    }
}

#[test]
fn loss_is_as_frequent_as_said() {
    for wanted in [0.0, 0.01, 0.2, 1.0] {
        assert_near(share(&losses(losing(Loss::Random(wanted)))), wanted, 0.005);
    }
}

#[test]
fn runs_are_as_frequent_and_as_long_as_said() {
    for (share_wanted, mean) in [(0.05, 3.0), (0.2, 10.0)] {
        let lost = losses(losing(Loss::Runs { share: share_wanted, mean }));
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert_near(share(&lost), share_wanted, share_wanted * 0.1);
        assert_near(share(&lost) * MANY as f64 / runs as f64, mean, mean * 0.1);
    }
}

#[test]
fn random_losses_do_not_come_in_runs() {
    let lost = losses(losing(Loss::Random(0.1)));
    let pairs: Vec<bool> = lost.windows(2).map(|pair| pair[0] && pair[1]).collect();
    assert_near(share(&pairs), 0.01, 0.002);
}

#[test]
fn what_is_dropped_is_logged() {
    let (mut link, now) = link(losing(Loss::Random(0.5)));
    let mut lost = Vec::new();
    for number in 0..100 {
        let at = now + Duration::from_millis(number);
        if link.send(at, number as usize) == Fate::Lost {
            lost.push((at, Direction::Down, number, number as usize, Cause::Loss));
        }
    }
    let logged = link.dropped().iter().map(|d| (d.at, d.direction, d.number, d.size, d.cause));
    assert_eq!(logged.collect::<Vec<_>>(), lost);
}

#[test]
fn jitter_stays_in_its_bounds_and_lets_datagrams_overtake() {
    let jitter = Duration::from_millis(10);
    let (mut link, now) = link(Conditions { jitter, ..Conditions::default() });
    let arrivals: Vec<Instant> = (0..1_000).flat_map(|_| link.send(now, 1).arrivals()).collect();
    let soonest = now + link.conditions.delay;
    assert!(arrivals.iter().all(|at| (soonest..soonest + jitter).contains(at)));
    assert!(!arrivals.is_sorted());
    let late = arrivals.iter().filter(|at| **at > soonest + jitter / 2).count();
    assert_near(late as f64, 500.0, 60.0);
}

#[test]
fn without_jitter_order_is_kept() {
    let conditions = Conditions { jitter: Duration::ZERO, reorder: Reorder::default(), ..stormy() };
    let (mut link, now) = link(conditions);
    let sent = (0..1_000).map(|n| now + n * SECOND / 300);
    let arrivals: Vec<Instant> = sent.flat_map(|at| link.send(at, 300).arrivals()).collect();
    assert!(arrivals.len() > 500 && arrivals.is_sorted());
}

#[test]
fn the_said_share_is_held_back() {
    let reorder = Reorder { share: 0.1, by: Duration::from_millis(30) };
    let (mut link, now) = link(Conditions { reorder, ..Conditions::default() });
    let (prompt, held) = (now + link.conditions.delay, now + link.conditions.delay + reorder.by);
    let late: Vec<bool> = (0..MANY)
        .map(|_| match link.send(now, 1) {
            Fate::Once(at) if at == held => true,
            Fate::Once(at) if at == prompt => false,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_near(share(&late), 0.1, 0.005);
}

#[test]
fn the_said_share_comes_twice() {
    let (mut link, now) = link(Conditions { duplicates: 0.1, ..Conditions::default() });
    let twice = |_| matches!(link.send(now, 1), Fate::Twice(..));
    assert_near(share(&(0..MANY).map(twice).collect::<Vec<_>>()), 0.1, 0.005);
}

#[test]
fn the_rate_holds_and_the_queue_bounds_latency() {
    // 972 bytes and their headers are 1,000: a hundred a second pass, ten may wait.
    let rate = Rate { bytes_per_second: 100_000, queue_bytes: 10_000 };
    let (mut link, now) = link(Conditions { rate: Some(rate), ..Conditions::default() });
    let mut arrived = 0;
    for number in 0..2_000 {
        let at = now + number * SECOND / 200;
        for arrival in link.send(at, 972).arrivals() {
            arrived += 1;
            assert!(arrival - at <= link.conditions.delay + Duration::from_millis(101));
        }
    }
    assert_near(arrived as f64, 1_000.0, 12.0);
    assert!(link.dropped().iter().all(|dropped| dropped.cause == Cause::Queue));
}

#[test]
fn below_the_rate_nothing_queues() {
    let rate = Rate { bytes_per_second: 100_000, queue_bytes: 0 };
    let (mut link, now) = link(Conditions { rate: Some(rate), ..Conditions::default() });
    let transit = link.conditions.delay + Duration::from_millis(10);
    for number in 0..500 {
        let at = now + number * SECOND / 99;
        assert_eq!(link.send(at, 972), Fate::Once(at + transit));
    }
}

#[test]
fn a_blackout_loses_datagrams_and_delays_streams() {
    let (mut link, now) = link(Conditions::default());
    let (from, until) = (now + SECOND, now + 3 * SECOND);
    let delay = link.conditions.delay;
    link.black_out(from..until);
    assert_eq!(link.send(from - SECOND / 1_000, 1), Fate::Once(from - SECOND / 1_000 + delay));
    assert_eq!(link.send(from, 1), Fate::Lost);
    assert_eq!(link.dropped()[0].cause, Cause::Blackout);
    assert_eq!(link.stream(from + SECOND), until + delay);
    assert_eq!(link.send(until, 1), Fate::Once(until + delay));
}

#[test]
fn a_stream_keeps_its_order_when_the_delay_shrinks() {
    let (mut link, now) = link(Conditions { delay: SECOND, ..Conditions::default() });
    assert_eq!(link.stream(now), now + SECOND);
    link.conditions.delay = SECOND / 100;
    assert_eq!(link.stream(now + SECOND / 10), now + SECOND);
    assert_eq!(link.stream(now + 2 * SECOND), now + 2 * SECOND + SECOND / 100);
}

#[test]
fn other_packets_share_the_bottleneck_and_chance_leaves_them_alone() {
    let rate = Rate { bytes_per_second: 100_000, queue_bytes: 2_000 };
    let (mut link, now) = link(Conditions { rate: Some(rate), ..losing(Loss::Random(1.0)) });
    let transit = |packets: u32| now + link.conditions.delay + SECOND / 100 * packets;
    let (first, second, third) = (transit(1), transit(2), transit(3));
    assert_eq!(link.packet(now, 1_000), Some(first));
    assert_eq!(link.send(now, 972), Fate::Lost);
    assert_eq!(link.packet(now, 1_000), None);
    assert_eq!(link.packet(second - link.conditions.delay, 1_000), Some(third));
    link.black_out(now..third);
    assert_eq!(link.packet(now, 1_000), None);
}
