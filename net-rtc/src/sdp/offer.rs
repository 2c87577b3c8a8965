//! Our offer, and the answer to it.

use std::net::SocketAddr;

use str0m::channel::{ChannelId, SctpInitData};
use str0m::{IceCreds, Rtc, RtcError};

use crate::rtc::channel_config;
use crate::sdp::answer::{Answer, InitChunks};
use crate::sdp::{Offer, OfferParams};
use crate::{Config, HandshakeOptions};

/// An offer of a channel that awaits its answer.
#[derive(Debug)]
pub(crate) struct PendingOffer {
    handshake: HandshakeOptions,
    max_sdp_size: usize,
    sctp_init: Option<SctpInitData>,
}

/// What an answer has brought about. If it is for us to begin DTLS, that waits for a path: its
/// timers run from the first packet on.
#[derive(Debug)]
pub(crate) struct NegotiatedSession {
    pub(crate) channel: ChannelId,
    pub(crate) negotiated: bool,
    pub(crate) inits: Option<InitChunks>,
}

impl PendingOffer {
    /// Offers a channel.
    pub(crate) fn new(
        rtc: &mut Rtc,
        config: &Config,
        connecting: HandshakeOptions,
        credentials: &IceCreds,
        candidates: &[SocketAddr],
    ) -> (PendingOffer, Offer) {
        // Where a test wants our TSNs to begin is not for the other side to know beforehand.
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

    /// Takes the text of the answer. The error is in words.
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

/// Both sides' SCTP handshakes, if the other has said its own: there are answers that repeat
/// every line of the offer that their maker does not know, ours among them.
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
