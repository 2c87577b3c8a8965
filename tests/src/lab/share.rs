//! Two clients through one bottleneck.

use std::time::Duration;

use super::report::Ms;
use super::trial::misses;
use super::{Flow, Load, Outcome, Row, Rule, Scene, Table, Trial};

const LINK: u64 = 1_000_000;
const QUEUE: Duration = Duration::from_millis(100);
/// Each offers twice what the link carries.
const LOAD: Load = Load::steady(250, 1_000);
/// How much of the end counts.
const COUNTED: Duration = Duration::from_secs(30);
/// The target: neither gets more than so many times what the other gets.
const MOST_RATIO: f64 = 2.0;

/// Two equal loads with these delays, the second of which begins later by some time.
pub fn shared(delays: [Duration; 2], later: Duration, rule: Rule) -> Scene {
    let flows = delays.into_iter().zip([Duration::ZERO, later]);
    let flows = flows.map(|(delay, from)| Flow { load: LOAD, delay, from }).collect();
    Scene { rule, flows, ..Scene::new(LOAD).through(LINK, QUEUE).alive() }
}

/// The targets that were missed.
pub fn share_misses(outcome: &Outcome) -> Vec<String> {
    let ratio = ratio(outcome);
    let mut missed = outcome.faults();
    missed.extend(misses([(
        !(1.0 / MOST_RATIO..=MOST_RATIO).contains(&ratio),
        format!("ratio {ratio:.2}"),
    )]));
    missed
}

/// Together, one later, one from farther away.
pub fn share(seed: u64, time: Duration) -> Table {
    let (near, far) = (Duration::from_millis(20), Duration::from_millis(80));
    let (at_once, later) = (Duration::ZERO, Duration::from_secs(10));
    let mut trials = Vec::new();
    for rule in [Rule::Adaptive, Rule::Simple] {
        for (name, delays, from) in [
            ("together", [near, near], at_once),
            ("the second 10 s later", [near, near], later),
            ("the second farther away", [near, far], at_once),
            ("the second nearer", [far, near], at_once),
            ("the second nearer and 10 s later", [far, near], later),
            ("the second farther away and 10 s later", [near, far], later),
        ] {
            let scene = Scene { seed, time, ..shared(delays, from, rule) };
            let work = move |watch: &mut dyn FnMut(&_)| row(name, &scene.clone().play(watch));
            trials.push(Trial::new(format!("{name}, {rule}"), work));
        }
    }
    Table {
        title: "Two clients through one bottleneck",
        about: format!(
            "Each is offered 250/s x 1,000 B, twice what both share: 1 Mbit/s with 100 ms of \
             queue. Target: a ratio of 2 at most. {} s a row, of which the last half counts, 30 s \
             at most, seed {seed}.",
            time.as_secs()
        ),
        head: "begin | one way | by | arrived, first + second a second | ratio | p99, first, second | link used",
        trials,
    }
}

fn row(name: &str, outcome: &Outcome) -> Row {
    let scene = &outcome.scene;
    let [a, b] = [0, 1].map(|flow| arrived(outcome, flow));
    let [p99_a, p99_b] = [0, 1].map(|flow| Ms(outcome.summary(flow, counted(outcome)).p99));
    let [delay_a, delay_b] = [0, 1].map(|flow| Ms(scene.flows[flow].delay));
    let misses = (scene.rule == Rule::Adaptive).then(|| share_misses(outcome));
    let used = outcome.used(counted(outcome)) * 100.0;
    let cells = format!(
        "{name} | {delay_a}, {delay_b} | {} | {a:.1} + {b:.1} | {:.2} | {p99_a}, {p99_b} | {used:.1} %",
        scene.rule,
        ratio(outcome),
    );
    Row { cells, misses }
}

fn ratio(outcome: &Outcome) -> f64 {
    arrived(outcome, 0) / arrived(outcome, 1)
}

fn arrived(outcome: &Outcome, flow: usize) -> f64 {
    let time = counted(outcome);
    let seconds = (time.end - time.start).as_secs_f64();
    outcome.arrived_in(flow, time) as f64 / seconds
}

fn counted(outcome: &Outcome) -> std::ops::Range<Duration> {
    let time = outcome.scene.time;
    time.saturating_sub(COUNTED).max(time / 2)..time
}
