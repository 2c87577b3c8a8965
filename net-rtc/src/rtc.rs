//! Construction of str0m's `Rtc` for one peer.

use std::time::Instant;

use str0m::channel::{ChannelConfig, Reliability};
use str0m::config::DtlsVersion;
use str0m::net::Protocol;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use crate::dtls::DtlsContext;
use crate::dtls::intercept::SharedDataPath;
use crate::sctp::DataPath;
use crate::{Config, DtlsVersions, dtls};

/// Configuration of the unreliable channel; str0m's default is ordered and reliable. `negotiated`
/// means that both sides open it themselves, as stream 0.
pub(crate) fn channel_config(negotiated: bool) -> ChannelConfig {
    ChannelConfig {
        label: "unreliable".into(),
        ordered: false,
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        negotiated: negotiated.then_some(0),
        ..ChannelConfig::default()
    }
}

/// Signalling role of this side.
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
