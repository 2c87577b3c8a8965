//! Handshake of a peer: the answer, then ICE, DTLS and the channel.

use std::time::Instant;

use log::debug;
use str0m::channel::ChannelId;
use str0m::config::DtlsVersion;
use str0m::net::Protocol;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use crate::dtls::DtlsContext;
use crate::dtls::intercept::SharedDataPath;
use crate::event::{CloseReason, Event, WebRtcStage};
use crate::peer::state::{ConnectingState, State};
use crate::peer::{Peer, PeerOutput};
use crate::sctp::DataPath;
use crate::sdp::offer::NegotiatedSession;
use crate::{Channels, Config, DtlsVersions, dtls};

impl Peer {
    /// Applies the answer to our offer; `negotiated` if the other side opens the channel too. An
    /// error closes the peer.
    pub(crate) fn accept_answer(
        &mut self,
        now: Instant,
        config: &Config,
        answer: &str,
        negotiated: bool,
        out: &mut Vec<PeerOutput>,
    ) -> Result<(), String> {
        let State::Offered(pending) = std::mem::replace(&mut self.state, State::Closed) else {
            unreachable!("the endpoint asks awaits_answer first")
        };
        self.state = State::connecting(now, config, None);
        let early_checks = pending.handshake().early_checks;
        let agreed = pending.accept(&mut self.rtc, answer, negotiated);
        let agreed = agreed.inspect_err(|cause| {
            self.finish(CloseReason::Failed(WebRtcStage::Answer, cause.clone()), out);
        })?;
        self.apply_negotiated(now, config, agreed);
        self.advance_time(now, out);
        if early_checks {
            // str0m has answered the checks that arrived before the answer, and processes their
            // effect only now.
            self.advance_time(now, out);
            self.nominate(now, out);
        }
        self.update_timeout(now);
        Ok(())
    }

    /// Starts DTLS, unless the other side is the DTLS client or it has begun.
    pub(super) fn on_path_nominated(&mut self, out: &mut Vec<PeerOutput>) {
        self.advance_stage(WebRtcStage::Dtls);
        if let Err(error) = self.rtc.direct_api().start_dtls(true) {
            self.on_rtc_error(error, out);
        }
    }

    pub(super) fn advance_stage(&mut self, reached: WebRtcStage) {
        if let State::Connecting(progress) = &mut self.state
            && progress.stage < reached
        {
            debug!("{}: {} -> {reached}", self.credentials.ufrag, progress.stage);
            progress.stage = reached;
        }
    }

    /// Nominates the path with a synthetic check, if automatic nomination allows it.
    pub(super) fn nominate(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        let State::Connecting(ConnectingState { stage: WebRtcStage::Ice, .. }) = self.state else {
            return;
        };
        let Some(forged) = self.auto_nomination.take_nomination(&self.credentials.pass) else {
            return;
        };
        let Some(input) = forged.path.rtc_input(now, &forged.contents) else { return };
        let mut answers = Vec::new();
        self.handle_rtc_input(now, input, &mut answers);
        out.extend(answers.into_iter().filter(|output| match output {
            PeerOutput::Transmit(transmit) => !forged.is_answered_by(&transmit.contents),
            PeerOutput::Event(_) | PeerOutput::AddrRemoved(_) => true,
        }));
    }

    /// Handles an open channel. Only the channel of the offerer is accepted; any other closes the
    /// peer, unless several are configured.
    pub(super) fn on_channel_open(&mut self, channel: ChannelId, out: &mut Vec<PeerOutput>) {
        match &mut self.state {
            State::Connecting(progress)
                if progress.own_channel.is_none_or(|ours| ours == channel) =>
            {
                progress.ready_channel.get_or_insert(channel);
            }
            State::Closed => {}
            _ if self.channels == Channels::Several => {}
            _ => self.finish(CloseReason::Limit("one channel is all a peer may have"), out),
        }
    }

    pub(super) fn open_if_ready(&mut self, out: &mut Vec<PeerOutput>) {
        let State::Connecting(progress) = &mut self.state else { return };
        let Some(channel) = progress.open_channel(self.data_path.lock().has_received()) else {
            return;
        };
        let early = std::mem::take(&mut progress.preopen);
        self.set_state(State::Open(channel));
        out.push(PeerOutput::Event(Event::Open));
        out.extend(early.into_messages().map(|m| PeerOutput::Event(Event::Received(m))));
    }

    fn apply_negotiated(&mut self, now: Instant, config: &Config, agreed: NegotiatedSession) {
        self.state = State::connecting(now, config, Some(agreed.channel));
        let mut plane = self.data_path.lock();
        if agreed.negotiated {
            plane.accept_keepalives();
        }
        if let Some(inits) = &agreed.inits {
            plane.set_snap_inits(inits);
        }
    }
}

/// Whether this side offers or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignallingRole {
    /// Offerer; learns the other side's address from its checks.
    Offerer,
    /// Answerer; sends checks to the candidates of the offer.
    Answerer,
}

/// Builds ICE, DTLS and SCTP of one connection, with the data path between DTLS and SCTP.
pub(crate) fn build_rtc(
    now: Instant,
    config: &Config,
    dtls: &DtlsContext,
    creds: &IceCreds,
    role: SignallingRole,
    versions: DtlsVersions,
) -> (Rtc, SharedDataPath) {
    let plane = SharedDataPath::new(DataPath::new(now, config));
    let rtc = RtcConfig::new()
        .clear_codecs()
        .set_ice_lite(role == SignallingRole::Offerer)
        .set_local_ice_credentials(creds.clone())
        .set_crypto_provider(dtls::provider())
        .set_dtls_cert(dtls.certificate().clone())
        .set_dtls_version(match versions {
            DtlsVersions::Auto => DtlsVersion::Auto,
            DtlsVersions::Only12 => DtlsVersion::Dtls12,
        })
        .set_sctp_max_message_size(u32::try_from(config.max_message_size).unwrap_or(u32::MAX))
        .set_sctp_max_buffered_amount(config.sctp_send_buffer + config.max_message_size);
    let mut rtc = dtls.with_data_path(plane.clone(), || rtc.build(now));
    for address in &config.local_addrs {
        match Candidate::host(*address, Protocol::Udp) {
            Ok(candidate) => _ = rtc.add_local_candidate(candidate),
            Err(error) => log::warn!("{address} cannot be a candidate: {error}"),
        }
    }
    (rtc, plane)
}
