//! The websocket state machine: inputs, calls and outputs.

mod closing;
mod state;
mod upgrade;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::config::saturating_add;
use crate::decoder::Decoded;
use crate::handshake::{HeadBuffer, response};
use crate::outbox::{EncodedHeader, Outbox, SHARE_THRESHOLD};
use crate::send_timeout::{SendStatus, SendTimeout, SlowConsumer};
use crate::socket::state::{OpenState, PeerClose, State};
use crate::{BadRequest, CloseReason, Config, ConnectError, Message, Request, SendError};

/// Maximum capacity of the output queue that is kept when it is empty.
const MAX_SPARE_OUTPUTS: usize = 32;

/// One websocket, server or client side, from the HTTP upgrade to the end of the stream. See the
/// [crate documentation](crate) for how to drive it.
#[derive(Debug)]
pub struct Socket {
    side: Side,
    config: Config,
    state: State,
    outbox: Outbox,
    /// Bounded by the size of one input: drained after each.
    outputs: VecDeque<Output>,
}

/// Input of [`Socket::handle_input`].
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes read from the stream. All of them are consumed. They become at most one message per
    /// two bytes (server side: six), so the size of one read bounds the outputs.
    Bytes(&'a [u8]),
    /// The stream ended, or reading or writing failed.
    End,
    /// The time of the last [`Output::Timeout`] has come; harmless at any other time. Pass
    /// readable bytes first: they prove that the peer is alive.
    Timeout,
}

/// Output of [`Socket::poll_output`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The upgrade is complete: the socket is open, messages can be sent. Holds the client's
    /// request, on both sides. With `await_decision` the server side is open only after
    /// [`Socket::accept_upgrade`].
    Upgraded(Request),
    /// Server side with `await_decision`: a plain HTTP request, without any websocket header.
    /// [`Socket::respond`] responds to it and closes.
    PlainHttp(Request),
    /// Server side with `await_decision`: an upgrade request over `max_request_head_size` or
    /// `max_request_headers`. All but the necessary headers are missing, so it should be rejected:
    /// [`Socket::reject_upgrade`].
    Oversized(Request, BadRequest),
    /// A complete message of the peer.
    Message(Message),
    /// Half of `send_timeout` is over and the peer has read less than half of the required bytes:
    /// the socket closes at the end of that period unless the peer catches up.
    SlowConsumer(SlowConsumer),
    /// No more messages can be received or sent. Emitted once. Until it is polled, the
    /// application can still reply to messages that came before the peer's close frame or
    /// violation.
    Closed(CloseReason),
    /// Nothing is left to write or to wait for; the stream may be dropped. Emitted once, after
    /// `Closed`.
    Finished,
    /// No more outputs for now. Pass [`Input::Timeout`] at this time, if there is one.
    Timeout(Option<Instant>),
}

/// Side of the connection; a client masks its frames (RFC 6455 §5.3).
#[derive(Debug)]
enum Side {
    Server,
    Client(MaskSource),
}

impl Socket {
    /// Creates the server side for a stream that was just accepted.
    pub fn accept(now: Instant, config: Config) -> Socket {
        let deadline = saturating_add(now, config.upgrade_timeout);
        Socket::new(
            Side::Server,
            config,
            State::ServerHandshake { head: HeadBuffer::default(), deadline },
        )
    }

    /// Creates the client side for a stream that was just connected. The request is in
    /// [`Socket::outgoing`].
    ///
    /// `host` is the `Host` header (`example.org:3000`), `path_and_query` begins with `/`.
    ///
    /// # Errors
    /// [`ConnectError::InvalidUri`] if the two do not form a URI.
    pub fn connect(
        now: Instant,
        config: Config,
        host: &str,
        path_and_query: &str,
    ) -> Result<Socket, ConnectError> {
        Socket::connect_with(now, config, host, path_and_query, &[])
    }

    /// Like [`Socket::connect`], with more headers, such as `Origin` or `Sec-WebSocket-Protocol`.
    ///
    /// # Errors
    /// Also [`ConnectError::InvalidHeader`] for a header that is malformed or that the upgrade
    /// itself sets.
    pub fn connect_with(
        now: Instant,
        config: Config,
        host: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
    ) -> Result<Socket, ConnectError> {
        let (bytes, asked) = response::build_request(host, path_and_query, headers)?;
        let deadline = saturating_add(now, config.upgrade_timeout);
        let state =
            State::ClientHandshake { head: HeadBuffer::default(), request: asked, deadline };
        let mut socket = Socket::new(Side::Client(MaskSource::default()), config, state);
        socket.outbox.push(&bytes);
        Ok(socket)
    }

