//! State machine of one connection: websocket, signalling, WebRTC and phase.

mod admission;

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use log::debug;
use net_signal::Offerer;
use net_ws::{Message, Request, Socket};

use crate::hub::client_addr::ProxyHeaderParser;
use crate::hub::close_cause::{CloseCause, LimitHit};
use crate::hub::context::Context;
use crate::hub::diagnostics::ConnectProgress;
use crate::hub::handshake::{Handshaking, PendingRequest};
use crate::hub::limits::{Awaiting, ClientKey};
use crate::hub::{ConnectionId, Output};
use crate::{CloseReason, Config, ConnectFailure, Delivery, HandshakeStage, PeerId};

/// One TCP connection, from accept to close, with its websocket and signalling.
#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    /// The client's address; that of a proxy until the request names the client.
    remote: SocketAddr,
    /// The local address on which it arrived; `None` if it is unknown, or a proxy connected.
    local_ip: Option<IpAddr>,
    /// The candidates of its offer.
    offered_addrs: Vec<SocketAddr>,
    /// The key under which limits count it.
    client_key: ClientKey,
    proxy_header: ProxyHeader,
    accepted_at: Instant,
    websocket: Socket,
    phase: Phase,
    next_timeout: Option<Instant>,
    is_finished: bool,
}

/// State of the PROXY protocol header in front of the websocket.
#[derive(Debug)]
enum ProxyHeader {
    /// No such header is expected.
    None,
    /// It is awaited.
    Pending(ProxyHeaderParser),
    /// It has named the client.
    Parsed,
}

/// Phase of a connection.
///
/// ```text
///   Connected --first byte--> Upgrading
///   Upgrading --request--> AwaitingDecision --accepted--> Handshaking --channel open--> Open
///       '--over limit--> OverLimit --request--.                                          |
///   all of them --close--> Closing <----------'------------------------------------------'
/// ```
#[derive(Debug)]
enum Phase {
    /// No byte has arrived. A connection that ends now was no client's: a load balancer's probe, or
    /// one that a browser opened speculatively.
    Connected,
    /// The websocket's request is incomplete.
    Upgrading,
    /// The request is complete; it awaits the admission hook, if there is one.
    AwaitingDecision(Box<PendingRequest>),
    /// Offer and answer, then ICE, DTLS and SCTP.
    Handshaking(Box<Handshaking>),
    /// An open peer. Its text messages are no longer read, only rate-limited.
    Open(PeerId, Box<Offerer>),
    /// Refused over a limit. This is already reported; the client gets this close code and reason
    /// once its request is complete: browsers show the close frame of a websocket, and nothing of
    /// an HTTP response.
    OverLimit { code: u16, reason: String },
    /// The closing handshake is in progress; the end is already reported.
    Closing,
}

impl Connection {
    pub(super) fn new(
        now: Instant,
        id: ConnectionId,
        remote: SocketAddr,
        client_key: ClientKey,
        core: &mut Context,
    ) -> Connection {
        core.conn_limits.begin(now, id, client_key);
        let websocket = Socket::accept(now, core.config.ws_config());
        let proxy_header = match core.config.proxy_protocol && core.is_trusted_proxy(remote) {
            true => ProxyHeader::Pending(ProxyHeaderParser::default()),
            false => ProxyHeader::None,
        };
        Connection {
            id,
            remote,
            local_ip: None,
            offered_addrs: Vec::new(),
            client_key,
            proxy_header,
            accepted_at: now,
            websocket,
            phase: Phase::Connected,
            next_timeout: None,
            is_finished: false,
        }
    }

