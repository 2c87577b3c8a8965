//! One peer: str0m's `Rtc`, its send queue and its connection state.

pub(crate) mod amplification;
pub(crate) mod channel_writer;
pub(crate) mod handshake;
pub(crate) mod idle;
mod migration;
pub(crate) mod nomination;
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

use crate::dtls::DtlsContext;
use crate::dtls::intercept::SharedDataPath;
use crate::event::{CloseReason, Event, HandshakeProgress, SendOptions, Transmit, WebRtcStage};
use crate::peer::amplification::AmplificationLimit;
use crate::peer::channel_writer::{ChannelWriter, WriteOutcome};
use crate::peer::handshake::{SignallingRole, build_rtc};
use crate::peer::idle::IdleTimer;
pub(crate) use crate::peer::migration::DatagramOutcome;
use crate::peer::nomination::AutoNomination;
use crate::peer::path::{ActivePath, FourTuple, RemoteAddrs};
use crate::peer::state::State;
use crate::sctp::DataPathError;
use crate::sdp::offer::PendingOffer;
use crate::sdp::{InitChunks, Offer, channel_config};
use crate::stats::{DropStats, PathMonitor};
use crate::{Channels, Config, OfferOptions};

/// Maximum number of outputs per drain, more than a correct state machine returns at once: a window
/// of 1 MiB in the smallest packets that are worth sending.
const MAX_OUTPUTS_PER_DRAIN: usize = 8_192;

/// Output of a peer to its endpoint.
#[derive(Debug)]
pub(crate) enum PeerOutput {
    Transmit(Transmit),
    Event(Event),
    /// This address is no longer one of the peer's.
    AddrRemoved(SocketAddr),
}

/// WebRTC connection of one peer: str0m, the data path, the idle timer and migration. str0m must be drained after every change, so each method that changes something
/// drains it before it returns, and ends with `update_timeout`; callers cannot break the rule.
#[derive(Debug)]
pub(crate) struct Peer {
    rtc: Rtc,
    data_path: SharedDataPath,
    writer: ChannelWriter,
    path_monitor: PathMonitor,
    channels: Channels,
    credentials: IceCreds,
    state: State,
    remote_addrs: RemoteAddrs,
    idle_timer: IdleTimer,
    active_path: ActivePath,
    handshake_progress: HandshakeProgress,
    auto_nomination: AutoNomination,
    amplification_limit: AmplificationLimit,
    next_timeout: Option<Instant>,
}

impl Peer {
    /// Creates a peer as the offerer, and its offer.
    pub(crate) fn new_offerer(
        now: Instant,
        config: &Config,
        dtls: &DtlsContext,
        credentials: IceCreds,
        options: &OfferOptions,
    ) -> (Peer, Offer) {
        let connecting = options.handshake.unwrap_or(config.handshake);
        let (role, versions) = (SignallingRole::Offerer, connecting.dtls_versions);
        let (mut rtc, plane) = build_rtc(now, config, dtls, &credentials, role, versions);
        let candidates = &options.candidates;
        let (pending, offer) =
            PendingOffer::new(&mut rtc, config, connecting, &credentials, candidates);
        let state = State::Offered(Box::new(pending));
        let mut peer = Peer::new(now, rtc, plane, credentials, config, state, role);
        peer.auto_nomination =
            AutoNomination::new(options.remote.filter(|_| connecting.auto_nomination));
        (peer, offer)
    }

    /// Creates a peer as the answerer, and its answer.
    pub(crate) fn new_answerer(
        now: Instant,
        config: &Config,
        dtls: &DtlsContext,
        credentials: IceCreds,
        offer: &str,
        negotiated: bool,
    ) -> Result<(Peer, String), RtcError> {
        let (role, versions) = (SignallingRole::Answerer, config.handshake.dtls_versions);
        let (mut rtc, plane) = build_rtc(now, config, dtls, &credentials, role, versions);
        let parsed = SdpOffer::from_sdp_string(offer).map_err(RtcError::from)?;
        let answer = rtc.sdp_api().accept_offer(parsed)?.to_sdp_string();
        if let Some(inits) = InitChunks::from_sdp(&answer, offer) {
            plane.lock().set_snap_inits(&inits);
        }
        let ours = negotiated.then(|| rtc.direct_api().create_data_channel(channel_config(true)));
        let state = State::connecting(now, config, ours);
        let peer = Peer::new(now, rtc, plane, credentials, config, state, role);
        Ok((peer, answer))
    }

