//! Opening handshake: HTTP upgrade (RFC 6455 §4).

use std::time::Instant;

use tungstenite::handshake::server;
use tungstenite::handshake::server::Response;
use tungstenite::http::HeaderValue;
use tungstenite::protocol;

use crate::decoder::Decoder;
use crate::handshake::oversized_head::OversizedHead;
use crate::handshake::request::ParsedRequest;
use crate::handshake::{HeadProgress, request, response};
use crate::socket::state::{CloseDeadline, PendingUpgrade};
use crate::socket::{OpenState, Output, Side, Socket, State};
use crate::{BadRequest, BadResponse, CloseReason, Request};

/// Multiple of `max_request_head_size` up to which an oversized head is read, so that a browser
/// gets a close code.
const OVERSIZED_HEAD_FACTOR: usize = 16;

impl Socket {
    /// Accepts a pending upgrade with 101: the socket is open. If the client offered subprotocols,
    /// `protocol` is the chosen one (browsers close the connection without one). Does nothing if
    /// no upgrade is pending.
    ///
    /// A `protocol` that is no valid header value is left out.
    pub fn accept_upgrade(&mut self, now: Instant, protocol: Option<&str>) {
        if let State::AwaitingDecision(held) = &mut self.state {
            let early = std::mem::take(&mut held.early);
            let mut response = std::mem::take(&mut held.response);
            if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
                response.headers_mut().insert("sec-websocket-protocol", protocol);
            }
            self.complete_upgrade(now, &response, &early);
            self.finish_if_flushed();
        }
    }

    /// Rejects a pending upgrade in the way that the client can read. Does nothing if no upgrade
    /// is pending.
    ///
    /// A browser shows no HTTP status to its page: its request is accepted, and the websocket is
    /// closed with `code` and `reason` as by [`Socket::close`], before anything else is sent. Any
    /// other client gets HTTP `status` (403 for example; one that is no error is sent as 500) with
    /// `reason` as the body. [`Request::is_browser`](crate::Request::is_browser) distinguishes
    /// them.
    pub fn reject_upgrade(&mut self, now: Instant, status: u16, code: u16, reason: &str) {
        self.reject_pending(now, CloseReason::Local, status, code, reason);
        self.finish_if_flushed();
    }

    /// Responds to a plain request ([`Output::PlainHttp`]) with a status from 200 to 599 and a
    /// line of text, and closes. The response to a HEAD has no text; any other status is sent as
    /// 500. Does nothing if no such request is pending.
    pub fn respond(&mut self, now: Instant, status: u16, text: &str) {
        if let State::PlainHttp { is_head, .. } = self.state {
            response::http_response(&mut self.outbox, status, text, is_head);
            self.start_draining(now, CloseReason::Responded);
            self.finish_if_flushed();
        }
    }

    pub(super) fn read_request(&mut self, now: Instant, bytes: &[u8]) {
        let State::ServerHandshake { head, .. } = &mut self.state else { return };
        let progress = head.extend(bytes, self.config.max_request_head_size);
        if let Some(foreign) = response::detect_foreign_protocol(head.bytes()) {
            return self.reject_bad_request(now, foreign);
        }
        match progress {
            HeadProgress::Partial => {}
            HeadProgress::TooLong(rest) => {
                let limit = self.config.max_request_head_size;
                self.start_oversized(
                    now,
                    BadRequest::HeadTooLarge { limit, cookie_bytes: 0 },
                    rest,
                );
            }
            HeadProgress::Complete(tail) => {
                let parsed = request::parse(head.bytes(), self.config.max_request_headers);
                self.on_request(now, parsed, tail);
            }
        }
    }

    fn on_request(&mut self, now: Instant, parsed: Result<ParsedRequest, BadRequest>, tail: &[u8]) {
        let is_held = self.config.await_decision;
        match parsed {
            Err(why @ BadRequest::TooManyHeaders { .. }) if is_held => {
                self.start_oversized(now, why, tail)
            }
            Err(why) => self.reject_bad_request(now, why),
            Ok(ParsedRequest::PlainHttp(request)) if is_held => self.await_plain_response(request),
            Ok(ParsedRequest::PlainHttp(request)) if request.method() != "GET" => {
                self.reject_bad_request(now, BadRequest::Method);
            }
            Ok(ParsedRequest::PlainHttp(_)) => self.reject_bad_request(now, BadRequest::Upgrade),
            Ok(ParsedRequest::Upgrade(request, response)) if is_held => {
                self.outputs.push_back(Output::Upgraded(request.clone()));
                self.await_decision(now, &request, response, tail);
            }
            Ok(ParsedRequest::Upgrade(request, response)) => {
                self.outputs.push_back(Output::Upgraded(request));
                self.complete_upgrade(now, &response, tail);
            }
        }
    }

    fn await_plain_response(&mut self, request: Request) {
        let Some(deadline) = self.state.deadline(&self.config) else { return };
        self.set_state(State::PlainHttp { is_head: request.method() == "HEAD", deadline });
        self.outputs.push_back(Output::PlainHttp(request));
    }

    fn await_decision(&mut self, now: Instant, request: &Request, response: Response, tail: &[u8]) {
        let Some(deadline) = self.state.deadline(&self.config) else { return };
        let (is_browser, protocol) = (request.is_browser(), request.first_subprotocol());
        let held = PendingUpgrade { is_browser, protocol, response, early: Vec::new(), deadline };
        self.set_state(State::AwaitingDecision(Box::new(held)));
        self.on_bytes(now, tail);
    }

    /// Starts reading a request that is over a limit; `rest` follows the bytes in the head buffer.
    fn start_oversized(&mut self, now: Instant, why: BadRequest, rest: &[u8]) {
        let State::ServerHandshake { head, deadline } = &mut self.state else { return };
        let (head, deadline) = (std::mem::take(head), *deadline);
        self.set_state(State::OversizedRequest { head: OversizedHead::default(), why, deadline });
        self.read_oversized(now, head.bytes());
        match self.config.await_decision {
            true => self.on_bytes(now, rest),
            false => self.reject_oversized(now),
        }
    }

    /// Reads a request that is over a limit, up to its end or to [`OVERSIZED_HEAD_FACTOR`] times
    /// `max_request_head_size`.
    pub(super) fn read_oversized(&mut self, now: Instant, bytes: &[u8]) {
        let State::OversizedRequest { head, .. } = &mut self.state else { return };
        let limit = self.config.max_request_head_size;
        match head.extend(bytes, limit, limit.saturating_mul(OVERSIZED_HEAD_FACTOR)) {
            HeadProgress::Partial => {}
            HeadProgress::TooLong(_) => self.reject_oversized(now),
            HeadProgress::Complete(tail) => self.on_oversized(now, tail),
        }
    }

    /// Handles a complete request that is over a limit. The application rejects an upgrade; any
    /// other request is rejected at once.
    fn on_oversized(&mut self, now: Instant, tail: &[u8]) {
        let State::OversizedRequest { head, why, .. } = &self.state else { return };
        match request::parse(head.bytes(), self.config.max_request_headers) {
            Ok(ParsedRequest::Upgrade(request, response)) if self.config.await_decision => {
                let why = with_cookies(why, head);
                self.outputs.push_back(Output::Oversized(request.clone(), why));
                self.await_decision(now, &request, response, tail);
            }
            _ => self.reject_oversized(now),
        }
    }

    fn reject_oversized(&mut self, now: Instant) {
        if let State::OversizedRequest { head, why, .. } = &self.state {
            let why = with_cookies(why, head);
            self.reject_bad_request(now, why);
        }
    }

    /// Buffers bytes that a client sends before the decision.
    pub(super) fn read_early(&mut self, now: Instant, bytes: &[u8]) {
        let State::AwaitingDecision(held) = &mut self.state else { return };
        if held.early.len() + bytes.len() > self.config.max_message_size {
            self.reject_bad_request(now, BadRequest::EarlyData);
        } else {
            held.early.extend_from_slice(bytes);
        }
    }

    pub(super) fn read_response(&mut self, now: Instant, bytes: &[u8]) {
        let State::ClientHandshake { head, request: asked, .. } = &mut self.state else { return };
        let checked = match head.extend(bytes, self.config.max_request_head_size) {
            HeadProgress::Partial => return,
            HeadProgress::TooLong(_) => Err(CloseReason::BadResponse(BadResponse::HeadTooLarge)),
            HeadProgress::Complete(tail) => {
                response::check_response(head.bytes(), self.config.max_request_headers, asked)
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

    pub(super) fn on_upgrade_timeout(&mut self, now: Instant) {
        let reason = CloseReason::UpgradeTimeout;
        match &self.state {
            State::AwaitingDecision(_) => {
                self.reject_pending(now, reason, 503, 1013, "no verdict in time")
            }
            State::PlainHttp { .. } => self.send_http_error(now, reason, 503, "no verdict in time"),
            State::OversizedRequest { .. } => self.reject_oversized(now),
            State::ServerHandshake { head, .. } if !head.bytes().is_empty() => {
                self.send_http_error(now, reason, 408, "the request took too long");
            }
            _ => self.abort(reason),
        }
    }

    /// Responds with an HTTP error and closes.
    pub(super) fn send_http_error(
        &mut self,
        now: Instant,
        reason: CloseReason,
        status: u16,
        text: &str,
    ) {
        response::http_error(&mut self.outbox, status, text);
        self.start_draining(now, reason);
    }

    /// Closes after an HTTP response: only unsent bytes are left.
    fn start_draining(&mut self, now: Instant, reason: CloseReason) {
        self.push_closed(reason);
        let goodbye = CloseDeadline::fixed(now, &self.config);
        self.set_state(State::Draining { await_end: false, close_deadline: goodbye });
    }

    fn reject_pending(
        &mut self,
        now: Instant,
        closed: CloseReason,
        status: u16,
        code: u16,
        reason: &str,
    ) {
        match &self.state {
            State::AwaitingDecision(held) if held.is_browser => {
                self.accept_then_close(now, closed, code, reason)
            }
            State::AwaitingDecision(_) => self.send_http_error(now, closed, status, reason),
            _ => {}
        }
    }

    /// Accepts a pending upgrade and closes it with `code` and `reason`. Early bytes are scanned
    /// for a close frame only.
    pub(super) fn accept_then_close(
        &mut self,
        now: Instant,
        closed: CloseReason,
        code: u16,
        reason: &str,
    ) {
        let State::AwaitingDecision(held) = &mut self.state else { return };
        let early = std::mem::take(&mut held.early);
        let mut response = std::mem::take(&mut held.response);
        if let Some(protocol) = held.protocol.take() {
            response.headers_mut().insert("sec-websocket-protocol", protocol);
        }
        self.write_response(&response);
        let mut meter = Decoder::new(protocol::Role::Server, &self.config).take_scanner();
        meter.scan_for_close(&early);
        self.start_close(now, meter, closed, code, reason);
    }

    fn reject_bad_request(&mut self, now: Instant, why: BadRequest) {
        log::debug!("websocket request refused: {why}");
        let (status, text) = (why.status(), why.to_string());
        self.send_http_error(now, CloseReason::BadRequest(why), status, &text);
    }

    /// Sends the 101 and opens the socket; `tail` follows the request.
    fn complete_upgrade(&mut self, now: Instant, response: &Response, tail: &[u8]) {
        self.write_response(response);
        self.open(now, protocol::Role::Server, tail);
    }

    fn write_response(&mut self, response: &Response) {
        server::write_response(&mut self.outbox, response)
            .expect("an outbox takes everything, and the headers are visible ASCII");
    }

    fn open(&mut self, now: Instant, role: protocol::Role, tail: &[u8]) {
        debug_assert_eq!(role == protocol::Role::Server, matches!(self.side, Side::Server));
        let decoder = Decoder::new(role, &self.config);
        let live = OpenState {
            decoder,
            last_recv: now,
            idle_exempt_until: now,
            last_ping: None,
            pending_pong: None,
            send_timeout: None,
        };
        self.set_state(State::Open(Box::new(live)));
        self.on_bytes(now, tail);
    }
}

/// Returns `why` with the cookie bytes of the head.
fn with_cookies(why: &BadRequest, head: &OversizedHead) -> BadRequest {
    match why {
        BadRequest::HeadTooLarge { limit, .. } => {
            BadRequest::HeadTooLarge { limit: *limit, cookie_bytes: head.cookie_bytes() }
        }
        other => other.clone(),
    }
}
