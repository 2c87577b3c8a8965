//! Access to connections, panic isolation and suspend detection.

use std::any::Any;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use crate::hub::connection::Connection;
use crate::hub::context::Context;
use crate::hub::{ConnectionId, Hub, Output};

impl Hub {
    /// Changes a connection. Afterwards closes other connections that must end because of it, and
    /// passes the next requests to the admission hook.
    pub(super) fn with_connection(
        &mut self,
        id: ConnectionId,
        change: impl FnOnce(&mut Connection, &mut Context),
    ) {
        self.update_connection(id, change);
        self.process_pending();
    }

    pub(super) fn process_pending(&mut self) {
        let Some(now) = self.last_call else { return };
        while let Some((id, ending)) = self.context.pending_closes.pop() {
            self.update_connection(id, |connection, core| connection.close(now, ending, core));
        }
        while let Some(id) = self.context.accept_queue.pop_next(&self.context.config) {
            self.update_connection(id, Connection::emit_accept_request);
        }
    }

    /// Changes one connection, then updates its pending writes, its timer and whether it is over.
    fn update_connection(
        &mut self,
        id: ConnectionId,
        change: impl FnOnce(&mut Connection, &mut Context),
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (before, core) = (connection.next_timeout(), &mut self.context);
        // A panic can leave only this connection inconsistent, and it is not used again; shared
        // state is changed last and completely, see `Connection::enter_closing`.
        let changed = AssertUnwindSafe(|| change(connection, core));
        if let Err(cause) = panic::catch_unwind(changed) {
            return self.drop_panicked(id, before, &*cause);
        }
        let after = connection.next_timeout();
        self.timers.reschedule(id, before, after);
        if !connection.outgoing().is_empty() {
            self.context.outputs.push_back(Output::Write(id));
        }
        if connection.is_finished() {
            self.timers.reschedule(id, after, None);
            self.connections.remove(&id);
            self.context.lingering.remove(&id);
            self.context.outputs.push_back(Output::Drop(id));
        }
    }

    /// Runs an action that concerns no particular connection, and isolates a panic.
    pub(super) fn catch_panic(&mut self, now: Instant, act: impl FnOnce(&mut Context)) {
        let core = &mut self.context;
        if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| act(core))) {
            self.log_panic(now, "a datagram", &*cause);
        }
    }

    /// Drops a connection that has panicked.
    fn drop_panicked(&mut self, id: ConnectionId, wake: Option<Instant>, cause: &(dyn Any + Send)) {
        let now = self.last_call.expect("nothing happens before the first call");
        let Some(mut connection) = self.connections.remove(&id) else { return };
        self.timers.reschedule(id, wake, None);
        connection.on_panic(&mut self.context);
        self.context.lingering.remove(&id);
        self.context.outputs.push_back(Output::Drop(id));
        self.log_panic(now, &format!("connection {}", id.0), cause);
        self.catch_panic(now, |core| {
            core.endpoint.close(now, &id);
            drop(connection);
        });
    }

    fn log_panic(&mut self, now: Instant, what: &str, cause: &(dyn Any + Send)) {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let cause = text.or_else(|| cause.downcast_ref().copied()).unwrap_or("a value");
        if let Some(unwritten) = self.context.panic_log.allow(now) {
            log::error!("panic while handling {what}; it is closed: {cause}");
            if unwritten > 0 {
                log::error!("and {unwritten} others before it");
            }
        }
    }

    /// Makes a connection panic, at once or just after its end was reported to the application: for
    /// tests outside of this crate.
    #[cfg(feature = "odd")]
    pub fn inject_panic(&mut self, now: Instant, id: ConnectionId, after_its_end: bool) {
        self.advance_clock(now);
        self.with_connection(id, |connection, core| {
            if after_its_end {
                connection.close(now, crate::CloseReason::ClosedByServer, core);
            }
            panic!("as a test wants it");
        });
    }

    /// Advances the clock. After a suspension of the process, deadlines are extended.
    pub(super) fn advance_clock(&mut self, now: Instant) {
        let away = self.suspend_detector.observe(now, self.last_call);
        self.last_call = Some(now);
        if let Some(away) = away {
            log::warn!(
                "the server was stopped for {away:?}: every connection has that much longer"
            );
            self.for_each_connection(|connection, core| {
                connection.extend_deadlines(now, away, core)
            });
            self.catch_panic(now, |core| core.endpoint.extend_deadlines(now, away));
        }
    }

    /// Resets the idle timers of websockets that are not read at present, so that none is `Lost`
    /// for its silence. Must be called before [`Input::Timeout`](crate::hub::Input::Timeout) while
    /// reading is paused.
    pub fn reset_idle_timers(&mut self, now: Instant) {
        self.advance_clock(now);
        if self.suspend_detector.poll_idle_reset(now) {
            self.for_each_connection(|connection, core| connection.reset_idle_timer(now, core));
        }
    }

    fn for_each_connection(&mut self, mut change: impl FnMut(&mut Connection, &mut Context)) {
        let mut all: Vec<_> = self.connections.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            self.with_connection(id, &mut change);
        }
    }
}

/// Minimum gap between calls that counts as a suspension of the process, if the call is also
/// `MIN_LATENESS` past its deadline. A quiet server has long gaps too, but meets its deadlines.
const MIN_SUSPEND: Duration = Duration::from_secs(5);
const MIN_LATENESS: Duration = Duration::from_secs(1);
/// Interval of idle timer resets while reading is paused.
const IDLE_RESET_INTERVAL: Duration = Duration::from_secs(1);

/// Suspend detector: compares the calls of the hub with their deadlines.
#[derive(Debug, Default)]
pub(super) struct SuspendDetector {
    expected_call: Option<Instant>,
    last_idle_reset: Option<Instant>,
}

impl SuspendDetector {
    /// Sets the deadline of the next call.
    pub(super) fn expect_call(&mut self, at: Option<Instant>) {
        self.expected_call = at;
    }

    /// Records a call, after the one at `last`. Returns the gap between them if the process was
    /// suspended.
    pub(super) fn observe(&mut self, now: Instant, last: Option<Instant>) -> Option<Duration> {
        let expected = self.expected_call.take()?;
        let away = now.saturating_duration_since(last?);
        let late = now.saturating_duration_since(expected);
        (away > MIN_SUSPEND && late > MIN_LATENESS).then_some(away)
    }

    /// Returns whether an idle timer reset is due.
    pub(super) fn poll_idle_reset(&mut self, now: Instant) -> bool {
        let due = self.last_idle_reset.is_none_or(|excused| now >= excused + IDLE_RESET_INTERVAL);
        self.last_idle_reset = if due { Some(now) } else { self.last_idle_reset };
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
        let mut absence = SuspendDetector::default();
        let mut away = |expected: Option<u32>, came: u32| {
            absence.expect_call(expected.map(|after| now + SECOND * after));
            absence.observe(now + SECOND * came, Some(now))
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
        let mut absence = SuspendDetector::default();
        let mut excuses = |quarters| absence.poll_idle_reset(now + SECOND / 4 * quarters);
        let expected = [true, false, false, false, true, false, false, false, true];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8].map(&mut excuses), expected);
    }

    #[test]
    fn t69_an_absence_is_noticed_once() {
        let now = Instant::now();
        let mut absence = SuspendDetector::default();
        absence.expect_call(Some(now));
        assert!(absence.observe(now + 60 * SECOND, Some(now)).is_some());
        assert_eq!(absence.observe(now + 60 * SECOND, Some(now)), None);
    }
}
