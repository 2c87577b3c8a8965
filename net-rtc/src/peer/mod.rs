//! One peer: its `Rtc`, what it has to send, and how far the connection has come.

pub(crate) mod amplification;
mod handshake;
pub(crate) mod idle;
mod migration;
pub(crate) mod nomination;
pub(crate) mod outbox;
pub(crate) mod path;
pub(crate) mod send_queue;
pub(crate) mod state;
#[cfg(any(test, feature = "odd"))]
mod test_hooks;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use log::debug;
use str0m::change::SdpOffer;
use str0m::channel::ChannelData;
use str0m::{IceCreds, Rtc, RtcError};

use crate::dtls::Dtls;
use crate::dtls::intercept::SharedPlane;
use crate::event::{CloseReason, Event, Evidence, SendOptions, Stage, Transmit};
use crate::peer::amplification::Allowance;
use crate::peer::idle::Silence;
pub(crate) use crate::peer::migration::Taken;
use crate::peer::nomination::Nomination;
use crate::peer::outbox::{Outbox, Written};
use crate::peer::path::{Sources, Way, Whereabouts};
use crate::peer::state::State;
use crate::rtc::{Role, rtc, unreliable};
use crate::sctp::Fault;
use crate::sdp::Offer;
use crate::sdp::answer::Inits;
use crate::sdp::offer::PendingOffer;
use crate::stats::{Dropped, Gauge};
use crate::{Channels, Config, OfferOptions};

/// More than any honest machine has to give at once: a window of 1 MiB in the smallest packets
/// that are worth sending.
const MOST_OUTPUTS: usize = 8_192;

/// What a peer gives to its endpoint.
#[derive(Debug)]
pub(crate) enum PeerOutput {
    Transmit(Transmit),
    Event(Event),
    /// Nothing that comes from there is this peer's any more.
    Forgot(SocketAddr),
}

/// str0m wants to be drained after every single change, so each method that changes something
/// drains it before it returns; the rule cannot be broken from outside. So it is with when to
/// be woken: each ends with `settle`.
#[derive(Debug)]
pub(crate) struct Peer {
    rtc: Rtc,
    plane: SharedPlane,
    outbox: Outbox,
    gauge: Gauge,
    channels: Channels,
    credentials: IceCreds,
    state: State,
    sources: Sources,
    silence: Silence,
    whereabouts: Whereabouts,
    evidence: Evidence,
    nomination: Nomination,
    allowance: Allowance,
    wake: Option<Instant>,
}

impl Peer {
    /// A peer that is offered a channel, and the text of the offer.
    pub(crate) fn offered(
        now: Instant,
        config: &Config,
        dtls: &Dtls,
        credentials: IceCreds,
        options: &OfferOptions,
    ) -> (Peer, Offer) {
        let connecting = options.connecting.unwrap_or(config.connecting);
        let (role, versions) = (Role::Offerer, connecting.dtls);
        let (mut rtc, plane) = rtc(now, config, dtls, &credentials, role, versions);
        let candidates = &options.candidates;
        let (pending, offer) =
            PendingOffer::new(&mut rtc, config, connecting, &credentials, candidates);
        let state = State::Offered(Box::new(pending));
        let mut peer = Peer::new(now, rtc, plane, credentials, config, state, role);
        peer.nomination = Nomination::of(options.remote.filter(|_| connecting.self_nomination));
        (peer, offer)
    }

    /// A peer that answers an offer, and the text of the answer.
    pub(crate) fn answering(
        now: Instant,
        config: &Config,
        dtls: &Dtls,
        credentials: IceCreds,
        offer: &str,
        negotiated: bool,
    ) -> Result<(Peer, String), RtcError> {
        let (role, versions) = (Role::Answerer, config.connecting.dtls);
        let (mut rtc, plane) = rtc(now, config, dtls, &credentials, role, versions);
        let parsed = SdpOffer::from_sdp_string(offer).map_err(RtcError::from)?;
        let answer = rtc.sdp_api().accept_offer(parsed)?.to_sdp_string();
        if let Some(inits) = Inits::of(&answer, offer) {
            plane.lock().introduce(&inits);
        }
        let ours = negotiated.then(|| rtc.direct_api().create_data_channel(unreliable(true)));
        let state = State::connecting(now, config, ours);
        let peer = Peer::new(now, rtc, plane, credentials, config, state, role);
        Ok((peer, answer))
    }