    /// Handles an input at `now`. Never panics, whatever the bytes.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.on_bytes(now, bytes),
            Input::End => self.on_end(),
            Input::Timeout => {}
        }
        if self.outputs.is_empty() {
            self.process_close();
        }
        self.handle_timeout(now);
        self.finish_if_flushed();
        self.update_send_timeout(now);
    }

    /// Queues one message, as one frame.
    ///
    /// # Errors
    /// Each returns the message and changes nothing. [`SendError::TooLarge`] over
    /// `max_message_size`, [`SendError::Full`] if it does not fit into `send_buffer` (one whole
    /// message always fits into an empty buffer), [`SendError::Closed`] if the socket is not open.
    pub fn send(&mut self, now: Instant, message: Message) -> Result<(), SendError> {
        if !matches!(self.state, State::Open(_) | State::PeerClosed { .. }) {
            return Err(SendError::Closed(message));
        }
        if message.len() > self.config.max_message_size {
            return Err(SendError::TooLarge(message));
        }
        let backlog = self.buffered_amount();
        if backlog > 0 && backlog + self.frame_len(message.len()) > self.config.send_buffer {
            return Err(SendError::Full(message));
        }
        let (kind, payload) = match message {
            Message::Text(text) => (Data::Text, Bytes::from(text)),
            Message::Binary(bytes) => (Data::Binary, bytes),
        };
        self.write_frame(Frame::message(payload, OpCode::Data(kind), true));
        self.update_send_timeout(now);
        Ok(())
    }

    /// Starts the closing handshake (RFC 6455 §7.1.2): flushes the send buffer, then sends a close
    /// frame. The socket is `Finished` once the peer's close frame has come, or after
    /// `close_timeout`. No more messages are emitted.
    ///
    /// A `code` that must not be sent (§7.4) is sent as 1000; the `reason` is truncated to 123
    /// bytes between characters. A pending upgrade is accepted and closed in the same way. Before
    /// the request is complete, and for a plain request, a server responds 503 with the reason as
    /// body instead; a client closes without a close frame before the upgrade. Does nothing if
    /// closing has started.
    pub fn close(&mut self, now: Instant, code: u16, reason: &str) {
        self.process_close();
        self.outputs.retain(|output| !matches!(output, Output::Message(_)));
        match self.state {
            State::ServerHandshake { .. }
            | State::OversizedRequest { .. }
            | State::PlainHttp { .. } => {
                self.send_http_error(now, CloseReason::Local, 503, reason);
            }
            State::AwaitingDecision(_) => {
                self.accept_then_close(now, CloseReason::Local, code, reason)
            }
            State::ClientHandshake { .. } => self.abort(CloseReason::Local),
            State::Open(ref mut live) => {
                let meter = live.decoder.take_scanner();
                self.start_close(now, meter, CloseReason::Local, code, reason);
            }
            State::PeerClosed { .. }
            | State::Closing { .. }
            | State::Draining { .. }
            | State::Finished => {}
        }
        self.finish_if_flushed();
    }

    /// Restarts `pong_timeout` at `now`, for a loop that did not read for a while. Pings are sent
    /// as before, so that the peer does not time out either.
    pub fn reset_idle_timer(&mut self, now: Instant) {
        if let State::Open(live) = &mut self.state {
            live.idle_exempt_until = now;
        }
    }

    /// Extends all deadlines by `stopped`, for a process that was suspended for that time: those
    /// of the upgrade, of sending and of closing; restarts `pong_timeout` at `now`.
    pub fn extend_deadlines(&mut self, now: Instant, stopped: Duration) {
        self.reset_idle_timer(now);
        self.state.extend(stopped);
        self.update_send_timeout(now);
    }

    /// Returns bytes to write to the stream: a prefix of all unsent bytes, empty only if there are
    /// none.
    pub fn outgoing(&self) -> &[u8] {
        self.outbox.chunk()
    }

    /// Fills `slices` with bytes to write to the stream, in order and none of them empty, and
    /// returns the number of slices filled; 0 only if there are no bytes. For streams with
    /// vectored writes ([`io::Write::write_vectored`](std::io::Write::write_vectored)): a large
    /// payload is not copied behind its frame header, so [`Socket::outgoing`] alone takes two
    /// writes for it.
    pub fn outgoing_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outbox.chunks_vectored(slices)
    }

    /// Removes the first `written` of all unsent bytes, which were written to the stream; all of
    /// them if there are fewer.
    pub fn advance(&mut self, now: Instant, written: usize) {
        let takes = written.min(self.outbox.len()) > 0;
        self.outbox.advance(written);
        match &mut self.state {
            State::Open(live) => {
                live.send_timeout.iter_mut().for_each(|progress| progress.on_written(written));
            }
            State::Closing { close_deadline: goodbye, .. }
            | State::Draining { close_deadline: goodbye, .. }
                if takes =>
            {
                goodbye.on_written(now, &self.config);
            }
            _ => {}
        }
        self.flush_pong();
        self.finish_if_flushed();
        self.update_send_timeout(now);
    }

    /// Returns the number of unsent bytes, frame headers included.
    pub fn buffered_amount(&self) -> usize {
        self.outbox.len()
    }

    /// Returns whether nothing is left to write or to wait for; see [`Output::Finished`].
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Returns the next output; [`Output::Timeout`] when there are no more.
    #[must_use = "each output comes once"]
    pub fn poll_output(&mut self) -> Output {
        if self.outputs.is_empty() {
            self.process_close();
        }
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if self.outputs.capacity() > MAX_SPARE_OUTPUTS {
            self.outputs = VecDeque::new();
        }
        Output::Timeout(self.state.deadline(&self.config))
    }

    fn new(side: Side, config: Config, state: State) -> Socket {
        Socket { side, config, state, outbox: Outbox::default(), outputs: VecDeque::new() }
    }

    fn on_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match &mut self.state {
            _ if bytes.is_empty() => {}
            State::ServerHandshake { .. } => self.read_request(now, bytes),
            State::OversizedRequest { .. } => self.read_oversized(now, bytes),
            State::PlainHttp { .. } => {}
            State::AwaitingDecision(_) => self.read_early(now, bytes),
            State::ClientHandshake { .. } => self.read_response(now, bytes),
            State::Open(_) => self.read_frames(now, bytes),
            State::PeerClosed { scanner: meter, .. } => meter.scan_for_close(bytes),
            State::Closing { scanner: meter, .. } => {
                meter.scan_for_close(bytes);
                self.drain_if_closed();
            }
            State::Draining { .. } | State::Finished => {}
        }
    }

    fn read_frames(&mut self, now: Instant, mut bytes: &[u8]) {
        while let State::Open(live) = &mut self.state {
            live.last_recv = now;
            match live.decoder.next(&mut bytes) {
                None => return,
                Some(Ok(Decoded::Message(message))) => {
                    self.outputs.push_back(Output::Message(message))
                }
                Some(Ok(Decoded::Ping(data))) => self.answer_ping(&data),
                Some(Ok(Decoded::Close(frame))) => {
                    self.on_peer_close(now, PeerClose::Frame(frame), &[])
                }
                Some(Err(reason)) => self.on_peer_close(now, PeerClose::Violation(reason), bytes),
            }
        }
    }

    /// Handles the deadlines that `now` has reached.
    fn handle_timeout(&mut self, now: Instant) {
        if self.state.deadline(&self.config).is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.has_send_timed_out(now) {
            return;
        }
        match &mut self.state {
            State::ServerHandshake { .. }
            | State::OversizedRequest { .. }
            | State::PlainHttp { .. }
            | State::AwaitingDecision(_)
            | State::ClientHandshake { .. } => self.on_upgrade_timeout(now),
            State::Open(live) if now >= live.timeout_at(&self.config) => {
                self.abort(CloseReason::TimedOut)
            }
            State::Open(live) if live.next_ping(&self.config) > now => {}
            State::Open(live) => {
                live.last_ping = Some(now);
                // With a full send buffer one more frame would not help.
                if self.outbox.len() < self.config.send_buffer {
                    self.write_frame(Frame::ping(Bytes::new()));
                }
            }
            State::Closing { .. } | State::Draining { .. } => self.finish(),
            State::PeerClosed { .. } | State::Finished => {}
        }
    }

    /// Checks the send timeout; returns whether it has closed the socket.
    fn has_send_timed_out(&mut self, now: Instant) -> bool {
        let State::Open(live) = &mut self.state else { return false };
        let Some(progress) = &mut live.send_timeout else { return false };
        match progress.check(now, self.outbox.len(), &self.config) {
            SendStatus::OnTrack => {}
            SendStatus::Behind(slow) => self.outputs.push_back(Output::SlowConsumer(slow)),
            SendStatus::TooSlow(slow) => {
                let meter = live.decoder.take_scanner();
                let reason = CloseReason::SlowConsumer(slow);
                let text = reason.to_string();
                self.start_close(now, meter, reason, 1008, &text);
                return true;
            }
        }
        false
    }

    /// Starts the send timeout when bytes are buffered, and stops it when none are.
    fn update_send_timeout(&mut self, now: Instant) {
        if let State::Open(live) = &mut self.state {
            live.send_timeout = match (self.outbox.len(), live.send_timeout) {
                (0, _) => None,
                (waiting, None) => Some(SendTimeout::new(now, waiting, &self.config)),
                (_, Some(progress)) => Some(progress),
            };
        }
    }

    /// Queues a pong, or keeps the newest ping until there is room (RFC 6455 §5.5.3).
    fn answer_ping(&mut self, data: &[u8]) {
        if let State::Open(live) = &mut self.state {
            live.pending_pong = Some(Bytes::copy_from_slice(data));
            self.flush_pong();
        }
    }

    fn flush_pong(&mut self) {
        if let State::Open(live) = &mut self.state
            && self.outbox.len() < self.config.send_buffer
            && let Some(data) = live.pending_pong.take()
        {
            self.write_frame(Frame::pong(data));
        }
    }

    fn write_close(&mut self, payload: Bytes) {
        let head = FrameHeader { opcode: OpCode::Control(Control::Close), ..Default::default() };
        self.write_frame(Frame::from_payload(head, payload));
    }

    /// Queues a frame. A server shares a large payload; all other frames are copied: a client
    /// masks its payloads.
    fn write_frame(&mut self, mut frame: Frame) {
        match &mut self.side {
            Side::Client(masks) => frame.header_mut().mask = Some(masks.next_mask()),
            Side::Server if frame.payload().len() >= SHARE_THRESHOLD => {
                let head = EncodedHeader::new(frame.header().opcode, frame.payload().len());
                return self.outbox.push_shared(head, frame.into_payload());
            }
            Side::Server => {}
        }
        frame.format(&mut self.outbox).expect("an outbox takes everything");
    }

    /// Returns the length of a frame with `payload` bytes.
    fn frame_len(&self, payload: usize) -> usize {
        let mask = matches!(self.side, Side::Client(_)).then_some([0; 4]);
        FrameHeader { mask, ..Default::default() }.len(payload as u64) + payload
    }

    fn set_state(&mut self, state: State) {
        log::debug!("websocket {} -> {}", self.state.name(), state.name());
        self.state = state;
    }
}

