//! Our offer, and the answer to it.

use std::fmt;

use str0m::Rtc;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;

use crate::stack::unreliable;

/// An offer of a channel that awaits its answer.
pub(crate) struct PendingOffer {
    channel: ChannelId,
    /// str0m's, which has no `Debug`.
    pending: SdpPendingOffer,
}

impl PendingOffer {
    /// Offers a channel, and gives the text of the offer.
    pub(crate) fn new(rtc: &mut Rtc) -> (PendingOffer, String) {
        let mut changes = rtc.sdp_api();
        let channel = changes.add_channel_with_config(unreliable());
        let (offer, pending) = changes.apply().expect("a new channel is a change");
        (PendingOffer { channel, pending }, offer.to_sdp_string())
    }

    /// The channel that is offered.
    pub(crate) fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Takes the text of the answer. The error is in words.
    pub(crate) fn accept(self, rtc: &mut Rtc, answer: &str) -> Result<(), String> {
        let answer = SdpAnswer::from_sdp_string(answer).map_err(|error| error.to_string())?;
        rtc.sdp_api().accept_answer(self.pending, answer).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for PendingOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingOffer").field("channel", &self.channel).finish_non_exhaustive()
    }
}
