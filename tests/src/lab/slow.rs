//! Few messages a second, whose acknowledgements are late.

use std::time::Duration;

use super::trial::misses;
use super::{Load, Outcome, Row, Scene, Table, Trial};
use crate::agent::Manners;

/// Ten minutes.
const TIME: Duration = Duration::from_secs(600);
/// The target: no message takes longer than the path and this.
const OVER: Duration = Duration::from_millis(1);

/// An empty path of 20 ms to a client that acknowledges at once if it is asked, or one that
/// does not.
pub fn slow_scene(load: Load, manners: Manners) -> Scene {
    Scene { time: TIME, manners, ..Scene::new(load) }
}

/// The targets that were missed.
pub fn slow_misses(outcome: &Outcome) -> Vec<String> {
    let summary = outcome.summary(0, Duration::ZERO..outcome.scene.time);
    let missing = summary.sent - summary.delivered;
    let unsent = outcome.samples.last().map_or(0, |sample| sample.unsent);
    let longest = outcome.scene.flows[0].delay + OVER;
    let mut missed = outcome.faults();
    missed.extend(misses([
        (missing > 0, format!("{missing} missing")),
        (unsent > 0, format!("{unsent} dropped unsent")),
        (summary.max > longest, format!("max {:?}", summary.max)),
    ]));
    missed
}

/// 1 to 20 messages a second for ten minutes.
pub fn slow(seed: u64, time: Option<Duration>) -> Table {
    let (mut trials, time) = (Vec::new(), time.unwrap_or(TIME));
    for (per_second, bytes) in [1, 5, 10, 20].into_iter().flat_map(|n| [(n, 200), (n, 1_000)]) {
        for manners in [Manners::Good, Manners::Deaf] {
            let load = Load::steady(per_second, bytes);
            let scene = Scene { seed, time, ..slow_scene(load, manners) };
            let work = move |watch: &mut dyn FnMut(&_)| row(&scene.clone().play(watch));
            trials.push(Trial::new(format!("{load}, {}", words(manners)), work));
        }
    }
    Table {
        title: "Slow senders",
        about: format!(
            "An empty path of 20 ms. A client acknowledges at once if it is asked to (RFC 7053), \
             or never: then after 200 ms or with the second packet. Targets: everything arrives, \
             at most 1 ms over the delay. {} s a row, seed {seed}.",
            time.as_secs()
        ),
        head: "load | acknowledgements | arrived | median / p99 / max | dropped unsent",
        trials,
    }
}

fn row(outcome: &Outcome) -> Row {
    let summary = outcome.summary(0, Duration::ZERO..outcome.scene.time);
    let unsent = outcome.samples.last().map_or(0, |sample| sample.unsent);
    let (load, words) = (outcome.scene.flows[0].load, words(outcome.scene.manners));
    Row::judged(format!("{load} | {words} | {summary} | {unsent}"), slow_misses(outcome))
}

fn words(manners: Manners) -> &'static str {
    match manners {
        Manners::Deaf => "200 ms late",
        _ => "at once if asked",
    }
}
