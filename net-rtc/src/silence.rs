//! How long an open peer may be silent.

use std::time::{Duration, Instant};

/// When the peer was heard last, beside what DTLS decrypts, and for how long it may be silent.
#[derive(Debug)]
pub(crate) struct Silence {
    /// When the last connectivity check came, or the answer to one.
    checked: Instant,
    timeout: Duration,
}

impl Silence {
    pub(crate) fn new(now: Instant, timeout: Duration) -> Silence {
        Silence { checked: now, timeout }
    }

    /// Notes a datagram that ICE took for the peer's own. Only a check proves that here: what
    /// goes to DTLS may be from anyone.
    pub(crate) fn note(&mut self, now: Instant, datagram: &[u8]) {
        if is_stun(datagram) {
            self.checked = now;
        }
    }

    /// When a peer that DTLS heard last at `heard` is lost, if it stays silent. str0m has a
    /// shorter patience of its own, in connectivity checks alone, and goes on when it has run
    /// out; so do we.
    pub(crate) fn end(&self, heard: Instant) -> Instant {
        self.checked.max(heard) + self.timeout
    }
}

/// The first byte tells STUN from DTLS (RFC 7983).
fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| *byte < 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_what_dtls_heard_put_the_end_off() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = Silence::new(now, 20 * second);
        for first in [4, 20, 63, 255] {
            silence.note(now + second, &[first, 0]);
        }
        silence.note(now + second, &[]);
        assert_eq!(silence.end(now), now + 20 * second, "nothing of that proves anything");
        silence.note(now + 2 * second, &[1, 1]);
        assert_eq!(silence.end(now), now + 22 * second);
        assert_eq!(silence.end(now + 5 * second), now + 25 * second);
    }
}
