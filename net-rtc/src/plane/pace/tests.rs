//! What the rules come to on a [`Road`].

use std::time::Duration;

use super::road::{Drive, Flow, Road};
use crate::Congestion;

/// One flow for so many seconds, of which the first five do not count.
fn drive(road: Road, mut flow: Flow, seconds: f64) -> Flow {
    let mut drive = Drive::new(road, 1);
    drive.run(std::slice::from_mut(&mut flow), 5.0);
    flow.count_anew();
    drive.run(std::slice::from_mut(&mut flow), seconds - 5.0);
    flow
}

fn adaptive(per_second: f64, bytes: usize) -> Flow {
    Flow::new(Congestion::Adaptive, per_second, bytes)
}

#[test]
fn too_much_is_sent_without_a_queue() {
    for factor in [2.0, 10.0] {
        for rtt in [10, 40, 100, 300] {
            for rate in [30_000.0, 125_000.0, 400_000.0] {
                let road = Road { rtt: Duration::from_millis(rtt), rate, ..Road::default() };
                let flow = drive(road, adaptive(factor * rate / 1_000.0, 1_000), 60.0);
                let used = flow.arrived / 55.0 / rate;
                println!(
                    "x{factor} rtt {rtt} rate {rate}: used {used:.3}, median {:.0} p99 {:.0} ms max {:.0}",
                    flow.quantile(0.5) * 1e3,
                    flow.quantile(0.99) * 1e3,
                    flow.quantile(1.0) * 1e3
                );
            }
        }
    }
}

#[test]
fn scenarios() {
    for seed in 1..4 {
        for later in [0.0, 10.0] {
            for factor in [1.0, 2.0, 5.0] {
                let mut drive = Drive::new(Road::default(), seed);
                let mut flows =
                    [adaptive(125.0 * factor, 1_000), adaptive(125.0 * factor + 1.0, 1_000)];
                drive.run(&mut flows[..1], later + 0.001);
                drive.run(&mut flows, 30.0 - later);
                flows.iter_mut().for_each(Flow::count_anew);
                drive.run(&mut flows, 30.0);
                println!(
                    "share later {later} x{factor}: {:.2} {:.2} p99 {:.0} ms",
                    flows[0].arrived / 125e3 / 30.0,
                    flows[1].arrived / 125e3 / 30.0,
                    flows[0].quantile(0.99) * 1e3
                );
            }
        }
        for loss in [0.05, 0.1, 0.25] {
            let flow = drive(Road { loss, ..Road::default() }, adaptive(250.0, 1_000), 60.0);
            println!(
                "over, loss {loss}: used {:.2} p99 {:.0}",
                flow.arrived / 55.0 / 125e3 / (1.0 - loss),
                flow.quantile(0.99) * 1e3
            );
            let flow = drive(
                Road { loss, rate: 1e7, jitter: 0.03, ..Road::default() },
                adaptive(60.0, 1_000),
                600.0,
            );
            println!(
                "free, loss {loss}: held {} rate {}",
                flow.held,
                flow.pace.rate(std::time::Instant::now())
            );
        }
        for jitter in [0.01, 0.02, 0.05] {
            let flow = drive(Road { jitter, ..Road::default() }, adaptive(250.0, 1_000), 60.0);
            println!(
                "over, jitter {jitter}: used {:.2} p99 {:.0}",
                flow.arrived / 55.0 / 125e3,
                flow.quantile(0.99) * 1e3
            );
            let flow =
                drive(Road { jitter, rate: 1e7, ..Road::default() }, adaptive(60.0, 1_000), 60.0);
            println!("free, jitter {jitter}: held {}", flow.held);
        }
        for queue in [0.01, 0.02, 0.05, 0.5] {
            let flow = drive(Road { queue, ..Road::default() }, adaptive(250.0, 1_000), 60.0);
            println!(
                "over, queue {queue}: used {:.2} p99 {:.0} sent {:.2}",
                flow.arrived / 55.0 / 125e3,
                flow.quantile(0.99) * 1e3,
                f64::from(flow.sent) / 55.0 / 125.0
            );
        }
        for bytes in [100, 300] {
            let flow = drive(Road::default(), adaptive(250_000.0 / bytes as f64, bytes), 60.0);
            println!(
                "over, {bytes} B: used {:.2} p99 {:.0}",
                flow.arrived / 55.0 / 125e3,
                flow.quantile(0.99) * 1e3
            );
        }
        for (from, to) in [(125_000.0, 1_250_000.0), (1_250_000.0, 125_000.0)] {
            let mut drive = Drive::new(Road { rate: from, ..Road::default() }, seed);
            let mut flow = [adaptive(250.0, 1_000)];
            drive.run(&mut flow, 15.0);
            drive.road.rate = to;
            for step in 0..25 {
                flow[0].count_anew();
                drive.run(&mut flow, 0.2);
                print!(
                    "{} {:.2} {:.0}; ",
                    step,
                    flow[0].arrived / 0.2 / 250e3,
                    flow[0].quantile(1.0) * 1e3
                );
            }
            println!("lift");
        }
        let mut drive = Drive::new(Road::default(), seed);
        let mut flow = [adaptive(250.0, 1_000)];
        drive.others = 60_000.0;
        drive.run(&mut flow, 5.0);
        flow[0].count_anew();
        drive.run(&mut flow, 55.0);
        println!(
            "others: used {:.2} p99 {:.0}",
            flow[0].arrived / 55.0 / 65e3,
            flow[0].quantile(0.99) * 1e3
        );
    }
}

#[test]
fn trace() {
    let var = |name: &str, or: f64| std::env::var(name).map_or(or, |v| v.parse().unwrap());
    let road = Road {
        queue: var("QUEUE", 0.1),
        loss: var("LOSS", 0.0),
        rate: var("RATE", 125e3),
        rtt: Duration::from_secs_f64(var("RTT", 0.04)),
        ..Road::default()
    };
    let mut drive = Drive::new(road, 1);
    let n = var("FLOWS", 1.0) as usize;
    let mut flows: Vec<_> =
        (0..n).map(|n| adaptive(var("LOAD", 250.0) + n as f64, 1_000)).collect();
    for step in 0..400 {
        flows.iter_mut().for_each(Flow::count_anew);
        let some = if step < 100 { 1 } else { n };
        drive.run(&mut flows[..some], 0.1);
        for (i, flow) in flows.iter().enumerate() {
            let queue = flow.queued.last().copied().unwrap_or(-0.001) * 1e3;
            println!("{:.1} s {i}: queue {queue:.0} ms, {:?}", step as f64 / 10.0, flow.pace);
        }
    }
}
