//! What is sent: so many messages at once, so many times a second.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

/// Messages of one size in an even rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Messages of one burst, which are sent at the same instant.
    pub burst: u32,
    /// Bursts a second.
    pub bursts_per_second: u32,
    /// Bytes of a message, from [`Load::LEAST`] on. Up to 1,000 each fits into a datagram; of
    /// longer ones nobody can say which the network dropped.
    pub bytes: usize,
}

impl Load {
    /// The smallest message, in bytes: it has to carry its number.
    pub const LEAST: usize = 8;

    /// Single messages.
    pub const fn steady(per_second: u32, bytes: usize) -> Load {
        Load { burst: 1, bursts_per_second: per_second, bytes }
    }

    /// Bursts of messages.
    pub const fn bursts(burst: u32, bursts_per_second: u32, bytes: usize) -> Load {
        Load { burst, bursts_per_second, bytes }
    }

    /// Messages of this time.
    pub fn messages(self, time: Duration) -> usize {
        let bursts = time.as_nanos() * u128::from(self.bursts_per_second) / 1_000_000_000;
        usize::try_from(bursts).unwrap_or(usize::MAX) * self.burst as usize
    }

    /// When a message is sent, from the beginning on.
    pub fn time_of(self, number: usize) -> Duration {
        let burst = number as u64 / u64::from(self.burst);
        Duration::from_nanos(burst * 1_000_000_000 / u64::from(self.bursts_per_second))
    }

    /// The message with this number.
    pub fn message(self, number: usize) -> Bytes {
        let mut message = vec![0x5A; self.bytes.max(Load::LEAST)];
        message[..Load::LEAST].copy_from_slice(&(number as u64).to_le_bytes());
        message.into()
    }

    /// The number of a message; `None` if it is none of ours.
    pub fn number(message: &[u8]) -> Option<usize> {
        let number = message.first_chunk::<{ Load::LEAST }>()?;
        usize::try_from(u64::from_le_bytes(*number)).ok()
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.burst {
            1 => write!(f, "{}/s x {} B", self.bursts_per_second, self.bytes),
            n => write!(f, "{n} x {} B, {}/s", self.bytes, self.bursts_per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_spread_evenly() {
        let load = Load::steady(60, 200);
        assert_eq!(load.messages(Duration::from_secs(2)), 120);
        assert_eq!(load.time_of(0), Duration::ZERO);
        assert_eq!(load.time_of(90), Duration::from_millis(1_500));
    }

    #[test]
    fn a_burst_is_sent_at_once() {
        let load = Load::bursts(100, 10, 200);
        assert_eq!(load.messages(Duration::from_secs(1)), 1_000);
        assert_eq!(load.time_of(99), Duration::ZERO);
        assert_eq!(load.time_of(100), Duration::from_millis(100));
    }

    #[test]
    fn a_message_carries_its_number() {
        let message = Load::steady(60, 200).message(1_234_567);
        assert_eq!((message.len(), Load::number(&message)), (200, Some(1_234_567)));
        assert_eq!(Load::number(b"short"), None);
    }
}
