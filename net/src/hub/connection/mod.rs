//! One connection: its websocket, its negotiation, and whether it is a peer.

mod admission;

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use log::debug;
use net_signal::Offerer;
use net_ws::{Message, Request, Socket};

use crate::hub::client_addr::Header;
use crate::hub::close_cause::{Ending, Full};
use crate::hub::context::Core;
use crate::hub::diagnostics::Came;
use crate::hub::handshake::{Asked, Setup};
use crate::hub::limits::{Awaits, Place};
use crate::hub::{ConnectionId, Output};
use crate::{CloseReason, Config, Delivery, PeerId, Refusal, Stage};

#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    /// The client's address; that of a proxy until the request says more.
    remote: SocketAddr,
    /// The address that it came in on; `None` if it is not known, or a proxy did.
    arrived: Option<IpAddr>,
    /// What its offer named.
    offered: Vec<SocketAddr>,
    /// Where it counts.
    place: Place,
    proxy_header: ProxyHeader,
    began: Instant,
    websocket: Socket,
    phase: Phase,
    wake: Option<Instant>,
    over: bool,
}

/// Whether a proxy says in front of the websocket whom it speaks for.
#[derive(Debug)]
enum ProxyHeader {
    /// There is no such header.
    None,
    /// It is awaited.
    Awaited(Header),
    /// It has named the client.
    Read,
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
    Asking(Box<Asked>),
    /// Offer and answer, then ICE, DTLS and SCTP.
    Setup(Box<Setup>),
    /// A peer. Its texts are not read any more, only their rate is bounded.
    Open(PeerId, Box<Offerer>),
    /// There is no room for it. The application has heard already, the client will with this code
    /// and these words once its request is whole: browsers show what a websocket is closed with,
    /// and nothing of an answer in HTTP.
    TurnedAway { code: u16, words: String },
    /// The goodbye is on its way; the application has heard already.
    Ending,
}

impl Connection {
    pub(super) fn new(
        now: Instant,
        id: ConnectionId,
        remote: SocketAddr,
        place: Place,
        core: &mut Core,
    ) -> Connection {
        core.census.arrive(now, id, place);
        let websocket = Socket::accept(now, core.config.websocket());
        let proxy_header = match core.config.proxy_protocol && core.is_proxy(remote) {
            true => ProxyHeader::Awaited(Header::default()),
            false => ProxyHeader::None,
        };
        Connection {
            id,
            remote,
            arrived: None,
            offered: Vec::new(),
            place,
            proxy_header,
            began: now,
            websocket,
            phase: Phase::Connected,
            wake: None,
            over: false,
        }
    }

    /// It came in on this address.
    pub(super) fn at(self, arrived: Option<IpAddr>) -> Connection {
        Connection { arrived, ..self }
    }

    pub(super) fn handle_bytes(&mut self, now: Instant, bytes: &[u8], core: &mut Core) {
        self.expire_question(now, core);
        if let Some(bytes) = self.behind_proxy_header(now, bytes, core)
            && !bytes.is_empty()
        {
            if matches!(self.phase, Phase::Connected) {
                self.phase = Phase::Upgrading;
            }
            self.websocket.handle_input(now, net_ws::Input::Bytes(bytes));
        }
        self.drain(now, core);
    }

    pub(super) fn handle_end(&mut self, now: Instant, core: &mut Core) {
        self.websocket.handle_input(now, net_ws::Input::End);
        self.drain(now, core);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, core: &mut Core) {
        self.expire_question(now, core);
        if !self.wants_read(&core.config) {
            self.websocket.reset_idle_timer(now);
        }
        self.websocket.handle_input(now, net_ws::Input::Timeout);
        if let Some(negotiation) = self.negotiation() {
            negotiation.handle_input(now, net_signal::Input::Timeout);
        }
        self.drain(now, core);
    }

