//! The life of a socket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tungstenite::handshake::server::Response;
use tungstenite::http::HeaderValue;

use crate::config::saturating_add;
use crate::decoder::Decoder;
use crate::frame_scanner::FrameScanner;
use crate::handshake::HeadBuffer;
use crate::handshake::oversized_head::OversizedHead;
use crate::handshake::response::ClientRequest;
use crate::send_timeout::SendTimeout;
use crate::{BadRequest, CloseReason, Config};

/// Where a socket is in its life; each arrow is a method of the socket.
///
/// ```text
/// server  accept --> Upgrading --answer----------> Open
///                     | | '-read_request-> Held --admit-^
///                     | |                   ^ |----dismiss----> Closing
///                     | |                   | '-refuse_upgrade--> Flushing
///                     | '--> Trimming ------'                      ^  ^
///                     '----> Plain --respond-----------------------'  |
///                        each of them --refuse_upgrade----------------'
///
/// client  connect --> Asking --read_answer--> Open
///
/// both    Open --say_goodbye--> Closing --look_whether_closed--> Flushing --settle--> Finished
///          '-read_last-> Ending -fail-^                            ^
///                          '-------------answer_close-------------'
/// ```
///
/// `abort` leads to `Finished` from every state before `Closing`: the stream ended, the peer is
/// dead, the server said no. `finish` does from the two after it, when the stream ends or
/// `close_timeout` is over.
#[derive(Debug)]
pub(super) enum State {
    /// Server: the request is arriving.
    ServerHandshake { head: HeadBuffer, deadline: Instant },
    /// Server: the request is over a limit, the rest of it is read for the sake of the answer.
    OversizedRequest { head: OversizedHead, why: BadRequest, deadline: Instant },
    /// Server: a plain request waits for its answer.
    PlainHttp { is_head: bool, deadline: Instant },
    /// Server: a good request waits for the application's verdict.
    AwaitingDecision(Box<PendingUpgrade>),
    /// Client: the answer is arriving.
    ClientHandshake { head: HeadBuffer, request: ClientRequest, deadline: Instant },
    /// Messages go both ways.
    Open(Box<OpenState>),
    /// The peer's last word is read. It is acted on when the messages before it have come out, so
    /// that they can still be answered.
    PeerClosed { close: PeerClose, scanner: FrameScanner, closed_at: Instant },
    /// Our close frame is queued or sent, the peer's has not come yet.
    Closing { scanner: FrameScanner, close_deadline: CloseDeadline },
    /// Nothing is read any more; what is queued goes out. A client then waits for the server to
    /// end the stream, so that the server's side keeps TIME_WAIT (RFC 6455 §7.1.1).
    Draining { await_end: bool, close_deadline: CloseDeadline },
    /// Nothing is left to do.
    Finished,
}

/// A good request that waits for the application's verdict.
#[derive(Debug)]
pub(super) struct PendingUpgrade {
    pub(super) response: Response,
    /// What came behind the request.
    pub(super) early: Vec<u8>,
    pub(super) deadline: Instant,
    pub(super) is_browser: bool,
    /// The first subprotocol that is offered: Chromium fails a handshake in which none of them
    /// is chosen, and then shows no close code either.
    pub(super) protocol: Option<HeaderValue>,
}

/// Until when closing may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloseDeadline {
    /// As it is now: `close_timeout` after the last bytes were taken.
    pub(super) at: Instant,
    /// However much is taken.
    max: Instant,
}

impl CloseDeadline {
    /// A peer that takes what waits has `send_timeout`.
    pub(super) fn new(now: Instant, config: &Config) -> CloseDeadline {
        let at = saturating_add(now, config.close_timeout);
        CloseDeadline { at, max: at.max(saturating_add(now, config.send_timeout)) }
    }

    /// For a peer that takes too little.
    pub(super) fn fixed(now: Instant, config: &Config) -> CloseDeadline {
        let at = saturating_add(now, config.close_timeout);
        CloseDeadline { at, max: at }
    }

    /// Bytes were taken.
    pub(super) fn on_written(&mut self, now: Instant, config: &Config) {
        self.at = saturating_add(now, config.close_timeout).min(self.max).max(self.at);
    }
}

/// What no message of the peer comes after.
#[derive(Clone, Debug)]
pub(super) enum PeerClose {
    /// Its close frame: code and reason, where there was a payload.
    Frame(Option<(u16, String)>),
    /// It broke a rule.
    Violation(CloseReason),
}

/// What an open socket needs.
#[derive(Debug)]
pub(super) struct OpenState {
    pub(super) decoder: Decoder,
    /// When the last byte was received.
    pub(super) last_recv: Instant,
    /// Until when silence is not the peer's fault.
    pub(super) idle_exempt_until: Instant,
    /// When the last ping was sent.
    pub(super) last_ping: Option<Instant>,
    /// The newest ping that could not be answered for want of room.
    pub(super) pending_pong: Option<Bytes>,
    /// While bytes wait: what the peer takes of them.
    pub(super) send_timeout: Option<SendTimeout>,
}

impl OpenState {
    pub(super) fn timeout_at(&self, config: &Config) -> Instant {
        saturating_add(self.last_recv.max(self.idle_exempt_until), config.pong_timeout)
    }

    pub(super) fn next_ping(&self, config: &Config) -> Instant {
        let last = self.last_ping.map_or(self.last_recv, |pinged| pinged.max(self.last_recv));
        saturating_add(last, config.ping_interval)
    }
}

impl State {
    /// When this state wants to be looked at if nothing happens.
    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        match self {
            State::ServerHandshake { deadline, .. }
            | State::OversizedRequest { deadline, .. }
            | State::PlainHttp { deadline, .. }
            | State::ClientHandshake { deadline, .. } => Some(*deadline),
            State::AwaitingDecision(held) => Some(held.deadline),
            State::Closing { close_deadline: goodbye, .. }
            | State::Draining { close_deadline: goodbye, .. } => Some(goodbye.at),
            State::Open(live) => {
                let progress = live.send_timeout.map(|progress| progress.next_check(config));
                let own = live.next_ping(config).min(live.timeout_at(config));
                Some(progress.map_or(own, |due| due.min(own)))
            }
            State::PeerClosed { .. } | State::Finished => None,
        }
    }

    /// Moves the deadline of a state that has one.
    pub(super) fn extend(&mut self, time: Duration) {
        match self {
            State::ServerHandshake { deadline, .. }
            | State::OversizedRequest { deadline, .. }
            | State::PlainHttp { deadline, .. }
            | State::ClientHandshake { deadline, .. } => {
                *deadline = saturating_add(*deadline, time)
            }
            State::AwaitingDecision(held) => held.deadline = saturating_add(held.deadline, time),
            State::Closing { close_deadline: goodbye, .. }
            | State::Draining { close_deadline: goodbye, .. } => {
                *goodbye = CloseDeadline {
                    at: saturating_add(goodbye.at, time),
                    max: saturating_add(goodbye.max, time),
                };
            }
            State::Open(live) => {
                live.send_timeout.iter_mut().for_each(|progress| progress.extend(time));
            }
            State::PeerClosed { .. } | State::Finished => {}
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            State::ServerHandshake { .. } => "Upgrading",
            State::OversizedRequest { .. } => "Trimming",
            State::PlainHttp { .. } => "Plain",
            State::AwaitingDecision(_) => "Held",
            State::ClientHandshake { .. } => "Asking",
            State::Open(_) => "Open",
            State::PeerClosed { .. } => "Ending",
            State::Closing { .. } => "Closing",
            State::Draining { .. } => "Flushing",
            State::Finished => "Finished",
        }
    }
}
