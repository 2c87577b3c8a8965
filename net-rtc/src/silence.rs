//! How long an open peer may be silent, and what is sent to it meanwhile.

use std::time::{Duration, Instant};

use crate::datagram::is_check;

/// Without a word through DTLS for so long a peer may have moved far away, and is looked for.
const MISSING: Duration = Duration::from_millis(250);
/// How often a peer is probed to which nothing else is sent.
const PROBE_PAUSE: Duration = Duration::from_millis(250);

/// When the peer was heard last, beside what DTLS decrypts, and for how long it may be silent.
#[derive(Debug)]
pub(crate) struct Silence {
    /// When the last connectivity check came, or the answer to one.
    checked: Instant,
    /// Silence after which nothing more is sent, and after which the peer is lost.
    pause: Duration,
    timeout: Duration,
    probed: Option<Instant>,
    missing: Option<Instant>,
}

impl Silence {
    pub(crate) fn new(now: Instant, pause: Duration, timeout: Duration) -> Silence {
        Silence { checked: now, pause, timeout, probed: None, missing: None }
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
        self.checked = now;
    }

    /// Whether nothing is sent now to a peer that DTLS heard last at `heard`, but probes.
    pub(crate) fn is_pause(&self, now: Instant, heard: Instant) -> bool {
        now >= self.pause(heard)
    }

    /// Whether it is time for a probe; if so, not again too soon.
    pub(crate) fn probe(&mut self, now: Instant, heard: Instant) -> bool {
        let due = self.is_pause(now, heard) && self.next_probe().is_none_or(|at| now >= at);
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
        self.checked.max(heard) + self.timeout
    }

    /// When to pause, to probe, or to end.
    fn wake(&self, heard: Instant) -> Instant {
        let pause = self.pause(heard);
        self.next_probe().map_or(pause, |probe| probe.max(pause)).min(self.end(heard))
    }

    fn pause(&self, heard: Instant) -> Instant {
        self.checked.max(heard) + self.pause
    }

    fn next_probe(&self) -> Option<Instant> {
        self.probed.map(|probed| probed + PROBE_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_what_dtls_heard_put_the_end_off() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut silence = Silence::new(now, 10 * second, 20 * second);
        for first in [4, 20, 63, 255] {
            silence.note(now + second, &[first, 0]);
        }
        silence.note(now + second, &[]);
        assert_eq!(silence.end(now), now + 20 * second, "nothing of that proves anything");
        silence.note(now + 2 * second, &[1, 1]);
        assert_eq!(silence.end(now), now + 22 * second);
        assert_eq!(silence.end(now + 5 * second), now + 25 * second);
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
