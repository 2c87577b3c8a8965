//! Deadlines and limits of one socket.

use std::time::{Duration, Instant};

/// Deadlines and limits of one [`Socket`](crate::Socket).
///
/// Every field has a default; [`Duration::MAX`] means never.
#[derive(Clone, Debug)]
pub struct Config {
    /// From `accept` or `connect` to the end of the upgrade. Default 5 s. After it a server
    /// answers 408 to a half request (nothing to silence) and the socket closes with
    /// `UpgradeTimeout`; a held upgrade without a verdict is refused, with status 503 or close
    /// code 1013 as in [`Socket::refuse`](crate::Socket::refuse).
    pub upgrade_timeout: Duration,
    /// Bytes of an HTTP head, its empty line included. Default 32 KiB: browsers send all cookies
    /// of a host along. Until the upgrade a socket holds as much of a head, and no more. Over it:
    /// 431.
    pub max_request_head_size: usize,
    /// Header lines of an HTTP head. Default and maximum 124: proxies add some. Over it: 431.
    pub max_request_headers: usize,
    /// Whether a server waits for [`Socket::admit`](crate::Socket::admit) or
    /// [`Socket::refuse`](crate::Socket::refuse) before it answers a good request. Default
    /// `false`: every good request is answered with 101 at once. With it plain HTTP requests are
    /// shown, too ([`Output::Plain`](crate::Output::Plain)), instead of refused, and websockets'
    /// requests over a limit ([`Output::Oversized`](crate::Output::Oversized)).
    pub await_decision: bool,
    /// Payload bytes of one message, each way, whole or in fragments. Default 64 KiB. A longer
    /// one from the peer closes with 1009, before anything is allocated for it; a longer one to
    /// the peer is `SendError::TooLarge`. It also bounds what a client may send before the
    /// verdict on a held upgrade. While a fragmented message arrives the socket holds up to
    /// about three times as much.
    pub max_message_size: usize,
    /// Fragments without payload in one message. Default 64. Over it the socket closes with
    /// 1008. Fragments with payload are bounded by `message_bytes`.
    pub max_empty_fragments: usize,
    /// Unsent bytes, frame heads included. Default 1 MiB. A message that would pass it is
    /// `SendError::Full`, but one whole message always fits into an empty backlog. Over it pings
    /// wait for their pong, the newest replacing older ones. Our own control frames may pass it
    /// by up to 512 bytes. A server holds payloads from 4 KiB on by reference: the same `Bytes`
    /// sent to a thousand sockets counts for each and is there once, and a part of a larger
    /// `Bytes` keeps all of that.
    pub send_buffer: usize,
    /// Time in which a peer must take all bytes that wait at its beginning, or as many as
    /// [`min_send_rate`](Config::min_send_rate) makes in it. Default 30 s. A peer that takes less
    /// is closed as `CloseReason::Slow`; at half the time it is named in `Output::Slow`.
    pub send_timeout: Duration,
    /// Least rate at which a peer must take what waits, in bits a second. Default 16,000, which
    /// is 60,000 bytes in 30 s. With 0 a single byte will do.
    pub min_send_bitrate: u32,
    /// Time without a byte received after which a ping is sent, and then again each such time.
    /// Default 15 s.
    pub ping_interval: Duration,
    /// Time without a byte received after which the peer counts as gone (`CloseReason::Dead`).
    /// Default 35 s.
    pub pong_timeout: Duration,
    /// From the start of closing, or from the last bytes that the peer took of what was accepted,
    /// to `Finished`: time to flush that, say goodbye and hear the answer. Default 2 s; in all no
    /// more than `send_timeout`.
    pub close_timeout: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            upgrade_timeout: Duration::from_secs(5),
            max_request_head_size: 32 * 1024,
            max_request_headers: 124,
            await_decision: false,
            max_message_size: 64 * 1024,
            max_empty_fragments: 64,
            send_buffer: 1024 * 1024,
            send_timeout: Duration::from_secs(30),
            min_send_bitrate: 16_000,
            ping_interval: Duration::from_secs(15),
            pong_timeout: Duration::from_secs(35),
            close_timeout: Duration::from_secs(2),
        }
    }
}

/// `now + wait`, or a time no process lives to see where that cannot be represented.
pub(crate) fn saturating_add(now: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now + wait.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_does_not_overflow() {
        let now = Instant::now();
        assert!(
            saturating_add(now, Duration::MAX) > saturating_add(now, Duration::from_secs(1 << 30))
        );
        assert_eq!(saturating_add(now, Duration::from_secs(1)), now + Duration::from_secs(1));
    }
}
