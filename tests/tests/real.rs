//! The unreliable path never stalls: real browsers, real kernels, a real server, and a link
//! between them that loses datagrams, has a bottleneck, and tells what it did.
//!
//! Each cell runs in Chromium and Firefox for twenty seconds. The long tables are left out unless
//! asked for, `NET_REAL` being `grid` (all cells of the virtual lab, about 40 minutes), `rate`
//! (10 minutes), `repair` (10 minutes) or `bursts` (twenty runs of one cell, 15 minutes):
//!
//! ```text
//! NET_REAL=grid tests/lib/private-network cargo test --offline --workspace --test real \
//!     table_of -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;

use net::{Congestion, Repair};
use net_tests::browser::Kind;
use net_tests::lab::{Cell, Load, Report, grid};
use net_tests::link::Direction::{self, Down, Up};
use net_tests::link::{Cause, Conditions, Loss, Rate};
use net_tests::plane::Plane;
use net_tests::real::{BROWSERS, Client, Flow, Plan, Programs, asked_for, assert_met, both};

const TIME: Duration = Duration::from_secs(20);
/// Of the long tables.
const LONG: Duration = Duration::from_secs(60);
/// Of the table of repair, which has more rows.
const HALF: Duration = Duration::from_secs(30);
const NEAR: Duration = Duration::from_millis(20);
const FAR: Duration = Duration::from_millis(100);
const SMALL: Load = Load::steady(60, 200);
const LARGE: Load = Load::steady(60, 1_000);

/// The targets, over what the link takes; a browser's event loop and the scheduler of a busy
/// machine included.
const MEDIAN_OVER: Duration = Duration::from_millis(2);
const P99_OVER: Duration = Duration::from_millis(10);
/// The page gets each message in an event of its own. For bursts it is measured, see [`events`].
const EVENT: Duration = Duration::from_micros(20);
/// What bursts may cost the page without loss; more than that is not the machine's.
const MAX_EVENTS: Duration = Duration::from_millis(6);
const LONGEST_SILENCE: Duration = Duration::from_millis(200);
const LEAST_KEPT: f64 = 0.99;