    fn new(
        now: Instant,
        rtc: Rtc,
        data_path: SharedDataPath,
        credentials: IceCreds,
        config: &Config,
        state: State,
        role: SignallingRole,
    ) -> Peer {
        let path_monitor = PathMonitor::default();
        data_path.lock().set_path_monitor(path_monitor.clone());
        Peer {
            rtc,
            writer: ChannelWriter::new(now, config, data_path.clone()),
            data_path,
            path_monitor,
            channels: config.channels,
            credentials,
            handshake_progress: HandshakeProgress::new(WebRtcStage::Answer),
            state,
            remote_addrs: RemoteAddrs::new(config.max_remote_addrs),
            idle_timer: IdleTimer::new(now, config.probe_after, config.idle_timeout),
            active_path: ActivePath::new(role, config.seed),
            auto_nomination: AutoNomination::default(),
            amplification_limit: match role {
                SignallingRole::Offerer => AmplificationLimit::new(config.max_remote_addrs),
                // The answerer sends to the candidates of the offer.
                SignallingRole::Answerer => AmplificationLimit::Lifted,
            },
            next_timeout: None,
        }
    }

    /// Advances the time and handles due timers.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        match &self.state {
            State::Connecting(progress) if progress.deadline <= now => {
                self.finish(CloseReason::HandshakeTimeout(progress.stage), out);
                self.drain_rtc(out);
            }
            State::Open(_) if self.idle_deadline() <= now => {
                self.rtc.disconnect();
                self.finish(CloseReason::IdleTimeout, out);
            }
            State::Open(_) => {
                self.probe_idle(now, out);
                self.advance_time(now, out);
            }
            _ => self.advance_time(now, out),
        }
        self.update_timeout(now);
    }

    /// Queues a message on the open channel for the next [`flush`](Peer::flush).
    pub(crate) fn send(&mut self, now: Instant, message: Bytes, options: SendOptions) {
        self.writer.push(now, message, options);
    }

    /// Sends the queued messages, as far as the congestion control allows.
    pub(crate) fn flush(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        self.advance_time(now, out);
        self.update_timeout(now);
    }

    /// Extends the deadlines after this process was suspended for `stopped`.
    pub(crate) fn extend_deadlines(&mut self, now: Instant, stopped: Duration) {
        match &mut self.state {
            State::Connecting(progress) => progress.deadline += stopped,
            State::Open(_) => self.idle_timer.extend(now),
            State::Offered(..) | State::Closed => {}
        }
        self.update_timeout(now);
    }

    /// Closes the connection for this reason.
    pub(crate) fn close(&mut self, now: Instant, reason: CloseReason, out: &mut Vec<PeerOutput>) {
        self.finish(reason, out);
        self.advance_time(now, out);
        self.update_timeout(now);
    }

    /// Records a check with a wrong password.
    pub(crate) fn on_bad_integrity(&mut self) {
        self.handshake_progress.on_bad_integrity();
    }

    pub(crate) fn credentials(&self) -> &IceCreds {
        &self.credentials
    }

    pub(crate) fn is_awaiting_answer(&self) -> bool {
        matches!(self.state, State::Offered(..))
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(crate) fn stage(&self) -> Option<WebRtcStage> {
        self.state.stage()
    }

    /// Returns the progress up to the current stage, or to the one at which the peer was closed.
    pub(crate) fn handshake_progress(&self) -> HandshakeProgress {
        let stage = self.stage().unwrap_or(self.handshake_progress.stage);
        let sctp = self.data_path.lock().has_received();
        HandshakeProgress { stage, sctp_received: sctp, ..self.handshake_progress }
    }

    /// Returns the number of messages dropped before they were sent, by cause.
    pub(crate) fn dropped(&self) -> DropStats {
        self.writer.dropped()
    }

    /// Returns the handle of the path statistics.
    pub(crate) fn path_monitor(&self) -> &PathMonitor {
        &self.path_monitor
    }

    /// Returns the time of the next call of `handle_timeout`.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next_timeout
    }

    fn advance_time(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        self.handle_rtc_input(now, str0m::Input::Timeout(now), out);
    }

    fn handle_rtc_input(
        &mut self,
        now: Instant,
        input: str0m::Input<'_>,
        out: &mut Vec<PeerOutput>,
    ) {
        self.data_path.lock().set_now(now);
        if let Err(error) = self.rtc.handle_input(input) {
            return self.on_rtc_error(error, out);
        }
        self.drain_rtc(out);
        if let State::Open(_) = self.state {
            self.active_path.pin();
        }
        self.write_messages(now, out);
    }

    /// Drains str0m. The bound keeps an endless loop in str0m from blocking the other peers.
    fn drain_rtc(&mut self, out: &mut Vec<PeerOutput>) {
        for _ in 0..MAX_OUTPUTS_PER_DRAIN {
            match self.rtc.poll_output() {
                Ok(str0m::Output::Timeout(wake)) => {
                    self.next_timeout = Some(wake);
                    self.open_if_ready(out);
                    if let State::Open(channel) = self.state {
                        self.writer.activate_data_path(&mut self.rtc, channel);
                    }
                    return self.poll_data_path(out);
                }
                Ok(str0m::Output::Transmit(transmit)) => {
                    let way = FourTuple { local: transmit.source, remote: transmit.destination };
                    let contents: Vec<u8> = transmit.contents.into();
                    self.emit(way, contents, out);
                }
                Ok(str0m::Output::Event(event)) => self.on_event(event, out),
                Err(error) => return self.on_rtc_error(error, out),
            }
        }
        self.abort("it does not come to rest".into(), out);
    }

    fn on_event(&mut self, event: str0m::Event, out: &mut Vec<PeerOutput>) {
        use str0m::Event as E;
        match event {
            E::IceConnectionStateChange(state) if state.is_connected() => {
                self.on_path_nominated(out)
            }
            E::Connected => {
                self.advance_stage(WebRtcStage::Channel);
                self.amplification_limit.on_dtls_connected();
                self.data_path.lock().queue_initial_heartbeat();
            }
            E::ChannelOpen(channel, _) => self.on_channel_open(channel, out),
            E::ChannelData(data) => self.on_data(data, out),
            E::ChannelClose(_) | E::Closed => self.finish(CloseReason::Remote, out),
            _ => {}
        }
    }

    fn on_data(&mut self, data: ChannelData, out: &mut Vec<PeerOutput>) {
        if !data.binary && data.data.is_empty() && self.data_path.lock().accepts_keepalives() {
            return;
        }
        let message = Bytes::from(data.data);
        match &mut self.state {
            State::Connecting(progress) => progress.preopen.push(message),
            State::Open(channel) if *channel == data.id || self.channels == Channels::Several => {
                out.push(PeerOutput::Event(Event::Received(message)));
            }
            _ => {}
        }
    }

    /// Collects messages and errors of the data path, after str0m has run.
    fn poll_data_path(&mut self, out: &mut Vec<PeerOutput>) {
        let mut plane = self.data_path.lock();
        if matches!(self.state, State::Open(_)) {
            let messages = std::iter::from_fn(|| plane.poll_message());
            out.extend(messages.map(|message| PeerOutput::Event(Event::Received(message))));
        }
        let fault = plane.take_error();
        drop(plane);
        match fault {
            None => {}
            Some(DataPathError::ProtocolViolation(what)) => {
                self.finish(CloseReason::Limit(what), out);
                self.drain_rtc(out);
            }
            Some(DataPathError::Shutdown) => {
                self.finish(CloseReason::Remote, out);
                self.drain_rtc(out);
            }
            Some(DataPathError::Dtls(error)) => self.abort(error, out),
            Some(DataPathError::Certificate(error)) => {
                self.handshake_progress.unsupported_certificate = true;
                self.advance_stage(WebRtcStage::Dtls);
                self.abort(error, out);
            }
        }
    }

    /// Writes queued messages, as far as the congestion control allows.
    fn write_messages(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        if self.is_quiet(now) {
            return self.writer.expire(now);
        }
        while let State::Open(channel) = self.state {
            match self.writer.write(now, &mut self.rtc, channel) {
                Ok(WriteOutcome::Nothing) => return,
                Ok(WriteOutcome::One) => self.drain_rtc(out),
                Ok(WriteOutcome::All) => return self.drain_rtc(out),
                Err(error) => return self.on_rtc_error(error, out),
            }
        }
    }

    /// Computes the next timeout, after all work is done.
    fn update_timeout(&mut self, now: Instant) {
        let own = match &self.state {
            State::Connecting(progress) => Some(progress.deadline),
            State::Open(_) => Some(
                self.idle_timer.poll_timeout(now, self.data_path.lock().recv_activity().last_recv),
            ),
            State::Offered(..) | State::Closed => None,
        };
        let (sends, plane) = match self.is_quiet(now) {
            true => (self.writer.next_expiry(), None),
            false => (self.writer.next_timeout(), self.data_path.lock().next_timeout()),
        };
        self.next_timeout = [self.next_timeout, own, sends, plane].into_iter().flatten().min();
    }

    /// Returns the end of the idle timeout.
    fn idle_deadline(&self) -> Instant {
        self.idle_timer.expires_at(self.data_path.lock().recv_activity().last_recv)
    }

    fn on_rtc_error(&mut self, error: RtcError, out: &mut Vec<PeerOutput>) {
        if let RtcError::Dtls(_) = error {
            // DTLS can begin, and fail, before any path is nominated.
            self.advance_stage(WebRtcStage::Dtls);
        }
        self.abort(error.to_string(), out);
    }

    fn abort(&mut self, cause: String, out: &mut Vec<PeerOutput>) {
        let stage = self.stage().unwrap_or(WebRtcStage::Open);
        self.rtc.disconnect();
        self.finish(CloseReason::Failed(stage, cause), out);
    }

    /// Closes the peer, once; the next drain emits str0m's close messages.
    fn finish(&mut self, reason: CloseReason, out: &mut Vec<PeerOutput>) {
        if self.is_closed() {
            return;
        }
        self.handshake_progress = self.handshake_progress();
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
