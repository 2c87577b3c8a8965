//! What the rules come to on a [`Road`].

#[cfg(test)]
pub(crate) mod bottleneck;

use std::time::Duration;

use crate::congestion::tests::bottleneck::{Drive, Flow, Road};
use crate::{Config, Congestion};

/// One flow for a minute, of which the first five seconds do not count.
fn drive(road: Road, mut flow: Flow) -> Flow {
    let mut drive = Drive::new(road, 1);
    drive.run(std::slice::from_mut(&mut flow), 5.0);
    flow.count_anew();
    drive.run(std::slice::from_mut(&mut flow), 55.0);
    flow
}

fn adaptive(per_second: f64, bytes: usize) -> Flow {
    Flow::new(Congestion::DelayBased, per_second, bytes)
}

/// The share of the road that was used in that time.
fn used(flow: &Flow, road: Road) -> f64 {
    flow.arrived / 55.0 / road.rate
}

#[test]
fn too_much_fills_the_road_and_no_queue() {
    for (factor, rtt, rate) in [2.0, 10.0].into_iter().flat_map(|factor| {
        [10, 40, 100, 300]
            .into_iter()
            .flat_map(move |rtt| [125_000.0, 400_000.0].map(|rate| (factor, rtt, rate)))
    }) {
        let road = Road { rtt: Duration::from_millis(rtt), rate, ..Road::default() };
        let flow = drive(road, adaptive(factor * rate / 1_000.0, 1_000));
        let (used, p99) = (used(&flow, road), flow.quantile(0.99));
        assert!(used > 0.95 && p99 < 0.090, "x{factor}, {rtt} ms, {rate} B/s: {used}, {p99} s");
    }
}

/// Where a packet takes longer than the queue should.
#[test]
fn a_narrow_road_is_used() {
    let road = Road { rate: 15_000.0, queue: 0.5, ..Road::default() };
    let flow = drive(road, adaptive(60.0, 1_000));
    assert!(used(&flow, road) > 0.9, "{}", used(&flow, road));
}

#[test]
fn a_long_queue_stays_empty_and_a_short_one_is_not_hammered() {
    let long = Road { queue: 0.5, ..Road::default() };
    let flow = drive(long, adaptive(250.0, 1_000));
    assert!(used(&flow, long) > 0.95 && flow.quantile(0.99) < 0.055);
    for queue in [0.01, 0.02] {
        let short = Road { queue, ..Road::default() };
        let flow = drive(short, adaptive(250.0, 1_000));
        let sent = f64::from(flow.sent) / 55.0 / 125.0;
        assert!(used(&flow, short) > 0.8 && sent < 1.5, "{sent} times what passes is sent");
    }
}

#[test]
fn chance_and_jitter_change_nothing() {
    for (loss, jitter) in [(0.05, 0.0), (0.25, 0.0), (0.0, 0.02), (0.0, 0.05), (0.1, 0.02)] {
        let road = Road { loss, jitter, ..Road::default() };
        let flow = drive(road, adaptive(250.0, 1_000));
        let used = used(&flow, road) / (1.0 - loss);
        assert!(
            used > 0.9 && flow.quantile(0.99) < 0.080,
            "{loss}, {jitter}: {used}, {}",
            flow.quantile(0.99)
        );

        let wide = Road { rate: 1e7, ..road };
        let flow = drive(wide, adaptive(60.0, 1_000));
        assert_eq!(flow.held, 0, "{loss}, {jitter}: nothing is in the way");
    }
}

#[test]
fn two_share_evenly() {
    for (later, load) in [(0.0, 125.0), (0.0, 500.0), (10.0, 125.0), (10.0, 250.0)] {
        let mut drive = Drive::new(Road::default(), 1);
        let mut flows = [adaptive(load, 1_000), adaptive(load + 1.0, 1_000)];
        drive.run(&mut flows[..1], later);
        drive.run(&mut flows, 30.0 - later);
        flows.iter_mut().for_each(Flow::count_anew);
        drive.run(&mut flows, 30.0);
        let ratio = flows[0].arrived / flows[1].arrived;
        assert!((0.5..=2.0).contains(&ratio), "{later} s later at {load}/s: {ratio}");
    }
}

#[test]
fn what_others_leave_is_used() {
    let mut drive = Drive::new(Road::default(), 1);
    let mut flow = [adaptive(250.0, 1_000)];
    drive.others = 60_000.0;
    drive.run(&mut flow, 5.0);
    flow[0].count_anew();
    drive.run(&mut flow, 55.0);
    let used = flow[0].arrived / 55.0 / 65_000.0;
    assert!(used > 0.95 && flow[0].quantile(0.99) < 0.065, "{used}");
}

#[test]
fn a_limit_that_goes_is_noticed_and_one_that_comes_too() {
    let mut drive = Drive::new(Road::default(), 1);
    let mut flow = [adaptive(250.0, 1_000)];
    drive.run(&mut flow, 15.0);
    drive.road.rate = 1_250_000.0;
    drive.run(&mut flow, 2.0);
    flow[0].count_anew();
    drive.run(&mut flow, 1.0);
    assert!(flow[0].arrived > 0.95 * 250_000.0, "{} B/s", flow[0].arrived);
    drive.road.rate = 125_000.0;
    drive.run(&mut flow, 2.0);
    flow[0].count_anew();
    drive.run(&mut flow, 1.0);
    assert!(flow[0].quantile(1.0) < 0.055, "{} s", flow[0].quantile(1.0));
}

/// The earlier rule goes by loss alone, so it fills the queue.
#[test]
fn the_simple_rule_fills_the_queue() {
    let flow = drive(Road::default(), Flow::new(Congestion::LossBased, 250.0, 1_000));
    assert!(flow.quantile(0.5) > 0.08 && used(&flow, Road::default()) > 0.95);
}

/// Whatever is configured, somewhat is sent, and nothing panics.
#[test]
fn odd_bounds_hold() {
    for (least, most) in [(0, 0), (0, 4_000_000), (u32::MAX, 1), (u32::MAX, u32::MAX)] {
        for congestion in [Congestion::DelayBased, Congestion::LossBased] {
            let config = Config {
                congestion,
                min_bitrate: least,
                max_bitrate: most,
                ..Config::new(Vec::new())
            };
            let mut flow = Flow::with(&config, 250.0, 1_000);
            Drive::new(Road::default(), 1).run(std::slice::from_mut(&mut flow), 30.0);
            assert!(flow.sent > 0, "{least}, {most}");
            Drive::new(Road { loss: 0.9, ..Road::default() }, 1)
                .run(std::slice::from_mut(&mut flow), 30.0);
        }
    }
}
