//! A datagram that was sent in a meeting.

use std::fmt;
use std::time::Duration;

use crate::link::Direction;

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Since the answer.
    pub at: Duration,
    /// Which way.
    pub direction: Direction,
    /// What it is, as far as that can be seen, and how long.
    pub what: String,
    /// Whether it never arrived.
    pub lost: bool,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.at.as_secs_f64() * 1e3;
        let (way, lost) = (self.direction.name(), if self.lost { " LOST" } else { "" });
        write!(f, "{ms:8.1} {way:>4} {}{lost}", self.what)
    }
}

/// What a datagram is, by what is not encrypted of it (RFC 7983).
pub(super) fn describe(contents: &[u8]) -> String {
    let length = contents.len();
    let what = match contents {
        [0, 1, ..] => "check",
        [1, 1, ..] => "check's answer",
        [22, _, _, 0, 0, ..] => "DTLS handshake",
        [22, ..] => "DTLS handshake, encrypted",
        [20, ..] => "DTLS change cipher spec",
        [21, ..] => "DTLS alert",
        [23, ..] => "DTLS 1.2 data",
        [32..=63, ..] => "DTLS 1.3",
        _ => "something",
    };
    let epoch = contents.first().filter(|first| (32..64).contains(*first)).map(|first| first & 3);
    epoch.map_or(format!("{what}, {length} B"), |epoch| format!("{what} epoch {epoch}, {length} B"))
}
