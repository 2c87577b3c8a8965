//! What storms have come to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Counts over one storm or over many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Storms.
    pub seeds: u64,
    /// Steps that were checked.
    pub steps: u64,
    /// Connections that came to the server.
    pub accepted: u64,
    /// Those that became peers.
    pub opened: u64,
    /// Reliable messages of the honest that arrived.
    pub reliable: u64,
    /// Unreliable ones that were sent, and those that arrived.
    pub unreliable: [u64; 2],
    /// Reliable messages that did not arrive though nothing was in their way.
    pub lost: u64,
    /// What befell them, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Why peers were closed and connections refused.
    pub reasons: BTreeMap<String, u64>,
}

/// What storms have cost; no two runs cost the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Processor time of the longest call of the server's machine, and the seed.
    pub longest: (Duration, u64),
    /// Calls.
    pub calls: u64,
    /// Most bytes that the server's machine held; 0 if nobody counted.
    pub most_bytes: i64,
}

impl Tally {
    /// Counts a fault.
    pub(super) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    pub(super) fn reason(&mut self, name: String) {
        *self.reasons.entry(name).or_default() += 1;
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Tally) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.accepted += other.accepted;
        self.opened += other.opened;
        self.reliable += other.reliable;
        self.lost += other.lost;
        for (sum, count) in self.unreliable.iter_mut().zip(other.unreliable) {
            *sum += count;
        }
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        for (name, count) in &other.reasons {
            *self.reasons.entry(name.clone()).or_default() += count;
        }
    }
}

impl Price {
    /// The larger of both.
    pub fn add(&mut self, other: Price) {
        self.longest = self.longest.max(other.longest);
        self.calls += other.calls;
        self.most_bytes = self.most_bytes.max(other.most_bytes);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [sent, arrived] = self.unreliable;
        write!(
            f,
            "{} steps, {} connections, {} peers, honest messages lost {}, reliable {}, \
             unreliable {arrived} of {sent}; faults seen by kind: {}; ends: {}",
            self.steps,
            self.accepted,
            self.opened,
            self.lost,
            self.reliable,
            list(self.faults.iter()),
            list(self.reasons.iter()),
        )
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (longest, seed) = self.longest;
        let kib = self.most_bytes / 1024;
        write!(f, "longest call {} us (seed {seed}), most memory {kib} KiB", longest.as_micros())
    }
}

fn list<N: fmt::Display>(counts: impl Iterator<Item = (N, impl fmt::Display)>) -> String {
    counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
