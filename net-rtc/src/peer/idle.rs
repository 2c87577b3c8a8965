//! How long an open peer may be silent, and what is sent to it meanwhile.

use std::time::{Duration, Instant};

use crate::datagram::is_check;

/// Without a word through DTLS for so long a peer may have moved far away, and is looked for.
const MISSING: Duration = Duration::from_millis(250);
/// How often a peer is probed to which nothing else is sent.
const PROBE_PAUSE: Duration = Duration::from_millis(250);

/// For how long a peer may be silent, and what is sent to it meanwhile.
///
/// What DTLS decrypts was never there before, so it is a sign of life. A connectivity check may
/// be a replay: it keeps us sending, to a page that only listens and is told nothing, but of whom
/// only checks come is asked through DTLS, which pages answer by themselves.
#[derive(Debug)]
pub(crate) struct Silence {
    /// When the last connectivity check came, or the answer to one.
    checked: Instant,
    /// Silence before this does not count: nobody listened.
    excused: Instant,
    /// Silence after which the peer is probed, and, without checks, sent nothing else; and after
    /// which it is lost.
    pause: Duration,
    timeout: Duration,
    probed: Option<Instant>,
    missing: Option<Instant>,
}

impl Silence {
    pub(crate) fn new(now: Instant, pause: Duration, timeout: Duration) -> Silence {
        Silence { checked: now, excused: now, pause, timeout, probed: None, missing: None }
    }

    /// Notes a datagram that ICE took for the peer's own. Only a check proves that here: what
    /// goes to DTLS may be from anyone.
    pub(crate) fn note(&mut self, now: Instant, datagram: &[u8]) {
        if is_check(datagram) {
            self.checked = now;
        }
    }

    /// Nobody listened: the silence begins now.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.excused = now;
    }

    /// Whether nothing is sent now to a peer that DTLS heard last at `heard`, but probes.
    pub(crate) fn is_pause(&self, now: Instant, heard: Instant) -> bool {
        now >= self.pause(heard)
    }

    /// Whether it is time for a probe; if so, not again too soon.
    pub(crate) fn probe(&mut self, now: Instant, heard: Instant) -> bool {
        let due =
            now >= self.since(heard) + self.pause && self.next_probe().is_none_or(|at| now >= at);
        self.probed = if due { Some(now) } else { self.probed };
        due
    }

    /// Looks whether a peer that DTLS heard last at `heard` is missing; gives when there is
    /// something to do: to miss it, to pause, to probe, or to end.
    pub(crate) fn look(&mut self, now: Instant, heard: Instant) -> Instant {
        let missing = heard + MISSING;
        self.missing = (now >= missing).then_some(heard);
        let wake = self.wake(heard);
        if self.missing.is_some() { wake } else { wake.min(missing) }
    }

    /// Since when nothing that decrypts has come, if that is long enough to be looked for.
    pub(crate) fn missing(&self) -> Option<Instant> {
        self.missing
    }

    /// When a peer that DTLS heard last at `heard` is lost, if it stays silent. str0m has a
    /// shorter patience of its own, in connectivity checks alone, and goes on when it has run
    /// out; so do we.
    pub(crate) fn end(&self, heard: Instant) -> Instant {
        self.since(heard) + self.timeout
    }

    /// When to probe, or to end.
    fn wake(&self, heard: Instant) -> Instant {
        let first = self.since(heard) + self.pause;
        self.next_probe().map_or(first, |probe| probe.max(first)).min(self.end(heard))
    }

    fn pause(&self, heard: Instant) -> Instant {
        self.checked.max(self.since(heard)) + self.pause
    }

    fn since(&self, heard: Instant) -> Instant {
        heard.max(self.excused)
    }

    fn next_probe(&self) -> Option<Instant> {
        self.probed.map(|probed| probed + PROBE_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dtls_heard_puts_the_end_off() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = Silence::new(now, 10 * second, 20 * second);
        for first in [0, 1, 4, 20, 63, 255] {
            silence.note(now + 5 * second, &[first, 1]);
        }
        silence.note(now + 6 * second, &[]);
        assert_eq!(silence.end(now), now + 20 * second);
        assert_eq!(silence.end(now + 5 * second), now + 25 * second);
    }

    #[test]
    fn t69_what_nobody_listened_to_does_not_count() {
        let (heard, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = Silence::new(heard, 10 * second, 20 * second);
        let stop = heard + 60 * second;
        silence.excuse(stop);
        assert!(!silence.is_pause(stop + 9 * second, heard));
        assert!(!silence.probe(stop + 9 * second, heard));
        assert_eq!(silence.end(heard), stop + 20 * second);
        assert_eq!(silence.wake(heard), stop + 10 * second);
    }

    #[test]
    fn who_says_nothing_for_a_quarter_of_a_second_is_missing() {
        let (heard, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = Silence::new(heard, 10 * second, 20 * second);
        assert_eq!(silence.look(heard, heard), heard + MISSING);
        assert_eq!(silence.missing(), None);
        assert_eq!(silence.look(heard + MISSING, heard), heard + 10 * second);
        assert_eq!(silence.missing(), Some(heard));
        let again = heard + 5 * second;
        assert_eq!((silence.look(again, again), silence.missing()), (again + MISSING, None));
    }

    #[test]
    fn checks_keep_us_sending_and_probing() {
        let (heard, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = Silence::new(heard, 10 * second, 20 * second);
        for first in [4, 20, 63, 255] {
            silence.note(heard + 8 * second, &[first, 0]);
        }
        assert!(silence.is_pause(heard + 10 * second, heard), "nothing of that is a check");
        silence.note(heard + 8 * second, &[0, 1]);
        assert!(!silence.is_pause(heard + 10 * second, heard));
        assert!(silence.probe(heard + 10 * second, heard));
        assert!(silence.is_pause(heard + 18 * second, heard));
    }

    #[test]
    fn a_silent_peer_is_probed_now_and_then_until_it_is_lost() {
        let (heard, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = Silence::new(heard, 10 * second, 20 * second);
        let mut probes = 0;
        let mut now = silence.wake(heard);
        assert_eq!(now, heard + 10 * second);
        while now < silence.end(heard) {
            assert!(silence.is_pause(now, heard));
            probes += u32::from(silence.probe(now, heard));
            assert!(!silence.probe(now, heard), "not twice at once");
            now = silence.wake(heard);
        }
        assert_eq!((probes, now), (40, heard + 20 * second));
        assert!(!silence.is_pause(now, now), "it was heard");
        assert_eq!(silence.wake(now), now + 10 * second);
    }
}
