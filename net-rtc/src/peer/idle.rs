//! Idle timeout of an open peer, and its probing (cf. RFC 9000 §10.1).

use std::time::{Duration, Instant};

use crate::datagram::is_stun;

/// Time without a decrypted datagram after which a peer may have moved to another IP address, and
/// enters the migration lookup.
const SILENT_AFTER: Duration = Duration::from_millis(250);
/// Interval of the path challenges to an idle peer.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Idle timer of an open peer.
///
/// A datagram that DTLS decrypts is not a replay, so it resets the timer. A connectivity check may
/// be one: it only keeps us sending, to a page that receives and never sends. Such a peer gets path
/// challenges, which its SCTP answers by itself.
#[derive(Debug)]
pub(crate) struct IdleTimer {
    /// Time of the last connectivity check or response.
    last_check: Instant,
    /// Idle time before this does not count: the process was suspended.
    extended_at: Instant,
    /// Idle time after which the peer is probed and, without checks, sent nothing else; and the one
    /// after which it is closed.
    probe_after: Duration,
    idle_timeout: Duration,
    last_probe: Option<Instant>,
    silent_since: Option<Instant>,
}

impl IdleTimer {
    pub(crate) fn new(now: Instant, probe_after: Duration, idle_timeout: Duration) -> IdleTimer {
        IdleTimer {
            last_check: now,
            extended_at: now,
            probe_after,
            idle_timeout,
            last_probe: None,
            silent_since: None,
        }
    }

    /// Records a datagram that ICE has accepted. Only checks count: here a DTLS record is not
    /// authenticated yet.
    pub(crate) fn on_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if is_stun(datagram) {
            self.last_check = now;
        }
    }

    /// Restarts the idle time, after the process was suspended.
    pub(crate) fn extend(&mut self, now: Instant) {
        self.extended_at = now;
    }

    /// Whether only path challenges are sent now, with the last decrypted datagram at `heard`.
    pub(crate) fn is_quiet(&self, now: Instant, heard: Instant) -> bool {
        now >= self.quiet_at(heard)
    }

    /// Returns whether a probe is due, and if so, schedules the next.
    pub(crate) fn poll_probe(&mut self, now: Instant, heard: Instant) -> bool {
        let due = now >= self.idle_since(heard) + self.probe_after
            && self.next_probe_at().is_none_or(|at| now >= at);
        self.last_probe = if due { Some(now) } else { self.last_probe };
        due
    }

    /// Updates the silence, with the last decrypted datagram at `heard`; returns the next timeout:
    /// for silence, quiet, a probe, or the idle timeout.
    pub(crate) fn poll_timeout(&mut self, now: Instant, heard: Instant) -> Instant {
        let missing = heard + SILENT_AFTER;
        self.silent_since = (now >= missing).then_some(heard);
        let wake = self.next_timeout(heard);
        if self.silent_since.is_some() { wake } else { wake.min(missing) }
    }

    /// Returns the start of the silence, if it exceeds [`SILENT_AFTER`].
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// Returns the end of the idle timeout, with the last decrypted datagram at `heard`. str0m has
    /// a shorter timeout of its own, by connectivity checks alone, and continues after it; so does
    /// this.
    pub(crate) fn expires_at(&self, heard: Instant) -> Instant {
        self.idle_since(heard) + self.idle_timeout
    }

    /// Returns the time of the next probe or of the idle timeout.
    fn next_timeout(&self, heard: Instant) -> Instant {
        let first = self.idle_since(heard) + self.probe_after;
        self.next_probe_at().map_or(first, |probe| probe.max(first)).min(self.expires_at(heard))
    }

    fn quiet_at(&self, heard: Instant) -> Instant {
        self.last_check.max(self.idle_since(heard)) + self.probe_after
    }

    fn idle_since(&self, heard: Instant) -> Instant {
        heard.max(self.extended_at)
    }

    fn next_probe_at(&self) -> Option<Instant> {
        self.last_probe.map(|probed| probed + PROBE_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dtls_heard_puts_the_end_off() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = IdleTimer::new(now, 10 * second, 20 * second);
        for first in [0, 1, 4, 20, 63, 255] {
            silence.on_datagram(now + 5 * second, &[first, 1]);
        }
        silence.on_datagram(now + 6 * second, &[]);
        assert_eq!(silence.expires_at(now), now + 20 * second);
        assert_eq!(silence.expires_at(now + 5 * second), now + 25 * second);
    }

    #[test]
    fn t69_what_nobody_listened_to_does_not_count() {
        let (heard, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = IdleTimer::new(heard, 10 * second, 20 * second);
        let stop = heard + 60 * second;
        silence.extend(stop);
        assert!(!silence.is_quiet(stop + 9 * second, heard));
        assert!(!silence.poll_probe(stop + 9 * second, heard));
        assert_eq!(silence.expires_at(heard), stop + 20 * second);
        assert_eq!(silence.next_timeout(heard), stop + 10 * second);
    }

    #[test]
    fn who_says_nothing_for_a_quarter_of_a_second_is_missing() {
        let (heard, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = IdleTimer::new(heard, 10 * second, 20 * second);
        assert_eq!(silence.poll_timeout(heard, heard), heard + SILENT_AFTER);
        assert_eq!(silence.silent_since(), None);
        assert_eq!(silence.poll_timeout(heard + SILENT_AFTER, heard), heard + 10 * second);
        assert_eq!(silence.silent_since(), Some(heard));
        let again = heard + 5 * second;
        assert_eq!(
            (silence.poll_timeout(again, again), silence.silent_since()),
            (again + SILENT_AFTER, None)
        );
    }

    #[test]
    fn checks_keep_us_sending_and_probing() {
        let (heard, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = IdleTimer::new(heard, 10 * second, 20 * second);
        for first in [4, 20, 63, 255] {
            silence.on_datagram(heard + 8 * second, &[first, 0]);
        }
        assert!(silence.is_quiet(heard + 10 * second, heard), "nothing of that is a check");
        silence.on_datagram(heard + 8 * second, &[0, 1]);
        assert!(!silence.is_quiet(heard + 10 * second, heard));
        assert!(silence.poll_probe(heard + 10 * second, heard));
        assert!(silence.is_quiet(heard + 18 * second, heard));
    }

    #[test]
    fn a_silent_peer_is_probed_now_and_then_until_it_is_lost() {
        let (heard, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = IdleTimer::new(heard, 10 * second, 20 * second);
        let mut probes = 0;
        let mut now = silence.next_timeout(heard);
        assert_eq!(now, heard + 10 * second);
        while now < silence.expires_at(heard) {
            assert!(silence.is_quiet(now, heard));
            probes += u32::from(silence.poll_probe(now, heard));
            assert!(!silence.poll_probe(now, heard), "not twice at once");
            now = silence.next_timeout(heard);
        }
        assert_eq!((probes, now), (40, heard + 20 * second));
        assert!(!silence.is_quiet(now, now), "it was heard");
        assert_eq!(silence.next_timeout(now), now + 10 * second);
    }
}
