//! What a scene came to.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::report::{Ms, rank};
use super::{Flight, Scene};

/// All that a play found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was played.
    pub scene: Scene,
    /// The messages of each flow.
    pub flights: Vec<Vec<Flight>>,
    /// Every [`TICK`](super::scene::TICK), from the beginning on.
    pub samples: Vec<Sample>,
    /// Messages that arrived again.
    pub duplicates: usize,
    /// Why a connection ended too early, if one did.
    pub ended: Option<String>,
    /// What our own crates warned of.
    pub warnings: Vec<String>,
}

/// Counters at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// What a datagram would have waited in the bottleneck then.
    pub wait: Duration,
    /// Bytes of everyone that have left the bottleneck, headers included.
    pub left: u64,
    /// Bytes that downloads have got across, headers included.
    pub downloaded: u64,
    /// Messages that the server dropped unsent.
    pub unsent: u64,
    /// Each flow's own.
    pub flows: Vec<FlowSample>,
}

/// A flow's counters at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowSample {
    /// Messages that the application sent.
    pub messages: usize,
    /// Messages that arrived.
    pub delivered: usize,
    /// Bytes of datagrams that were put on the network, without headers.
    pub bytes: u64,
    /// Datagrams that the network dropped.
    pub lost: usize,
}

/// Messages of one flow that were sent in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many.
    pub sent: usize,
    /// How many of them arrived.
    pub delivered: usize,
    /// Latency that half of those took at most.
    pub median: Duration,
    /// That 99 % took at most.
    pub p99: Duration,
    /// That all took at most.
    pub max: Duration,
}

impl Outcome {
    /// What must never happen, whatever the network does, each in words.
    pub fn faults(&self) -> Vec<String> {
        faults(self.duplicates, self.ended.as_ref(), &self.warnings)
    }

    /// One flow's messages that were sent in this time since the beginning.
    pub fn summary(&self, flow: usize, time: Range<Duration>) -> Summary {
        let flights = self.sent_in(flow, time);
        let mut latencies: Vec<_> = flights.iter().filter_map(Flight::latency).collect();
        latencies.sort_unstable();
        Summary {
            sent: flights.len(),
            delivered: latencies.len(),
            median: rank(&latencies, 0.5),
            p99: rank(&latencies, 0.99),
            max: rank(&latencies, 1.0),
        }
    }

    /// One flow's messages that were sent in this time since the beginning.
    pub fn sent_in(&self, flow: usize, time: Range<Duration>) -> &[Flight] {
        let all = &self.flights[flow];
        let from = self.scene.flows[flow].from;
        let Some(first) = all.first() else { return all };
        let index =
            |at: Duration| all.partition_point(|flight| flight.sent - first.sent + from < at);
        &all[index(time.start)..index(time.end)]
    }

    /// One flow's messages that arrived in this time since the beginning.
    pub fn arrived_in(&self, flow: usize, time: Range<Duration>) -> usize {
        let Some(first) = self.flights[flow].first() else { return 0 };
        let began = first.sent - self.scene.flows[flow].from;
        let arrivals = self.flights[flow].iter().filter_map(|flight| flight.arrived);
        arrivals.filter(|at| time.contains(&at.saturating_duration_since(began))).count()
    }

    /// The share of the first limit's rate that was used in this time, by everyone.
    pub fn used(&self, time: Range<Duration>) -> f64 {
        self.of_limit(time, |sample| sample.left)
    }

    /// The share of the first limit's rate with which downloads got on in this time.
    pub fn downloaded(&self, time: Range<Duration>) -> f64 {
        self.of_limit(time, |sample| sample.downloaded)
    }

    /// What a counter grew by in this time.
    pub fn growth(&self, time: Range<Duration>, counter: impl Fn(&Sample) -> u64) -> u64 {
        let at = |time: Duration| {
            let index = self.samples.partition_point(|sample| sample.at < time);
            self.samples.get(index).or(self.samples.last()).map_or(0, &counter)
        };
        at(time.end) - at(time.start)
    }

    fn of_limit(&self, time: Range<Duration>, counter: impl Fn(&Sample) -> u64) -> f64 {
        let Some((_, rate)) = self.scene.limits.first() else { return 0.0 };
        let seconds = (time.end - time.start).as_secs_f64();
        self.growth(time, counter) as f64 / seconds / rate.bytes_per_second as f64
    }
}

pub(super) fn faults(
    duplicates: usize,
    ended: Option<&String>,
    warnings: &[String],
) -> Vec<String> {
    let twice = (duplicates > 0).then(|| format!("{duplicates} messages came twice"));
    twice.iter().chain(ended).chain(warnings).cloned().collect()
}

impl Summary {
    /// Messages that arrived, of all.
    pub fn share(&self) -> f64 {
        self.delivered as f64 / self.sent.max(1) as f64
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, p99, max) = (Ms(self.median), Ms(self.p99), Ms(self.max));
        write!(f, "{:.1} % | {median} / {p99} / {max}", self.share() * 100.0)
    }
}

impl Sample {
    /// The head of a trace, for so many flows.
    pub fn head(flows: usize) -> String {
        let flow = "    sent/s  arrived/s  on wire B/s  lost";
        format!("      s  queue ms  link B/s   TCP B/s  unsent{}", flow.repeat(flows))
    }

    /// A line of a trace: what happened since the sample before, per second.
    pub fn line(&self, before: &Sample) -> String {
        let seconds = (self.at - before.at).as_secs_f64().max(1e-9);
        let each = |now: u64, then: u64| (now - then) as f64 / seconds;
        let mut line = format!(
            "{:7.1} {:9.1} {:9.0} {:9.0} {:7}",
            self.at.as_secs_f64(),
            self.wait.as_secs_f64() * 1e3,
            each(self.left, before.left),
            each(self.downloaded, before.downloaded),
            self.unsent - before.unsent,
        );
        for (now, then) in self.flows.iter().zip(&before.flows) {
            line += &format!(
                "{:10.0} {:10.0} {:12.0} {:5}",
                each(now.messages as u64, then.messages as u64),
                each(now.delivered as u64, then.delivered as u64),
                each(now.bytes, then.bytes),
                now.lost - then.lost,
            );
        }
        line
    }
}
