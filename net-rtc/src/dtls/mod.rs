//! DTLS (RFC 6347, RFC 9147): str0m's crypto provider with a shim around its DTLS.

pub(crate) mod client_hello;
pub(crate) mod intercept;

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider};

use crate::Config;
use crate::dtls::intercept::{DtlsShim, SharedDataPath};

/// More retransmissions than fit into the handshake timeout.
const MAX_RETRANSMITS: usize = 20;
/// Maximum size of a handshake datagram, in bytes: with UDP and IPv4 headers it passes an MTU of
/// 700 bytes. A ClientHello is padded to it, and an unvalidated address gets three of them
/// ([`AmplificationLimit`](crate::peer::amplification::AmplificationLimit)). Signatures vary by
/// some bytes: the flight with a certificate, of 633 to 638 bytes, fits into one, so that the
/// number of datagrams is constant.
pub(crate) const HANDSHAKE_MTU: usize = 656;
/// Range of the timeouts that dimpl accepts.
const TIMEOUT_RANGE: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(3_600)];

static DEFAULT_PROVIDER: LazyLock<CryptoProvider> =
    LazyLock::new(str0m::crypto::from_feature_flags);

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = DEFAULT_PROVIDER.clone();
    provider.dtls_provider = &DtlsShimProvider;
    Arc::new(provider)
});

thread_local! {
    /// Data path and configuration for the next DTLS instance: str0m creates instances through a
    /// provider shared by all peers, without an argument that identifies the peer.
    static NEXT_INSTANCE: RefCell<Option<(SharedDataPath, Arc<dimpl::Config>)>> = const { RefCell::new(None) };
}

/// DTLS state shared by all peers of an endpoint.
#[derive(Debug)]
pub(crate) struct DtlsContext {
    certificate: DtlsCert,
    timeouts: HandshakeTimeouts,
    /// Shared, because validating one takes a millisecond: dimpl checks all its cryptography.
    shared_config: Option<Arc<dimpl::Config>>,
}

impl DtlsContext {
    /// Generates a self-signed certificate, which takes more than a millisecond.
    pub(crate) fn new(config: &Config) -> DtlsContext {
        let Config { handshake: connecting, connect_timeout: all, seed, .. } = *config;
        let timeouts =
            HandshakeTimeouts { initial_rto: connecting.initial_rto, handshake_timeout: all, seed };
        let certificate = DEFAULT_PROVIDER.dtls_provider.generate_certificate();
        DtlsContext {
            certificate: certificate.expect("the aws-lc provider makes certificates"),
            timeouts,
            shared_config: config.handshake.shared_dtls_config.then(|| timeouts.dimpl_config()),
        }
    }

    pub(crate) fn certificate(&self) -> &DtlsCert {
        &self.certificate
    }

    /// Runs `make`, which creates a DTLS instance with this data path.
    pub(crate) fn with_data_path<T>(&self, plane: SharedDataPath, make: impl FnOnce() -> T) -> T {
        let config = self.shared_config.clone().unwrap_or_else(|| self.timeouts.dimpl_config());
        NEXT_INSTANCE.set(Some((plane, config)));
        let made = make();
        NEXT_INSTANCE.set(None);
        made
    }
}

/// Timeouts of a handshake: of the first retransmission, and of the whole.
#[derive(Clone, Copy, Debug)]
struct HandshakeTimeouts {
    initial_rto: Option<Duration>,
    handshake_timeout: Duration,
    /// For repeatable tests: dimpl randomises each retransmission timeout.
    seed: Option<u64>,
}

impl HandshakeTimeouts {
    /// Builds dimpl's configuration. No cookies: ICE has validated the other side's address.
    fn dimpl_config(self) -> Arc<dimpl::Config> {
        let builder = dimpl::Config::builder().use_server_cookie(false).mtu(HANDSHAKE_MTU);
        let builder = match self.seed {
            None => builder,
            Some(seed) => builder.dangerously_set_rng_seed(seed),
        };
        let [least, most] = TIMEOUT_RANGE;
        let builder = match self.initial_rto {
            None => builder,
            // The peer's own timeout closes the connection first, and reports the stage.
            Some(resend) => builder
                .flight_start_rto(resend.clamp(least, most))
                .flight_retries(MAX_RETRANSMITS)
                .handshake_timeout(self.handshake_timeout.saturating_mul(2).clamp(least, most)),
        };
        Arc::new(builder.build().expect("times within bounds, and the library's cryptography"))
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}

/// HMAC-SHA1 of connectivity checks (RFC 8489 §14.5).
pub(crate) fn sha1_hmac(key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
    DEFAULT_PROVIDER.sha1_hmac_provider.sha1_hmac(key, payloads)
}

/// Creates DTLS instances with a [`DtlsShim`].
#[derive(Debug)]
struct DtlsShimProvider;

impl DtlsProvider for DtlsShimProvider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        DEFAULT_PROVIDER.dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let missing = || CryptoError::Other("a peer without a plane".into());
        let (plane, config) = NEXT_INSTANCE.take().ok_or_else(missing)?;
        let certificate = dimpl::DtlsCertificate {
            certificate: certificate.certificate.clone(),
            private_key: certificate.private_key.clone(),
        };
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            _ => dimpl::Dtls::new_auto(config, certificate, now),
        };
        Ok(Box::new(DtlsShim::new(dtls, plane)))
    }
}
