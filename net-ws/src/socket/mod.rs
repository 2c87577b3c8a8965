//! The machine: what it takes and what it gives.

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

/// Capacity of the queue of outputs that is kept when it is empty.
const MAX_SPARE_OUTPUTS: usize = 32;

/// One websocket, server or client side, from its first byte to its last. See the
/// [crate's page](crate) for how to drive it.
#[derive(Debug)]
pub struct Socket {
    side: Side,
    config: Config,
    state: State,
    outbox: Outbox,
    /// Bounded by what one input can hold: drain it after each.
    outputs: VecDeque<Output>,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes were read from the stream. All of them are taken. They become at most one message
    /// for each two bytes (server side: six), so the size of one read bounds the outputs.
    Bytes(&'a [u8]),
    /// The stream ended, or reading or writing failed.
    End,
    /// The time of the last [`Output::Timeout`] has come; harmless at any other time. First give
    /// the bytes that can be read, then this: they prove that the peer lives.
    Timeout,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The upgrade is done: the socket is open, messages can be sent. Server side: what the
    /// client asked; client side: what we asked. With `hold_upgrade` the server side is open
    /// only after [`Socket::admit`].
    Upgraded(Request),
    /// Server side with `hold_upgrade`: a plain HTTP request, with nothing of a websocket's in
    /// it. [`Socket::respond`] answers it, and closes.
    PlainHttp(Request),
    /// Server side with `hold_upgrade`: a websocket's request over `head_bytes` or
    /// `head_headers`. It cannot be opened, and all but its most needed headers are missing.
    /// [`Socket::refuse`] answers it.
    Oversized(Request, BadRequest),
    /// A whole message of the peer.
    Message(Message),
    /// Half of `send_timeout` is over and the peer took less than half of what it must: it is
    /// closed at the end of that time unless it takes more.
    SlowConsumer(SlowConsumer),
    /// No message will come and none can be sent any more. Comes once. Until it is polled, what
    /// the peer said before its goodbye, or before its fault, can still be answered.
    Closed(CloseReason),
    /// Nothing is left to write or to wait for, the stream may be dropped. Comes once, after
    /// `Closed`.
    Finished,
    /// Nothing more now. Give [`Input::Timeout`] at this time, if there is one.
    Timeout(Option<Instant>),
}

/// Which side we are; a client masks its frames (RFC 6455 §5.3).
#[derive(Debug)]
enum Side {
    Server,
    Client(MaskSource),
}

impl Socket {
    /// The server side of a stream that was just accepted.
    pub fn accept(now: Instant, config: Config) -> Socket {
        let deadline = saturating_add(now, config.upgrade_timeout);
        Socket::new(
            Side::Server,
            config,
            State::ServerHandshake { head: HeadBuffer::default(), deadline },
        )
    }

    /// The client side of a stream that was just connected. The request waits in
    /// [`Socket::outgoing`].
    ///
    /// `host` is the `Host` header (`example.org:3000`), `path_and_query` begins with `/`.
    ///
    /// # Errors
    /// [`ConnectError::Address`] where the two do not make a URI.
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
    /// [`ConnectError::Header`] for one that cannot be sent, or that the upgrade itself sets.
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

    /// Takes what happened. Never panics, whatever the bytes.
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

    /// Appends one message, as one frame, to what is [`outgoing`](Socket::outgoing).
    ///
    /// # Errors
    /// Each gives the message back and changes nothing. [`SendError::TooLarge`] over
    /// `message_bytes`, [`SendError::Full`] where it does not fit into `backlog_bytes` (one whole
    /// message always fits into an empty backlog), [`SendError::Closed`] where the socket is not
    /// open.
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

