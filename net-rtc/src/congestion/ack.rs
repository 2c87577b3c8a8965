//! One chunk on its way, and what is told of many.

use std::time::{Duration, Instant};

/// A chunk that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) left: Instant,
    /// The packet that it left in, counted from the first.
    pub(crate) packet: u32,
    /// What it takes of its packet.
    pub(crate) bytes: u16,
    /// Its packet, in bytes.
    pub(crate) size: u16,
    /// Whether it is the last of its packet, and so speaks for it.
    pub(crate) last: bool,
    /// Whether its packet left after a pause, and so met no queue of the one before.
    pub(crate) leads: bool,
    /// Whether the peer was asked to acknowledge it at once.
    pub(crate) prompt: bool,
    /// Whether it is the last of its message.
    pub(crate) ends: bool,
    /// Whether its message is abandoned (RFC 3758 §3.5), whatever became of the chunk itself.
    pub(crate) abandoned: bool,
    pub(crate) care: Care,
    pub(crate) fate: Fate,
    /// What is known of the packet in which it left first.
    pub(crate) first: First,
}

/// What else is done for a chunk besides sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Nothing.
    Once,
    /// It may ride again.
    Kept,
    /// It rode again, for the first time in this packet, and for the last time so many
    /// milliseconds after it left.
    Copied { packet: u32, last: u16 },
}

/// Whether the peer has a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Unknown,
    Arrived,
    GivenUp,
}

/// Whether the packet arrived in which a chunk left first. Of a chunk that rode again nobody
/// may ever know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Unknown,
    Arrived,
    Lost,
    /// It was lost, or the SACK that would have told of it.
    Doubtful,
}

/// What a SACK told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// Packets that arrived. Chunks of one packet share its fate, so it counts once.
    pub(crate) arrived: u32,
    /// Packets that did not, and when the last of them left.
    pub(crate) lost: u32,
    pub(crate) lost_left: Option<Instant>,
    /// What arrived, in bytes of packets.
    pub(crate) bytes: usize,
    /// The round trip of a packet that was acknowledged at once.
    pub(crate) rtt: Option<Duration>,
    /// How many times as far as independent losses these stray from the average.
    pub(crate) spread: f64,
}

impl Told {
    /// Takes what is known of a chunk now.
    pub(crate) fn count(&mut self, flight: &Flight) {
        match flight.first {
            First::Arrived if flight.last => self.arrived += 1,
            First::Lost if flight.last => self.lose(flight.left),
            _ => {}
        }
    }

    pub(crate) fn lose(&mut self, left: Instant) {
        self.lost += 1;
        self.lost_left = self.lost_left.max(Some(left));
    }
}

impl Flight {
    pub(crate) fn new(left: Instant, packet: u32, bytes: usize, care: Care, ends: bool) -> Flight {
        Flight {
            left,
            packet,
            bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            size: 0,
            last: false,
            leads: false,
            prompt: false,
            ends,
            abandoned: false,
            care,
            fate: Fate::Unknown,
            first: First::Unknown,
        }
    }
}

/// What is assumed before anything was measured.
const UNKNOWN: Duration = Duration::from_millis(200);

/// Smoothed round-trip times (RFC 6298 §2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    any: Option<Duration>,
    prompt: Option<Duration>,
}

impl Rtt {
    /// Takes a round trip; a `prompt` one is of a packet that the peer acknowledged at once.
    pub(crate) fn sample(&mut self, sample: Duration, prompt: bool) {
        smooth(&mut self.any, sample);
        if prompt {
            smooth(&mut self.prompt, sample);
        }
    }

    /// Until a SACK comes. A peer may hold it back for up to 200 ms (RFC 9260 §6.2), so this is
    /// rather too long than too short.
    pub(crate) fn smoothed(&self) -> Duration {
        self.any.unwrap_or(UNKNOWN)
    }

    /// What the path takes, if that was measured.
    pub(crate) fn of_path(&self) -> Option<Duration> {
        self.prompt
    }
}

fn smooth(smoothed: &mut Option<Duration>, sample: Duration) {
    *smoothed = Some(smoothed.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_each_sample_counts() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!((rtt.smoothed(), rtt.of_path()), (UNKNOWN, None));
        rtt.sample(ms(80), true);
        assert_eq!((rtt.smoothed(), rtt.of_path()), (ms(80), Some(ms(80))));
        rtt.sample(ms(160), false);
        assert_eq!((rtt.smoothed(), rtt.of_path()), (ms(90), Some(ms(80))));
    }
}
