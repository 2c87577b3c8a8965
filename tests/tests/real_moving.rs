//! A client whose address changes, and a link that is cut for a while: real browsers, real
//! kernels, a real server, messages both ways 60 times a second.
//!
//! The tables are left out unless asked for, `NET_REAL` being `moving` or `outages` (10 minutes
//! each); `NET_POLICY` is when the page sends, see `pages/policies.js`:
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
use net_tests::link::Direction::{self, Down, Up};
use net_tests::real::{Client, Cut, Flow, Plan, Programs, Record, Step, both, until_met};

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
/// The same to the server, after an outage.
const UPLINK: Duration = Duration::from_secs(3);

const HEAD: &str = "\
| what | page | sends | to the page again | to the server again | delivered after 3 s, down / up |
|---|---|---|---|---|---|";

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn an_address_that_changes() {
    println!("{HEAD}");
    let plan = plan(26, Some("net"));
    let missed = both(move |kind| {
        let steps = script(&[Step::Map(OWN), Step::Map(OTHER)], Duration::from_secs(10));
        until_met(|| moved(kind, &plan, &steps))
    });
    assert_none(missed);
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn a_short_outage() {
    println!("{HEAD}");
    let plan = plan(24, Some("net"));
    let missed = both(move |kind| {
        let steps = outages(Cut::Datagrams, &[1, 3], 6);
        until_met(|| interrupted(kind, &plan, &steps))
    });
    assert_none(missed);
}

#[test]
#[ignore = "with NET_REAL=moving, about 5 minutes"]
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
    assert_none(missed.into_iter().map(Some));
}

#[test]
#[ignore = "with NET_REAL=outages, about 10 minutes"]
fn table_of_outages() {
    if !asked_for("outages") {
        return;
    }
    println!("{HEAD}");
    let asked = env::var("NET_POLICY").unwrap_or_else(|_| "net".to_owned());
    let mut missed = Vec::new();
    for policy in asked.split(',') {
        let policy: &'static str = policy.to_owned().leak();
        let cuts = [Cut::Datagrams, Cut::Everything];
        for cut in &cuts[..if policy == "net" { 2 } else { 1 }] {
            let cut = *cut;
            let plan = plan(56, Some(policy));
            let run = move |kind| interrupted(kind, &plan, &outages(cut, &[1, 3, 9], 12));
            missed.extend(both(run).into_iter().flatten());
        }
    }
    assert_none(missed.into_iter().map(Some));
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
    verdicts(rows, |row| [(row.down, 2 * DELAY + TICK + SLACK), (row.up, UPLINK)])
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

/// Does this to the link while messages are sent, and gives what came of each change.
fn play(kind: Kind, plan: &Plan, steps: &[Step]) -> Vec<Row> {
    let programs = Programs {
        link: env!("CARGO_BIN_EXE_lossy-link").into(),
        server: env!("CARGO_BIN_EXE_flow-server").into(),
    };
    let mut flow = Flow::start(&programs, plan, &[Client::Browser(kind)]).unwrap();
    flow.play(steps).unwrap();
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

fn row(flow: &Flow, kind: Kind, plan: &Plan, what: &str, at: u64) -> Row {
    let record = |way: Direction| flow.records().find(|record| record.direction() == way);
    let [down, up] = [Down, Up].map(|way| record(way).map(|record| record.resumed(at)));
    let later = |record: &Record| record.delivered(at + 3_000_000, at + 5_000_000) * 100.0;
    let after =
        [Down, Up].map(|way| record(way).map_or("-".into(), |r| format!("{:.0} %", later(r))));
    let ms = |took: Option<Option<Duration>>| match took {
        None => "-".to_owned(),
        Some(None) => "never".to_owned(),
        Some(Some(took)) => format!("{:.0} ms", took.as_secs_f64() * 1e3),
    };
    let sends = plan.policy.unwrap_or("nothing");
    let words = format!(
        "| {what} | {kind:?} | {sends} | {} | {} | {} |",
        ms(down),
        ms(up),
        after.join(" / ")
    );
    Row { words, down, up }
}

fn asked_for(table: &str) -> bool {
    let asked = env::var("NET_REAL").as_deref() == Ok(table);
    if !asked {
        println!("left out: NET_REAL={table} runs it");
    }
    asked
}

#[track_caller]
fn assert_none(missed: impl IntoIterator<Item = Option<String>>) {
    let missed: Vec<String> = missed.into_iter().flatten().collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
