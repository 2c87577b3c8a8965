//! Who decides how fast the server sends.

use std::fmt;

use net::{Config, Congestion, Repair};

use crate::plane::Plane;

/// What keeps the server's sending rate in bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Our data plane, by delay and loss: the default.
    Adaptive,
    /// Our data plane, by loss alone.
    Simple,
    /// Plain SCTP, as other servers have it.
    Sctp,
}

impl Rule {
    /// All of them, the default first.
    pub const ALL: [Rule; 3] = [Rule::Adaptive, Rule::Simple, Rule::Sctp];

    /// A server under this rule.
    pub fn server(self, repair: Repair) -> Config {
        let (plane, congestion) = match self {
            Rule::Adaptive => (Plane::Ours, Congestion::DelayBased),
            Rule::Simple => (Plane::Ours, Congestion::LossBased),
            Rule::Sctp => (Plane::Stock, Congestion::default()),
        };
        Config { congestion, repair, ..plane.server() }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Adaptive => "adaptive",
            Rule::Simple => "simple",
            Rule::Sctp => "plain SCTP",
        })
    }
}
