//! The cryptography of every peer: str0m's own provider, with a DTLS layer of ours around
//! its DTLS.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider};

use crate::tap::{SharedPlane, Tap};

static STOCK: LazyLock<CryptoProvider> = LazyLock::new(str0m::crypto::from_feature_flags);

static OURS: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = STOCK.clone();
    provider.dtls_provider = &TapProvider;
    Arc::new(provider)
});

thread_local! {
    /// The plane of the peer that is being made: str0m asks a provider that all peers share for
    /// DTLS, and gives it nothing to tell them apart.
    static NEXT: RefCell<Option<SharedPlane>> = const { RefCell::new(None) };
}

/// Makes a peer whose DTLS passes by this plane.
pub(crate) fn with_plane<T>(plane: SharedPlane, make: impl FnOnce() -> T) -> T {
    NEXT.set(Some(plane));
    let made = make();
    NEXT.set(None);
    made
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    OURS.clone()
}

/// A new self-signed certificate. It costs more than a millisecond: share it between peers.
pub(crate) fn certificate() -> DtlsCert {
    STOCK.dtls_provider.generate_certificate().expect("the aws-lc provider makes certificates")
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
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = STOCK.dtls_provider.new_dtls(certificate, now, version, mtu)?;
        Ok(match NEXT.take() {
            Some(plane) => Box::new(Tap::new(inner, plane)),
            None => inner,
        })
    }
}