    /// Something happened to the WebRTC side of this connection.
    pub(super) fn on_channel(&mut self, now: Instant, event: net_rtc::Event, core: &mut Core) {
        match event {
            net_rtc::Event::Open => self.open(now, core),
            net_rtc::Event::Received(message) => self.received(Delivery::Unreliable, message, core),
            net_rtc::Event::Closed(reason) => self.finish(now, reason, core),
        }
        self.drain(now, core);
    }

    /// Sends a reliable message.
    pub(super) fn send(&mut self, now: Instant, message: Bytes, core: &mut Core) {
        // Too large was refused before; closed will be heard from the websocket itself.
        if let Err(net_ws::SendError::Full(_)) = self.websocket.send(now, Message::Binary(message))
        {
            let waiting = self.websocket.buffered_amount();
            let why = format!("{waiting} bytes wait (Config::backlog_bytes)");
            self.finish(now, CloseReason::SlowConsumer(why), core);
        }
    }

    /// Ends both paths; the application hears of it, once, as a closing or a refusal.
    pub(super) fn finish(&mut self, now: Instant, ending: impl Into<Ending>, core: &mut Core) {
        let ending = ending.into();
        let is_early = matches!(self.phase, Phase::Connected | Phase::Upgrading);
        let Some(words) = self.end(now, &ending, core) else {
            self.dismiss(now);
            return self.drain(now, core);
        };
        core.endpoint.close(now, &self.id);
        if is_early && matches!(ending, Ending::Full(_)) {
            self.phase = Phase::TurnedAway { code: ending.code(), words };
            return self.drain(now, core);
        }
        if let Some(status) = ending.status() {
            self.websocket.reject_upgrade(now, status, ending.code(), &words);
        }
        self.websocket.close(now, ending.code(), &words);
        self.drain(now, core);
    }

    /// The end as the application hears of it; gives the words for the client. All that could
    /// panic comes first: see [`Connection::give_up`].
    fn end(&mut self, now: Instant, ending: &Ending, core: &mut Core) -> Option<String> {
        match self.phase {
            Phase::TurnedAway { .. } | Phase::Ending => None,
            Phase::Open(id, _) => {
                let reason = ending.reason();
                let words = reason.text();
                debug!("peer {id} at {} closed: {reason}", self.remote);
                if let CloseReason::SlowConsumer(_) = reason {
                    core.warn_of_slow(
                        now,
                        format_args!("peer {id} at {} closed: {reason}", self.remote),
                    );
                }
                self.end_peer(id, reason, core);
                Some(words)
            }
            Phase::Connected if !matches!(ending, Ending::Full(_) | Ending::ProxyHeader) => {
                self.end_plain(core);
                Some(ending.reason().to_string())
            }
            Phase::Connected | Phase::Upgrading | Phase::Asking(_) | Phase::Setup(_) => {
                let (age, came) = (now.saturating_duration_since(self.began), self.came(core));
                let refusal = core.diagnose(now, self.remote, &self.offered, age, came, ending);
                let words = format!("{}: {}", refusal.stage, refusal.cause);
                self.end_refused(refusal, core);
                Some(words)
            }
        }
    }

    fn end_peer(&mut self, id: PeerId, reason: CloseReason, core: &mut Core) {
        // Dropped last, for it has a value of the application's.
        let _phase = std::mem::replace(&mut self.phase, Phase::Ending);
        core.census.close(self.place);
        core.open.remove(&id);
        core.outputs.push_back(Output::Closed { id, reason });
    }

    fn end_refused(&mut self, refusal: Refusal, core: &mut Core) {
        let _phase = std::mem::replace(&mut self.phase, Phase::Ending);
        core.census.refuse(self.id);
        core.questions.leave(self.id, self.place);
        core.lingering.insert(self.id);
        core.outputs.push_back(Output::Refused(refusal));
    }

    /// Ends a connection that asked for no websocket.
    fn end_plain(&mut self, core: &mut Core) {
        let phase = std::mem::replace(&mut self.phase, Phase::Ending);
        if matches!(phase, Phase::TurnedAway { .. }) {
            return; // It is a refusal already.
        }
        core.census.refuse(self.id);
        core.lingering.insert(self.id);
        core.outputs.push_back(Output::Plain(self.remote));
    }

