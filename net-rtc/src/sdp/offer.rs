//! SDP offer of this side, and the application of its answer.

use std::net::SocketAddr;

use str0m::channel::{ChannelId, SctpInitData};
use str0m::{IceCreds, Rtc, RtcError};

use crate::sdp::{Answer, InitChunks, Offer, OfferParams, channel_config};
use crate::{Config, HandshakeOptions};

/// An offer that awaits its answer.
#[derive(Debug)]
pub(crate) struct PendingOffer {
    handshake: HandshakeOptions,
    max_sdp_size: usize,
    sctp_init: Option<SctpInitData>,
}

/// Result of an answer. If this side is the DTLS client, DTLS starts only once a path is nominated:
/// its timers run from the first packet on.
#[derive(Debug)]
pub(crate) struct NegotiatedSession {
    pub(crate) channel: ChannelId,
    pub(crate) negotiated: bool,
    pub(crate) inits: Option<InitChunks>,
}

impl PendingOffer {
    /// Creates an offer of one data channel.
    pub(crate) fn new(
        rtc: &mut Rtc,
        config: &Config,
        connecting: HandshakeOptions,
        credentials: &IceCreds,
        candidates: &[SocketAddr],
    ) -> (PendingOffer, Offer) {
        // An initial TSN set by a test is not known when the offer's INIT is made.
        let snap = connecting.snap && config.initial_tsn.is_none();
        let mut init = snap.then(SctpInitData::new);
        let text = init.as_mut().and_then(|init| init.local_init_string().ok());
        let fingerprint = rtc.direct_api().local_dtls_fingerprint().clone();
        let terms = OfferParams {
            credentials,
            fingerprint: &fingerprint,
            dtls_role: connecting.dtls_role,
            max_message_size: config.max_message_size,
            sctp_init: text.as_deref(),
        };
        let candidates = if candidates.is_empty() { config.host_candidates() } else { candidates };
        let offer = Offer::new(&terms, candidates);
        (
            PendingOffer {
                handshake: connecting,
                max_sdp_size: config.max_sdp_size,
                sctp_init: init,
            },
            offer,
        )
    }

    pub(crate) fn handshake(&self) -> &HandshakeOptions {
        &self.handshake
    }

    /// Applies the answer. The error is a message.
    pub(crate) fn accept(
        self,
        rtc: &mut Rtc,
        answer: &str,
        negotiated: bool,
    ) -> Result<NegotiatedSession, String> {
        if negotiated && !self.handshake.negotiated {
            return Err("the offer said nothing of a channel that the client opens".into());
        }
        let answer = Answer::parse(answer, self.max_sdp_size, self.handshake.dtls_role)?;
        self.start_transports(rtc, answer, negotiated).map_err(|error| error.to_string())
    }

    fn start_transports(
        self,
        rtc: &mut Rtc,
        answer: Answer,
        negotiated: bool,
    ) -> Result<NegotiatedSession, RtcError> {
        let mut api = rtc.direct_api();
        api.set_remote_ice_credentials(answer.credentials);
        api.set_remote_fingerprint(answer.fingerprint);
        if !answer.is_dtls_client {
            api.start_dtls(false)?;
        }
        let inits = match both_inits(self.sctp_init, answer.sctp_init)? {
            Some((init, inits)) => {
                api.start_sctp_with_snap(answer.is_dtls_client, init)?;
                Some(inits)
            }
            None => {
                api.start_sctp(answer.is_dtls_client);
                None
            }
        };
        let channel = api.create_data_channel(channel_config(negotiated));
        Ok(NegotiatedSession { channel, negotiated, inits })
    }
}

/// Returns the INIT chunks of both sides, if the other side sent its own. Some answerers repeat
/// every unknown line of the offer, this library's among them: then the chunks are equal.
fn both_inits(
    init: Option<SctpInitData>,
    theirs: Option<Vec<u8>>,
) -> Result<Option<(SctpInitData, InitChunks)>, RtcError> {
    let (Some(mut init), Some(theirs)) = (init, theirs) else { return Ok(None) };
    let ours = init.local_init_chunk()?;
    if ours == theirs {
        return Ok(None);
    }
    init.set_remote_init_chunk(theirs.clone());
    Ok(Some((init, InitChunks { local: ours, remote: theirs })))
}
