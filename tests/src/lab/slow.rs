//! Few messages a second, whose acknowledgements are late.

use std::time::Duration;

use super::trial::misses;
use super::{Load, Outcome, Row, Scene, Table, Trial};

/// Ten minutes.
const TIME: Duration = Duration::from_secs(600);
/// The target: no message takes longer than the path and this.
const OVER: Duration = Duration::from_millis(1);

/// An empty path of 20 ms.
pub fn slow_scene(load: Load) -> Scene {
    Scene { time: TIME, ..Scene::new(load) }
}

/// The targets that were missed.
pub fn slow_misses(outcome: &Outcome) -> Vec<String> {
    let summary = outcome.summary(0, Duration::ZERO..outcome.scene.time);
    let missing = summary.sent - summary.delivered;
    let unsent = outcome.samples.last().map_or(0, |sample| sample.unsent);
    let longest = outcome.scene.flows[0].delay + OVER;
    misses([
        (missing > 0, format!("{missing} missing")),
        (unsent > 0, format!("{unsent} dropped unsent")),
        (summary.max > longest, format!("max {:?}", summary.max)),
        (outcome.ended.is_some(), outcome.ended.clone().unwrap_or_default()),
    ])
}

/// 1 to 20 messages a second for ten minutes.
pub fn slow(seed: u64, time: Option<Duration>) -> Table {
    let mut trials = Vec::new();
    for (per_second, bytes) in [1, 5, 10, 20].into_iter().flat_map(|n| [(n, 200), (n, 1_000)]) {
        let load = Load::steady(per_second, bytes);
        let scene = Scene { seed, time: time.unwrap_or(TIME), ..slow_scene(load) };
        let work = move |watch: &mut dyn FnMut(&_)| row(&scene.clone().play(watch));
        trials.push(Trial::new(load.to_string(), work));
    }
    Table {
        title: "Slow senders on an empty path of 20 ms, ten minutes",
        head: "load | arrived | median / p99 / max | dropped unsent",
        trials,
    }
}

fn row(outcome: &Outcome) -> Row {
    let summary = outcome.summary(0, Duration::ZERO..outcome.scene.time);
    let unsent = outcome.samples.last().map_or(0, |sample| sample.unsent);
    let cells = format!("{} | {summary} | {unsent}", outcome.scene.flows[0].load);
    Row { cells, misses: slow_misses(outcome) }
}
