//! Our offer, and the answer to it.

use std::net::SocketAddr;

use str0m::channel::{ChannelId, SctpInitData};
use str0m::{IceCreds, Rtc, RtcError};

use crate::rtc::unreliable;
use crate::sdp::answer::{Answer, Inits};
use crate::sdp::{Offer, Terms};
use crate::{Config, Connecting};

/// An offer of a channel that awaits its answer.
#[derive(Debug)]
pub(crate) struct PendingOffer {
    connecting: Connecting,
    sdp_bytes: usize,
    init: Option<SctpInitData>,
}

/// What an answer has brought about. If it is for us to begin DTLS, that waits for a path: its
/// timers run from the first packet on.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) channel: ChannelId,
    pub(crate) negotiated: bool,
    pub(crate) inits: Option<Inits>,
}

impl PendingOffer {
    /// Offers a channel.
    pub(crate) fn new(
        rtc: &mut Rtc,
        config: &Config,
        connecting: Connecting,
        credentials: &IceCreds,
        candidates: &[SocketAddr],
    ) -> (PendingOffer, Offer) {
        // Where a test wants our TSNs to begin is not for the other side to know beforehand.
        let snap = connecting.snap && config.first_tsn.is_none();
        let mut init = snap.then(SctpInitData::new);
        let text = init.as_mut().and_then(|init| init.local_init_string().ok());
        let fingerprint = rtc.direct_api().local_dtls_fingerprint().clone();
        let terms = Terms {
            credentials,
            fingerprint: &fingerprint,
            setup: connecting.setup,
            message_bytes: config.message_bytes,
            init: text.as_deref(),
        };
        let candidates = if candidates.is_empty() { config.announced() } else { candidates };
        let offer = Offer::new(&terms, candidates);
        (PendingOffer { connecting, sdp_bytes: config.sdp_bytes, init }, offer)
    }

    pub(crate) fn connecting(&self) -> &Connecting {
        &self.connecting
    }

    /// Takes the text of the answer. The error is in words.
    pub(crate) fn accept(
        self,
        rtc: &mut Rtc,
        answer: &str,
        negotiated: bool,
    ) -> Result<Agreed, String> {
        if negotiated && !self.connecting.negotiated {
            return Err("the offer said nothing of a channel that the client opens".into());
        }
        let answer = Answer::parse(answer, self.sdp_bytes, self.connecting.setup)?;
        self.start(rtc, answer, negotiated).map_err(|error| error.to_string())
    }

    fn start(self, rtc: &mut Rtc, answer: Answer, negotiated: bool) -> Result<Agreed, RtcError> {
        let mut api = rtc.direct_api();
        api.set_remote_ice_credentials(answer.credentials);
        api.set_remote_fingerprint(answer.fingerprint);
        if !answer.active {
            api.start_dtls(false)?;
        }
        let inits = match known(self.init, answer.init)? {
            Some((init, inits)) => {
                api.start_sctp_with_snap(answer.active, init)?;
                Some(inits)
            }
            None => {
                api.start_sctp(answer.active);
                None
            }
        };
        let channel = api.create_data_channel(unreliable(negotiated));
        Ok(Agreed { channel, negotiated, inits })
    }
}

/// Both sides' SCTP handshakes, if the other has said its own: there are answers that repeat
/// every line of the offer that their maker does not know, ours among them.
fn known(
    init: Option<SctpInitData>,
    theirs: Option<Vec<u8>>,
) -> Result<Option<(SctpInitData, Inits)>, RtcError> {
    let (Some(mut init), Some(theirs)) = (init, theirs) else { return Ok(None) };
    let ours = init.local_init_chunk()?;
    if ours == theirs {
        return Ok(None);
    }
    init.set_remote_init_chunk(theirs.clone());
    Ok(Some((init, Inits { ours, theirs })))
}
