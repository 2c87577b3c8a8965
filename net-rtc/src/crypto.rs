//! The cryptography of every peer: str0m's own provider, with DTLS of ours inside a layer of
//! ours.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use str0m::DATAGRAM_MTU_TARGET;
use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider};

use crate::Connecting;
use crate::tap::{SharedPlane, Tap};

/// Past it a handshake has failed.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// More than fit into that.
const RETRIES: usize = 8;

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
    resend: Option<Duration>,
    /// Validating one takes a millisecond, because dimpl looks at all its cryptography.
    shared: Option<Arc<dimpl::Config>>,
}

impl Dtls {
    /// Makes a self-signed certificate, which takes more than a millisecond.
    pub(crate) fn new(connecting: &Connecting) -> Dtls {
        let certificate = STOCK.dtls_provider.generate_certificate();
        Dtls {
            certificate: certificate.expect("the aws-lc provider makes certificates"),
            resend: connecting.resend,
            shared: connecting.shared_dtls.then(|| configuration(connecting.resend)),
        }
    }

    pub(crate) fn certificate(&self) -> &DtlsCert {
        &self.certificate
    }

    /// Makes a peer whose DTLS passes by this plane.
    pub(crate) fn with_plane<T>(&self, plane: SharedPlane, make: impl FnOnce() -> T) -> T {
        let config = self.shared.clone().unwrap_or_else(|| configuration(self.resend));
        NEXT.set(Some((plane, config)));
        let made = make();
        NEXT.set(None);
        made
    }
}

/// ICE has shown that the other side is where it says, so that no cookie has to.
fn configuration(resend: Option<Duration>) -> Arc<dimpl::Config> {
    let mut builder = dimpl::Config::builder().use_server_cookie(false).mtu(DATAGRAM_MTU_TARGET);
    if let Some(resend) = resend {
        let soonest = Duration::from_millis(1);
        builder = builder
            .flight_start_rto(resend.clamp(soonest, HANDSHAKE))
            .flight_retries(RETRIES)
            .handshake_timeout(HANDSHAKE);
    }
    Arc::new(builder.build().expect("times within bounds, and the library's own cryptography"))
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
