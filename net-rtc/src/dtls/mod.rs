//! The cryptography of every peer: str0m's own provider, with DTLS of ours inside a layer of
//! ours.

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

/// More than fit into the time that a connection may take.
const MAX_RETRANSMITS: usize = 20;
/// Longest datagram of a handshake, in bytes: with UDP and IPv4 around it passes where 700 bytes
/// do. A ClientHello is filled up to it, and an unproven address gets three of them
/// ([`Allowance`](crate::peer::amplification::Allowance)). Signatures vary by some bytes: the flight with a
/// certificate, of 633 to 638 bytes, fits into one, so that their number is always the same.
pub(crate) const HANDSHAKE_MTU: usize = 656;
/// Between these dimpl takes times.
const TIMEOUT_RANGE: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(3_600)];

static DEFAULT_PROVIDER: LazyLock<CryptoProvider> =
    LazyLock::new(str0m::crypto::from_feature_flags);

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = DEFAULT_PROVIDER.clone();
    provider.dtls_provider = &DtlsShimProvider;
    Arc::new(provider)
});

thread_local! {
    /// What the peer that is being made gets: str0m asks a provider that all peers share for
    /// DTLS, and gives it nothing to tell them apart.
    static NEXT_INSTANCE: RefCell<Option<(SharedDataPath, Arc<dimpl::Config>)>> = const { RefCell::new(None) };
}

/// DTLS as all peers of an endpoint have it.
#[derive(Debug)]
pub(crate) struct DtlsContext {
    certificate: DtlsCert,
    timeouts: HandshakeTimeouts,
    /// Validating one takes a millisecond, because dimpl looks at all its cryptography.
    shared_config: Option<Arc<dimpl::Config>>,
}

impl DtlsContext {
    /// Makes a self-signed certificate, which takes more than a millisecond.
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

    /// Makes a peer whose DTLS passes by this plane.
    pub(crate) fn with_data_path<T>(&self, plane: SharedDataPath, make: impl FnOnce() -> T) -> T {
        let config = self.shared_config.clone().unwrap_or_else(|| self.timeouts.dimpl_config());
        NEXT_INSTANCE.set(Some((plane, config)));
        let made = make();
        NEXT_INSTANCE.set(None);
        made
    }
}

/// How long a handshake may take: until a flight is sent again, and in all.
#[derive(Clone, Copy, Debug)]
struct HandshakeTimeouts {
    initial_rto: Option<Duration>,
    handshake_timeout: Duration,
    /// So that a test repeats itself: dimpl draws by how much each repetition is early or late.
    seed: Option<u64>,
}

impl HandshakeTimeouts {
    /// Without cookies: ICE has shown that the other side is where it says.
    fn dimpl_config(self) -> Arc<dimpl::Config> {
        let builder = dimpl::Config::builder().use_server_cookie(false).mtu(HANDSHAKE_MTU);
        let builder = match self.seed {
            None => builder,
            Some(seed) => builder.dangerously_set_rng_seed(seed),
        };
        let [least, most] = TIMEOUT_RANGE;
        let builder = match self.initial_rto {
            None => builder,
            // The peer's own timeout ends the connection first, and says at which stage.
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

/// HMAC-SHA1, which protects connectivity checks (RFC 8489 §14.5).
pub(crate) fn sha1_hmac(key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
    DEFAULT_PROVIDER.sha1_hmac_provider.sha1_hmac(key, payloads)
}

/// Makes DTLS instances that pass through a [`Tap`].
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
