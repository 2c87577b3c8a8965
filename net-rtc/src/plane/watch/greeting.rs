//! What makes the other side speak.

use crate::plane::packet::{Builder, Header};

/// SCTP's own handshake makes the other side speak. Where that went along with offer and
/// answer, a HEARTBEAT does, once DTLS is up.
///
/// ```text
///   Needless --introduced--> Planned --prepare--> Ready --packet--> Needless
/// ```
#[derive(Debug, Default)]
pub(super) enum Greeting {
    #[default]
    Needless,
    Planned(Header),
    Ready(Vec<u8>),
}

impl Greeting {
    /// DTLS is up.
    pub(super) fn prepare(&mut self) {
        if let Greeting::Planned(header) = *self {
            let mut builder = Builder::new(header);
            builder.heartbeat(b"greeting");
            *self = Greeting::Ready(builder.finish());
        }
    }

    pub(super) fn packet(&mut self) -> Option<Vec<u8>> {
        match std::mem::take(self) {
            Greeting::Ready(packet) => Some(packet),
            other => {
                *self = other;
                None
            }
        }
    }
}
