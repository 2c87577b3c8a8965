//! From HTTP to frames.

use std::time::Instant;

use tungstenite::handshake::server;
use tungstenite::handshake::server::Response;
use tungstenite::http::HeaderValue;
use tungstenite::protocol;

use crate::decoder::Decoder;
use crate::handshake::oversized_head::Trimmed;
use crate::handshake::request::Asked;
use crate::handshake::{Progress, request, response};
use crate::socket::state::{Goodbye, Held};
use crate::socket::{Live, Output, Role, Socket, State};
use crate::{BadRequest, BadResponse, CloseReason, Request};

/// So many times the longest head are read of one that is over it, to tell a browser so.
const TRIMMED: usize = 16;

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

    /// Answers a plain request ([`Output::Plain`]) with a status from 200 on and a line of text,
    /// and closes. A HEAD is answered without the text; a status that is none goes out as 500.
    /// Does nothing where no such request waits.
    pub fn respond(&mut self, now: Instant, status: u16, text: &str) {
        if let State::Plain { is_head, .. } = self.state {
            response::respond(&mut self.outbox, status, text, is_head);
            self.flush(now, CloseReason::Responded);
            self.settle();
        }
    }

    pub(super) fn read_request(&mut self, now: Instant, bytes: &[u8]) {
        let State::Upgrading { head, .. } = &mut self.state else { return };
        let progress = head.extend(bytes, self.config.head_bytes);
        if let Some(foreign) = response::foreign(head.bytes()) {
            return self.refuse_bad(now, foreign);
        }
        match progress {
            Progress::Partial => {}
            Progress::TooLong(rest) => {
                let limit = self.config.head_bytes;
                self.trim(now, BadRequest::HeadBytes { limit, cookies: 0 }, rest);
            }
            Progress::Complete(tail) => {
                let parsed = request::parse(head.bytes(), self.config.head_headers);
                self.requested(now, parsed, tail);
            }
        }
    }

    fn requested(&mut self, now: Instant, parsed: Result<Asked, BadRequest>, tail: &[u8]) {
        let is_held = self.config.hold_upgrade;
        match parsed {
            Err(why @ BadRequest::HeadHeaders { .. }) if is_held => self.trim(now, why, tail),
            Err(why) => self.refuse_bad(now, why),
            Ok(Asked::Plain(request)) if is_held => self.hold_plain(request),
            Ok(Asked::Plain(request)) if request.method() != "GET" => {
                self.refuse_bad(now, BadRequest::Method);
            }
            Ok(Asked::Plain(_)) => self.refuse_bad(now, BadRequest::Upgrade),
            Ok(Asked::Upgrade(request, response)) if is_held => {
                self.outputs.push_back(Output::Upgraded(request.clone()));
                self.hold(now, &request, response, tail);
            }
            Ok(Asked::Upgrade(request, response)) => {
                self.outputs.push_back(Output::Upgraded(request));
                self.answer(now, &response, tail);
            }
        }
    }

    fn hold_plain(&mut self, request: Request) {
        let Some(deadline) = self.state.deadline(&self.config) else { return };
        self.set_state(State::Plain { is_head: request.method() == "HEAD", deadline });
        self.outputs.push_back(Output::Plain(request));
    }

    fn hold(&mut self, now: Instant, request: &Request, response: Response, tail: &[u8]) {
        let Some(deadline) = self.state.deadline(&self.config) else { return };
        let (is_browser, protocol) = (request.is_browser(), request.first_protocol());
        let held = Held { is_browser, protocol, response, early: Vec::new(), deadline };
        self.set_state(State::Held(Box::new(held)));
        self.take(now, tail);
    }

    /// The request is over a limit; `rest` is what came behind what is collected of it.
    fn trim(&mut self, now: Instant, why: BadRequest, rest: &[u8]) {
        let State::Upgrading { head, deadline } = &mut self.state else { return };
        let (head, deadline) = (std::mem::take(head), *deadline);
        self.set_state(State::Trimming { head: Trimmed::default(), why, deadline });
        self.read_oversized(now, head.bytes());
        match self.config.hold_upgrade {
            true => self.take(now, rest),
            false => self.refuse_oversized(now),
        }
    }

    /// Reads on in a request that is over a limit, up to its end or to a limit of that.
    pub(super) fn read_oversized(&mut self, now: Instant, bytes: &[u8]) {
        let State::Trimming { head, .. } = &mut self.state else { return };
        let limit = self.config.head_bytes;
        match head.extend(bytes, limit, limit.saturating_mul(TRIMMED)) {
            Progress::Partial => {}
            Progress::TooLong(_) => self.refuse_oversized(now),
            Progress::Complete(tail) => self.oversized(now, tail),
        }
    }

    /// A request over a limit is whole. If it is a websocket's, the application decides how to tell it.
    fn oversized(&mut self, now: Instant, tail: &[u8]) {
        let State::Trimming { head, why, .. } = &self.state else { return };
        match request::parse(head.bytes(), self.config.head_headers) {
            Ok(Asked::Upgrade(request, response)) if self.config.hold_upgrade => {
                let why = with_cookies(why, head);
                self.outputs.push_back(Output::Oversized(request.clone(), why));
                self.hold(now, &request, response, tail);
            }
            _ => self.refuse_oversized(now),
        }
    }

    fn refuse_oversized(&mut self, now: Instant) {
        if let State::Trimming { head, why, .. } = &self.state {
            let why = with_cookies(why, head);
            self.refuse_bad(now, why);
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
            Progress::TooLong(_) => Err(CloseReason::BadResponse(BadResponse::HeadBytes)),
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
            State::Plain { .. } => self.refuse_upgrade(now, reason, 503, "no verdict in time"),
            State::Trimming { .. } => self.refuse_oversized(now),
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
        response::refuse(&mut self.outbox, status, text);
        self.flush(now, reason);
    }

    /// The answer is written, there will be no websocket.
    fn flush(&mut self, now: Instant, reason: CloseReason) {
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

/// Why a request is refused, with what is known of its cookies.
fn with_cookies(why: &BadRequest, head: &Trimmed) -> BadRequest {
    match why {
        BadRequest::HeadBytes { limit, .. } => {
            BadRequest::HeadBytes { limit: *limit, cookies: head.cookies() }
        }
        other => other.clone(),
    }
}