    /// Ends a connection whose machine has panicked, without a word to the other side. It may
    /// have been told already that it is over: then its phase says so.
    pub(super) fn give_up(&mut self, core: &mut Core) {
        let stage = match self.phase {
            Phase::TurnedAway { .. } | Phase::Ending => return,
            Phase::Open(id, _) => return self.end_peer(id, CloseReason::PeerPanicked, core),
            Phase::Connected | Phase::Upgrading => Stage::Upgrade,
            Phase::Asking(_) => Stage::Accept,
            Phase::Setup(_) => Stage::Answer,
        };
        let (remote, reason) = (self.remote, CloseReason::PeerPanicked);
        let cause = "a fault of the server".to_owned();
        self.end_refused(Refusal { remote, stage, reason, cause, setting: None }, core);
    }

    /// It was refused and has not hung up; its place is wanted.
    pub(super) fn drop_lingering(&mut self) {
        self.over = true;
    }

    /// The server was away for so long, which is nobody's fault.
    pub(super) fn excuse(&mut self, now: Instant, away: Duration, core: &mut Core) {
        self.websocket.extend_deadlines(now, away);
        if let Some(negotiation) = self.negotiation() {
            negotiation.extend_deadline(away);
        }
        self.drain(now, core);
    }

    /// The websocket was not read, so its silence says nothing.
    pub(super) fn excuse_unread(&mut self, now: Instant, core: &mut Core) {
        self.websocket.reset_idle_timer(now);
        self.drain(now, core);
    }

    /// How far it has come, before it is open.
    fn came(&self, core: &Core) -> Came {
        match (&self.phase, core.endpoint.handshake_progress(&self.id)) {
            (Phase::Asking(_), _) => Came::Asked,
            (_, Some(evidence)) => Came::Offered(evidence),
            (_, None) => Came::Connected,
        }
    }

    pub(super) fn outgoing(&self) -> &[u8] {
        self.websocket.outgoing()
    }

