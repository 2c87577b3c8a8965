//! What becomes of a packet between SCTP and DTLS.

/// What becomes of a packet on its way between SCTP and DTLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes on as it is.
    Pass,
    /// This goes on instead.
    Replace(Vec<u8>),
    /// Nothing goes on.
    Swallow,
}
