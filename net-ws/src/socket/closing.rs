//! Closing handshake and abnormal closure (RFC 6455 §7).

use std::time::Instant;

use bytes::Bytes;

use crate::CloseReason;
use crate::error::close_payload;
use crate::frame_scanner::FrameScanner;
use crate::socket::state::CloseDeadline;
use crate::socket::{Output, PeerClose, Side, Socket, State};

impl Socket {
    /// Handles the peer's close frame or violation; `rest` holds the bytes after it.
    pub(super) fn on_peer_close(&mut self, now: Instant, last: PeerClose, rest: &[u8]) {
        let State::Open(live) = &mut self.state else { return };
        let mut meter = live.decoder.take_scanner();
        meter.scan_for_close(rest);
        self.set_state(State::PeerClosed { close: last, scanner: meter, closed_at: now });
    }

    /// Processes the peer's close frame or violation, if one is pending.
    pub(super) fn process_close(&mut self) {
        let State::PeerClosed { close: last, scanner: meter, closed_at: since } = &self.state
        else {
            return;
        };
        let (meter, since) = (meter.clone(), *since);
        match last.clone() {
            PeerClose::Frame(frame) => self.answer_close(since, frame),
            PeerClose::Violation(reason) => self.close_on_violation(since, meter, reason),
        }
    }

    /// Starts the closing handshake with the close code of the peer's violation.
    fn close_on_violation(&mut self, now: Instant, meter: FrameScanner, reason: CloseReason) {
        let code = match &reason {
            CloseReason::TooLarge => 1009,
            CloseReason::Protocol(violation) => violation.close_code(),
            _ => 1002,
        };
        let text = reason.to_string();
        self.start_close(now, meter, reason, code, &text);
    }

    /// Queues our close frame; the scanner may have seen the peer's already.
    pub(super) fn start_close(
        &mut self,
        now: Instant,
        meter: FrameScanner,
        reason: CloseReason,
        code: u16,
        text: &str,
    ) {
        self.write_close(close_payload(code, text));
        let goodbye = match reason {
            CloseReason::SlowConsumer(_) => CloseDeadline::fixed(now, &self.config),
            _ => CloseDeadline::new(now, &self.config),
        };
        self.push_closed(reason);
        self.set_state(State::Closing { scanner: meter, close_deadline: goodbye });
        self.drain_if_closed();
    }

    /// Answers the peer's close frame with its own code (RFC 6455 §5.5.1).
    fn answer_close(&mut self, now: Instant, frame: Option<(u16, String)>) {
        self.write_close(frame.as_ref().map_or(Bytes::new(), |(code, _)| close_payload(*code, "")));
        let (code, reason) = frame.unwrap_or((1005, String::new()));
        self.push_closed(CloseReason::Remote { code, reason });
        let goodbye = CloseDeadline::new(now, &self.config);
        self.set_state(State::Draining { await_end: self.is_client(), close_deadline: goodbye });
    }

    /// Enters `Draining` if the peer's close frame has come: only unsent bytes are left.
    pub(super) fn drain_if_closed(&mut self) {
        if let State::Closing { scanner: meter, close_deadline: goodbye } = &self.state
            && meter.has_close()
        {
            let goodbye = *goodbye;
            self.set_state(State::Draining {
                await_end: self.is_client(),
                close_deadline: goodbye,
            });
        }
    }

    /// Handles the end of the stream.
    pub(super) fn on_end(&mut self) {
        self.process_close();
        match self.state {
            State::ServerHandshake { .. }
            | State::OversizedRequest { .. }
            | State::PlainHttp { .. }
            | State::AwaitingDecision(_)
            | State::ClientHandshake { .. }
            | State::Open(_) => self.abort(CloseReason::Eof),
            State::Closing { .. } | State::Draining { .. } => self.finish(),
            State::PeerClosed { .. } | State::Finished => {}
        }
    }

    /// Closes without a close frame.
    pub(super) fn abort(&mut self, reason: CloseReason) {
        self.push_closed(reason);
        self.finish();
    }

    /// Finishes once the send buffer is empty, in `Draining` without `await_end`.
    pub(super) fn finish_if_flushed(&mut self) {
        if matches!(self.state, State::Draining { await_end: false, .. })
            && self.buffered_amount() == 0
        {
            self.finish();
        }
    }

    pub(super) fn finish(&mut self) {
        self.outbox.clear();
        self.set_state(State::Finished);
        self.outputs.push_back(Output::Finished);
    }

    pub(super) fn push_closed(&mut self, reason: CloseReason) {
        log::debug!("websocket closed: {reason}");
        self.outputs.push_back(Output::Closed(reason));
    }

    fn is_client(&self) -> bool {
        matches!(self.side, Side::Client(_))
    }
}
