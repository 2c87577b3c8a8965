//! Half an hour under loss: does latency creep up, or memory?

use std::fmt;
use std::time::Duration;

use super::{Cell, Load, Report, Run};
use crate::link::Direction;

/// How long it takes, in virtual time.
pub const LONG: Duration = Duration::from_secs(30 * 60);
/// How much of the beginning is compared with as much of the end.
pub const PART: Duration = Duration::from_secs(5 * 60);

/// What latency may grow.
const DRIFT: Duration = Duration::from_millis(1);
/// What the whole process may grow, in KiB; the link's own log of lost datagrams takes a third.
const GROWTH: i64 = 1_024;

/// The beginning and the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Long {
    /// The first [`PART`].
    pub first: Report,
    /// The last.
    pub last: Report,
    /// What the process grew between the first part and the end, in KiB; `None` where the
    /// system does not tell.
    pub growth: Option<i64>,
}

impl Long {
    /// Half an hour of 60 messages of 200 bytes a second with 5 % loss over 20 ms.
    pub fn run(direction: Direction, seed: u64) -> Long {
        let cell = Cell::new(Load::steady(60, 200), Duration::from_millis(20), 0.05, direction);
        let mut run = Run::new(Cell { time: LONG, seed, ..cell });
        run.advance(PART);
        let before = resident();
        run.advance(LONG - PART);
        let growth = resident().zip(before).map(|(after, before)| after - before);
        let log = run.finish();
        let part = |from, until| Report::of(&log.part(from, until));
        Long { first: part(cell.warm_up, PART), last: part(LONG - PART, LONG), growth }
    }

    /// What got worse, each in words, and what missed its target.
    pub fn misses(&self) -> Vec<String> {
        let (first, last) = (&self.first, &self.last);
        let mut misses: Vec<_> = first.misses().into_iter().chain(last.misses()).collect();
        for (name, before, after) in
            [("median", first.median, last.median), ("p99", first.p99, last.p99)]
        {
            if after > before + DRIFT {
                misses.push(format!("{name} drifts from {before:?} to {after:?}"));
            }
        }
        misses.extend(
            self.growth.filter(|growth| *growth > GROWTH).map(|kib| format!("{kib} KiB grown")),
        );
        misses
    }
}

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = PART.as_secs() / 60;
        writeln!(f, "first {minutes} minutes: {}", self.first)?;
        writeln!(f, "last {minutes} minutes: {}", self.last)?;
        match self.growth {
            Some(kib) => write!(f, "the process grew by {kib} KiB"),
            None => write!(f, "memory is not known here"),
        }
    }
}

/// What the process holds of memory now, in KiB.
fn resident() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
