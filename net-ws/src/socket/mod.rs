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

use crate::config::later;
use crate::decoder::Event;
use crate::handshake::{Head, response};
use crate::outbox::{FrameHead, Outbox, SHARED};
use crate::send_timeout::{Progress, Slow, Verdict};
use crate::socket::state::{Last, Live, State};
use crate::{BadRequest, CloseReason, Config, ConnectError, Message, Request, SendError};

/// Capacity of the queue of outputs that is kept when it is empty.
const KEPT_OUTPUTS: usize = 32;

/// One websocket, server or client side, from its first byte to its last. See the
/// [crate's page](crate) for how to drive it.
#[derive(Debug)]
pub struct Socket {
    role: Role,
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
    Plain(Request),
    /// Server side with `hold_upgrade`: a websocket's request over `head_bytes` or
    /// `head_headers`. It cannot be opened, and all but its most needed headers are missing.
    /// [`Socket::refuse`] answers it.
    Oversized(Request, BadRequest),
    /// A whole message of the peer.
    Message(Message),
    /// Half of `send_timeout` is over and the peer took less than half of what it must: it is
    /// closed at the end of that time unless it takes more.
    Slow(Slow),
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
enum Role {
    Server,
    Client(Masks),
}

impl Socket {
    /// The server side of a stream that was just accepted.
    pub fn accept(now: Instant, config: Config) -> Socket {
        let deadline = later(now, config.upgrade_timeout);
        Socket::new(Role::Server, config, State::Upgrading { head: Head::default(), deadline })
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
        let (bytes, asked) = response::ask(host, path_and_query, headers)?;
        let deadline = later(now, config.upgrade_timeout);
        let state = State::Asking { head: Head::default(), asked, deadline };
        let mut socket = Socket::new(Role::Client(Masks::default()), config, state);
        socket.outbox.push(&bytes);
        Ok(socket)
    }

