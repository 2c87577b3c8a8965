//! Where the rate does not go, whatever the path does, and where it has to.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::trial::misses;
use super::{Load, Outcome, Row, Scene, Table, Trial};
use crate::link::Loss;

const SECOND: Duration = Duration::from_secs(1);
/// What does not count.
const WARM_UP: Duration = Duration::from_secs(5);
/// The defaults, in bits a second of SCTP packets.
const LEAST: f64 = 64_000.0;
const MOST: f64 = 4_000_000.0;
/// What DTLS makes of them at most, for packets that are not tiny.
const SEALED: f64 = 1.2;
/// Less than the least rate needs.
const NARROW: u64 = 56_000;
const QUEUE: Duration = Duration::from_millis(100);
/// Heavy loss: how much, and when. The breaker waits 10 s (RFC 8084), and judges what was sent
/// before.
const HEAVY: f64 = 0.8;
const BEGIN: Duration = Duration::from_secs(10);
const OPEN: Duration = Duration::from_secs(25);
const END: Duration = Duration::from_secs(40);
const RECOVERED: Duration = Duration::from_secs(55);
const LAST: Duration = Duration::from_secs(60);
/// What still leaves then, in bits a second.
const TRICKLE: f64 = 16_000.0;
const LEAST_RECOVERED: f64 = 0.99;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Constant random loss on an unfilled path does not lower it.
    Loss(f64),
    /// It stays under the cap.
    Most,
    /// It stays over the floor.
    Least,
    /// Heavy loss stops all but a trickle, and its end lets it recover.
    Breaker,
}

impl Bound {
    /// A load for which it is the bound.
    pub fn scene(self, load: Load) -> Scene {
        let scene = Scene::new(load);
        match self {
            Bound::Loss(share) => {
                Scene { losses: vec![(Duration::ZERO, Loss::Random(share))], ..scene }
            }
            Bound::Most => scene,
            Bound::Least => scene.through(NARROW, QUEUE),
            Bound::Breaker => {
                let losses = vec![(BEGIN, Loss::Random(HEAVY)), (END, Loss::Random(0.0))];
                Scene { losses, time: LAST, ..scene }
            }
        }
    }

    /// The targets that were missed.
    pub fn misses(self, outcome: &Outcome) -> Vec<String> {
        let mut missed = outcome.faults();
        missed.extend(misses(match self {
            Bound::Loss(_) => {
                let unsent = unsent(outcome);
                vec![(unsent > 0, format!("{unsent} dropped unsent"))]
            }
            Bound::Most => {
                let sent = sent(outcome, counted(outcome));
                vec![(!(MOST * 0.9..MOST * SEALED).contains(&sent), kilobits(sent))]
            }
            Bound::Least => {
                let sent = sent(outcome, counted(outcome));
                vec![(sent < LEAST, kilobits(sent))]
            }
            Bound::Breaker => {
                let (open, after) = (sent(outcome, OPEN..END), outcome.summary(0, RECOVERED..LAST));
                let share = after.share();
                vec![
                    (open > TRICKLE, format!("{} when open", kilobits(open))),
                    (share < LEAST_RECOVERED, format!("{:.1} % after", share * 100.0)),
                ]
            }
        }));
        missed
    }

    /// What is put on the network in the time that counts.
    fn wire(self, outcome: &Outcome) -> String {
        match self {
            Bound::Breaker => [SECOND..BEGIN, OPEN..END, RECOVERED..LAST]
                .map(|time| kilobits(sent(outcome, time)))
                .join(", then "),
            _ => kilobits(sent(outcome, counted(outcome))),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Loss(share) => write!(f, "{:.0} % constant random loss", share * 100.0),
            Bound::Most => write!(f, "no limit but the cap"),
            Bound::Least => write!(f, "{} kbit/s, under the floor", NARROW / 1_000),
            Bound::Breaker => write!(f, "{:.0} % loss from 10 to 40 s", HEAVY * 100.0),
        }
    }
}

/// All bounds.
pub fn bounds(seed: u64, time: Duration) -> Table {
    let mut rows = Vec::new();
    for share in [0.05, 0.1, 0.25] {
        rows.extend([20, 60, 600].map(|n| (Bound::Loss(share), Load::steady(n, 200))));
        rows.push((Bound::Loss(share), Load::steady(60, 1_000)));
    }
    rows.push((Bound::Most, Load::steady(1_000, 1_000)));
    rows.push((Bound::Least, Load::steady(60, 200)));
    rows.push((Bound::Breaker, Load::steady(60, 200)));
    rows.push((Bound::Breaker, Load::steady(250, 1_000)));
    let trial = |(bound, load): (Bound, Load)| {
        let scene = bound.scene(load);
        let scene = match bound {
            Bound::Breaker => Scene { seed, ..scene },
            _ => Scene { seed, time, ..scene },
        };
        let work = move |watch: &mut dyn FnMut(&_)| row(bound, &scene.clone().play(watch));
        Trial::new(format!("{bound}, {load}"), work)
    };
    Table {
        title: "Bounds of the rate",
        about: format!(
            "20 ms one way. On the wire: bits a second of DTLS records, the first 5 s not counted; \
             under heavy loss before it, when the circuit breaker is open, and 15 s after its end. \
             {} s a row (under heavy loss 60 s), seed {seed}.",
            time.as_secs()
        ),
        head: "path | load | on the wire | arrived | median / p99 / max | dropped unsent",
        trials: rows.into_iter().map(trial).collect(),
    }
}

fn row(bound: Bound, outcome: &Outcome) -> Row {
    let cells = format!(
        "{bound} | {} | {} | {} | {}",
        outcome.scene.flows[0].load,
        bound.wire(outcome),
        outcome.summary(0, Duration::ZERO..outcome.scene.time),
        unsent(outcome),
    );
    Row::judged(cells, bound.misses(outcome))
}

fn unsent(outcome: &Outcome) -> u64 {
    outcome.samples.last().map_or(0, |sample| sample.unsent)
}

/// Bits a second of datagrams.
fn sent(outcome: &Outcome, time: Range<Duration>) -> f64 {
    let seconds = (time.end - time.start).as_secs_f64();
    outcome.growth(time, |sample| sample.flows[0].bytes) as f64 * 8.0 / seconds
}

fn kilobits(bits: f64) -> String {
    format!("{:.1} kbit/s", bits / 1e3)
}

fn counted(outcome: &Outcome) -> Range<Duration> {
    WARM_UP..outcome.scene.time
}
