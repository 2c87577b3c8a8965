//! More than the path carries.

use std::ops::Range;
use std::time::Duration;

use super::report::Ms;
use super::trial::misses;
use super::{Load, Outcome, Row, Rule, Scene, Table, Trial};
use crate::link::Direction;

/// What the path carries: 1 Mbit/s with 100 ms of queue.
const LINK: u64 = 1_000_000;
const QUEUE: Duration = Duration::from_millis(100);
/// What does not count.
const WARM_UP: Duration = Duration::from_secs(5);

/// The targets.
const P99_OVER: Duration = Duration::from_millis(80);
const LEAST_USED: f64 = 0.8;

/// So many times what a path carries, of messages of that many bytes.
pub fn overloaded(times: u32, bytes: usize, rule: Rule) -> Scene {
    let per_second = times * (LINK / 8) as u32 / bytes as u32;
    Scene { rule, ..Scene::new(Load::steady(per_second, bytes)).through(LINK, QUEUE).alive() }
}

/// The targets that were missed.
pub fn overload_misses(outcome: &Outcome) -> Vec<String> {
    let time = counted(outcome);
    let p99 = outcome.summary(0, time.clone()).p99;
    let used = outcome.used(time);
    let mut missed = outcome.faults();
    missed.extend(misses([
        (p99 > outcome.scene.flows[0].delay + P99_OVER, format!("p99 {}", Ms(p99))),
        (used < LEAST_USED, format!("{:.1} % of the link", used * 100.0)),
    ]));
    missed
}

/// Twice and ten times what a link carries, by every rule; the targets are those of the
/// default.
pub fn overload(seed: u64, time: Duration) -> Table {
    let mut trials = Vec::new();
    for (times, bytes) in [(2, 1_000), (10, 1_000), (2, 200), (10, 200)] {
        for rule in Rule::ALL {
            let scene = Scene { seed, time, ..overloaded(times, bytes, rule) };
            trials.push(trial(format!("{times} x, {bytes} B, {rule}"), scene));
        }
        if (times, bytes) == (10, 200) {
            // So many at once take the client's own SCTP minutes to count.
            continue;
        }
        let scene = overloaded(times, bytes, Rule::Adaptive);
        let scene = Scene { seed, time, direction: Direction::Up, ..scene };
        trials.push(trial(format!("{times} x, {bytes} B, to the server"), scene));
    }
    Table {
        title: "More than the path carries",
        about: format!(
            "Twice and ten times what 1 Mbit/s with 100 ms of queue carries, 20 ms one way. \
             Latency is that of the messages that arrived. Targets: p99 at most 80 ms over the \
             delay, 80 % of the link used. {} s a row, the first 5 not counted, seed {seed}.",
            time.as_secs()
        ),
        head: "load | by | arrived | median / p99 / max | link used | dropped unsent",
        trials,
    }
}

fn trial(name: String, scene: Scene) -> Trial {
    Trial::new(name, move |watch| row(&scene.clone().play(watch)))
}

fn row(outcome: &Outcome) -> Row {
    let (scene, time) = (&outcome.scene, counted(outcome));
    let (by, misses) = match (scene.direction, scene.rule) {
        (Direction::Up, _) => ("a browser".to_owned(), None),
        (Direction::Down, Rule::Adaptive) => {
            (scene.rule.to_string(), Some(overload_misses(outcome)))
        }
        (Direction::Down, _) => (scene.rule.to_string(), None),
    };
    let (summary, used) = (outcome.summary(0, time.clone()), outcome.used(time.clone()) * 100.0);
    let unsent = outcome.growth(time, |sample| sample.unsent) as f64 / summary.sent.max(1) as f64;
    let cells = format!(
        "{} | {by} | {summary} | {used:.1} % | {:.1} %",
        scene.flows[0].load,
        unsent * 100.0
    );
    Row { cells, misses }
}

fn counted(outcome: &Outcome) -> Range<Duration> {
    WARM_UP..outcome.scene.time
}