    /// Takes what happened. Never panics, whatever the bytes.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.take(now, bytes),
            Input::End => self.end(),
            Input::Timeout => {}
        }
        if self.outputs.is_empty() {
            self.act_on_last();
        }
        self.expire(now);
        self.settle();
        self.follow(now);
    }

    /// Appends one message, as one frame, to what is [`outgoing`](Socket::outgoing).
    ///
    /// # Errors
    /// Each gives the message back and changes nothing. [`SendError::TooLarge`] over
    /// `message_bytes`, [`SendError::Full`] where it does not fit into `backlog_bytes` (one whole
    /// message always fits into an empty backlog), [`SendError::Closed`] where the socket is not
    /// open.
    pub fn send(&mut self, now: Instant, message: Message) -> Result<(), SendError> {
        if !matches!(self.state, State::Open(_) | State::Ending { .. }) {
            return Err(SendError::Closed(message));
        }
        if message.len() > self.config.message_bytes {
            return Err(SendError::TooLarge(message));
        }
        let backlog = self.backlog();
        if backlog > 0 && backlog + self.frame_len(message.len()) > self.config.backlog_bytes {
            return Err(SendError::Full(message));
        }
        let (kind, payload) = match message {
            Message::Text(text) => (Data::Text, Bytes::from(text)),
            Message::Binary(bytes) => (Data::Binary, bytes),
        };
        self.write(Frame::message(payload, OpCode::Data(kind), true));
        self.follow(now);
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
        self.act_on_last();
        self.outputs.retain(|output| !matches!(output, Output::Message(_)));
        match self.state {
            State::Upgrading { .. } | State::Trimming { .. } | State::Plain { .. } => {
                self.refuse_upgrade(now, CloseReason::ByUs, 503, reason);
            }
            State::Held(_) => self.dismiss(now, CloseReason::ByUs, code, reason),
            State::Asking { .. } => self.abort(CloseReason::ByUs),
            State::Open(ref mut live) => {
                let meter = live.decoder.take_meter();
                self.say_goodbye(now, meter, CloseReason::ByUs, code, reason);
            }
            State::Ending { .. }
            | State::Closing { .. }
            | State::Flushing { .. }
            | State::Finished => {}
        }
        self.settle();
    }

    /// Counts `now` as life: for a loop that was stopped or did not read for a while, and cannot
    /// blame the peer for the silence. Pings go out as ever, so that the peer hears something.
    pub fn excuse_silence(&mut self, now: Instant) {
        if let State::Open(live) = &mut self.state {
            live.excused = now;
        }
    }

    /// The same for a loop that was stopped for so long: what had its deadline in the meantime,
    /// such as the upgrade, has that much longer.
    pub fn excuse(&mut self, now: Instant, stopped: Duration) {
        self.excuse_silence(now);
        self.state.put_off(stopped);
        self.follow(now);
    }

    /// Bytes to write to the stream now: a part of all there is, empty only if there are none.
    pub fn outgoing(&self) -> &[u8] {
        self.outbox.front()
    }

    /// Fills `slices` with bytes to write to the stream now, in order and none of them empty, and
    /// gives how many it has filled; 0 only if there are no bytes. For streams with vectored
    /// writes ([`io::Write::write_vectored`](std::io::Write::write_vectored)): a large message is
    /// not copied behind the head of its frame, and so [`Socket::outgoing`] alone takes two
    /// writes for it.
    pub fn outgoing_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outbox.fill(slices)
    }

    /// The first `written` of all unsent bytes are written. More than there were counts as all
    /// of them.
    pub fn advance(&mut self, now: Instant, written: usize) {
        let takes = written.min(self.outbox.len()) > 0;
        self.outbox.advance(written);
        match &mut self.state {
            State::Open(live) => {
                live.progress.iter_mut().for_each(|progress| progress.took(written));
            }
            State::Closing { goodbye, .. } | State::Flushing { goodbye, .. } if takes => {
                goodbye.took(now, &self.config);
            }
            _ => {}
        }
        self.pay_pong();
        self.settle();
        self.follow(now);
    }

    /// All unsent bytes, frame heads included.
    pub fn backlog(&self) -> usize {
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
            self.act_on_last();
        }
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if self.outputs.capacity() > KEPT_OUTPUTS {
            self.outputs = VecDeque::new();
        }
        Output::Timeout(self.state.deadline(&self.config))
    }

    fn new(role: Role, config: Config, state: State) -> Socket {
        Socket { role, config, state, outbox: Outbox::default(), outputs: VecDeque::new() }
    }

    fn take(&mut self, now: Instant, bytes: &[u8]) {
        match &mut self.state {
            _ if bytes.is_empty() => {}
            State::Upgrading { .. } => self.read_request(now, bytes),
            State::Trimming { .. } => self.read_oversized(now, bytes),
            State::Plain { .. } => {}
            State::Held(_) => self.read_early(now, bytes),
            State::Asking { .. } => self.read_answer(now, bytes),
            State::Open(_) => self.read_frames(now, bytes),
            State::Ending { meter, .. } => meter.look_for_close(bytes),
            State::Closing { meter, .. } => {
                meter.look_for_close(bytes);
                self.look_whether_closed();
            }
            State::Flushing { .. } | State::Finished => {}
        }
    }

    fn read_frames(&mut self, now: Instant, mut bytes: &[u8]) {
        while let State::Open(live) = &mut self.state {
            live.heard = now;
            match live.decoder.next(&mut bytes) {
                None => return,
                Some(Ok(Event::Message(message))) => {
                    self.outputs.push_back(Output::Message(message))
                }
                Some(Ok(Event::Ping(data))) => self.answer_ping(&data),
                Some(Ok(Event::Close(frame))) => self.read_last(now, Last::Goodbye(frame), &[]),
                Some(Err(reason)) => self.read_last(now, Last::Fault(reason), bytes),
            }
        }
    }

    /// Acts on the deadlines that `now` has reached.
    fn expire(&mut self, now: Instant) {
        if self.state.deadline(&self.config).is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.is_too_slow(now) {
            return;
        }
        match &mut self.state {
            State::Upgrading { .. }
            | State::Trimming { .. }
            | State::Plain { .. }
            | State::Held(_)
            | State::Asking { .. } => self.upgrade_timed_out(now),
            State::Open(live) if now >= live.dead_at(&self.config) => self.abort(CloseReason::Dead),
            State::Open(live) if live.ping_at(&self.config) > now => {}
            State::Open(live) => {
                live.pinged = Some(now);
                // Over the bound there is nothing to learn from one frame more.
                if self.outbox.len() < self.config.backlog_bytes {
                    self.write(Frame::ping(Bytes::new()));
                }
            }
            State::Closing { .. } | State::Flushing { .. } => self.finish(),
            State::Ending { .. } | State::Finished => {}
        }
    }

    /// Judges the peer by what it takes; tells whether it was closed for that.
    fn is_too_slow(&mut self, now: Instant) -> bool {
        let State::Open(live) = &mut self.state else { return false };
        let Some(progress) = &mut live.progress else { return false };
        match progress.judge(now, self.outbox.len(), &self.config) {
            Verdict::Fine => {}
            Verdict::Behind(slow) => self.outputs.push_back(Output::Slow(slow)),
            Verdict::TooSlow(slow) => {
                let meter = live.decoder.take_meter();
                let reason = CloseReason::Slow(slow);
                let text = reason.to_string();
                self.say_goodbye(now, meter, reason, 1008, &text);
                return true;
            }
        }
        false
    }

    /// A period of the peer's progress begins when bytes begin to wait, and ends when none do.
    fn follow(&mut self, now: Instant) {
        if let State::Open(live) = &mut self.state {
            live.progress = match (self.outbox.len(), live.progress) {
                (0, _) => None,
                (waiting, None) => Some(Progress::new(now, waiting, &self.config)),
                (_, Some(progress)) => Some(progress),
            };
        }
    }

    /// Answers a ping now, or keeps the newest for when there is room (RFC 6455 §5.5.3).
    fn answer_ping(&mut self, data: &[u8]) {
        if let State::Open(live) = &mut self.state {
            live.pong_owed = Some(Bytes::copy_from_slice(data));
            self.pay_pong();
        }
    }

    fn pay_pong(&mut self) {
        if let State::Open(live) = &mut self.state
            && self.outbox.len() < self.config.backlog_bytes
            && let Some(data) = live.pong_owed.take()
        {
            self.write(Frame::pong(data));
        }
    }

    fn write_close(&mut self, payload: Bytes) {
        let head = FrameHeader { opcode: OpCode::Control(Control::Close), ..Default::default() };
        self.write(Frame::from_payload(head, payload));
    }

    /// Appends a frame. A server shares a large payload; all else is copied, for a client masks.
    fn write(&mut self, mut frame: Frame) {
        match &mut self.role {
            Role::Client(masks) => frame.header_mut().mask = Some(masks.draw()),
            Role::Server if frame.payload().len() >= SHARED => {
                let head = FrameHead::new(frame.header().opcode, frame.payload().len());
                return self.outbox.share(head, frame.into_payload());
            }
            Role::Server => {}
        }
        frame.format(&mut self.outbox).expect("an outbox takes everything");
    }

    /// Bytes of a frame with this payload.
    fn frame_len(&self, payload: usize) -> usize {
        let mask = matches!(self.role, Role::Client(_)).then_some([0; 4]);
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
pub(crate) struct Masks {
    key: RandomState,
    drawn: u64,
}

impl Masks {
    /// The mask of the next frame.
    pub(crate) fn draw(&mut self) -> [u8; 4] {
        self.drawn += 1;
        let [a, b, c, d, ..] = self.key.hash_one(self.drawn).to_ne_bytes();
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
        assert!(socket.outputs.capacity() <= KEPT_OUTPUTS, "{}", socket.outputs.capacity());
    }
}

#[cfg(test)]
mod mask_tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn masks_differ() {
        let mut masks = Masks::default();
        let drawn: HashSet<_> = (0..1000).map(|_| masks.draw()).collect();
        assert!(drawn.len() > 990);
    }
}
