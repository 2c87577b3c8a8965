//! How str0m is set up for one peer.

use std::time::Instant;

use str0m::channel::{ChannelConfig, Reliability};
use str0m::config::DtlsCert;
use str0m::net::Protocol;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use crate::plane::Plane;
use crate::sdp::Role;
use crate::tap::SharedPlane;
use crate::{Config, crypto};

/// The channel that this library exists for. str0m's default is ordered and reliable.
pub(crate) fn unreliable() -> ChannelConfig {
    ChannelConfig {
        label: "unreliable".into(),
        ordered: false,
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        ..ChannelConfig::default()
    }
}

/// One connection's ICE, DTLS and SCTP, with the plane between the last two.
pub(crate) fn rtc(
    now: Instant,
    config: &Config,
    certificate: &DtlsCert,
    creds: &IceCreds,
    role: Role,
) -> (Rtc, SharedPlane) {
    let plane = SharedPlane::new(Plane::new(now, config));
    let rtc = RtcConfig::new()
        .clear_codecs()
        .set_ice_lite(role == Role::Offerer)
        .set_local_ice_credentials(creds.clone())
        .set_crypto_provider(crypto::provider())
        .set_dtls_cert(certificate.clone())
        .set_sctp_max_message_size(u32::try_from(config.message_bytes).unwrap_or(u32::MAX))
        .set_sctp_max_buffered_amount(config.sctp_bytes + config.message_bytes);
    let mut rtc = crypto::with_plane(plane.clone(), || rtc.build(now));
    for address in &config.local {
        match Candidate::host(*address, Protocol::Udp) {
            Ok(candidate) => _ = rtc.add_local_candidate(candidate),
            Err(error) => log::warn!("{address} cannot be a candidate: {error}"),
        }
    }
    (rtc, plane)
}
