//! What a log comes to.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use super::log::PROMPT;
use super::{Flight, Log};
use crate::link::Traffic;

/// The targets: what `Plane::Ours` has to reach under any random loss; the latencies are over
/// what the network itself takes.
const MEDIAN_OVER: Duration = Duration::from_millis(1);
const P99_OVER: Duration = Duration::from_millis(5);
const LONGEST_SILENCE: Duration = Duration::from_millis(200);
const LEAST_DELIVERED: f64 = 0.99;

/// The numbers of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The longest that the network itself takes, one way.
    pub slowest: Duration,
    /// Messages that were sent.
    pub sent: usize,
    /// Messages that arrived.
    pub delivered: usize,
    /// Messages that did not, because the network dropped them: see [`Log::excused`].
    pub excused: usize,
    /// Messages that arrived again.
    pub duplicates: usize,
    /// Latency of the messages that arrived: half of them took at most this.
    pub median: Duration,
    /// 99 % of them took at most this.
    pub p99: Duration,
    /// All of them took at most this.
    pub max: Duration,
    /// What 99 % of as many messages took at most as the network let through at first. What it
    /// dropped and a later datagram repaired is late by nature, and better late than lost.
    pub prompt_p99: Duration,
    /// The longest time between two arrivals, or before the first or after the last one due.
    pub silence: Duration,
    /// The longest of those in which a message was due that the network did not drop.
    pub unexplained: Duration,
    /// What was put on the network the messages' way, for each message.
    pub forth: PerMessage,
    /// The same the other way.
    pub back: PerMessage,
    /// Why the connection ended too early, if it did.
    pub ended: Option<String>,
}

/// Traffic for each message that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerMessage {
    /// Datagrams.
    pub datagrams: f64,
    /// Bytes of their payload.
    pub bytes: f64,
}

impl PerMessage {
    fn of(traffic: Traffic, messages: usize) -> PerMessage {
        let each = |count: u64| count as f64 / messages.max(1) as f64;
        PerMessage { datagrams: each(traffic.datagrams), bytes: each(traffic.bytes) }
    }
}

impl Report {
    /// Sums a log up.
    pub fn of(log: &Log) -> Report {
        let excused = log.excused();
        let mut latencies: Vec<_> = log.flights.iter().filter_map(|f| f.latency()).collect();
        latencies.sort_unstable();
        let silences = silences(log);
        let promptly = log.cell.conditions.slowest() + PROMPT;
        let struck = log.struck(|flight| flight.latency().is_none_or(|took| took > promptly));
        let unexplained = silences.iter().filter(|silence| !silence.is_explained(log, &struck));
        let all = log.cell.load.messages(log.cell.time);
        Report {
            slowest: log.cell.conditions.slowest(),
            sent: log.flights.len(),
            delivered: latencies.len(),
            excused: excused.len(),
            duplicates: log.duplicates,
            median: rank(&latencies, 0.5),
            p99: rank(&latencies, 0.99),
            max: rank(&latencies, 1.0),
            prompt_p99: rank(
                &latencies[..latencies.len().min(log.flights.len() - log.hit())],
                0.99,
            ),
            silence: silences.iter().map(Silence::length).max().unwrap_or_default(),
            unexplained: unexplained.map(Silence::length).max().unwrap_or_default(),
            forth: PerMessage::of(log.forth, all),
            back: PerMessage::of(log.back, all),
            ended: log.ended.clone(),
        }
    }

    /// Messages that arrived, of all.
    pub fn delivered_share(&self) -> f64 {
        self.delivered as f64 / self.sent.max(1) as f64
    }

    /// Messages that arrived, of those that the network let through.
    pub fn kept_share(&self) -> f64 {
        self.delivered as f64 / (self.sent - self.excused).max(1) as f64
    }

    /// The targets that were missed, each in words.
    pub fn misses(&self) -> Vec<String> {
        let over = |latency: Duration| latency.saturating_sub(self.slowest);
        let checks = [
            (over(self.median) > MEDIAN_OVER, format!("median {}", Ms(self.median))),
            (over(self.prompt_p99) > P99_OVER, format!("p99 {}", Ms(self.prompt_p99))),
            (self.unexplained > LONGEST_SILENCE, format!("silence {}", Ms(self.unexplained))),
            (
                self.kept_share() < LEAST_DELIVERED,
                format!("{:.1} % of what passed", self.kept_share() * 100.0),
            ),
            (self.duplicates > 0, format!("{} duplicates", self.duplicates)),
            (self.ended.is_some(), self.ended.clone().unwrap_or_default()),
        ];
        checks.into_iter().filter_map(|(missed, words)| missed.then_some(words)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.delivered_share() * 100.0;
        let (median, p99, max) = (Ms(self.median), Ms(self.p99), Ms(self.max));
        let (silence, unexplained) = (Ms(self.silence), Ms(self.unexplained));
        write!(f, "{share:.1} % in {median} / {p99} / {max}, ")?;
        write!(f, "silence {silence} ({unexplained} unexplained)")
    }
}

/// A time in milliseconds, with a decimal where it tells something.
pub(super) struct Ms(pub(super) Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1e3;
        match ms < 100.0 && ms.fract() >= 0.05 {
            true => write!(f, "{ms:.1} ms"),
            false => write!(f, "{ms:.0} ms"),
        }
    }
}

/// A time without arrivals.
#[derive(Clone, Copy, Debug)]
struct Silence {
    from: Instant,
    until: Instant,
}

impl Silence {
    fn length(&self) -> Duration {
        self.until - self.from
    }

