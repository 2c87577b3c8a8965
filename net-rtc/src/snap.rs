//! The SCTP handshake inside of offer and answer (`a=sctp-init`, draft-hancke-tsvwg-snap): the
//! INIT chunk of each side.

use base64ct::{Base64, Encoding};

use crate::sdp::value;

/// What both sides say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inits {
    pub(crate) ours: Vec<u8>,
    pub(crate) theirs: Vec<u8>,
}

impl Inits {
    /// Those of two descriptions, if both have one.
    pub(crate) fn of(ours: &str, theirs: &str) -> Option<Inits> {
        let init = |sdp| decode(value(sdp, "a=sctp-init:")?).ok();
        Some(Inits { ours: init(ours)?, theirs: init(theirs)? })
    }
}

/// The chunk in an `a=sctp-init`. The error is in words.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    Base64::decode_vec(text).map_err(|_| "a=sctp-init: not base64".into())
}
