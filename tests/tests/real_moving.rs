//! A client whose address changes, and a link that is cut for a while: real browsers, real
//! kernels, a real server, messages both ways 60 times a second.
//!
//! The tables are left out unless asked for, `NET_REAL` being `moving` or `outages` (4 minutes
//! each), or `trace` (packet by packet, 1 minute); `NET_POLICY` is when the page sends, several
//! with commas, see `pages/policies.js`:
//!
//! ```text
//! NET_REAL=outages tests/lib/private-network cargo test --offline --workspace \
//!     --test real_moving table_of -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::env;
use std::net::Ipv4Addr;
use std::time::Duration;

use net_tests::browser::Kind;
use net_tests::lab::{Cell, Load};
use net_tests::link::Conditions;
use net_tests::link::Direction::{self, Down, Up};
use net_tests::real::{
    Client, Cut, Flow, Plan, Programs, Record, Step, asked_for, assert_met, both,
};

/// One way.
const DELAY: Duration = Duration::from_millis(20);
const LOAD: Load = Load::steady(60, 200);
const TICK: Duration = Duration::from_micros(16_667);
/// A browser's event loop, and the scheduler of a busy machine.
const SLACK: Duration = Duration::from_millis(30);
/// Before the first thing happens.
const QUIET: Duration = Duration::from_secs(4);

/// The client's own address, as `tests/lib/private-network` makes it, and another.
const OWN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// Most until messages arrive again, either way, after the address changed.
const MOVED: Duration = Duration::from_secs(2);
/// The same to the server, after an outage; a browser's SCTP alone may wait 3 s.
const UPLINK: Duration = Duration::from_millis(600);
/// Where a large message takes a round trip or two of the browser's slow start.
const FAR_UPLINK: Duration = Duration::from_secs(3);

