//! Whether the server itself was away: its process stopped, its machine asleep or too busy.

use std::time::{Duration, Instant};

/// Who does not come for so long, and comes so much later than he was asked for, was away. A
/// quiet server does not come for long, but it comes in time.
const AWAY: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(1);
/// How often connections are excused that are not read.
const PERIOD: Duration = Duration::from_secs(1);

/// When the hub is to be called, and when it was.
#[derive(Debug, Default)]
pub(super) struct Absence {
    expected: Option<Instant>,
    excused: Option<Instant>,
}

impl Absence {
    /// A call is expected at this time at the latest.
    pub(super) fn expect(&mut self, at: Option<Instant>) {
        self.expected = at;
    }

    /// A call has come, after the one at `last`. Gives for how long there was none, if that was
    /// far too long.
    pub(super) fn end(&mut self, now: Instant, last: Option<Instant>) -> Option<Duration> {
        let expected = self.expected.take()?;
        let away = now.saturating_duration_since(last?);
        let late = now.saturating_duration_since(expected);
        (away > AWAY && late > LATE).then_some(away)
    }

    /// Whether it is time to excuse whoever is not read.
    pub(super) fn excuses_unread(&mut self, now: Instant) -> bool {
        let due = self.excused.is_none_or(|excused| now >= excused + PERIOD);
        self.excused = if due { Some(now) } else { self.excused };
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn t69_only_who_comes_much_later_than_expected_was_away() {
        let now = Instant::now();
        let mut absence = Absence::default();
        let mut away = |expected: Option<u32>, came: u32| {
            absence.expect(expected.map(|after| now + SECOND * after));
            absence.end(now + SECOND * came, Some(now))
        };
        assert_eq!(away(None, 3_600), None, "nobody was there to wait for");
        assert_eq!(away(Some(60), 60), None, "a quiet minute");
        assert_eq!(away(Some(60), 1), None, "something came");
        assert_eq!(away(Some(1), 5), None, "late");
        assert_eq!(away(Some(1), 6), Some(6 * SECOND));
        assert_eq!(away(Some(9), 10), None, "hardly late");
        assert_eq!(away(Some(9), 11), Some(11 * SECOND));
    }

    #[test]
    fn who_is_not_read_is_excused_once_a_second() {
        let now = Instant::now();
        let mut absence = Absence::default();
        let mut excuses = |quarters| absence.excuses_unread(now + SECOND / 4 * quarters);
        let expected = [true, false, false, false, true, false, false, false, true];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8].map(&mut excuses), expected);
    }

    #[test]
    fn t69_an_absence_is_noticed_once() {
        let now = Instant::now();
        let mut absence = Absence::default();
        absence.expect(Some(now));
        assert!(absence.end(now + 60 * SECOND, Some(now)).is_some());
        assert_eq!(absence.end(now + 60 * SECOND, Some(now)), None);
    }
}
