//! What a peer is told once more when it is back.

use std::time::{Duration, Instant};

/// Silence after which a peer counts as one that was away.
const AWAY: Duration = Duration::from_millis(250);
/// How long a peer that is back is reminded, unless its data comes.
const WHILE: Duration = Duration::from_secs(3);
/// Between two reminders.
const PAUSE: Duration = Duration::from_millis(100);

/// A path that was down leaves the peer's SCTP waiting for a timer that has doubled again and
/// again: 3 s in browsers (RFC 9260 §6.3.3). An acknowledgement, even of nothing new, makes it
/// look at what it has to say, and the FORWARD-TSN that is due then (RFC 3758 §3.5) is answered
/// by an acknowledgement that ends the waiting. So a peer that is heard again is told once more
/// what has arrived, and again until it has something to say. It is told nothing but the truth,
/// for an acknowledgement of what was never sent ends an association.
#[derive(Debug)]
pub(super) struct Reminder {
    heard: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// It speaks, or it has nothing to say.
    Quiet,
    Reminding {
        next: Instant,
        until: Instant,
    },
}

impl Reminder {
    /// The peer was heard just now.
    pub(super) fn new(now: Instant) -> Reminder {
        Reminder { heard: now, state: State::Quiet }
    }

    /// A packet of the peer came, with something to say or only with acknowledgements; whether
    /// to remind it now.
    pub(super) fn heard(&mut self, now: Instant, speaks: bool) -> bool {
        let away = now.saturating_duration_since(self.heard) > AWAY;
        self.heard = now;
        if speaks {
            self.state = State::Quiet;
        } else if away {
            self.state = State::Reminding { next: now, until: now + WHILE };
        }
        self.is_due(now)
    }

    fn is_due(&mut self, now: Instant) -> bool {
        match self.state {
            State::Reminding { next, until } if next <= now => {
                self.state = match until > now {
                    true => State::Reminding { next: now + PAUSE, until },
                    false => State::Quiet,
                };
                until > now
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn reminded(times: impl IntoIterator<Item = u32>, data: impl Fn(u32) -> bool) -> Vec<u32> {
        let t = Instant::now();
        let mut reminder = Reminder::new(t);
        times.into_iter().filter(|at| reminder.heard(t + *at * MS, data(*at))).collect()
    }

    #[test]
    fn a_peer_that_speaks_on_is_not_reminded() {
        assert_eq!(reminded((0..5_000).step_by(20), |_| true), []);
        assert_eq!(reminded((0..5_000).step_by(200), |_| false), []);
    }

    #[test]
    fn a_peer_that_is_back_is_reminded_until_its_data_comes() {
        let heard = |from: u32| (from..from + 10_000).step_by(20);
        assert_eq!(reminded(heard(1_000), |at| at >= 1_250), [1_000, 1_100, 1_200]);
        let in_vain = reminded(heard(1_000), |_| false);
        assert_eq!((in_vain.len(), in_vain.last()), (30, Some(&3_900)));
        assert_eq!(reminded([1_000], |_| true), []);
    }
}
