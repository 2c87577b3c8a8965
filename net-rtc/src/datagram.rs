//! What a datagram is, by its first bytes.

/// The first byte tells STUN from DTLS (RFC 7983).
pub(crate) fn is_check(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| *byte < 4)
}

/// A Binding request (RFC 8489 §5), which shows that somebody has the password.
pub(crate) fn is_request(check: &[u8]) -> bool {
    check.starts_with(&[0, 1])
}
