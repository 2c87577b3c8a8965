//! A request that the application is asked about.

use std::sync::{Arc, Weak};

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
    asker: Weak<()>,
}

impl Question {
    /// Whether it still waits for the answer. If not, there is no need to ask.
    pub fn is_waiting(&self) -> bool {
        self.asker.strong_count() > 0
    }
}

/// What is kept of the request meanwhile.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) form: Form,
    /// Shows the question that its answer is waited for.
    waiting: Arc<()>,
}

impl Asked {
    pub(super) fn new(request: Request, form: Form) -> Asked {
        Asked { request, form, waiting: Arc::default() }
    }

    pub(super) fn question(&self, connection: ConnectionId) -> Question {
        let (request, asker) = (self.request.clone(), Arc::downgrade(&self.waiting));
        Question { connection, request, asker }
    }
}
