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
use crate::dtls::intercept::{SharedPlane, Tap};

/// More than fit into the time that a connection may take.
const RETRIES: usize = 20;
/// Longest datagram of a handshake, in bytes: with UDP and IPv4 around it passes where 700 bytes
/// do. A ClientHello is filled up to it, and an unproven address gets three of them
/// ([`Allowance`](crate::peer::amplification::Allowance)). Signatures vary by some bytes: the flight with a
/// certificate, of 633 to 638 bytes, fits into one, so that their number is always the same.
pub(crate) const FLIGHT: usize = 656;
/// Between these dimpl takes times.
const TIMES: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(3_600)];

static STOCK: LazyLock<CryptoProvider> = LazyLock::new(str0m::crypto::from_feature_flags);

static OURS: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = STOCK.clone();
    provider.dtls_provider = &TapProvider;
    Arc::new(provider)
});

thread_local! {
    /// What the peer that is being made gets: str0m asks a provider that all peers share for
    /// DTLS, and gives it nothing to tell them apart.
    static NEXT: RefCell<Option<(SharedPlane, Arc<dimpl::Config>)>> = const { RefCell::new(None) };
}

/// DTLS as all peers of an endpoint have it.
#[derive(Debug)]
pub(crate) struct Dtls {
    certificate: DtlsCert,
    times: Times,
    /// Validating one takes a millisecond, because dimpl looks at all its cryptography.
    shared: Option<Arc<dimpl::Config>>,
}

impl Dtls {
    /// Makes a self-signed certificate, which takes more than a millisecond.
    pub(crate) fn new(config: &Config) -> Dtls {
        let Config { connecting, connect_timeout: all, seed, .. } = *config;
        let times = Times { resend: connecting.resend, all, seed };
        let certificate = STOCK.dtls_provider.generate_certificate();
        Dtls {
            certificate: certificate.expect("the aws-lc provider makes certificates"),
            times,
            shared: config.connecting.shared_dtls.then(|| times.configuration()),
        }
    }

    pub(crate) fn certificate(&self) -> &DtlsCert {
        &self.certificate
    }

    /// Makes a peer whose DTLS passes by this plane.
    pub(crate) fn with_plane<T>(&self, plane: SharedPlane, make: impl FnOnce() -> T) -> T {
        let config = self.shared.clone().unwrap_or_else(|| self.times.configuration());
        NEXT.set(Some((plane, config)));
        let made = make();
        NEXT.set(None);
        made
    }
}

/// How long a handshake may take: until a flight is sent again, and in all.
#[derive(Clone, Copy, Debug)]
struct Times {
    resend: Option<Duration>,
    all: Duration,
    /// So that a test repeats itself: dimpl draws by how much each repetition is early or late.
    seed: Option<u64>,
}

impl Times {
    /// Without cookies: ICE has shown that the other side is where it says.
    fn configuration(self) -> Arc<dimpl::Config> {
        let builder = dimpl::Config::builder().use_server_cookie(false).mtu(FLIGHT);
        let builder = match self.seed {
            None => builder,
            Some(seed) => builder.dangerously_set_rng_seed(seed),
        };
        let [least, most] = TIMES;
        let builder = match self.resend {
            None => builder,
            // The peer's own timeout ends the connection first, and says at which stage.
            Some(resend) => builder
                .flight_start_rto(resend.clamp(least, most))
                .flight_retries(RETRIES)
                .handshake_timeout(self.all.saturating_mul(2).clamp(least, most)),
        };
        Arc::new(builder.build().expect("times within bounds, and the library's cryptography"))
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    OURS.clone()
}

/// HMAC-SHA1, which protects connectivity checks (RFC 8489 §14.5).
pub(crate) fn sha1_hmac(key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
    STOCK.sha1_hmac_provider.sha1_hmac(key, payloads)
}

/// Makes DTLS instances that pass through a [`Tap`].
#[derive(Debug)]
struct TapProvider;

impl DtlsProvider for TapProvider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        STOCK.dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let missing = || CryptoError::Other("a peer without a plane".into());
        let (plane, config) = NEXT.take().ok_or_else(missing)?;
        let certificate = dimpl::DtlsCertificate {
            certificate: certificate.certificate.clone(),
            private_key: certificate.private_key.clone(),
        };
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            _ => dimpl::Dtls::new_auto(config, certificate, now),
        };
        Ok(Box::new(Tap::new(dtls, plane)))
    }
}