    fn new(
        now: Instant,
        rtc: Rtc,
        plane: SharedPlane,
        credentials: IceCreds,
        config: &Config,
        state: State,
        role: Role,
    ) -> Peer {
        let gauge = Gauge::default();
        plane.lock().set_gauge(gauge.clone());
        Peer {
            rtc,
            outbox: Outbox::new(now, config, plane.clone()),
            plane,
            gauge,
            channels: config.channels,
            credentials,
            evidence: Evidence::at(Stage::Answer),
            state,
            sources: Sources::new(config.sources),
            silence: Silence::new(now, config.pause_after, config.silent_timeout),
            whereabouts: Whereabouts::new(role, config.seed),
            nomination: Nomination::default(),
            allowance: match role {
                Role::Offerer => Allowance::new(config.sources),
                // An offer says where to send.
                Role::Answerer => Allowance::Free,
            },
            wake: None,
        }
    }

    /// Moves time forward.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        match &self.state {
            State::Connecting(progress) if progress.deadline <= now => {
                self.finish(CloseReason::Timeout(progress.stage), out);
                self.drain(out);
            }
            State::Open(_) if self.silent_at() <= now => {
                self.rtc.disconnect();
                self.finish(CloseReason::Lost, out);
            }
            State::Open(_) => {
                self.look_out(now, out);
                self.step(now, out);
            }
            _ => self.step(now, out),
        }
        self.settle(now);
    }

    /// Queues a message on the open channel for the next [`flush`](Peer::flush).
    pub(crate) fn send(&mut self, now: Instant, message: Bytes, options: SendOptions) {
        self.outbox.push(now, message, options);
    }

    /// Sends what waits, as far as the path takes it.
    pub(crate) fn flush(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        self.step(now, out);
        self.settle(now);
    }

    /// This program was stopped for so long.
    pub(crate) fn excuse(&mut self, now: Instant, stopped: Duration) {
        match &mut self.state {
            State::Connecting(progress) => progress.deadline += stopped,
            State::Open(_) => self.silence.excuse(now),
            State::Offered(..) | State::Closed => {}
        }
        self.settle(now);
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, now: Instant, reason: CloseReason, out: &mut Vec<PeerOutput>) {
        self.finish(reason, out);
        self.step(now, out);
        self.settle(now);
    }

    /// Notes a check with a wrong password.
    pub(crate) fn note_forged(&mut self) {
        self.evidence.note_forged();
    }

    pub(crate) fn credentials(&self) -> &IceCreds {
        &self.credentials
    }

    pub(crate) fn awaits_answer(&self) -> bool {
        matches!(self.state, State::Offered(..))
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(crate) fn stage(&self) -> Option<Stage> {
        self.state.stage()
    }

    /// What was heard on the way to where it is, or to where it ended.
    pub(crate) fn evidence(&self) -> Evidence {
        let stage = self.stage().unwrap_or(self.evidence.stage);
        let sctp = self.plane.lock().has_heard();
        Evidence { stage, sctp, ..self.evidence }
    }

    /// Messages that were dropped unsent.
    pub(crate) fn dropped(&self) -> Dropped {
        self.outbox.dropped()
    }

    /// Where the state of the path to this peer is shown.
    pub(crate) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// When this peer wants `handle_timeout`.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    fn step(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        self.feed(now, str0m::Input::Timeout(now), out);
    }

    fn feed(&mut self, now: Instant, input: str0m::Input<'_>, out: &mut Vec<PeerOutput>) {
        self.plane.lock().set_now(now);
        if let Err(error) = self.rtc.handle_input(input) {
            return self.fail(error, out);
        }
        self.drain(out);
        if let State::Open(_) = self.state {
            self.whereabouts.settle();
        }
        self.write(now, out);
    }

    /// Takes everything that str0m has to give. A machine that never comes to rest must not keep
    /// the others waiting for ever.
    fn drain(&mut self, out: &mut Vec<PeerOutput>) {
        for _ in 0..MOST_OUTPUTS {
            match self.rtc.poll_output() {
                Ok(str0m::Output::Timeout(wake)) => {
                    self.wake = Some(wake);
                    self.open_if_ready(out);
                    if let State::Open(channel) = self.state {
                        self.outbox.engage(&mut self.rtc, channel);
                    }
                    return self.take_from_plane(out);
                }
                Ok(str0m::Output::Transmit(transmit)) => {
                    let way = Way { local: transmit.source, remote: transmit.destination };
                    let contents: Vec<u8> = transmit.contents.into();
                    self.emit(way, contents, out);
                }
                Ok(str0m::Output::Event(event)) => self.on_event(event, out),
                Err(error) => return self.fail(error, out),
            }
        }
        self.broken("it does not come to rest".into(), out);
    }

    fn on_event(&mut self, event: str0m::Event, out: &mut Vec<PeerOutput>) {
        use str0m::Event as E;
        match event {
            E::IceConnectionStateChange(state) if state.is_connected() => self.path_found(out),
            E::Connected => {
                self.reach(Stage::Channel);
                self.allowance.connected();
                self.plane.lock().greet();
            }
            E::ChannelOpen(channel, _) => self.channel_open(channel, out),
            E::ChannelData(data) => self.on_data(data, out),
            E::ChannelClose(_) | E::Closed => self.finish(CloseReason::ByPeer, out),
            _ => {}
        }
    }

    fn on_data(&mut self, data: ChannelData, out: &mut Vec<PeerOutput>) {
        if !data.binary && data.data.is_empty() && self.plane.lock().expects_signs() {
            return;
        }
        let message = Bytes::from(data.data);
        match &mut self.state {
            State::Connecting(progress) => progress.early.push(message),
            State::Open(channel) if *channel == data.id || self.channels == Channels::Several => {
                out.push(PeerOutput::Event(Event::Received(message)));
            }
            _ => {}
        }
    }

    /// What the plane has received, or found wrong, while str0m worked.
    fn take_from_plane(&mut self, out: &mut Vec<PeerOutput>) {
        let mut plane = self.plane.lock();
        if matches!(self.state, State::Open(_)) {
            let messages = std::iter::from_fn(|| plane.received());
            out.extend(messages.map(|message| PeerOutput::Event(Event::Received(message))));
        }
        let fault = plane.fault();
        drop(plane);
        match fault {
            None => {}
            Some(Fault::Offence(what)) => {
                self.finish(CloseReason::Limit(what), out);
                self.drain(out);
            }
            Some(Fault::Shutdown) => {
                self.finish(CloseReason::ByPeer, out);
                self.drain(out);
            }
            Some(Fault::Dtls(error)) => self.broken(error, out),
            Some(Fault::Certificate(error)) => {
                self.evidence.unfit_certificate = true;
                self.reach(Stage::Dtls);
                self.broken(error, out);
            }
        }
    }

    /// Writes what is fresh, as far as the path takes it.
    fn write(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        if self.is_pause(now) {
            return self.outbox.expire(now);
        }
        while let State::Open(channel) = self.state {
            match self.outbox.write(now, &mut self.rtc, channel) {
                Ok(Written::Nothing) => return,
                Ok(Written::One) => self.drain(out),
                Ok(Written::All) => return self.drain(out),
                Err(error) => return self.fail(error, out),
            }
        }
    }

    /// When to be woken, now that nothing is left to do.
    fn settle(&mut self, now: Instant) {
        let own = match &self.state {
            State::Connecting(progress) => Some(progress.deadline),
            State::Open(_) => Some(self.silence.look(now, self.plane.lock().heard().last)),
            State::Offered(..) | State::Closed => None,
        };
        let (sends, plane) = match self.is_pause(now) {
            true => (self.outbox.deadline(), None),
            false => (self.outbox.wake(), self.plane.lock().wake()),
        };
        self.wake = [self.wake, own, sends, plane].into_iter().flatten().min();
    }

    /// When a peer that stays silent is lost.
    fn silent_at(&self) -> Instant {
        self.silence.end(self.plane.lock().heard().last)
    }

    fn fail(&mut self, error: RtcError, out: &mut Vec<PeerOutput>) {
        if let RtcError::Dtls(_) = error {
            // It can begin, and fail, before any path is nominated.
            self.reach(Stage::Dtls);
        }
        self.broken(error.to_string(), out);
    }

    fn broken(&mut self, cause: String, out: &mut Vec<PeerOutput>) {
        let stage = self.stage().unwrap_or(Stage::Open);
        self.rtc.disconnect();
        self.finish(CloseReason::Failed(stage, cause), out);
    }

    /// Ends the peer, once; str0m's goodbye comes out in the next drain.
    fn finish(&mut self, reason: CloseReason, out: &mut Vec<PeerOutput>) {
        if self.is_closed() {
            return;
        }
        self.evidence = self.evidence();
        self.set_state(State::Closed);
        out.push(PeerOutput::Event(Event::Closed(reason)));
        if let Err(error) = self.rtc.close() {
            debug!("{}: no goodbye: {error}", self.credentials.ufrag);
        }
    }

    fn set_state(&mut self, state: State) {
        let (before, after) = (self.state.stage(), state.stage());
        debug!("{}: {before:?} -> {after:?}", self.credentials.ufrag);
        self.state = state;
    }
}
