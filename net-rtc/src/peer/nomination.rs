//! Nominating a path ourselves.

use std::net::IpAddr;

use str0m::ice::{StunMessage, TransId};

use crate::dtls;
use crate::peer::path::Way;

/// The controlling side nominates the path (RFC 8445 §8.1.1), and we, an ICE-lite agent, send
/// nothing before. Chromium takes up to a second over it. So the first check that comes from
/// where the peer is known to be is handed to str0m once more, as a nomination.
///
/// Only from there: who can have us send to any address has us send at a victim.
#[derive(Debug, Default)]
pub(crate) struct Nomination {
    from: Option<IpAddr>,
    first: Option<Check>,
}

/// A connectivity check that was signed with our password.
#[derive(Debug)]
struct Check {
    way: Way,
    username: String,
    priority: u32,
    tie_breaker: u64,
}

/// A check that nobody sent.
#[derive(Debug)]
pub(crate) struct Forged {
    pub(crate) way: Way,
    pub(crate) contents: Vec<u8>,
    id: [u8; 12],
}

impl Nomination {
    /// Waits for a check from this address.
    pub(crate) fn of(from: Option<IpAddr>) -> Nomination {
        Nomination { from: from.map(|ip| ip.to_canonical()), first: None }
    }

    /// Looks at a datagram that ICE has taken for the peer's own.
    pub(crate) fn note(&mut self, way: Way, datagram: &[u8]) {
        if self.first.is_none() && self.from == Some(way.remote.ip().to_canonical()) {
            self.first = Check::parse(way, datagram);
        }
    }

    /// The nomination, once there is a check to make it of.
    pub(crate) fn take(&mut self, password: &str) -> Option<Forged> {
        let check = self.first.take()?;
        self.from = None;
        check.nominating(password)
    }
}

impl Check {
    fn parse(way: Way, datagram: &[u8]) -> Option<Check> {
        let message = StunMessage::parse(datagram).ok()?;
        let (ours, theirs) = message.split_username()?;
        Some(Check {
            way,
            username: format!("{ours}:{theirs}"),
            priority: message.prio()?,
            tie_breaker: message.ice_controlling()?,
        })
    }

    fn nominating(&self, password: &str) -> Option<Forged> {
        let (username, priority) = (self.username.as_str(), self.priority);
        let id = TransId::new();
        let message =
            StunMessage::binding_request(username, id, true, self.tie_breaker, priority, true);
        let mut contents = vec![0; 1_500];
        let password = Some(password.as_bytes());
        let length = message.to_bytes(password, &mut contents, dtls::sha1_hmac).ok()?;
        contents.truncate(length);
        let id = contents.get(8..20)?.try_into().ok()?;
        Some(Forged { way: self.way, contents, id })
    }
}

impl Forged {
    /// Whether a datagram is the answer to it, which nobody awaits.
    pub(crate) fn is_answered_by(&self, datagram: &[u8]) -> bool {
        datagram.get(8..20) == Some(&self.id) && datagram.first() == Some(&1)
    }
}
