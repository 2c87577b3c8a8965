//! The way to change a connection, and what becomes of one that panics.

use std::any::Any;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use crate::hub::connection::Connection;
use crate::hub::context::Core;
use crate::hub::{ConnectionId, Hub, Output};

impl Hub {
    /// The way to change a connection. Those that have to end because of it do so afterwards, and
    /// those whose turn has come are asked about.
    pub(super) fn with(
        &mut self,
        id: ConnectionId,
        change: impl FnOnce(&mut Connection, &mut Core),
    ) {
        self.with_one(id, change);
        self.end_others();
    }

    pub(super) fn end_others(&mut self) {
        let Some(now) = self.now else { return };
        while let Some((id, ending)) = self.core.to_end.pop() {
            self.with_one(id, |connection, core| connection.finish(now, ending, core));
        }
        while let Some(id) = self.core.questions.next(&self.core.config) {
            self.with_one(id, Connection::ask);
        }
    }

    /// Changes one: what it has to write, when it wants to be woken and whether it is over is
    /// looked at afterwards.
    fn with_one(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection, &mut Core)) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (before, core) = (connection.wake(), &mut self.core);
        // What may be left half done is the connection, which is not used again; what it shares
        // with others it changes last and whole, see `Connection::end`.
        let changed = AssertUnwindSafe(|| change(connection, core));
        if let Err(cause) = panic::catch_unwind(changed) {
            return self.give_up(id, before, &*cause);
        }
        let after = connection.wake();
        self.deadlines.reschedule(id, before, after);
        if !connection.outgoing().is_empty() {
            self.core.outputs.push_back(Output::Write(id));
        }
        if connection.is_over() {
            self.deadlines.reschedule(id, after, None);
            self.connections.remove(&id);
            self.core.lingering.remove(&id);
            self.core.outputs.push_back(Output::Drop(id));
        }
    }

    /// Does something that concerns no connection in particular, or nobody knows which.
    pub(super) fn guard(&mut self, now: Instant, act: impl FnOnce(&mut Core)) {
        let core = &mut self.core;
        if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| act(core))) {
            self.report(now, "a datagram", &*cause);
        }
    }

    /// Ends a connection that has panicked.
    fn give_up(&mut self, id: ConnectionId, wake: Option<Instant>, cause: &(dyn Any + Send)) {
        let now = self.now.expect("nothing happens before the first call");
        let Some(mut connection) = self.connections.remove(&id) else { return };
        self.deadlines.reschedule(id, wake, None);
        connection.give_up(&mut self.core);
        self.core.lingering.remove(&id);
        self.core.outputs.push_back(Output::Drop(id));
        self.report(now, &format!("connection {}", id.0), cause);
        self.guard(now, |core| {
            core.endpoint.close(now, &id);
            drop(connection);
        });
    }

    fn report(&mut self, now: Instant, what: &str, cause: &(dyn Any + Send)) {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let cause = text.or_else(|| cause.downcast_ref().copied()).unwrap_or("a value");
        if let Some(unwritten) = self.core.faults.admit(now) {
            log::error!("{what} made us panic, which ends it and nobody else: {cause}");
            if unwritten > 0 {
                log::error!("and {unwritten} others before it");
            }
        }
    }

    /// Has a connection panic, at once or when the application has just heard of its end: for
    /// tests outside of this crate.
    #[cfg(feature = "odd")]
    pub fn provoke_panic(&mut self, now: Instant, id: ConnectionId, after_its_end: bool) {
        self.arrive(now);
        self.with(id, |connection, core| {
            if after_its_end {
                connection.finish(now, crate::CloseReason::ClosedByServer, core);
            }
            panic!("as a test wants it");
        });
    }

    /// Notes the time. If the server was away, nobody is blamed for the silence.
    pub(super) fn arrive(&mut self, now: Instant) {
        let away = self.absence.end(now, self.now);
        self.now = Some(now);
        if let Some(away) = away {
            log::warn!(
                "the server was stopped for {away:?}: every connection has that much longer"
            );
            self.with_all(|connection, core| connection.excuse(now, away, core));
            self.guard(now, |core| core.endpoint.extend_deadlines(now, away));
        }
    }

    /// Says that websockets are not read at present, so that nobody is `Lost` for being silent
    /// there. To be called before [`Input::Timeout`](crate::hub::Input::Timeout) as long as that is so.
    pub fn excuse_unread(&mut self, now: Instant) {
        self.arrive(now);
        if self.absence.excuses_unread(now) {
            self.with_all(|connection, core| connection.excuse_unread(now, core));
        }
    }

    fn with_all(&mut self, mut change: impl FnMut(&mut Connection, &mut Core)) {
        let mut all: Vec<_> = self.connections.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            self.with(id, &mut change);
        }
    }
}

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
