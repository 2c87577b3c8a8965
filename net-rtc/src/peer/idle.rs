//! How long an open peer may be silent, and what is sent to it meanwhile.

use std::time::{Duration, Instant};

use crate::datagram::is_stun;

/// Without a word through DTLS for so long a peer may have moved far away, and is looked for.
const SILENT_AFTER: Duration = Duration::from_millis(250);
/// How often a peer is probed to which nothing else is sent.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// For how long a peer may be silent, and what is sent to it meanwhile.
///
/// What DTLS decrypts was never there before, so it is a sign of life. A connectivity check may
/// be a replay: it keeps us sending, to a page that only listens and is told nothing, but of whom
/// only checks come is asked through DTLS, which pages answer by themselves.
#[derive(Debug)]
pub(crate) struct IdleTimer {
    /// When the last connectivity check came, or the answer to one.
    last_check: Instant,
    /// Silence before this does not count: nobody listened.
    extended_at: Instant,
    /// Silence after which the peer is probed, and, without checks, sent nothing else; and after
    /// which it is lost.
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

    /// Notes a datagram that ICE took for the peer's own. Only a check proves that here: what
    /// goes to DTLS may be from anyone.
    pub(crate) fn on_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if is_stun(datagram) {
            self.last_check = now;
        }
    }

    /// Nobody listened: the silence begins now.
    pub(crate) fn extend(&mut self, now: Instant) {
        self.extended_at = now;
    }

    /// Whether nothing is sent now to a peer that DTLS heard last at `heard`, but probes.
    pub(crate) fn is_quiet(&self, now: Instant, heard: Instant) -> bool {
        now >= self.quiet_at(heard)
    }

    /// Whether it is time for a probe; if so, not again too soon.
    pub(crate) fn poll_probe(&mut self, now: Instant, heard: Instant) -> bool {
        let due = now >= self.idle_since(heard) + self.probe_after
            && self.next_probe_at().is_none_or(|at| now >= at);
        self.last_probe = if due { Some(now) } else { self.last_probe };
        due
    }

    /// Looks whether a peer that DTLS heard last at `heard` is missing; gives when there is
    /// something to do: to miss it, to pause, to probe, or to end.
    pub(crate) fn poll_timeout(&mut self, now: Instant, heard: Instant) -> Instant {
        let missing = heard + SILENT_AFTER;
        self.silent_since = (now >= missing).then_some(heard);
        let wake = self.next_timeout(heard);
        if self.silent_since.is_some() { wake } else { wake.min(missing) }
    }

    /// Since when nothing that decrypts has come, if that is long enough to be looked for.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// When a peer that DTLS heard last at `heard` is lost, if it stays silent. str0m has a
    /// shorter patience of its own, in connectivity checks alone, and goes on when it has run
    /// out; so do we.
    pub(crate) fn expires_at(&self, heard: Instant) -> Instant {
        self.idle_since(heard) + self.idle_timeout
    }

    /// When to probe, or to end.
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