    /// Says goodbye: what was accepted goes out, then a close frame (RFC 6455 §7.1.2), and the
    /// socket is `Finished` when the peer has answered it, or after `close_timeout`. No message
    /// comes out any more.
    ///
    /// A `code` that must not be sent (§7.4) goes out as 1000; the `reason` is cut to 123 bytes
    /// between characters. A held upgrade is granted and closed in the same way. Before the
    /// request is whole a server answers 503 with the reason as body instead, and a client goes
    /// without a word. Does nothing if closing has begun.
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

    /// Counts `now` as life: for a loop that was stopped or did not read for a while, and cannot
    /// blame the peer for the silence. Pings go out as ever, so that the peer hears something.
    pub fn reset_idle_timer(&mut self, now: Instant) {
        if let State::Open(live) = &mut self.state {
            live.idle_exempt_until = now;
        }
    }

    /// The same for a loop that was stopped for so long: what had its deadline in the meantime,
    /// such as the upgrade, has that much longer.
    pub fn extend_deadlines(&mut self, now: Instant, stopped: Duration) {
        self.reset_idle_timer(now);
        self.state.extend(stopped);
        self.update_send_timeout(now);
    }

    /// Bytes to write to the stream now: a part of all there is, empty only if there are none.
    pub fn outgoing(&self) -> &[u8] {
        self.outbox.chunk()
    }

    /// Fills `slices` with bytes to write to the stream now, in order and none of them empty, and
    /// gives how many it has filled; 0 only if there are no bytes. For streams with vectored
    /// writes ([`io::Write::write_vectored`](std::io::Write::write_vectored)): a large message is
    /// not copied behind the head of its frame, and so [`Socket::outgoing`] alone takes two
    /// writes for it.
    pub fn outgoing_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outbox.chunks_vectored(slices)
    }

    /// The first `written` of all unsent bytes are written. More than there were counts as all
    /// of them.
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

    /// All unsent bytes, frame heads included.
    pub fn buffered_amount(&self) -> usize {
        self.outbox.len()
    }

    /// Whether nothing is left to write or to wait for; [`Output::Finished`] says it once.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// What came of inputs and calls, in order; at the end [`Output::Timeout`].
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

    /// Acts on the deadlines that `now` has reached.
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
                // Over the bound there is nothing to learn from one frame more.
                if self.outbox.len() < self.config.send_buffer {
                    self.write_frame(Frame::ping(Bytes::new()));
                }
            }
            State::Closing { .. } | State::Draining { .. } => self.finish(),
            State::PeerClosed { .. } | State::Finished => {}
        }
    }

    /// Judges the peer by what it takes; tells whether it was closed for that.
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

    /// A period of the peer's progress begins when bytes begin to wait, and ends when none do.
    fn update_send_timeout(&mut self, now: Instant) {
        if let State::Open(live) = &mut self.state {
            live.send_timeout = match (self.outbox.len(), live.send_timeout) {
                (0, _) => None,
                (waiting, None) => Some(SendTimeout::new(now, waiting, &self.config)),
                (_, Some(progress)) => Some(progress),
            };
        }
    }

    /// Answers a ping now, or keeps the newest for when there is room (RFC 6455 §5.5.3).
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

    /// Appends a frame. A server shares a large payload; all else is copied, for a client masks.
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

    /// Bytes of a frame with this payload.
    fn frame_len(&self, payload: usize) -> usize {
        let mask = matches!(self.side, Side::Client(_)).then_some([0; 4]);
        FrameHeader { mask, ..Default::default() }.len(payload as u64) + payload
    }

    fn set_state(&mut self, state: State) {
        log::debug!("websocket {} -> {}", self.state.name(), state.name());
        self.state = state;
    }
}

/// A source of masks that the peer and the application cannot foresee (RFC 6455 §5.3): a keyed
/// hash over a counter, the key drawn from the operating system. It exists so that scripts cannot
/// choose the bytes on the wire; it keeps nothing secret.
#[derive(Debug, Default)]
pub(crate) struct MaskSource {
    key: RandomState,
    counter: u64,
}

impl MaskSource {
    /// The mask of the next frame.
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
