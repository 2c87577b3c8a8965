//! A request that the application is asked about.

use super::ConnectionId;
use super::form::Form;
use crate::Request;

/// Whether a client may become a peer: [`Config::accept`](crate::Config::accept) is to say. The
/// answer is [`Input::Verdict`](super::Input::Verdict).
#[derive(Debug)]
pub struct Question {
    /// The connection that waits.
    pub connection: ConnectionId,
    /// What it asks for.
    pub request: Request,
}

/// What is kept of the request meanwhile.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) form: Form,
}

impl Asked {
    pub(super) fn question(&self, connection: ConnectionId) -> Question {
        Question { connection, request: self.request.clone() }
    }
}
