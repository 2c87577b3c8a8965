//! One websocket under observation: what it says is checked as it says it.

use std::time::{Duration, Instant};

use net_ws::{CloseReason, Config, Input, Message, Output, Socket};

/// Our own control frames may pass the backlog by so much.
const CONTROL: usize = 512;
/// A frame's longest head.
const HEAD: usize = 14;
/// No socket has more to say by time alone.
const MOST_TIMEOUTS: u32 = 200;

/// Where in `(Upgraded | Plain)? Message* Closed Finished` the outputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Fresh,
    /// A plain request waits for its answer.
    Plain,
    Upgraded,
    Closed,
    Finished,
}

/// A socket, and all that came of it.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) now: Instant,
    pub(super) socket: Socket,
    pub(super) stage: Stage,
    pub(super) messages: Vec<Message>,
    pub(super) reason: Option<CloseReason>,
    /// Everything that was written.
    pub(super) written: Vec<u8>,
    config: Config,
    /// Bytes that the peer sent.
    taken: usize,
    is_server: bool,
}

impl Life {
    pub(super) fn new(now: Instant, socket: Socket, config: Config, is_server: bool) -> Life {
        Life {
            now,
            socket,
            stage: Stage::Fresh,
            messages: Vec::new(),
            reason: None,
            written: Vec::new(),
            config,
            taken: 0,
            is_server,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.taken += bytes.len();
        self.socket.handle_input(self.now, Input::Bytes(bytes));
        self.look();
    }

    pub(super) fn end(&mut self) {
        self.socket.handle_input(self.now, Input::End);
        self.look();
        assert_eq!(self.stage, Stage::Finished, "the stream is gone");
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.socket.handle_input(self.now, Input::Timeout);
        self.look();
    }

    /// The peer takes so many bytes.
    pub(super) fn write(&mut self, most: usize) {
        let out = self.socket.outgoing();
        let count = out.len().min(most);
        self.written.extend_from_slice(&out[..count]);
        self.socket.advance(self.now, count);
        self.look();
    }

    pub(super) fn write_all(&mut self) {
        while !self.socket.outgoing().is_empty() {
            self.write(usize::MAX);
        }
    }

    pub(super) fn send(&mut self, message: Message) {
        let (before, is_open) = (self.socket.buffered_amount(), self.stage == Stage::Upgraded);
        let sent = self.socket.send(self.now, message).is_ok();
        assert!(is_open || !sent, "sent in {:?}", self.stage);
        assert!(sent || self.socket.buffered_amount() == before, "what is refused changes nothing");
        self.look();
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.socket.close(self.now, code, reason);
        self.look();
        assert!(self.stage >= Stage::Closed, "closing is closing");
    }

    /// Whatever happened: it ends by time alone, and says so.
    pub(super) fn finish(&mut self) {
        for _ in 0..MOST_TIMEOUTS {
            let Some(at) = self.wake() else { break };
            assert!(at > self.now, "a socket that never sleeps");
            self.wait(at - self.now);
        }
        assert_eq!((self.stage, self.wake()), (Stage::Finished, None));
        assert!(self.socket.is_finished() && self.socket.outgoing().is_empty());
    }

    fn wake(&mut self) -> Option<Instant> {
        match self.socket.poll_output() {
            Output::Timeout(at) => at,
            other => panic!("{other:?} after a drain"),
        }
    }

    /// Takes what there is, and checks it.
    pub(super) fn look(&mut self) {
        loop {
            match self.socket.poll_output() {
                Output::Timeout(_) => break,
                Output::Upgraded(_) => self.follow(&[Stage::Fresh], Stage::Upgraded),
                Output::PlainHttp(_) => self.follow(&[Stage::Fresh], Stage::Plain),
                Output::Oversized(_, why) => {
                    self.follow(&[Stage::Fresh], Stage::Upgraded);
                    assert_eq!(why.status(), 431);
                }
                Output::Message(message) => {
                    self.follow(&[Stage::Upgraded], Stage::Upgraded);
                    assert!(message.len() <= self.config.max_message_size, "{}", message.len());
                    self.messages.push(message);
                }
                Output::SlowConsumer(_) => self.follow(&[Stage::Upgraded], Stage::Upgraded),
                Output::Closed(reason) => {
                    self.follow(&[Stage::Fresh, Stage::Plain, Stage::Upgraded], Stage::Closed);
                    self.reason = Some(reason);
                }
                Output::Finished => self.follow(&[Stage::Closed], Stage::Finished),
            }
        }
        let least = if self.is_server { 6 } else { 2 };
        assert!(self.messages.len() <= self.taken / least, "more messages than frames");
        let most = self.config.send_buffer.max(self.config.max_message_size + HEAD) + CONTROL;
        assert!(
            self.socket.buffered_amount() <= most,
            "{} unwritten",
            self.socket.buffered_amount()
        );
    }

    fn follow(&mut self, from: &[Stage], to: Stage) {
        assert!(from.contains(&self.stage), "{:?} -> {to:?}", self.stage);
        self.stage = to;
    }
}
