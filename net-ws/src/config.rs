//! Deadlines and limits of one socket.

use std::time::{Duration, Instant};

/// Deadlines and limits of one [`Socket`](crate::Socket).
///
/// Every field has a default; [`Duration::MAX`] means never.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time from `accept` or `connect` to the end of the upgrade. Default 5 s. After it a server
    /// responds 408 to a partial request (nothing if no byte came) and the socket closes with
    /// `UpgradeTimeout`; a plain request without a response gets 503; a pending upgrade without a
    /// decision is rejected with status 503 or close code 1013 as in
    /// [`Socket::reject_upgrade`](crate::Socket::reject_upgrade).
    pub upgrade_timeout: Duration,
    /// Maximum bytes of an HTTP head (request or response), its empty line included. Default
    /// 32 KiB: browsers send all cookies of a host along. Until the upgrade a socket holds no more
    /// than this of a head. Over it: 431.
    pub max_request_head_size: usize,
    /// Maximum header lines of an HTTP head. Default and upper limit 124: proxies add some. Over
    /// it: 431.
    pub max_request_headers: usize,
    /// Whether a server waits for [`Socket::accept_upgrade`](crate::Socket::accept_upgrade) or
    /// [`Socket::reject_upgrade`](crate::Socket::reject_upgrade) before it responds to a valid
    /// request. Default `false`: every valid request gets a 101 at once. If `true`, plain HTTP
    /// requests ([`Output::PlainHttp`](crate::Output::PlainHttp)) and upgrade requests over a
    /// limit ([`Output::Oversized`](crate::Output::Oversized)) are emitted instead of rejected.
    pub await_decision: bool,
    /// Maximum payload bytes of one message, in each direction, whole or in fragments. Default
    /// 64 KiB. A longer one from the peer closes with 1009, before anything is allocated for it; a
    /// longer one to the peer is `SendError::TooLarge`. It also bounds the bytes that a client may
    /// send before the decision on a pending upgrade. While a fragmented message arrives the
    /// socket holds up to about three times as much.
    pub max_message_size: usize,
    /// Maximum fragments without payload in one message. Default 64. Over it the socket closes
    /// with 1008. Fragments with payload are bounded by `max_message_size`.
    pub max_empty_fragments: usize,
    /// Maximum unsent bytes, frame headers included. Default 1 MiB. A message that would exceed it
    /// is `SendError::Full`, but one whole message always fits into an empty buffer. While it is
    /// full, pongs are withheld and only the newest ping is kept. Own control frames may exceed it
    /// by up to 512 bytes. A server holds payloads from 4 KiB on by reference: the same `Bytes`
    /// sent to a thousand sockets counts for each and is stored once, and a slice of a larger
    /// `Bytes` keeps all of that alive.
    pub send_buffer: usize,
    /// Period in which a peer must read all bytes that are buffered at its start, or as many as
    /// [`min_send_bitrate`](Config::min_send_bitrate) amounts to in it. Default 30 s. A peer that
    /// reads less is closed with `CloseReason::SlowConsumer`; a peer that is behind at half the
    /// period is reported by `Output::SlowConsumer`.
    pub send_timeout: Duration,
    /// Minimum rate at which a peer must read buffered bytes, in bits per second. Default 16,000,
    /// which is 60,000 bytes in 30 s. With 0 a single byte is enough.
    pub min_send_bitrate: u32,
    /// Time without a byte received after which a ping is sent, and interval of further pings.
    /// Default 15 s.
    pub ping_interval: Duration,
    /// Time without a byte received after which the socket closes with `CloseReason::TimedOut`.
    /// Default 35 s.
    pub pong_timeout: Duration,
    /// Time from the start of closing, or from the last bytes that the peer read of the send
    /// buffer, to `Finished`: covers flushing the buffer and the closing handshake. Default 2 s;
    /// in all no more than `send_timeout`.
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

/// Returns `now + wait`, with `wait` capped at 100 years so that the sum can be represented.
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
