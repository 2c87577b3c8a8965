//! From HTTP to frames.

use std::time::Instant;

use tungstenite::{
    handshake::server::{self, Response},
    http::HeaderValue,
    protocol,
};

use super::{
    Live, Output, Role, Socket, State,
    state::{Goodbye, Held},
};
use crate::{
    BadRequest, BadResponse, CloseReason, decoder::Decoder, head::Progress, reply, request,
    response,
};

impl Socket {
    /// Answers a held upgrade with 101: the socket is open. Where the client offered
    /// subprotocols, `protocol` is the one chosen of them (browsers hang up without one). Does
    /// nothing where no upgrade is held.
    ///
    /// A `protocol` that cannot stand in a header is left out.
    pub fn admit(&mut self, now: Instant, protocol: Option<&str>) {
        if let State::Held(held) = &mut self.state {
            let early = std::mem::take(&mut held.early);
            let mut response = std::mem::take(&mut held.response);
            if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
                response.headers_mut().insert("sec-websocket-protocol", protocol);
            }
            self.answer(now, &response, &early);
            self.settle();
        }
    }

    /// Refuses a held upgrade, in the way that the client can read. Does nothing where no upgrade
    /// is held.
    ///
    /// A browser shows no HTTP status to its page: its request is granted, and the websocket
    /// closed with `code` and `reason` as by [`Socket::close`], before anything else is sent. Any
    /// other client is answered with HTTP `status` (403 for example; one that is no error goes
    /// out as 500) and `reason` as its body. [`Request::is_browser`](crate::Request::is_browser)
    /// tells them apart.
    pub fn refuse(&mut self, now: Instant, status: u16, code: u16, reason: &str) {
        self.refuse_held(now, CloseReason::ByUs, status, code, reason);
        self.settle();
    }

    pub(super) fn read_request(&mut self, now: Instant, bytes: &[u8]) {
        let State::Upgrading { head, deadline } = &mut self.state else { return };
        let deadline = *deadline;
        let progress = head.extend(bytes, self.config.head_bytes);
        let parsed = match progress {
            _ if head.is_tls() => Err(BadRequest::Tls),
            Progress::Partial => return,
            Progress::TooLong => Err(BadRequest::HeadBytes),
            Progress::Complete(tail) => request::parse(head.bytes(), self.config.head_headers)
                .map(|(request, response)| (request, response, tail)),
        };
        match parsed {
            Err(why) => self.refuse_bad(now, why),
            Ok((request, response, tail)) => {
                if self.config.hold_upgrade {
                    let held = Held {
                        is_browser: request.is_browser(),
                        protocol: request.first_protocol(),
                        response,
                        early: Vec::new(),
                        deadline,
                    };
                    self.outputs.push_back(Output::Upgraded(request));
                    self.set_state(State::Held(Box::new(held)));
                    self.take(now, tail);
                } else {
                    self.outputs.push_back(Output::Upgraded(request));
                    self.answer(now, &response, tail);
                }
            }
        }
    }

    /// Keeps what a hasty client sends before our verdict.
    pub(super) fn read_early(&mut self, now: Instant, bytes: &[u8]) {
        let State::Held(held) = &mut self.state else { return };
        if held.early.len() + bytes.len() > self.config.message_bytes {
            self.refuse_bad(now, BadRequest::Early);
        } else {
            held.early.extend_from_slice(bytes);
        }
    }

    pub(super) fn read_answer(&mut self, now: Instant, bytes: &[u8]) {
        let State::Asking { head, asked, .. } = &mut self.state else { return };
        let checked = match head.extend(bytes, self.config.head_bytes) {
            Progress::Partial => return,
            Progress::TooLong => Err(CloseReason::BadResponse(BadResponse::HeadBytes)),
            Progress::Complete(tail) => {
                response::check(head.bytes(), self.config.head_headers, asked)
                    .map(|()| (asked.request.clone(), tail))
            }
        };
        match checked {
            Err(reason) => self.abort(reason),
            Ok((request, tail)) => {
                self.outputs.push_back(Output::Upgraded(request));
                self.open(now, protocol::Role::Client, tail);
            }
        }
    }

    pub(super) fn upgrade_timed_out(&mut self, now: Instant) {
        let reason = CloseReason::UpgradeTimeout;
        match &self.state {
            State::Held(_) => self.refuse_held(now, reason, 503, 1013, "no verdict in time"),
            State::Upgrading { head, .. } if !head.bytes().is_empty() => {
                self.refuse_upgrade(now, reason, 408, "the request took too long");
            }
            _ => self.abort(reason),
        }
    }

    /// Answers in HTTP that there will be no websocket.
    pub(super) fn refuse_upgrade(
        &mut self,
        now: Instant,
        reason: CloseReason,
        status: u16,
        text: &str,
    ) {
        reply::refuse(&mut self.outbox, status, text);
        self.closed(reason);
        let goodbye = Goodbye::short(now, &self.config);
        self.set_state(State::Flushing { await_end: false, goodbye });
    }

    fn refuse_held(
        &mut self,
        now: Instant,
        closed: CloseReason,
        status: u16,
        code: u16,
        reason: &str,
    ) {
        match &self.state {
            State::Held(held) if held.is_browser => self.dismiss(now, closed, code, reason),
            State::Held(_) => self.refuse_upgrade(now, closed, status, reason),
            _ => {}
        }
    }

    /// Grants a held upgrade, only to close it with these words. What came early is not looked
    /// at, but for the peer's close frame.
    pub(super) fn dismiss(&mut self, now: Instant, closed: CloseReason, code: u16, reason: &str) {
        let State::Held(held) = &mut self.state else { return };
        let early = std::mem::take(&mut held.early);
        let mut response = std::mem::take(&mut held.response);
        if let Some(protocol) = held.protocol.take() {
            response.headers_mut().insert("sec-websocket-protocol", protocol);
        }
        self.write_response(&response);
        let mut meter = Decoder::new(protocol::Role::Server, &self.config).take_meter();
        meter.look_for_close(&early);
        self.say_goodbye(now, meter, closed, code, reason);
    }

    fn refuse_bad(&mut self, now: Instant, why: BadRequest) {
        log::debug!("websocket request refused: {why}");
        let (status, text) = (why.status(), why.to_string());
        self.refuse_upgrade(now, CloseReason::BadRequest(why), status, &text);
    }

    /// The 101, and what came behind the request.
    fn answer(&mut self, now: Instant, response: &Response, tail: &[u8]) {
        self.write_response(response);
        self.open(now, protocol::Role::Server, tail);
    }

    fn write_response(&mut self, response: &Response) {
        server::write_response(&mut self.outbox, response)
            .expect("an outbox takes everything, and the headers are visible ASCII");
    }

    fn open(&mut self, now: Instant, role: protocol::Role, tail: &[u8]) {
        debug_assert_eq!(role == protocol::Role::Server, matches!(self.role, Role::Server));
        let decoder = Decoder::new(role, &self.config);
        let live = Live {
            decoder,
            heard: now,
            excused: now,
            pinged: None,
            pong_owed: None,
            progress: None,
        };
        self.set_state(State::Open(Box::new(live)));
        self.take(now, tail);
    }
}
