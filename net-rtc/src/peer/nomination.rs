//! Automatic nomination: a synthetic check with USE-CANDIDATE (RFC 8445 §8.1.1).

use std::net::IpAddr;

use str0m::ice::{StunMessage, TransId};

use crate::dtls;
use crate::peer::path::FourTuple;

/// Nominates the path in place of the controlling agent, which Chromium does up to a second later
/// (RFC 8445 §8.1.1), while an ICE-lite agent sends nothing before. The first check from the peer's
/// validated IP address is passed to str0m a second time, as a nomination.
///
/// Other addresses are never nominated: an attacker could direct our datagrams at a victim.
#[derive(Debug, Default)]
pub(crate) struct AutoNomination {
    expected_ip: Option<IpAddr>,
    first_check: Option<AuthenticatedCheck>,
}

/// A connectivity check with our password.
#[derive(Debug)]
struct AuthenticatedCheck {
    path: FourTuple,
    username: String,
    priority: u32,
    tie_breaker: u64,
}

/// A synthetic Binding request with USE-CANDIDATE.
#[derive(Debug)]
pub(crate) struct SyntheticCheck {
    pub(crate) path: FourTuple,
    pub(crate) contents: Vec<u8>,
    transaction_id: [u8; 12],
}

impl AutoNomination {
    /// Expects a check from this IP address.
    pub(crate) fn new(from: Option<IpAddr>) -> AutoNomination {
        AutoNomination { expected_ip: from.map(|ip| ip.to_canonical()), first_check: None }
    }

    /// Records the first check from the expected IP address, among datagrams that ICE has accepted.
    pub(crate) fn on_datagram(&mut self, way: FourTuple, datagram: &[u8]) {
        if self.first_check.is_none() && self.expected_ip == Some(way.remote.ip().to_canonical()) {
            self.first_check = AuthenticatedCheck::parse(way, datagram);
        }
    }

    /// Returns the nomination, once, after a check has arrived.
    pub(crate) fn take_nomination(&mut self, password: &str) -> Option<SyntheticCheck> {
        let check = self.first_check.take()?;
        self.expected_ip = None;
        check.with_use_candidate(password)
    }
}

impl AuthenticatedCheck {
    fn parse(way: FourTuple, datagram: &[u8]) -> Option<AuthenticatedCheck> {
        let message = StunMessage::parse(datagram).ok()?;
        let (ours, theirs) = message.split_username()?;
        Some(AuthenticatedCheck {
            path: way,
            username: format!("{ours}:{theirs}"),
            priority: message.prio()?,
            tie_breaker: message.ice_controlling()?,
        })
    }

    fn with_use_candidate(&self, password: &str) -> Option<SyntheticCheck> {
        let (username, priority) = (self.username.as_str(), self.priority);
        let id = TransId::new();
        let message =
            StunMessage::binding_request(username, id, true, self.tie_breaker, priority, true);
        let mut contents = vec![0; 1_500];
        let password = Some(password.as_bytes());
        let length = message.to_bytes(password, &mut contents, dtls::sha1_hmac).ok()?;
        contents.truncate(length);
        let id = contents.get(8..20)?.try_into().ok()?;
        Some(SyntheticCheck { path: self.path, contents, transaction_id: id })
    }
}

impl SyntheticCheck {
    /// Whether a datagram is the response to it, which must not be sent.
    pub(crate) fn is_answered_by(&self, datagram: &[u8]) -> bool {
        datagram.get(8..20) == Some(&self.transaction_id) && datagram.first() == Some(&1)
    }
}