/// Source of masking keys that the peer and the application cannot predict (RFC 6455 §5.3): a
/// keyed hash over a counter, with a key from the operating system. Masking prevents scripts from
/// choosing the bytes on the wire; it is no encryption.
#[derive(Debug, Default)]
pub(crate) struct MaskSource {
    key: RandomState,
    counter: u64,
}

impl MaskSource {
    /// Returns the masking key of the next frame.
    pub(crate) fn next_mask(&mut self) -> [u8; 4] {
        self.counter += 1;
        let [a, b, c, d, ..] = self.key.hash_one(self.counter).to_ne_bytes();
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn drain(socket: &mut Socket) -> usize {
        std::iter::from_fn(|| match socket.poll_output() {
            Output::Timeout(_) => None,
            output => Some(output),
        })
        .count()
    }

    #[test]
    fn a_burst_of_messages_leaves_no_room_behind() {
        let now = Instant::now();
        let mut socket = Socket::accept(now, Config::default());
        socket.handle_input(now, Input::Bytes(REQUEST));
        drain(&mut socket);
        let empty = [0x82, 0x80, 0, 0, 0, 0];
        socket.handle_input(now, Input::Bytes(&empty.repeat(1_000)));
        assert_eq!(drain(&mut socket), 1_000);
        assert!(socket.outputs.capacity() <= MAX_SPARE_OUTPUTS, "{}", socket.outputs.capacity());
    }
}

#[cfg(test)]
mod mask_tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn masks_differ() {
        let mut masks = MaskSource::default();
        let drawn: HashSet<_> = (0..1000).map(|_| masks.next_mask()).collect();
        assert!(drawn.len() > 990);
    }
}
