//! What must never happen, and did.

use std::fmt;
use std::time::Duration;

/// What every step is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// The events of an id are `Open Received* Closed`.
    Grammar,
    /// Ids count up and are never used again.
    Ids,
    /// Nothing panics.
    Panic,
    /// No call takes longer than 10 ms of processor time.
    Time,
    /// Memory stays within the sum of the bounds.
    Memory,
    /// Nothing is left of who has gone.
    Empty,
    /// Nobody is sent more than came from there, unless it was shown that he is there.
    Reflection,
    /// What is reliable arrives as it was sent, what is not arrives once or not at all, and
    /// neither is old.
    Messages,
    /// Attackers do not make the honest wait.
    Latency,
    /// Who connected has opened, was refused, or is on the way.
    Account,
    /// Nobody honest is closed or refused for nothing.
    Honest,
}

impl Invariant {
    /// Its number and its name.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::Grammar => "I1 grammar",
            Invariant::Ids => "I2 ids",
            Invariant::Panic => "I3 panic",
            Invariant::Time => "I4 time",
            Invariant::Memory => "I5 memory",
            Invariant::Empty => "I6 leftovers",
            Invariant::Reflection => "I7 reflection",
            Invariant::Messages => "I8 messages",
            Invariant::Latency => "I9 latency",
            Invariant::Account => "I10 accounts",
            Invariant::Honest => "honest peers",
        }
    }
}

/// An invariant that broke: which, when, and the command that shows it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Of what.
    pub invariant: Invariant,
    /// The seed that does it again.
    pub seed: u64,
    /// Whether of the full size.
    pub full: bool,
    /// At which step.
    pub step: u64,
    /// After so much virtual time.
    pub at: Duration,
    /// Who, if it is about one.
    pub who: String,
    /// What happened and what should have.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { invariant, seed, step, at, who, what, full } = self;
        let full = if *full { " --full" } else { "" };
        writeln!(f, "VIOLATION of {}: {what}", invariant.name())?;
        writeln!(f, "  seed {seed}, step {step}, at {:.6} s, {who}", at.as_secs_f64())?;
        write!(
            f,
            "  again: cargo run --release -p net-tests --bin storm -- --seed {seed}{full} --trace"
        )
    }
}

impl std::error::Error for Violation {}
