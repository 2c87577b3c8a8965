//! What is said of a connection that did not become a peer.

/// The cause, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) cause: String,
    pub(super) setting: Option<String>,
}

impl Words {
    pub(super) fn new(cause: impl Into<String>) -> Words {
        Words { cause: cause.into(), setting: None }
    }

    pub(super) fn set(self, setting: impl Into<String>) -> Words {
        Words { setting: Some(setting.into()), ..self }
    }
}
