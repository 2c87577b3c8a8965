//! Beside a TCP download.

use std::ops::Range;
use std::time::Duration;

use super::trial::misses;
use super::{Load, Outcome, Row, Rule, Scene, Table, Trial};
use crate::cross::Cross;

const LINK: u64 = 2_000_000;
const QUEUE: Duration = Duration::from_millis(100);
const ROUND_TRIP: Duration = Duration::from_millis(40);
const WARM_UP: Duration = Duration::from_secs(5);
/// The load to which the targets belong.
const GAME: Load = Load::steady(60, 200);
/// As much as the link carries.
const GREEDY: Load = Load::steady(250, 1_000);

/// The targets.
const LEAST_KEPT: f64 = 0.9;
const LEAST_LEFT: f64 = 0.6;

/// A load through 2 Mbit/s with 100 ms of queue, which one CUBIC download fills.
pub fn beside_tcp(load: Load, rule: Rule) -> Scene {
    let cross = vec![Cross::Download { round_trip: ROUND_TRIP }];
    Scene { rule, cross, ..Scene::new(load).through(LINK, QUEUE).alive() }
}

/// The targets that were missed.
pub fn tcp_misses(outcome: &Outcome) -> Vec<String> {
    let kept = outcome.summary(0, counted(outcome)).share();
    let left = outcome.downloaded(counted(outcome));
    let mut missed = outcome.faults();
    missed.extend(misses([
        (kept < LEAST_KEPT, format!("{:.1} % arrived", kept * 100.0)),
        (left < LEAST_LEFT, format!("{:.1} % for TCP", left * 100.0)),
    ]));
    missed
}

/// A game's load, and for information one that takes what it gets.
pub fn tcp(seed: u64, time: Duration) -> Table {
    let mut trials = Vec::new();
    for load in [GAME, GREEDY] {
        for rule in Rule::ALL {
            let scene = Scene { seed, time, ..beside_tcp(load, rule) };
            let work = move |watch: &mut dyn FnMut(&_)| row(&scene.clone().play(watch));
            trials.push(Trial::new(format!("{load}, {rule}"), work));
        }
    }
    Table {
        title: "Beside a TCP download",
        about: format!(
            "One CUBIC download through the same 2 Mbit/s with 100 ms of queue, 20 ms one way for \
             both. Latency is that of the messages that arrived. Targets: 90 % of the messages, \
             60 % of the link for TCP. {} s a row, the first 5 not counted, seed {seed}.",
            time.as_secs()
        ),
        head: "load | by | arrived | median / p99 / max | TCP's share of the link | link used",
        trials,
    }
}

fn row(outcome: &Outcome) -> Row {
    let scene = &outcome.scene;
    let judged = scene.rule == Rule::Adaptive && scene.flows[0].load == GAME;
    let summary = outcome.summary(0, counted(outcome));
    let cells = format!(
        "{} | {} | {summary} | {:.1} % | {:.1} %",
        scene.flows[0].load,
        scene.rule,
        outcome.downloaded(counted(outcome)) * 100.0,
        outcome.used(counted(outcome)) * 100.0,
    );
    Row { cells, misses: judged.then(|| tcp_misses(outcome)) }
}

fn counted(outcome: &Outcome) -> Range<Duration> {
    WARM_UP.min(outcome.scene.time / 2)..outcome.scene.time
}