    /// Sets the local address on which it arrived.
    pub(super) fn with_local_ip(self, arrived: Option<IpAddr>) -> Connection {
        Connection { local_ip: arrived, ..self }
    }

    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: &[u8], core: &mut Context) {
        self.check_decision_timeout(now, core);
        if let Some(bytes) = self.strip_proxy_header(now, bytes, core)
            && !bytes.is_empty()
        {
            if matches!(self.phase, Phase::Connected) {
                self.phase = Phase::Upgrading;
            }
            self.websocket.handle_input(now, net_ws::Input::Bytes(bytes));
        }
        self.drain(now, core);
    }

    pub(super) fn handle_end(&mut self, now: Instant, core: &mut Context) {
        self.websocket.handle_input(now, net_ws::Input::End);
        self.drain(now, core);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, core: &mut Context) {
        self.check_decision_timeout(now, core);
        if !self.wants_read(&core.config) {
            self.websocket.reset_idle_timer(now);
        }
        self.websocket.handle_input(now, net_ws::Input::Timeout);
        if let Some(negotiation) = self.offerer() {
            negotiation.handle_input(now, net_signal::Input::Timeout);
        }
        self.drain(now, core);
    }

    /// Handles an event of the WebRTC side of this connection.
    pub(super) fn on_rtc_event(&mut self, now: Instant, event: net_rtc::Event, core: &mut Context) {
        match event {
            net_rtc::Event::Open => self.on_channel_open(now, core),
            net_rtc::Event::Received(message) => {
                self.push_message(Delivery::Unreliable, message, core)
            }
            net_rtc::Event::Closed(reason) => self.close(now, reason, core),
        }
        self.drain(now, core);
    }

    /// Sends a reliable message.
    pub(super) fn send(&mut self, now: Instant, message: Bytes, core: &mut Context) {
        // Messages that are too large were ignored before; a closed websocket reports that itself.
        if let Err(net_ws::SendError::Full(_)) = self.websocket.send(now, Message::Binary(message))
        {
            let waiting = self.websocket.buffered_amount();
            let why = format!("{waiting} bytes wait (Config::reliable_send_buffer)");
            self.close(now, CloseReason::SlowConsumer(why), core);
        }
    }

    /// Closes both paths, and reports that once, as `Closed` or as a connect failure.
    pub(super) fn close(
        &mut self,
        now: Instant,
        ending: impl Into<CloseCause>,
        core: &mut Context,
    ) {
        let ending = ending.into();
        let is_early = matches!(self.phase, Phase::Connected | Phase::Upgrading);
        let Some(words) = self.enter_closing(now, &ending, core) else {
            self.close_over_limit(now);
            return self.drain(now, core);
        };
        core.endpoint.close(now, &self.id);
        if is_early && matches!(ending, CloseCause::Limit(_)) {
            self.phase = Phase::OverLimit { code: ending.close_code(), reason: words };
            return self.drain(now, core);
        }
        if let Some(status) = ending.http_status() {
            self.websocket.reject_upgrade(now, status, ending.close_code(), &words);
        }
        self.websocket.close(now, ending.close_code(), &words);
        self.drain(now, core);
    }

    /// Reports the end to the application; returns the close reason for the client. Everything that
    /// could panic comes first: see [`Connection::on_panic`].
    fn enter_closing(
        &mut self,
        now: Instant,
        ending: &CloseCause,
        core: &mut Context,
    ) -> Option<String> {
        match self.phase {
            Phase::OverLimit { .. } | Phase::Closing => None,
            Phase::Open(id, _) => {
                let reason = ending.close_reason();
                let words = reason.close_text();
                debug!("peer {id} at {} closed: {reason}", self.remote);
                if let CloseReason::SlowConsumer(_) = reason {
                    core.warn_slow_consumer(
                        now,
                        format_args!("peer {id} at {} closed: {reason}", self.remote),
                    );
                }
                self.close_peer(id, reason, core);
                Some(words)
            }
            Phase::Connected
                if !matches!(ending, CloseCause::Limit(_) | CloseCause::ProxyHeader) =>
            {
                self.close_plain_http(core);
                Some(ending.close_reason().to_string())
            }
            Phase::Connected
            | Phase::Upgrading
            | Phase::AwaitingDecision(_)
            | Phase::Handshaking(_) => {
                let (age, came) =
                    (now.saturating_duration_since(self.accepted_at), self.progress(core));
                let refusal =
                    core.explain_failure(now, self.remote, &self.offered_addrs, age, came, ending);
                let words = format!("{}: {}", refusal.stage, refusal.cause);
                self.fail(refusal, core);
                Some(words)
            }
        }
    }

    fn close_peer(&mut self, id: PeerId, reason: CloseReason, core: &mut Context) {
        // Dropped last, because it holds application data.
        let _phase = std::mem::replace(&mut self.phase, Phase::Closing);
        core.conn_limits.on_close(self.client_key);
        core.peers.remove(&id);
        core.outputs.push_back(Output::Closed { id, reason });
    }

    fn fail(&mut self, refusal: ConnectFailure, core: &mut Context) {
        let _phase = std::mem::replace(&mut self.phase, Phase::Closing);
        core.conn_limits.on_failed(self.id);
        core.accept_queue.remove(self.id, self.client_key);
        core.lingering.insert(self.id);
        core.outputs.push_back(Output::ConnectFailed(refusal));
    }

    /// Ends a connection without a websocket request.
    fn close_plain_http(&mut self, core: &mut Context) {
        let phase = std::mem::replace(&mut self.phase, Phase::Closing);
        if matches!(phase, Phase::OverLimit { .. }) {
            return; // It is already reported as a connect failure.
        }
        core.conn_limits.on_failed(self.id);
        core.lingering.insert(self.id);
        core.outputs.push_back(Output::PlainHttp(self.remote));
    }

    /// Ends a connection whose state machine has panicked, without a close frame. If its end is
    /// already reported, its phase says so.
    pub(super) fn on_panic(&mut self, core: &mut Context) {
        let stage = match self.phase {
            Phase::OverLimit { .. } | Phase::Closing => return,
            Phase::Open(id, _) => return self.close_peer(id, CloseReason::PeerPanicked, core),
            Phase::Connected | Phase::Upgrading => HandshakeStage::Upgrade,
            Phase::AwaitingDecision(_) => HandshakeStage::Accept,
            Phase::Handshaking(_) => HandshakeStage::Answer,
        };
        let (remote, reason) = (self.remote, CloseReason::PeerPanicked);
        let cause = "a fault of the server".to_owned();
        self.fail(ConnectFailure { remote, stage, reason, cause, hint: None }, core);
    }

    /// Drops a refused connection that has not disconnected, to free its place.
    pub(super) fn abort(&mut self) {
        self.is_finished = true;
    }

    /// Extends the deadlines by the time for which the process was suspended.
    pub(super) fn extend_deadlines(&mut self, now: Instant, away: Duration, core: &mut Context) {
        self.websocket.extend_deadlines(now, away);
        if let Some(negotiation) = self.offerer() {
            negotiation.extend_deadline(away);
        }
        self.drain(now, core);
    }

    /// Resets the idle timer: the websocket was not read, so its silence means nothing.
    pub(super) fn reset_idle_timer(&mut self, now: Instant, core: &mut Context) {
        self.websocket.reset_idle_timer(now);
        self.drain(now, core);
    }

    /// Returns its progress before it is open.
    fn progress(&self, core: &Context) -> ConnectProgress {
        match (&self.phase, core.endpoint.handshake_progress(&self.id)) {
            (Phase::AwaitingDecision(_), _) => ConnectProgress::AwaitingDecision,
            (_, Some(evidence)) => ConnectProgress::Offered(evidence),
            (_, None) => ConnectProgress::Connected,
        }
    }

    pub(super) fn outgoing(&self) -> &[u8] {
        self.websocket.outgoing()
    }

    pub(super) fn outgoing_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.websocket.outgoing_vectored(slices)
    }

    pub(super) fn advance(&mut self, now: Instant, written: usize, core: &mut Context) {
        self.websocket.advance(now, written);
        self.drain(now, core);
    }

    /// Returns whether there is room for more input; if not, there will be once it is open.
    pub(super) fn wants_read(&self, config: &Config) -> bool {
        !matches!(&self.phase, Phase::Handshaking(setup) if setup.is_over_limit(config))
    }

    pub(super) fn buffered_amount(&self) -> usize {
        self.websocket.buffered_amount()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next_timeout
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    fn drain(&mut self, now: Instant, core: &mut Context) {
        let websocket = self.drain_websocket(now, core);
        let negotiation = self.drain_offerer(now, core);
        self.next_timeout = websocket.into_iter().chain(negotiation).min();
    }

    fn drain_websocket(&mut self, now: Instant, core: &mut Context) -> Option<Instant> {
        loop {
            match self.websocket.poll_output() {
                net_ws::Output::Timeout(wake) => return wake,
                net_ws::Output::Upgraded(head) => self.on_request(now, head, core),
                net_ws::Output::PlainHttp(head) => self.respond_plain_http(now, &head, core),
                net_ws::Output::Oversized(head, why) => {
                    self.on_oversized_request(now, &head, why, core)
                }
                net_ws::Output::Message(Message::Text(text)) => self.on_text(now, &text, core),
                net_ws::Output::Message(Message::Binary(message)) => {
                    self.on_binary(now, message, core);
                }
                net_ws::Output::SlowConsumer(slow) => self.warn_slow_consumer(now, slow, core),
                net_ws::Output::Closed(reason) => self.close(now, reason, core),
                net_ws::Output::Finished => self.is_finished = true,
            }
        }
    }

    /// Logs the warning of a slow consumer before its timeout, with the wording of the close
    /// reason.
    fn warn_slow_consumer(&self, now: Instant, slow: net_ws::SlowConsumer, core: &mut Context) {
        let Phase::Open(id, _) = self.phase else { return };
        let end = core.config.reliable_send_timeout;
        core.warn_slow_consumer(now, format_args!(
            "peer {id} at {} {slow}: it is closed after {} s of that (Config::reliable_send_timeout)",
            self.remote, end.as_secs_f32()
        ));
    }

    fn drain_offerer(&mut self, now: Instant, core: &mut Context) -> Option<Instant> {
        while let Some(negotiation) = self.offerer() {
            match negotiation.poll_output() {
                net_signal::Output::Timeout(wake) => return wake,
                net_signal::Output::Send(text) => self.send_signal(now, text),
                net_signal::Output::Answer { sdp, negotiated } => {
                    self.on_answer(now, &sdp, negotiated, core);
                }
                net_signal::Output::Failed(refusal) => self.close(now, refusal, core),
            }
        }
        None
    }

    fn offerer(&mut self) -> Option<&mut Offerer> {
        match &mut self.phase {
            Phase::Handshaking(setup) => Some(&mut setup.offerer),
            Phase::Open(_, negotiation) => Some(negotiation),
            Phase::Connected
            | Phase::Upgrading
            | Phase::AwaitingDecision(_)
            | Phase::OverLimit { .. }
            | Phase::Closing => None,
        }
    }

    fn send_signal(&mut self, now: Instant, text: String) {
        if let Err(error) = self.websocket.send(now, Message::Text(text)) {
            debug!("connection {:?}: nothing to signal over: {error}", self.id);
        }
    }

    fn on_answer(&mut self, now: Instant, sdp: &str, negotiated: bool, core: &mut Context) {
        core.conn_limits.set_awaiting(self.id, Awaiting::Client(now));
        let result = match negotiated {
            true => core.endpoint.accept_answer_negotiated(now, &self.id, sdp),
            false => core.endpoint.accept_answer(now, &self.id, sdp),
        };
        // A rejected answer returns as the endpoint's `Closed`.
        if let Err(error) = result {
            debug!("connection {:?}: {error}", self.id);
        }
    }

    fn on_text(&mut self, now: Instant, text: &str, core: &mut Context) {
        if let Some(negotiation) = self.offerer() {
            negotiation.handle_input(now, net_signal::Input::Text(text));
            self.drain_offerer(now, core);
        }
    }

    fn on_binary(&mut self, now: Instant, message: Bytes, core: &mut Context) {
        match &mut self.phase {
            Phase::Handshaking(setup) => {
                setup.push_preopen(message);
                if setup.is_over_limit(&core.config) && !core.has_answered(self.id) {
                    self.close(now, LimitHit::PreOpen, core);
                }
            }
            _ if message.len() > core.config.max_message_size => {
                self.close(now, CloseReason::TooLarge, core);
            }
            _ => self.push_message(Delivery::Reliable, message, core),
        }
    }

    fn push_message(&self, delivery: Delivery, message: Bytes, core: &mut Context) {
        if let Phase::Open(id, _) = self.phase {
            core.outputs.push_back(Output::Received { id, delivery, message });
        }
    }

    /// Makes the connection a peer: the data channel is open, so both paths are.
    fn on_channel_open(&mut self, now: Instant, core: &mut Context) {
        if !matches!(self.phase, Phase::Handshaking(_)) {
            return;
        }
        let id = match core.open_peer(self.id, self.client_key) {
            Ok(id) => id,
            Err(full) => return self.close(now, full, core),
        };
        let Phase::Handshaking(setup) = std::mem::replace(&mut self.phase, Phase::Closing) else {
            return;
        };
        let Handshaking { info, offerer: negotiation, preopen: early, .. } = *setup;
        self.phase = Phase::Open(id, Box::new(negotiation));
        self.offered_addrs = Vec::new();
        core.outputs.push_back(Output::Open { connection: self.id, id, info });
        debug!("connection {:?} is open as peer {id}", self.id);
        for message in early {
            core.outputs.push_back(Output::Received { id, delivery: Delivery::Reliable, message });
        }
    }

    fn set_phase(&mut self, phase: Phase) {
        debug!("connection {:?}: {} -> {}", self.id, self.phase.name(), phase.name());
        self.phase = phase;
    }
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Phase::Connected => "connected",
            Phase::Upgrading => "upgrading",
            Phase::AwaitingDecision(_) => "asking",
            Phase::Handshaking(_) => "setup",
            Phase::Open(..) => "open",
            Phase::OverLimit { .. } => "turned away",
            Phase::Closing => "ending",
        }
    }
}

/// Returns the status and body of the response to a plain HTTP request, on any path.
pub(super) fn plain_http_response(request: &Request) -> (u16, &'static str) {
    match request.method() {
        "GET" | "HEAD" | "OPTIONS" => (200, "websockets are served here, and nothing else"),
        _ => (405, "websockets are served here, and nothing else: they begin with a GET"),
    }
}