/// The same where more is sent than a bottleneck carries. Its queue is 100 ms long.
const OVERLOAD_P99_OVER: Duration = Duration::from_millis(80);
const LEAST_USED: f64 = 0.8;
/// Where long packets vanish, messages that arrive.
const LEAST_LONG: f64 = 0.95;
/// How long a sender may take to find its rate.
const FIND: Duration = Duration::from_secs(5);
/// How long it may take to send what is asked for once the bottleneck is gone.
const CLIMB: Duration = Duration::from_secs(3);
/// Two flows' shares of one bottleneck, the greater to the lesser.
const MOST_UNFAIR: f64 = 2.0;
/// Beside a download: messages that arrive, and the download's share of the link.
const LEAST_BESIDE: f64 = 0.9;
const LEAST_DOWNLOAD: f64 = 0.6;

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn large_messages_from_near() {
    assert_fresh(LARGE, NEAR, 0.05, Down);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn large_messages_to_near() {
    assert_fresh(LARGE, NEAR, 0.05, Up);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn large_messages_from_far() {
    assert_fresh(LARGE, FAR, 0.05, Down);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn large_messages_to_far() {
    assert_fresh(LARGE, FAR, 0.05, Up);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn many_messages_from_near() {
    assert_fresh(Load::steady(600, 200), NEAR, 0.1, Down);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn bursts_from_near() {
    assert_met(shortfalls(bursts()));
}

/// The bursts again and again, each run with other losses.
#[test]
#[ignore = "with NET_REAL=bursts, about 15 minutes"]
fn table_of_bursts() {
    if !asked_for("bursts") {
        return;
    }
    let events = BROWSERS.map(|kind| events(kind, Cell { time: TIME, ..bursts() }));
    println!("{BURSTS_HEAD}");
    let runs = (1..=BURST_RUNS).flat_map(|seed| {
        let cell = Cell { seed, time: TIME, ..bursts() };
        BROWSERS.map(|kind| burst_run(kind, cell, events[kind as usize]))
    });
    let missed: Vec<String> = runs.flatten().collect();
    println!("{} of {} runs missed a target", missed.len(), 2 * BURST_RUNS);
    assert_met(missed);
}

/// What the others would look like without a data plane of our own.
#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn plain_sctp_stalls() {
    let cell = Cell::new(LARGE, FAR, 0.05, Down).by(Plane::Stock);
    for report in in_both_browsers(cell, measure) {
        assert!(report.median > FAR + 10 * MEDIAN_OVER, "{report}");
        assert!(misses(&report, cell, EVENT).len() >= 2, "{report}");
    }
}

#[test]
#[ignore = "with NET_REAL=grid, about 40 minutes"]
fn table_of_the_grid() {
    if asked_for("grid") {
        assert_met(grid().into_iter().flat_map(shortfalls));
    }
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn twice_what_the_link_carries() {
    println!("{OVERLOAD_HEAD}");
    let plan = overload(2, Down, TIME);
    assert_met(overloaded(Kind::Chromium, &plan));
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn two_flows_share_a_bottleneck() {
    assert_met(two_flows(TIME));
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn a_flow_and_a_download_share_a_bottleneck() {
    println!("{BESIDE_HEAD}");
    assert_met(beside_a_download(Kind::Chromium, TIME));
}

#[test]
#[ignore = "with NET_REAL=rate, about 10 minutes"]
fn table_of_rates() {
    if !asked_for("rate") {
        return;
    }
    println!("{OVERLOAD_HEAD}");
    let mut missed = Vec::new();
    let [twice, tenfold] = [2, 10].map(|factor| overload(factor, Down, LONG));
    for plan in [twice, tenfold] {
        missed.extend(in_both(move |kind| overloaded(kind, &plan)));
    }
    let simple = Plan { congestion: Congestion::LossBased, ..twice };
    let [stock, stock_up] =
        [Down, Up].map(|way| Plan { plane: Plane::Stock, ..overload(2, way, LONG) });
    // To compare with; they miss. What comes up, the browser's own SCTP sends.
    for plan in [simple, stock, overload(2, Up, LONG), stock_up] {
        both(move |kind| overloaded(kind, &plan));
    }
    missed.extend(two_flows(LONG));
    println!("{LIFTED_HEAD}");
    missed.extend(in_both(lifted));
    println!("{BESIDE_HEAD}");
    missed.extend(in_both(|kind| beside_a_download(kind, LONG)));
    assert_met(missed);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn what_is_lost_is_repaired() {
    println!("{REPAIR_HEAD}");
    assert_met(in_both(|kind| repaired(kind, Loss::Random(0.05), Repair::On, TIME)));
}

/// The path drops longer packets and says nothing, from the first check on.
#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn packets_that_are_too_long_vanish() {
    println!("{REPAIR_HEAD}");
    let loads = [Load::steady(60, 516), Load::bursts(4, 20, 250)];
    for (max_packet, load) in [800, 1_124].into_iter().zip(loads) {
        assert_met(in_both(move |kind| limited(kind, max_packet, load)));
    }
}

fn limited(kind: Kind, max_packet: usize, load: Load) -> Option<String> {
    let max_packet = Some(max_packet);
    let conditions = Conditions { delay: NEAR, max_packet, ..Conditions::default() };
    let plan = Plan { repair: Repair::On, ..through(conditions, load, Down, TIME / 2) };
    let (flow, report) = run_one(kind, &plan, Duration::ZERO);
    let log = &flow.logs()[0];
    let long = log.dropped.iter().filter(|dropped| dropped.cause == Cause::Length).count();
    let row =
        format!("| {load}, {max_packet:?} | {long} too long | {kind:?} | {} |", latencies(&report));
    verdict(&row, &[(report.delivered_share() < LEAST_LONG, "delivered"), (long > 20, "too long")])
}

#[test]
#[ignore = "with NET_REAL=repair, about 10 minutes"]
fn table_of_repair() {
    if !asked_for("repair") {
        return;
    }
    println!("{REPAIR_HEAD}");
    let losses = [0.01, 0.05, 0.1, 0.2].map(Loss::Random);
    let mut missed = Vec::new();
    for loss in losses.into_iter().chain([Loss::Runs { share: 0.05, mean: 3.0 }]) {
        for repair in [Repair::Off, Repair::WhileLossy, Repair::On] {
            missed.extend(in_both(move |kind| repaired(kind, loss, repair, HALF)));
        }
    }
    assert_met(missed);
}

/// Both browsers side by side: what they missed.
fn in_both(
    run: impl Fn(Kind) -> Option<String> + Copy + Send + 'static,
) -> impl Iterator<Item = String> {
    both(run).into_iter().flatten()
}

#[track_caller]
fn assert_fresh(load: Load, delay: Duration, loss: f64, direction: Direction) {
    assert_met(shortfalls(Cell::new(load, delay, loss, direction)));
}

/// Both browsers in this cell: the targets that were missed, each with the whole report.
fn shortfalls(cell: Cell) -> Vec<String> {
    let run = |kind, cell| words(kind, cell, &measure(kind, cell), events(kind, cell));
    in_both_browsers(cell, run).into_iter().flatten().collect()
}

/// Side by side; but bursts, which take a whole processor each, one after the other.
fn in_both_browsers<T: Send + 'static>(cell: Cell, run: fn(Kind, Cell) -> T) -> [T; 2] {
    match cell.load.burst {
        1 => both(move |kind| run(kind, cell)),
        _ => BROWSERS.map(|kind| run(kind, cell)),
    }
}

/// The targets that a run missed, if it missed any.
fn words(kind: Kind, cell: Cell, report: &Report, events: Duration) -> Option<String> {
    let missed = misses(report, cell, events).join(", ");
    (!missed.is_empty()).then(|| format!("{kind:?}, {cell}: {missed}: {report}"))
}

/// One run; says if the machine stood still in it.
fn measure(kind: Kind, cell: Cell) -> Report {
    let cell = Cell { time: TIME, ..cell };
    let (mut flow, report) = run_one(kind, &Plan::from(cell), cell.warm_up);
    let kept = report.kept_share() * 100.0;
    let stalled: Duration = flow.take_stalls().iter().sum();
    println!(
        "{kind:?}, {:?}, {cell}: {report}, {kept:.2} % of what passed; \
         the machine stood still for {stalled:?}",
        cell.server
    );
    report
}

/// What the events of a burst cost the page on this machine: the median's part beyond the delay,
/// in a run of the same load without loss.
fn events(kind: Kind, cell: Cell) -> Duration {
    if cell.load.burst == 1 {
        return EVENT;
    }
    let conditions = Conditions { loss: Loss::Random(0.0), ..cell.conditions };
    let cell = Cell { conditions, time: TIME, ..cell };
    let (_, report) = run_one(kind, &Plan::from(cell), cell.warm_up);
    let events = report.median.saturating_sub(conditions.delay);
    println!("{kind:?}, {cell}, without loss: {report}");
    assert!(events <= MAX_EVENTS, "without loss: {report}");
    events
}

fn misses(report: &Report, cell: Cell, events: Duration) -> Vec<&'static str> {
    let least = cell.conditions.delay;
    let checks = [
        (report.median < least, "median under what the link takes: the clocks differ"),
        (report.median > least + events + MEDIAN_OVER, "median"),
        (report.prompt_p99 > least + events + P99_OVER, "p99"),
        (report.unexplained > LONGEST_SILENCE, "silence"),
        (report.kept_share() < LEAST_KEPT, "delivered"),
        (report.duplicates > 0, "duplicates"),
    ];
    checks.into_iter().filter_map(|(missed, words)| missed.then_some(words)).collect()
}

fn bursts() -> Cell {
    Cell::new(Load::bursts(100, 10, 200), NEAR, 0.05, Down)
}

const BURST_RUNS: u64 = 20;
const BURSTS_HEAD: &str = "\
| run | client | arrived of what passed, of all | median / p99 / max | p99 but for repairs | silence \
| the machine stood still | targets |
|---|---|---|---|---|---|---|---|";

fn burst_run(kind: Kind, cell: Cell, events: Duration) -> Option<String> {
    let (mut flow, report) = run_one(kind, &Plan::from(cell), cell.warm_up);
    let stalls = flow.take_stalls();
    let stalled: Duration = stalls.iter().sum();
    let longest = stalls.into_iter().max().unwrap_or_default();
    let row = format!(
        "| {} | {kind:?} | {:.2} %, {} | {:.1?} | {:.1?} | {stalled:?}, {longest:?} at once |",
        cell.seed,
        report.kept_share() * 100.0,
        latencies(&report),
        report.prompt_p99,
        report.unexplained,
    );
    let missed: Vec<_> =
        misses(&report, cell, events).into_iter().map(|words| (true, words)).collect();
    verdict(&row, &missed)
}

/// A run to its end, and what its one client found after the warm-up.
fn run_one(kind: Kind, plan: &Plan, warm_up: Duration) -> (Flow, Report) {
    let flow = run(plan, &[Client::Browser(kind)]);
    let report = Report::of(&flow.logs()[0].part(warm_up, plan.time));
    (flow, report)
}

fn run(plan: &Plan, clients: &[Client]) -> Flow {
    let mut flow = Flow::start(&programs(), plan, clients).unwrap();
    while flow.step().unwrap() {}
    flow
}

fn programs() -> Programs {
    Programs {
        link: env!("CARGO_BIN_EXE_lossy-link").into(),
        server: env!("CARGO_BIN_EXE_flow-server").into(),
    }
}

/// So many Mbit/s with 100 ms of queue.
fn bottleneck(megabits: u64) -> Conditions {
    let bytes_per_second = megabits * 125_000;
    let rate = Rate { bytes_per_second, queue_bytes: bytes_per_second as usize / 10 };
    Conditions { delay: NEAR, rate: Some(rate), ..Conditions::default() }
}

fn through(conditions: Conditions, load: Load, way: Direction, time: Duration) -> Plan {
    let cell = Cell::new(load, conditions.delay, 0.0, way);
    Plan::from(Cell { conditions, time, ..cell })
}

const OVERLOAD_HEAD: &str = "\
| sent through 1 Mbit/s | way | client | plane | arrived | median / p99 / max | link used | targets |
|---|---|---|---|---|---|---|---|";

/// So many times what 1 Mbit/s carries.
fn overload(factor: u32, way: Direction, time: Duration) -> Plan {
    through(bottleneck(1), Load::steady(125 * factor, 1_000), way, time)
}

fn overloaded(kind: Kind, plan: &Plan) -> Option<String> {
    let (flow, report) = run_one(kind, plan, FIND);
    let way = if plan.up.is_some() { Up } else { Down };
    let used = flow.usage(way, FIND, plan.time).udp / 125_000.0;
    let checks = [
        (report.p99 > NEAR + OVERLOAD_P99_OVER, "p99"),
        (used < LEAST_USED, "link used"),
        (report.duplicates > 0, "duplicates"),
    ];
    let load = plan.down.or(plan.up).unwrap();
    let plane = match plan.plane {
        Plane::Ours => format!("{:?}", plan.congestion),
        Plane::Stock => "plain SCTP".to_owned(),
    };
    let row = format!(
        "| {load} | {} | {kind:?} | {plane} | {} | {:.0} % |",
        way.name(),
        latencies(&report),
        used * 100.0
    );
    verdict(&row, &checks)
}

/// Two browsers on one server, each with twice what the link carries.
fn two_flows(time: Duration) -> Option<String> {
    let plan = overload(2, Down, time);
    let flow = run(&plan, &BROWSERS.map(Client::Browser));
    let used = flow.usage(Down, FIND, time).udp / 125_000.0;
    let logs = flow.logs();
    let reports = [0, 1].map(|client| Report::of(&logs[client].part(FIND, time)));
    println!("| two flows through 1 Mbit/s | kbit/s | arrived | median / p99 / max | link used |");
    println!("|---|---|---|---|---|");
    let seconds = (time - FIND).as_secs_f64();
    for (kind, report) in BROWSERS.iter().zip(&reports) {
        let rate = report.delivered as f64 * 8.0 / seconds;
        println!("| {kind:?} | {rate:.0} | {} | {:.0} % |", latencies(report), used * 100.0);
    }
    let [one, other] = reports.map(|report| report.delivered.max(1) as f64);
    let unfair = (one / other).max(other / one);
    (unfair > MOST_UNFAIR).then(|| format!("one flow got {unfair:.1} times the other's share"))
}

const LIFTED_HEAD: &str = "\
| after the limit is gone | arrived | median / p99 / max | targets |
|---|---|---|---|";

/// The bottleneck goes away in the middle of the run.
fn lifted(kind: Kind) -> Option<String> {
    let plan = overload(2, Down, TIME);
    let mut flow = Flow::start(&programs(), &plan, &[Client::Browser(kind)]).unwrap();
    let mut at = None;
    while flow.step().unwrap() {
        if at.is_none() && flow.sent_time() > TIME / 2 {
            at = Some(flow.limit(0).unwrap() + CLIMB);
        }
    }
    let from = at.expect("the run is longer");
    let report = Report::of(&flow.logs()[0].part(from, plan.time));
    let row =
        format!("| {}, {kind:?}, after {CLIMB:?} | {} |", plan.down.unwrap(), latencies(&report));
    verdict(&row, &[(report.delivered_share() < LEAST_USED, "delivered")])
}

const BESIDE_HEAD: &str = "\
| beside a download through 2 Mbit/s | arrived | median / p99 / max | download's share | targets |
|---|---|---|---|---|";

fn beside_a_download(kind: Kind, time: Duration) -> Option<String> {
    let plan = Plan { download: true, ..through(bottleneck(2), SMALL, Down, time) };
    let (flow, report) = run_one(kind, &plan, FIND);
    let socket = flow.download_socket().unwrap();
    assert!(socket.contains("cubic"), "the kernel says {socket:?}");
    let share = flow.downloaded(FIND, time) / 250_000.0;
    let checks = [
        (report.delivered_share() < LEAST_BESIDE, "delivered"),
        (share < LEAST_DOWNLOAD, "download"),
        (report.duplicates > 0, "duplicates"),
    ];
    let row = format!("| {SMALL}, {kind:?} | {} | {:.0} % |", latencies(&report), share * 100.0);
    verdict(&row, &checks)
}

const REPAIR_HEAD: &str = "\
| repair | loss | client | arrived | median / p99 / max | duplicates | a message: datagrams, bytes \
| targets |
|---|---|---|---|---|---|---|---|";

fn repaired(kind: Kind, loss: Loss, repair: Repair, time: Duration) -> Option<String> {
    let conditions = Conditions { delay: NEAR, loss, ..Conditions::default() };
    let plan = Plan { repair, ..through(conditions, SMALL, Down, time) };
    let (_, report) = run_one(kind, &plan, Duration::ZERO);
    let tick = Duration::from_secs(1) / SMALL.bursts_per_second;
    let (least, ticks, name) = match (repair, loss) {
        (Repair::Off, loss) => (0.0, 0, loss_name(loss)),
        (_, Loss::Random(share)) => (least_repaired(share), 2, loss_name(loss)),
        (_, Loss::Runs { .. }) => (0.99, 4, loss_name(loss)),
    };
    let checks = [
        (report.delivered_share() < least, "delivered"),
        (report.median > NEAR + MEDIAN_OVER, "median"),
        (report.p99 > NEAR + tick * ticks + P99_OVER, "p99"),
        (report.duplicates > 0, "duplicates"),
    ];
    let row = format!(
        "| {repair:?} | {name} | {kind:?} | {} | {} | {:.2}, {:.0} |",
        latencies(&report),
        report.duplicates,
        report.forth.datagrams,
        report.forth.bytes
    );
    verdict(&row, &checks)
}

/// What must arrive at this share of random loss, with repair.
fn least_repaired(loss: f64) -> f64 {
    match loss {
        ..=0.05 => 0.995,
        ..=0.1 => 0.985,
        _ => 1.0 - loss,
    }
}

fn loss_name(loss: Loss) -> String {
    match loss {
        Loss::Random(share) => format!("{:.0} %", share * 100.0),
        Loss::Runs { share, mean } => format!("{:.0} % in runs of {mean}", share * 100.0),
    }
}

/// What arrived and how long it took, as two columns.
fn latencies(report: &Report) -> String {
    let share = report.delivered_share() * 100.0;
    let [median, p99, max] =
        [report.median, report.p99, report.max].map(|time| time.as_secs_f64() * 1e3);
    format!("{share:.2} % | {median:.1} / {p99:.1} / {max:.1} ms")
}

/// Prints the row with the targets that were missed; the same if there are any.
fn verdict(row: &str, checks: &[(bool, &str)]) -> Option<String> {
    let missed: Vec<&str> = checks.iter().filter(|check| check.0).map(|check| check.1).collect();
    match missed.is_empty() {
        true => println!("{row} met |"),
        false => println!("{row} **missed**: {} |", missed.join(", ")),
    }
    (!missed.is_empty()).then(|| format!("{row} missed: {}", missed.join(", ")))
}
