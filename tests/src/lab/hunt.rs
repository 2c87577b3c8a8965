//! A hunt for faults: random networks that do their worst, and then nothing any more.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use net::Repair;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Cell, Flight, Load, Log, Run, scene, warnings};
use crate::agent::Manners;
use crate::link::{Conditions, Direction, Loss, Reorder};

/// How long the network is bad, and how long it is good again afterwards.
const ROUGH: Duration = Duration::from_secs(20);
const CALM: Duration = Duration::from_secs(10);
/// At the end of it nearly all messages must arrive, and none of them late.
const CURED: Duration = Duration::from_secs(4);
const LEAST_DELIVERED: f64 = 0.8;
const OVER: Duration = Duration::from_millis(100);

/// None of them is more than a path without limits takes.
const LOADS: [Load; 8] = [
    Load::steady(1, 200),
    Load::steady(10, 1_000),
    Load::steady(20, 200),
    Load::steady(60, 200),
    Load::steady(60, 1_000),
    Load::steady(250, 1_000),
    Load::steady(600, 200),
    Load::bursts(20, 10, 1_000),
];

/// One of many.
#[derive(Clone, Debug, PartialEq)]
pub struct Hunt {
    /// Which.
    pub number: u64,
    /// What is sent, and what the network does at first.
    pub cell: Cell,
    /// When nothing passes, which way: both if `None`.
    pub dark: Vec<(Range<Duration>, Option<Direction>)>,
}

impl Hunt {
    /// The hunt of this number in the series that `seed` stands for.
    pub fn draw(seed: u64, number: u64) -> Hunt {
        let mut draw = Draw(StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) ^ number));
        let direction = if draw.0.random_bool(0.8) { Direction::Down } else { Direction::Up };
        let load = draw.one_of(&LOADS);
        let mut conditions = draw.conditions();
        // A browser's own SCTP that stalls sends so little that a run of losses may last longer
        // than any peer waits.
        if let (Direction::Up, Loss::Runs { share, .. }) = (direction, conditions.loss) {
            conditions.loss = Loss::Random(share);
        }
        let cell = Cell {
            conditions,
            repair: draw.one_of(&[Repair::Off, Repair::WhileLossy, Repair::On]),
            manners: draw.one_of(&[Manners::Good, Manners::Deaf, Manners::Terse]),
            time: ROUGH + CALM,
            seed: seed.wrapping_mul(7_919).wrapping_add(number),
            ..Cell::new(load, conditions.delay, 0.0, direction)
        };
        let dark =
            [8.0, 2.0, 0.3].map(|longest| draw.0.random::<bool>().then(|| draw.dark(longest)));
        Hunt { number, cell, dark: dark.into_iter().flatten().collect() }
    }

    /// Runs it; gives its faults, each in words.
    ///
    /// # Panics
    /// If the two cannot connect.
    pub fn run(&self) -> Vec<String> {
        warnings::listen();
        warnings::take();
        let mut run = Run::new(self.cell);
        let began = run.now();
        for (time, way) in &self.dark {
            for direction in [Direction::Up, Direction::Down] {
                if way.is_none_or(|way| way == direction) {
                    run.link(direction).black_out(began + time.start..began + time.end);
                }
            }
        }
        run.advance(ROUGH);
        run.shape(Conditions { delay: self.cell.conditions.delay, ..Conditions::default() });
        let log = run.finish();
        let warnings = warnings::take();
        log.faults().into_iter().chain(warnings).chain(self.sequel(&log)).collect()
    }

    /// What is still wrong when it is long over. How soon a browser's own SCTP recovers is not
    /// ours to say.
    fn sequel(&self, log: &Log) -> Option<String> {
        let last = log.part(ROUGH + CALM - CURED, ROUGH + CALM).flights;
        let latencies: Vec<_> = last.iter().filter_map(Flight::latency).collect();
        let share = latencies.len() as f64 / last.len().max(1) as f64;
        let longest = latencies.into_iter().max().unwrap_or_default();
        match self.cell.direction {
            Direction::Up => None,
            Direction::Down if share < LEAST_DELIVERED => {
                Some(format!("{:.1} % at the end", share * 100.0))
            }
            Direction::Down if longest > self.cell.conditions.delay + OVER => {
                Some(format!("{longest:?} at the end"))
            }
            Direction::Down => None,
        }
    }
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { load, conditions, repair, manners, .. } = self.cell;
        let way = self.cell.way();
        write!(f, "#{}: {load} {way}, {repair:?}, {manners:?}, {conditions:?}", self.number)?;
        self.dark.iter().try_for_each(|(time, way)| match way {
            None => write!(f, ", dark {time:?}"),
            Some(way) => write!(f, ", dark {time:?} {way:?}"),
        })
    }
}

/// Chance.
struct Draw(StdRng);

impl Draw {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.random_range(0..all.len())]
    }

    fn conditions(&mut self) -> Conditions {
        Conditions {
            delay: self.milliseconds(2.0, 150.0),
            jitter: self.perhaps(|draw| draw.milliseconds(0.0, 60.0)),
            loss: self.loss(),
            reorder: Reorder {
                share: self.perhaps(|draw| draw.0.random_range(0.0..0.3)),
                by: self.milliseconds(0.0, 100.0),
            },
            duplicates: self.perhaps(|draw| draw.0.random_range(0.0..0.3)),
            rate: self.perhaps(|draw| {
                let bits = draw.0.random_range(50_000f64.ln()..5e6f64.ln()).exp();
                let queue = draw.milliseconds(10.0, 1_000.0);
                Some(scene::rate(bits as u64, queue))
            }),
            max_packet: None,
        }
    }

    fn loss(&mut self) -> Loss {
        match self.0.random_range(0..3) {
            0 => Loss::Random(0.0),
            1 => Loss::Random(self.0.random_range(0.0..0.4)),
            _ => Loss::Runs {
                share: self.0.random_range(0.0..0.25),
                mean: self.0.random_range(1.5..10.0),
            },
        }
    }

    fn dark(&mut self, longest: f64) -> (Range<Duration>, Option<Direction>) {
        let from = self.milliseconds(0.0, 12_000.0);
        let time = self.milliseconds(0.0, longest * 1_000.0);
        let way = self.one_of(&[None, Some(Direction::Up), Some(Direction::Down)]);
        (from..from + time, way)
    }

    fn milliseconds(&mut self, from: f64, to: f64) -> Duration {
        Duration::from_secs_f64(self.0.random_range(from..to) / 1e3)
    }

    fn perhaps<T: Default>(&mut self, draw: impl FnOnce(&mut Draw) -> T) -> T {
        if self.0.random() { draw(self) } else { T::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunts_repeat_and_differ() {
        assert_eq!(Hunt::draw(1, 5), Hunt::draw(1, 5));
        assert_ne!(Hunt::draw(1, 5).cell, Hunt::draw(1, 6).cell);
    }
}
