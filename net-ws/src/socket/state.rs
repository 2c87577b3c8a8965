//! The life of a socket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tungstenite::handshake::server::Response;
use tungstenite::http::HeaderValue;

use crate::config::later;
use crate::decoder::Decoder;
use crate::frame_scanner::Meter;
use crate::handshake::Head;
use crate::handshake::oversized_head::Trimmed;
use crate::handshake::response::Asked;
use crate::send_timeout::Progress;
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
    Upgrading { head: Head, deadline: Instant },
    /// Server: the request is over a limit, the rest of it is read for the sake of the answer.
    Trimming { head: Trimmed, why: BadRequest, deadline: Instant },
    /// Server: a plain request waits for its answer.
    Plain { is_head: bool, deadline: Instant },
    /// Server: a good request waits for the application's verdict.
    Held(Box<Held>),
    /// Client: the answer is arriving.
    Asking { head: Head, asked: Asked, deadline: Instant },
    /// Messages go both ways.
    Open(Box<Live>),
    /// The peer's last word is read. It is acted on when the messages before it have come out, so
    /// that they can still be answered.
    Ending { last: Last, meter: Meter, since: Instant },
    /// Our close frame is queued or sent, the peer's has not come yet.
    Closing { meter: Meter, goodbye: Goodbye },
    /// Nothing is read any more; what is queued goes out. A client then waits for the server to
    /// end the stream, so that the server's side keeps TIME_WAIT (RFC 6455 §7.1.1).
    Flushing { await_end: bool, goodbye: Goodbye },
    /// Nothing is left to do.
    Finished,
}

/// A good request that waits for the application's verdict.
#[derive(Debug)]
pub(super) struct Held {
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
pub(super) struct Goodbye {
    /// As it is now: `close_timeout` after the last bytes were taken.
    pub(super) end: Instant,
    /// However much is taken.
    last: Instant,
}

impl Goodbye {
    /// A peer that takes what waits has `send_timeout`.
    pub(super) fn new(now: Instant, config: &Config) -> Goodbye {
        let end = later(now, config.close_timeout);
        Goodbye { end, last: end.max(later(now, config.send_timeout)) }
    }

    /// For a peer that takes too little.
    pub(super) fn short(now: Instant, config: &Config) -> Goodbye {
        let end = later(now, config.close_timeout);
        Goodbye { end, last: end }
    }

    /// Bytes were taken.
    pub(super) fn took(&mut self, now: Instant, config: &Config) {
        self.end = later(now, config.close_timeout).min(self.last).max(self.end);
    }
}

/// What no message of the peer comes after.
#[derive(Clone, Debug)]
pub(super) enum Last {
    /// Its close frame: code and reason, where there was a payload.
    Goodbye(Option<(u16, String)>),
    /// It broke a rule.
    Fault(CloseReason),
}

/// What an open socket needs.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) decoder: Decoder,
    /// When the last byte was received.
    pub(super) heard: Instant,
    /// Until when silence is not the peer's fault.
    pub(super) excused: Instant,
    /// When the last ping was sent.
    pub(super) pinged: Option<Instant>,
    /// The newest ping that could not be answered for want of room.
    pub(super) pong_owed: Option<Bytes>,
    /// While bytes wait: what the peer takes of them.
    pub(super) progress: Option<Progress>,
}

impl Live {
    pub(super) fn dead_at(&self, config: &Config) -> Instant {
        later(self.heard.max(self.excused), config.dead_after)
    }

    pub(super) fn ping_at(&self, config: &Config) -> Instant {
        let last = self.pinged.map_or(self.heard, |pinged| pinged.max(self.heard));
        later(last, config.ping_after)
    }
}

impl State {
    /// When this state wants to be looked at if nothing happens.
    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        match self {
            State::Upgrading { deadline, .. }
            | State::Trimming { deadline, .. }
            | State::Plain { deadline, .. }
            | State::Asking { deadline, .. } => Some(*deadline),
            State::Held(held) => Some(held.deadline),
            State::Closing { goodbye, .. } | State::Flushing { goodbye, .. } => Some(goodbye.end),
            State::Open(live) => {
                let progress = live.progress.map(|progress| progress.due(config));
                let own = live.ping_at(config).min(live.dead_at(config));
                Some(progress.map_or(own, |due| due.min(own)))
            }
            State::Ending { .. } | State::Finished => None,
        }
    }

    /// Moves the deadline of a state that has one.
    pub(super) fn put_off(&mut self, time: Duration) {
        match self {
            State::Upgrading { deadline, .. }
            | State::Trimming { deadline, .. }
            | State::Plain { deadline, .. }
            | State::Asking { deadline, .. } => *deadline = later(*deadline, time),
            State::Held(held) => held.deadline = later(held.deadline, time),
            State::Closing { goodbye, .. } | State::Flushing { goodbye, .. } => {
                *goodbye =
                    Goodbye { end: later(goodbye.end, time), last: later(goodbye.last, time) };
            }
            State::Open(live) => {
                live.progress.iter_mut().for_each(|progress| progress.put_off(time));
            }
            State::Ending { .. } | State::Finished => {}
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            State::Upgrading { .. } => "Upgrading",
            State::Trimming { .. } => "Trimming",
            State::Plain { .. } => "Plain",
            State::Held(_) => "Held",
            State::Asking { .. } => "Asking",
            State::Open(_) => "Open",
            State::Ending { .. } => "Ending",
            State::Closing { .. } => "Closing",
            State::Flushing { .. } => "Flushing",
            State::Finished => "Finished",
        }
    }
}