const HEAD: &str = "\
| what | one way | page | sends | to the page again | to the server again | delivered after 3 s, down / up |
|---|---|---|---|---|---|---|";

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn an_address_that_changes() {
    println!("{HEAD}");
    assert_follows(plan(26, Some("net")));
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn an_address_that_changes_while_the_page_listens() {
    println!("{HEAD}");
    assert_follows(plan(26, None));
}

/// Another port and then another address, each time soon.
fn assert_follows(plan: Plan) {
    let missed = both(move |kind| {
        let steps = script(&[Step::Map(OWN), Step::Map(OTHER)], Duration::from_secs(10));
        moved(kind, &plan, &steps)
    });
    assert_met(missed.into_iter().flatten());
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn a_short_outage() {
    println!("{HEAD}");
    let plan = plan(24, Some("net"));
    let missed = both(move |kind| {
        let steps = outages(Cut::Datagrams, &[1, 3], 6);
        interrupted(kind, &plan, &steps)
    });
    assert_met(missed.into_iter().flatten());
}

#[test]
#[ignore = "with NET_REAL=moving, about 4 minutes"]
fn table_of_moves() {
    if !asked_for("moving") {
        return;
    }
    println!("{HEAD}");
    let [own, other] = [OWN, OTHER].map(Step::Map);
    let mut missed = Vec::new();
    for policy in [Some("net"), None] {
        let plan = plan(108, policy);
        let run = move |kind| {
            let steps = script(&[own, other, own, other], Duration::from_secs(25));
            moved(kind, &plan, &steps)
        };
        missed.extend(both(run).into_iter().flatten());
    }
    assert_met(missed);
}

#[test]
#[ignore = "with NET_REAL=outages, about 4 minutes"]
fn table_of_outages() {
    if !asked_for("outages") {
        return;
    }
    println!("{HEAD}");
    let asked = env::var("NET_POLICY").unwrap_or_else(|_| "net".to_owned());
    let mut missed = Vec::new();
    for policy in asked.split(',') {
        let policy: &'static str = policy.to_owned().leak();
        let near = plan(74, Some(policy));
        let mut runs = vec![(near, Cut::Datagrams)];
        if policy == "net" {
            runs.extend([(near, Cut::Everything), (far(near), Cut::Datagrams)]);
        }
        for (plan, cut) in runs {
            let run = move |kind| interrupted(kind, &plan, &outages(cut, &[1, 2, 3, 5, 7, 9], 7));
            missed.extend(both(run).into_iter().flatten());
        }
    }
    assert_met(missed);
}

/// The same over a long way, with large messages.
fn far(plan: Plan) -> Plan {
    let load = Load::steady(60, 1_000);
    let conditions = Conditions { delay: Duration::from_millis(100), ..plan.conditions };
    Plan { down: Some(load), up: plan.up.map(|_| load), conditions, ..plan }
}

/// Messages down, and up if there is a policy to send by.
fn plan(seconds: u64, policy: Option<&'static str>) -> Plan {
    let cell = Cell::new(LOAD, DELAY, 0.0, Down);
    let up = policy.map(|_| LOAD);
    Plan { up, policy, time: Duration::from_secs(seconds), ..Plan::from(cell) }
}

fn script(steps: &[Step], pause: Duration) -> Vec<Step> {
    let each = steps.iter().flat_map(|step| [*step, Step::Wait(pause)]);
    [Step::Wait(QUIET)].into_iter().chain(each).collect()
}

/// Outages of so many seconds, with so many between them.
fn outages(cut: Cut, seconds: &[u64], pause: u64) -> Vec<Step> {
    let pause = Step::Wait(Duration::from_secs(pause));
    let one = |seconds| {
        let lasts = Step::Wait(Duration::from_secs(seconds));
        [Step::Cut(cut), lasts, Step::Cut(Cut::Nothing), pause]
    };
    [Step::Wait(QUIET)].into_iter().chain(seconds.iter().copied().flat_map(one)).collect()
}

fn moved(kind: Kind, plan: &Plan, steps: &[Step]) -> Option<String> {
    let rows = play(kind, plan, steps);
    verdicts(rows, |row| [(row.down, MOVED), (row.up, MOVED)])
}

fn interrupted(kind: Kind, plan: &Plan, steps: &[Step]) -> Option<String> {
    let rows = play(kind, plan, steps);
    let delay = plan.conditions.delay;
    let uplink = if delay > DELAY { FAR_UPLINK } else { UPLINK };
    verdicts(rows, |row| [(row.down, 2 * delay + TICK + SLACK), (row.up, uplink)])
}

/// What came of one change of the link.
struct Row {
    words: String,
    /// From the change to the first message that was sent since; `None` without messages.
    down: Option<Option<Duration>>,
    up: Option<Option<Duration>>,
}

/// Prints the rows; which of them took longer than these most.
fn verdicts(
    rows: Vec<Row>,
    most: impl Fn(&Row) -> [(Option<Option<Duration>>, Duration); 2],
) -> Option<String> {
    let late = |(took, most): &(Option<Option<Duration>>, Duration)| {
        took.is_some_and(|took| took.is_none_or(|took| took > *most))
    };
    let mut missed = Vec::new();
    for row in rows {
        if most(&row).iter().any(late) {
            println!("{} **missed** |", row.words);
            missed.push(row.words);
        } else {
            println!("{} met |", row.words);
        }
    }
    (!missed.is_empty()).then(|| missed.join("\n"))
}

/// What goes over the link around a cut of 9 s, packet by packet.
#[test]
#[ignore = "with NET_REAL=trace, about 1 minute"]
fn trace_of_an_outage() {
    if !asked_for("trace") {
        return;
    }
    let policy: &'static str = env::var("NET_POLICY").unwrap_or_else(|_| "net".into()).leak();
    let plan = plan(20, Some(policy));
    both(move |kind| {
        let record = [Step::Record(64)];
        let mut flow =
            start(kind, &plan, &[&record, &outages(Cut::Datagrams, &[9], 3)[..]].concat());
        while flow.step().unwrap() {}
        let cut = flow.done().iter().find(|done| done.words.starts_with("cut")).unwrap().at;
        for packet in flow.packets().iter().filter(|packet| packet.at + 100_000 > cut) {
            let at = packet.at as f64 - cut as f64;
            if at < 13e6 {
                println!("{kind:?} {policy} {:8.1} ms {packet}", at / 1e3);
            }
        }
    });
}

/// Does this to the link while messages are sent, and gives what came of each change.
fn play(kind: Kind, plan: &Plan, steps: &[Step]) -> Vec<Row> {
    let mut flow = start(kind, plan, steps);
    while flow.step().unwrap() {}
    let (mut began, mut cut) = (0, String::new());
    let mut rows = Vec::new();
    for done in flow.done() {
        match done.words.split_once(' ') {
            Some(("cut", "nothing")) => {
                let lasted = (done.at - began) as f64 / 1e6;
                let what = format!("{lasted:.1} s without {cut}");
                rows.push(row(&flow, kind, plan, &what, done.at));
            }
            Some(("cut", what)) => (began, cut) = (done.at, what.to_owned()),
            Some(("map", _)) => rows.push(row(&flow, kind, plan, &done.words, done.at)),
            _ => {}
        }
    }
    rows
}

fn start(kind: Kind, plan: &Plan, steps: &[Step]) -> Flow {
    let programs = Programs {
        link: env!("CARGO_BIN_EXE_lossy-link").into(),
        server: env!("CARGO_BIN_EXE_flow-server").into(),
    };
    let mut flow = Flow::start(&programs, plan, &[Client::Browser(kind)]).unwrap();
    flow.play(steps).unwrap();
    flow
}

fn row(flow: &Flow, kind: Kind, plan: &Plan, what: &str, at: u64) -> Row {
    let record = |way: Direction| flow.records().find(|record| record.direction() == way);
    let [down, up] = [Down, Up].map(|way| record(way).map(|record| record.resumed(at)));
    let later = |record: &Record| record.delivered(at + 3_000_000, at + 5_000_000) * 100.0;
    let after =
        [Down, Up].map(|way| record(way).map_or("-".into(), |r| format!("{:.0} %", later(r))));
    let delay = plan.conditions.delay;
    let ms = |took: Option<Option<Duration>>| match took {
        None => "-".to_owned(),
        Some(None) => "never".to_owned(),
        Some(Some(took)) => format!("{:.0} ms", took.as_secs_f64() * 1e3),
    };
    let sends = match (plan.up, plan.policy) {
        (Some(load), policy) => format!("{load}, {}", policy.unwrap_or("net")),
        (None, _) => "nothing".to_owned(),
    };
    let words = format!(
        "| {what} | {delay:?} | {kind:?} | {sends} | {} | {} | {} |",
        ms(down),
        ms(up),
        after.join(" / ")
    );
    Row { words, down, up }
}