    /// Whether every message that was due in it was dropped by the network, be it that repair
    /// brought it later. A message that ends the silence and was a little late does not count.
    fn is_explained(&self, log: &Log, struck: &HashSet<usize>) -> bool {
        let (delay, slowest) = (log.cell.conditions.delay, log.cell.conditions.slowest());
        let first = log.flights.partition_point(|flight| flight.sent + delay <= self.from);
        let due = |flight: &&Flight| flight.sent + slowest + PROMPT < self.until;
        let due = log.flights[first..].iter().take_while(due);
        (first..).zip(due).all(|(index, _)| struck.contains(&index))
    }
}

fn silences(log: &Log) -> Vec<Silence> {
    let delay = log.cell.conditions.delay;
    let due = |flight: Option<&Flight>| flight.map(|flight| flight.sent + delay);
    let ends = [due(log.flights.first()), due(log.flights.last())];
    let mut marks: Vec<Instant> = log.flights.iter().filter_map(|f| f.arrived).collect();
    marks.extend(ends.into_iter().flatten());
    marks.sort_unstable();
    marks.windows(2).map(|pair| Silence { from: pair[0], until: pair[1] }).collect()
}

/// The value that this share of a sorted list does not exceed.
pub(super) fn rank(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Cell, Load};
    use super::*;
    use crate::link::{Cause, Direction, Dropped};

    const MS: Duration = Duration::from_millis(1);

    /// Messages every 10 ms over 20 ms of delay, with their latencies in ms; which of them the
    /// network dropped.
    fn report(latencies: &[Option<u32>], dropped: &[u32]) -> Report {
        let now = Instant::now();
        let at = |index: u32| now + 10 * MS * index;
        let cell = Cell::new(Load::steady(100, 200), 20 * MS, 0.0, Direction::Down);
        let flight = |(index, latency): (u32, &Option<u32>)| Flight {
            sent: at(index),
            arrived: latency.map(|ms| at(index) + ms * MS),
        };
        let drop = |&index: &u32| Dropped {
            at: at(index),
            direction: Direction::Down,
            number: 0,
            size: 260,
            cause: Cause::Loss,
        };
        Report::of(&Log {
            cell,
            flights: (0..).zip(latencies).map(flight).collect(),
            duplicates: 0,
            dropped: dropped.iter().map(drop).collect(),
            forth: Traffic::default(),
            back: Traffic::default(),
            ended: None,
        })
    }

    #[test]
    fn a_prompt_run_misses_nothing() {
        let report = report(&[Some(20); 100], &[]);
        assert_eq!((report.delivered, report.delivered_share()), (100, 1.0));
        assert_eq!((report.median, report.p99, report.max), (20 * MS, 20 * MS, 20 * MS));
        assert_eq!((report.silence, report.unexplained), (10 * MS, Duration::ZERO));
        assert_eq!(report.misses(), [""; 0]);
    }

    #[test]
    fn latencies_are_ranked() {
        let latencies: Vec<_> = (1..=1_000).map(|n| Some(20 + n)).collect();
        let report = report(&latencies, &[]);
        assert_eq!((report.median, report.p99, report.max), (520 * MS, 1_010 * MS, 1_020 * MS));
        assert_eq!(report.misses().len(), 2, "{:?}", report.misses());
    }

    #[test]
    fn what_the_network_dropped_explains_a_silence() {
        let mut latencies = [Some(20); 100];
        latencies[40..70].fill(None);
        let lost = (40..70).collect::<Vec<_>>();
        let explained = report(&latencies, &lost);
        assert_eq!((explained.silence, explained.unexplained), (310 * MS, Duration::ZERO));
        assert_eq!((explained.kept_share(), explained.misses()), (1.0, vec![]));

        let unexplained = report(&latencies, &lost[..29]);
        assert_eq!((unexplained.silence, unexplained.unexplained), (310 * MS, 310 * MS));
        assert_eq!(unexplained.excused, 29);
    }

    #[test]
    fn what_comes_late_explains_nothing() {
        let mut latencies = [Some(20); 100];
        (0..30).for_each(|n| latencies[40 + n] = Some(20 + 300 - 10 * n as u32));
        assert_eq!(report(&latencies, &[]).unexplained, 310 * MS);
    }

    #[test]
    fn what_was_dropped_and_repaired_is_explained() {
        let mut latencies = [Some(20); 100];
        (0..30).for_each(|n| latencies[40 + n] = Some(20 + 300 - 10 * n as u32));
        let repaired = report(&latencies, &(40..70).collect::<Vec<_>>());
        assert_eq!((repaired.silence, repaired.unexplained), (310 * MS, Duration::ZERO));
        assert_eq!((repaired.excused, repaired.delivered), (0, 100));
    }

    #[test]
    fn silence_at_either_end_counts() {
        let mut latencies = [Some(20); 100];
        latencies[..30].fill(None);
        assert_eq!(report(&latencies, &[]).unexplained, 300 * MS);
        latencies.reverse();
        assert_eq!(report(&latencies, &[]).unexplained, 300 * MS);
        assert_eq!(report(&[None; 100], &[]).unexplained, 990 * MS);
    }

    #[test]
    fn what_is_missing_without_an_excuse_is_told() {
        let mut latencies = [Some(20); 100];
        [40, 50].iter().for_each(|index| latencies[*index] = None);
        assert_eq!(report(&latencies, &[40, 50]).misses(), [""; 0]);
        assert_eq!(report(&latencies, &[]).misses(), ["98.0 % of what passed"]);
    }
}
