//! Nominating a path ourselves.

use std::net::IpAddr;

use str0m::ice::{StunMessage, TransId};

use crate::dtls;
use crate::peer::path::FourTuple;

/// The controlling side nominates the path (RFC 8445 §8.1.1), and we, an ICE-lite agent, send
/// nothing before. Chromium takes up to a second over it. So the first check that comes from
/// where the peer is known to be is handed to str0m once more, as a nomination.
///
/// Only from there: who can have us send to any address has us send at a victim.
#[derive(Debug, Default)]
pub(crate) struct AutoNomination {
    expected_ip: Option<IpAddr>,
    first_check: Option<AuthenticatedCheck>,
}

/// A connectivity check that was signed with our password.
#[derive(Debug)]
struct AuthenticatedCheck {
    path: FourTuple,
    username: String,
    priority: u32,
    tie_breaker: u64,
}

/// A check that nobody sent.
#[derive(Debug)]
pub(crate) struct SyntheticCheck {
    pub(crate) path: FourTuple,
    pub(crate) contents: Vec<u8>,
    transaction_id: [u8; 12],
}

impl AutoNomination {
    /// Waits for a check from this address.
    pub(crate) fn new(from: Option<IpAddr>) -> AutoNomination {
        AutoNomination { expected_ip: from.map(|ip| ip.to_canonical()), first_check: None }
    }

    /// Looks at a datagram that ICE has taken for the peer's own.
    pub(crate) fn on_datagram(&mut self, way: FourTuple, datagram: &[u8]) {
        if self.first_check.is_none() && self.expected_ip == Some(way.remote.ip().to_canonical()) {
            self.first_check = AuthenticatedCheck::parse(way, datagram);
        }
    }

    /// The nomination, once there is a check to make it of.
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
    /// Whether a datagram is the answer to it, which nobody awaits.
    pub(crate) fn is_answered_by(&self, datagram: &[u8]) -> bool {
        datagram.get(8..20) == Some(&self.transaction_id) && datagram.first() == Some(&1)
    }
}