    pub(super) fn outgoing_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.websocket.outgoing_vectored(slices)
    }

    pub(super) fn advance(&mut self, now: Instant, written: usize, core: &mut Core) {
        self.websocket.advance(now, written);
        self.drain(now, core);
    }

    /// Whether there is room for what may be read; if not, there will be once it is open.
    pub(super) fn wants_read(&self, config: &Config) -> bool {
        !matches!(&self.phase, Phase::Setup(setup) if setup.is_over(config))
    }

    pub(super) fn unwritten(&self) -> usize {
        self.websocket.buffered_amount()
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    fn drain(&mut self, now: Instant, core: &mut Core) {
        let websocket = self.drain_websocket(now, core);
        let negotiation = self.drain_negotiation(now, core);
        self.wake = websocket.into_iter().chain(negotiation).min();
    }

    fn drain_websocket(&mut self, now: Instant, core: &mut Core) -> Option<Instant> {
        loop {
            match self.websocket.poll_output() {
                net_ws::Output::Timeout(wake) => return wake,
                net_ws::Output::Upgraded(head) => self.requested(now, head, core),
                net_ws::Output::PlainHttp(head) => self.answer_plain(now, &head, core),
                net_ws::Output::Oversized(head, why) => self.oversized(now, &head, why, core),
                net_ws::Output::Message(Message::Text(text)) => self.text(now, &text, core),
                net_ws::Output::Message(Message::Binary(message)) => {
                    self.binary(now, message, core);
                }
                net_ws::Output::SlowConsumer(slow) => self.warn_of_slow(now, slow, core),
                net_ws::Output::Closed(reason) => self.finish(now, reason, core),
                net_ws::Output::Finished => self.over = true,
            }
        }
    }

    /// The log is to say beforehand what it will say at the end.
    fn warn_of_slow(&self, now: Instant, slow: net_ws::SlowConsumer, core: &mut Core) {
        let Phase::Open(id, _) = self.phase else { return };
        let end = core.config.reliable_send_timeout;
        core.warn_of_slow(now, format_args!(
            "peer {id} at {} {slow}: it is closed after {} s of that (Config::reliable_send_timeout)",
            self.remote, end.as_secs_f32()
        ));
    }

    fn drain_negotiation(&mut self, now: Instant, core: &mut Core) -> Option<Instant> {
        while let Some(negotiation) = self.negotiation() {
            match negotiation.poll_output() {
                net_signal::Output::Timeout(wake) => return wake,
                net_signal::Output::Send(text) => self.signal(now, text),
                net_signal::Output::Answer { sdp, negotiated } => {
                    self.answered(now, &sdp, negotiated, core);
                }
                net_signal::Output::Failed(refusal) => self.finish(now, refusal, core),
            }
        }
        None
    }

    fn negotiation(&mut self) -> Option<&mut Offerer> {
        match &mut self.phase {
            Phase::Setup(setup) => Some(&mut setup.negotiation),
            Phase::Open(_, negotiation) => Some(negotiation),
            Phase::Connected
            | Phase::Upgrading
            | Phase::Asking(_)
            | Phase::TurnedAway { .. }
            | Phase::Ending => None,
        }
    }

    fn signal(&mut self, now: Instant, text: String) {
        if let Err(error) = self.websocket.send(now, Message::Text(text)) {
            debug!("connection {:?}: nothing to signal over: {error}", self.id);
        }
    }

    fn answered(&mut self, now: Instant, sdp: &str, negotiated: bool, core: &mut Core) {
        core.census.progress(self.id, Awaits::Client(now));
        let result = match negotiated {
            true => core.endpoint.accept_answer_negotiated(now, &self.id, sdp),
            false => core.endpoint.accept_answer(now, &self.id, sdp),
        };
        // A refused answer comes back as the endpoint's `Closed`.
        if let Err(error) = result {
            debug!("connection {:?}: {error}", self.id);
        }
    }

    fn text(&mut self, now: Instant, text: &str, core: &mut Core) {
        if let Some(negotiation) = self.negotiation() {
            negotiation.handle_input(now, net_signal::Input::Text(text));
            self.drain_negotiation(now, core);
        }
    }

    fn binary(&mut self, now: Instant, message: Bytes, core: &mut Core) {
        match &mut self.phase {
            Phase::Setup(setup) => {
                setup.push_early(message);
                if setup.is_over(&core.config) && !core.has_answered(self.id) {
                    self.finish(now, Full::Early, core);
                }
            }
            _ if message.len() > core.config.message_bytes => {
                self.finish(now, CloseReason::TooLarge, core);
            }
            _ => self.received(Delivery::Reliable, message, core),
        }
    }

    fn received(&self, delivery: Delivery, message: Bytes, core: &mut Core) {
        if let Phase::Open(id, _) = self.phase {
            core.outputs.push_back(Output::Received { id, delivery, message });
        }
    }

    /// The channel is up, and so both paths are: a connection becomes a peer.
    fn open(&mut self, now: Instant, core: &mut Core) {
        if !matches!(self.phase, Phase::Setup(_)) {
            return;
        }
        let id = match core.admit(self.id, self.place) {
            Ok(id) => id,
            Err(full) => return self.finish(now, full, core),
        };
        let Phase::Setup(setup) = std::mem::replace(&mut self.phase, Phase::Ending) else { return };
        let Setup { info, negotiation, early, .. } = *setup;
        self.phase = Phase::Open(id, Box::new(negotiation));
        self.offered = Vec::new();
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
            Phase::Asking(_) => "asking",
            Phase::Setup(_) => "setup",
            Phase::Open(..) => "open",
            Phase::TurnedAway { .. } => "turned away",
            Phase::Ending => "ending",
        }
    }
}

/// The status and the words that answer a plain HTTP request, on any path.
pub(super) fn answer(request: &Request) -> (u16, &'static str) {
    match request.method() {
        "GET" | "HEAD" | "OPTIONS" => (200, "websockets are served here, and nothing else"),
        _ => (405, "websockets are served here, and nothing else: they begin with a GET"),
    }
}
