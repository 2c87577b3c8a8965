//! Tests of the congestion controllers on a simulated bottleneck ([`bottleneck`]).

#[cfg(test)]
pub(crate) mod bottleneck;

use std::time::Duration;

use crate::congestion::tests::bottleneck::{BottleneckLink, BottleneckSim, PacedFlow};
use crate::{Config, Congestion};

/// One flow for a minute, of which the first five seconds do not count.
fn run_flow(road: BottleneckLink, mut flow: PacedFlow) -> PacedFlow {
    let mut drive = BottleneckSim::new(road, 1);
    drive.run(std::slice::from_mut(&mut flow), 5.0);
    flow.reset_counts();
    drive.run(std::slice::from_mut(&mut flow), 55.0);
    flow
}

fn delay_based_flow(per_second: f64, bytes: usize) -> PacedFlow {
    PacedFlow::new(Congestion::DelayBased, per_second, bytes)
}

/// The share of the road that was used in that time.
fn utilization(flow: &PacedFlow, road: BottleneckLink) -> f64 {
    flow.bytes_delivered / 55.0 / road.rate
}

#[test]
fn too_much_fills_the_road_and_no_queue() {
    for (factor, rtt, rate) in [2.0, 10.0].into_iter().flat_map(|factor| {
        [10, 40, 100, 300]
            .into_iter()
            .flat_map(move |rtt| [125_000.0, 400_000.0].map(|rate| (factor, rtt, rate)))
    }) {
        let road =
            BottleneckLink { rtt: Duration::from_millis(rtt), rate, ..BottleneckLink::default() };
        let flow = run_flow(road, delay_based_flow(factor * rate / 1_000.0, 1_000));
        let (used, p99) = (utilization(&flow, road), flow.queue_delay_quantile(0.99));
        assert!(used > 0.95 && p99 < 0.090, "x{factor}, {rtt} ms, {rate} B/s: {used}, {p99} s");
    }
}

/// Where a packet takes longer than the queue should.
#[test]
fn a_narrow_road_is_used() {
    let road = BottleneckLink { rate: 15_000.0, queue_secs: 0.5, ..BottleneckLink::default() };
    let flow = run_flow(road, delay_based_flow(60.0, 1_000));
    assert!(utilization(&flow, road) > 0.9, "{}", utilization(&flow, road));
}

#[test]
fn a_long_queue_stays_empty_and_a_short_one_is_not_hammered() {
    let long = BottleneckLink { queue_secs: 0.5, ..BottleneckLink::default() };
    let flow = run_flow(long, delay_based_flow(250.0, 1_000));
    assert!(utilization(&flow, long) > 0.95 && flow.queue_delay_quantile(0.99) < 0.055);
    for queue in [0.01, 0.02] {
        let short = BottleneckLink { queue_secs: queue, ..BottleneckLink::default() };
        let flow = run_flow(short, delay_based_flow(250.0, 1_000));
        let sent = f64::from(flow.packets_sent) / 55.0 / 125.0;
        assert!(utilization(&flow, short) > 0.8 && sent < 1.5, "{sent} times what passes is sent");
    }
}

#[test]
fn chance_and_jitter_change_nothing() {
    for (loss, jitter) in [(0.05, 0.0), (0.25, 0.0), (0.0, 0.02), (0.0, 0.05), (0.1, 0.02)] {
        let road = BottleneckLink { loss, jitter, ..BottleneckLink::default() };
        let flow = run_flow(road, delay_based_flow(250.0, 1_000));
        let used = utilization(&flow, road) / (1.0 - loss);
        assert!(
            used > 0.9 && flow.queue_delay_quantile(0.99) < 0.080,
            "{loss}, {jitter}: {used}, {}",
            flow.queue_delay_quantile(0.99)
        );

        let wide = BottleneckLink { rate: 1e7, ..road };
        let flow = run_flow(wide, delay_based_flow(60.0, 1_000));
        assert_eq!(flow.sends_deferred, 0, "{loss}, {jitter}: nothing is in the way");
    }
}

#[test]
fn two_share_evenly() {
    for (later, load) in [(0.0, 125.0), (0.0, 500.0), (10.0, 125.0), (10.0, 250.0)] {
        let mut drive = BottleneckSim::new(BottleneckLink::default(), 1);
        let mut flows = [delay_based_flow(load, 1_000), delay_based_flow(load + 1.0, 1_000)];
        drive.run(&mut flows[..1], later);
        drive.run(&mut flows, 30.0 - later);
        flows.iter_mut().for_each(PacedFlow::reset_counts);
        drive.run(&mut flows, 30.0);
        let ratio = flows[0].bytes_delivered / flows[1].bytes_delivered;
        assert!((0.5..=2.0).contains(&ratio), "{later} s later at {load}/s: {ratio}");
    }
}

#[test]
fn what_others_leave_is_used() {
    let mut drive = BottleneckSim::new(BottleneckLink::default(), 1);
    let mut flow = [delay_based_flow(250.0, 1_000)];
    drive.cross_traffic_rate = 60_000.0;
    drive.run(&mut flow, 5.0);
    flow[0].reset_counts();
    drive.run(&mut flow, 55.0);
    let used = flow[0].bytes_delivered / 55.0 / 65_000.0;
    assert!(used > 0.95 && flow[0].queue_delay_quantile(0.99) < 0.065, "{used}");
}

#[test]
fn a_limit_that_goes_is_noticed_and_one_that_comes_too() {
    let mut drive = BottleneckSim::new(BottleneckLink::default(), 1);
    let mut flow = [delay_based_flow(250.0, 1_000)];
    drive.run(&mut flow, 15.0);
    drive.link.rate = 1_250_000.0;
    drive.run(&mut flow, 2.0);
    flow[0].reset_counts();
    drive.run(&mut flow, 1.0);
    assert!(flow[0].bytes_delivered > 0.95 * 250_000.0, "{} B/s", flow[0].bytes_delivered);
    drive.link.rate = 125_000.0;
    drive.run(&mut flow, 2.0);
    flow[0].reset_counts();
    drive.run(&mut flow, 1.0);
    assert!(flow[0].queue_delay_quantile(1.0) < 0.055, "{} s", flow[0].queue_delay_quantile(1.0));
}

/// The earlier rule goes by loss alone, so it fills the queue.
#[test]
fn the_simple_rule_fills_the_queue() {
    let flow =
        run_flow(BottleneckLink::default(), PacedFlow::new(Congestion::LossBased, 250.0, 1_000));
    assert!(
        flow.queue_delay_quantile(0.5) > 0.08
            && utilization(&flow, BottleneckLink::default()) > 0.95
    );
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
            let mut flow = PacedFlow::from_config(&config, 250.0, 1_000);
            BottleneckSim::new(BottleneckLink::default(), 1)
                .run(std::slice::from_mut(&mut flow), 30.0);
            assert!(flow.packets_sent > 0, "{least}, {most}");
            BottleneckSim::new(BottleneckLink { loss: 0.9, ..BottleneckLink::default() }, 1)
                .run(std::slice::from_mut(&mut flow), 30.0);
        }
    }
}
