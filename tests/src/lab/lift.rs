//! A limit that goes away, or comes.

use std::time::Duration;

use super::report::{Ms, rank};
use super::scene::rate;
use super::trial::misses;
use super::{Flight, Load, Outcome, Row, Rule, Scene, Table, Trial};

const NARROW: u64 = 1_000_000;
const WIDE: u64 = 10_000_000;
const QUEUE: Duration = Duration::from_millis(100);
/// When the path changes, and how long a row goes on after that.
const CHANGE: Duration = Duration::from_secs(15);
const AFTER: Duration = Duration::from_secs(15);
/// In which arrivals are counted, and how far one is moved to find the first that is good.
const WINDOW: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(20);
/// How long after it things must be good as well.
const LASTING: Duration = Duration::from_secs(2);

/// The target: so much of what is offered arrives, so soon.
const LEAST_DELIVERED: f64 = 0.8;
const LONGEST: Duration = Duration::from_secs(3);
/// The same for a limit that comes: 95 % of the messages take no longer than this.
const P95_OVER: Duration = Duration::from_millis(80);

/// Twice what the path carries, until its limit is lifted.
pub fn lifted(load: Load, rule: Rule) -> Scene {
    changing(load, rule, [NARROW, WIDE])
}

/// A path that carries everything, until a limit comes.
pub fn appearing(load: Load, rule: Rule) -> Scene {
    changing(load, rule, [WIDE, NARROW])
}

fn changing(load: Load, rule: Rule, links: [u64; 2]) -> Scene {
    let limits = [Duration::ZERO, CHANGE].into_iter().zip(links.map(|link| rate(link, QUEUE)));
    Scene { rule, limits: limits.collect(), time: CHANGE + AFTER, ..Scene::new(load).alive() }
}

/// From the change until 80 % of what is offered arrives, and goes on arriving.
pub fn recovery(outcome: &Outcome) -> Option<Duration> {
    let offered =
        |time: Duration| outcome.sent_in(0, CHANGE..CHANGE + time).len() as f64 * LEAST_DELIVERED;
    let arrived = |from, until| outcome.arrived_in(0, from..until) as f64;
    first(|end| {
        arrived(end - WINDOW, end) >= offered(WINDOW)
            && arrived(end, end + LASTING) >= offered(LASTING)
    })
}

/// The targets that were missed when a limit was lifted.
pub fn lift_misses(outcome: &Outcome) -> Vec<String> {
    let time = recovery(outcome);
    let late = time.is_none_or(|time| time > LONGEST);
    let mut missed = outcome.faults();
    missed.extend(misses([(late, format!("80 % after {}", words(time)))]));
    missed
}

/// From the change until latency is good again, and stays so.
fn calm(outcome: &Outcome) -> Option<Duration> {
    let longest = outcome.scene.flows[0].delay + P95_OVER;
    let good = |from, until| {
        let flights = outcome.sent_in(0, from..until);
        let mut latencies: Vec<_> = flights.iter().filter_map(Flight::latency).collect();
        latencies.sort_unstable();
        !latencies.is_empty() && rank(&latencies, 0.95) <= longest
    };
    first(|end| good(end - WINDOW, end) && good(end, end + LASTING))
}

/// The end of the first window after the change that is good.
fn first(good: impl Fn(Duration) -> bool) -> Option<Duration> {
    let last = (AFTER - LASTING).as_millis() / STEP.as_millis();
    let times = (0..last as u32).map(|step| WINDOW + STEP * step);
    times.into_iter().find(|time| good(CHANGE + *time))
}

/// Both changes, by each rule.
pub fn lift(seed: u64) -> Table {
    let mut trials = Vec::new();
    for load in [Load::steady(250, 1_000), Load::steady(1_250, 200), Load::bursts(5, 50, 1_000)] {
        for rule in Rule::ALL {
            let scene = Scene { seed, ..lifted(load, rule) };
            let work = move |watch: &mut dyn FnMut(&_)| lift_row(&scene.clone().play(watch));
            trials.push(Trial::new(format!("{load}, lifted, {rule}"), work));
            let scene = Scene { seed, ..appearing(load, rule) };
            let work = move |watch: &mut dyn FnMut(&_)| appear_row(&scene.clone().play(watch));
            trials.push(Trial::new(format!("{load}, appearing, {rule}"), work));
        }
    }
    Table {
        title: "A limit that goes, or comes",
        about: format!(
            "1 Mbit/s becomes 10 Mbit/s after 15 s, or the other way round; each with 100 ms of \
             queue, 20 ms one way. Good again: 80 % of what is offered arrives (lifted), or 95 % \
             of it at most 80 ms over the delay (appears), over 200 ms and the 2 s after. Target: \
             3 s after a limit is lifted. What arrived, and its latency, of the 15 s after the \
             change; seed {seed}.",
        ),
        head: "load | by | limit | good again after | arrived | median / p99 / max",
        trials,
    }
}

fn lift_row(outcome: &Outcome) -> Row {
    let time = recovery(outcome);
    let judged = outcome.scene.rule == Rule::Adaptive;
    row(outcome, "lifted", time, judged.then(|| lift_misses(outcome)))
}

fn appear_row(outcome: &Outcome) -> Row {
    row(outcome, "appears", calm(outcome), None)
}

fn row(outcome: &Outcome, limit: &str, time: Option<Duration>, misses: Option<Vec<String>>) -> Row {
    let scene = &outcome.scene;
    let summary = outcome.summary(0, CHANGE..scene.time);
    let cells =
        format!("{} | {} | {limit} | {} | {summary}", scene.flows[0].load, scene.rule, words(time));
    Row { cells, misses }
}

fn words(time: Option<Duration>) -> String {
    time.map_or("never".to_owned(), |time| Ms(time).to_string())
}
