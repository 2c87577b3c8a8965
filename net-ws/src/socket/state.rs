//! Connection states (RFC 6455 §4, §7) and their deadlines.

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

/// State of a socket; each arrow is a method of [`Socket`](crate::Socket).
///
/// ```text
/// server
/// accept --> ServerHandshake --complete_upgrade-------------------> Open
///             | | '-on_request-> AwaitingDecision --accept_upgrade---^
///             | |                      ^  |--accept_then_close--> Closing
///             | |                      |  '--send_http_error---> Draining
///             | '-> OversizedRequest --'                          ^  ^
///             '---> PlainHttp --respond---------------------------'  |
///                   each of them --send_http_error-------------------'
///
/// client
/// connect --> ClientHandshake --read_response--> Open
///
/// both
/// Open --start_close--> Closing --drain_if_closed--> Draining --finish_if_flushed--> Finished
///  '-on_peer_close-> PeerClosed --answer_close----------^
///                      '-close_on_violation-> Closing
/// ```
///
/// `abort` leads to `Finished` from every state before `Closing`: the stream ended, the peer timed
/// out, the server rejected the upgrade. `finish` leads there from `Closing` and `Draining`, when
/// the stream ends or `close_timeout` is over.
#[derive(Debug)]
pub(super) enum State {
    /// Server: the request is arriving.
    ServerHandshake { head: HeadBuffer, deadline: Instant },
    /// Server: the request is over a limit; the rest of it is read to choose the response.
    OversizedRequest { head: OversizedHead, why: BadRequest, deadline: Instant },
    /// Server: a plain request waits for the application's response.
    PlainHttp { is_head: bool, deadline: Instant },
    /// Server: a valid request waits for the application's decision.
    AwaitingDecision(Box<PendingUpgrade>),
    /// Client: the response is arriving.
    ClientHandshake { head: HeadBuffer, request: ClientRequest, deadline: Instant },
    /// Messages are sent and received.
    Open(Box<OpenState>),
    /// The peer's close frame or violation is read. It is processed once the messages before it
    /// are polled, so that the application can still reply to them.
    PeerClosed { close: PeerClose, scanner: FrameScanner, closed_at: Instant },
    /// Our close frame is queued or sent, the peer's has not come yet.
    Closing { scanner: FrameScanner, close_deadline: CloseDeadline },
    /// Input is ignored; the send buffer is flushed. A client then waits for the server to end the
    /// stream, so that the server's side keeps TIME_WAIT (RFC 6455 §7.1.1).
    Draining { await_end: bool, close_deadline: CloseDeadline },
    /// Final state.
    Finished,
}

/// A valid request that waits for the application's decision.
#[derive(Debug)]
pub(super) struct PendingUpgrade {
    pub(super) response: Response,
    /// Bytes after the request, at most `max_message_size`.
    pub(super) early: Vec<u8>,
    pub(super) deadline: Instant,
    pub(super) is_browser: bool,
    /// The first offered subprotocol: Chromium fails a handshake in which none of them is chosen,
    /// and then shows no close code either.
    pub(super) protocol: Option<HeaderValue>,
}

/// Deadline of the closing handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloseDeadline {
    /// Current deadline: `close_timeout` after the last bytes were written.
    pub(super) at: Instant,
    /// Upper bound of `at`.
    max: Instant,
}

impl CloseDeadline {
    /// Creates a deadline that a reading peer can extend up to `send_timeout`.
    pub(super) fn new(now: Instant, config: &Config) -> CloseDeadline {
        let at = saturating_add(now, config.close_timeout);
        CloseDeadline { at, max: at.max(saturating_add(now, config.send_timeout)) }
    }

    /// Creates a deadline that cannot be extended, for a slow peer and for HTTP responses.
    pub(super) fn fixed(now: Instant, config: &Config) -> CloseDeadline {
        let at = saturating_add(now, config.close_timeout);
        CloseDeadline { at, max: at }
    }

    /// Extends the deadline after bytes were written.
    pub(super) fn on_written(&mut self, now: Instant, config: &Config) {
        self.at = saturating_add(now, config.close_timeout).min(self.max).max(self.at);
    }
}

/// End of the peer's messages.
#[derive(Clone, Debug)]
pub(super) enum PeerClose {
    /// A close frame: code and reason, if it had a payload.
    Frame(Option<(u16, String)>),
    /// A protocol violation.
    Violation(CloseReason),
}

/// State of an open socket.
#[derive(Debug)]
pub(super) struct OpenState {
    pub(super) decoder: Decoder,
    /// Time of the last byte received.
    pub(super) last_recv: Instant,
    /// Time until which silence does not count for `pong_timeout`.
    pub(super) idle_exempt_until: Instant,
    /// Time of the last ping sent.
    pub(super) last_ping: Option<Instant>,
    /// The newest ping whose pong did not fit into the send buffer.
    pub(super) pending_pong: Option<Bytes>,
    /// The send timeout, while bytes are buffered.
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
    /// Returns the next deadline of this state.
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

    /// Extends the deadline of a state that has one by `time`.
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
