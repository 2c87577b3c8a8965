//! One connection: its websocket, its negotiation, and whether it is a peer.

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

#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    /// The client's address; that of a proxy until the request says more.
    remote: SocketAddr,
    /// The address that it came in on; `None` if it is not known, or a proxy did.
    local_ip: Option<IpAddr>,
    /// What its offer named.
    offered_addrs: Vec<SocketAddr>,
    /// Where it counts.
    client_key: ClientKey,
    proxy_header: ProxyHeader,
    accepted_at: Instant,
    websocket: Socket,
    phase: Phase,
    next_timeout: Option<Instant>,
    is_finished: bool,
}

/// Whether a proxy says in front of the websocket whom it speaks for.
#[derive(Debug)]
enum ProxyHeader {
    /// There is no such header.
    None,
    /// It is awaited.
    Pending(ProxyHeaderParser),
    /// It has named the client.
    Parsed,
}

/// ```text
///   Connected --first byte--> Upgrading
///   Upgrading --requested--> Asking --accepted--> Setup --channel opened--> Open
///       '--no room--> TurnedAway --requested--.                               |
///   all of them --finish--> Ending <----------'-------------------------------'
/// ```
#[derive(Debug)]
enum Phase {
    /// No byte has come. What ends now was no client's: a probe of a balancer, or a connection
    /// that a browser opened in reserve.
    Connected,
    /// The websocket's request is on its way.
    Upgrading,
    /// The request is whole. The application is asked whether it may become a peer, or will be,
    /// if it wants to be.
    AwaitingDecision(Box<PendingRequest>),
    /// Offer and answer, then ICE, DTLS and SCTP.
    Handshaking(Box<Handshaking>),
    /// A peer. Its texts are not read any more, only their rate is bounded.
    Open(PeerId, Box<Offerer>),
    /// There is no room for it. The application has heard already, the client will with this code
    /// and these words once its request is whole: browsers show what a websocket is closed with,
    /// and nothing of an answer in HTTP.
    OverLimit { code: u16, reason: String },
    /// The goodbye is on its way; the application has heard already.
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

    /// It came in on this address.
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

    /// Something happened to the WebRTC side of this connection.
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
        // Too large was refused before; closed will be heard from the websocket itself.
        if let Err(net_ws::SendError::Full(_)) = self.websocket.send(now, Message::Binary(message))
        {
            let waiting = self.websocket.buffered_amount();
            let why = format!("{waiting} bytes wait (Config::reliable_send_buffer)");
            self.close(now, CloseReason::SlowConsumer(why), core);
        }
    }

    /// Ends both paths; the application hears of it, once, as a closing or a refusal.
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

    /// The end as the application hears of it; gives the words for the client. All that could
    /// panic comes first: see [`Connection::on_panic`].
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
        // Dropped last, for it has a value of the application's.
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

    /// Ends a connection that asked for no websocket.
    fn close_plain_http(&mut self, core: &mut Context) {
        let phase = std::mem::replace(&mut self.phase, Phase::Closing);
        if matches!(phase, Phase::OverLimit { .. }) {
            return; // It is a refusal already.
        }
        core.conn_limits.on_failed(self.id);
        core.lingering.insert(self.id);
        core.outputs.push_back(Output::PlainHttp(self.remote));
    }

    /// Ends a connection whose machine has panicked, without a word to the other side. It may
    /// have been told already that it is over: then its phase says so.
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

    /// It was refused and has not hung up; its place is wanted.
    pub(super) fn abort(&mut self) {
        self.is_finished = true;
    }

    /// The server was away for so long, which is nobody's fault.
    pub(super) fn extend_deadlines(&mut self, now: Instant, away: Duration, core: &mut Context) {
        self.websocket.extend_deadlines(now, away);
        if let Some(negotiation) = self.offerer() {
            negotiation.extend_deadline(away);
        }
        self.drain(now, core);
    }

    /// The websocket was not read, so its silence says nothing.
    pub(super) fn reset_idle_timer(&mut self, now: Instant, core: &mut Context) {
        self.websocket.reset_idle_timer(now);
        self.drain(now, core);
    }

    /// How far it has come, before it is open.
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

    /// Whether there is room for what may be read; if not, there will be once it is open.
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

    /// The log is to say beforehand what it will say at the end.
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
        // A refused answer comes back as the endpoint's `Closed`.
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

    /// The channel is up, and so both paths are: a connection becomes a peer.
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

/// The status and the words that answer a plain HTTP request, on any path.
pub(super) fn plain_http_response(request: &Request) -> (u16, &'static str) {
    match request.method() {
        "GET" | "HEAD" | "OPTIONS" => (200, "websockets are served here, and nothing else"),
        _ => (405, "websockets are served here, and nothing else: they begin with a GET"),
    }
}
