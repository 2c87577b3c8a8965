//! Closing, in order or not.

use std::time::Instant;

use bytes::Bytes;

use crate::CloseReason;
use crate::error::close_payload;
use crate::frame_scanner::Meter;
use crate::socket::state::Goodbye;
use crate::socket::{Last, Output, Role, Socket, State};

impl Socket {
    /// The peer said its last word; `rest` is what came behind it.
    pub(super) fn read_last(&mut self, now: Instant, last: Last, rest: &[u8]) {
        let State::Open(live) = &mut self.state else { return };
        let mut meter = live.decoder.take_meter();
        meter.look_for_close(rest);
        self.set_state(State::Ending { last, meter, since: now });
    }

    /// Acts on the peer's last word, if it was said.
    pub(super) fn act_on_last(&mut self) {
        let State::Ending { last, meter, since } = &self.state else { return };
        let (meter, since) = (meter.clone(), *since);
        match last.clone() {
            Last::Goodbye(frame) => self.answer_close(since, frame),
            Last::Fault(reason) => self.fail(since, meter, reason),
        }
    }

    /// The peer broke a rule. It is told so, and may answer.
    fn fail(&mut self, now: Instant, meter: Meter, reason: CloseReason) {
        let code = match &reason {
            CloseReason::TooLarge => 1009,
            CloseReason::Protocol(violation) => violation.code(),
            _ => 1002,
        };
        let text = reason.to_string();
        self.say_goodbye(now, meter, reason, code, &text);
    }

    /// Queues our close frame; the peer's may have passed the `meter`, or come later.
    pub(super) fn say_goodbye(
        &mut self,
        now: Instant,
        meter: Meter,
        reason: CloseReason,
        code: u16,
        text: &str,
    ) {
        self.write_close(close_payload(code, text));
        let goodbye = match reason {
            CloseReason::Slow(_) => Goodbye::short(now, &self.config),
            _ => Goodbye::new(now, &self.config),
        };
        self.closed(reason);
        self.set_state(State::Closing { meter, goodbye });
        self.look_whether_closed();
    }

    /// Answers the peer's close frame with its own code (RFC 6455 §5.5.1).
    fn answer_close(&mut self, now: Instant, frame: Option<(u16, String)>) {
        self.write_close(frame.as_ref().map_or(Bytes::new(), |(code, _)| close_payload(*code, "")));
        let (code, reason) = frame.unwrap_or((1005, String::new()));
        self.closed(CloseReason::ByPeer { code, reason });
        let goodbye = Goodbye::new(now, &self.config);
        self.set_state(State::Flushing { await_end: self.is_client(), goodbye });
    }

    /// Both close frames are there: only the bytes' way out is left.
    pub(super) fn look_whether_closed(&mut self) {
        if let State::Closing { meter, goodbye } = &self.state
            && meter.closed()
        {
            let goodbye = *goodbye;
            self.set_state(State::Flushing { await_end: self.is_client(), goodbye });
        }
    }

    /// The stream is gone.
    pub(super) fn end(&mut self) {
        self.act_on_last();
        match self.state {
            State::Upgrading { .. }
            | State::Trimming { .. }
            | State::Plain { .. }
            | State::Held(_)
            | State::Asking { .. }
            | State::Open(_) => self.abort(CloseReason::Gone),
            State::Closing { .. } | State::Flushing { .. } => self.finish(),
            State::Ending { .. } | State::Finished => {}
        }
    }

    /// Closes without a word.
    pub(super) fn abort(&mut self, reason: CloseReason) {
        self.closed(reason);
        self.finish();
    }

    /// Finishes when nothing is left to write, if that is all we wait for.
    pub(super) fn settle(&mut self) {
        if matches!(self.state, State::Flushing { await_end: false, .. }) && self.backlog() == 0 {
            self.finish();
        }
    }

    pub(super) fn finish(&mut self) {
        self.outbox.clear();
        self.set_state(State::Finished);
        self.outputs.push_back(Output::Finished);
    }

    pub(super) fn closed(&mut self, reason: CloseReason) {
        log::debug!("websocket closed: {reason}");
        self.outputs.push_back(Output::Closed(reason));
    }

    fn is_client(&self) -> bool {
        matches!(self.role, Role::Client(_))
    }
}
