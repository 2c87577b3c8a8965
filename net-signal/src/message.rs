//! Signalling messages and their JSON form (cf. W3C WebRTC `RTCSessionDescriptionInit`).

use serde::{Deserialize, Deserializer, Serialize};

use crate::parse;
use crate::parse::ParseError;

/// A signalling message.
///
/// ```
/// use net_signal::Message;
///
/// let answer = Message::Answer { sdp: "v=0\r\n".into(), negotiated: false };
/// assert_eq!(answer.to_text(), r#"{"type":"answer","sdp":"v=0\r\n"}"#);
/// assert_eq!(Message::parse("v=0\r\n"), Ok(Some(answer)));
/// assert_eq!(Message::parse(r#"{"type":"weather"}"#), Ok(None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The server's offer, in the form of an `RTCSessionDescriptionInit`.
    Offer {
        /// The session description
        /// ([RFC 8866](https://www.rfc-editor.org/rfc/rfc8866)), begins with
        /// `v=0`.
        sdp: String,
        /// Whether the client may open the data channel on its own, as stream 0, and set
        /// `negotiated` in its answer. Default `false`.
        negotiated: bool,
    },
    /// The client's answer, in the form of an `RTCSessionDescriptionInit`.
    Answer {
        /// The session description
        /// ([RFC 8866](https://www.rfc-editor.org/rfc/rfc8866)), begins with
        /// `v=0`.
        sdp: String,
        /// Whether the client has opened the data channel on its own, as stream 0,
        /// without waiting for the server's DCEP OPEN
        /// ([RFC 8832](https://www.rfc-editor.org/rfc/rfc8832)). Default
        /// `false`.
        negotiated: bool,
    },
    /// A candidate, or `None` for the end of candidates.
    Candidate(Option<Candidate>),
}

/// A candidate, in the form of an `RTCIceCandidateInit`
/// ([WebRTC](https://www.w3.org/TR/webrtc/#dom-rtcicecandidateinit)).
///
/// The fields have `camelCase` names on the wire. A field that is absent or null on the wire is
/// empty or 0 here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Candidate {
    /// The `candidate:...` attribute
    /// ([RFC 8839](https://www.rfc-editor.org/rfc/rfc8839) section 5.1),
    /// without `a=`. An empty one is the end of candidates.
    #[serde(deserialize_with = "null_as_empty")]
    pub candidate: String,
    /// The `a=mid` of the media section that it belongs to.
    #[serde(deserialize_with = "null_as_empty")]
    pub sdp_mid: String,
    /// The index of that media section, from 0.
    #[serde(deserialize_with = "crate::parse::index")]
    pub sdp_m_line_index: u16,
    /// The `a=ice-ufrag` that it belongs to.
    #[serde(deserialize_with = "null_as_empty")]
    pub username_fragment: String,
}

/// Borrowed JSON form of a [`Message`].
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum WireMessage<'a> {
    Offer {
        sdp: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        negotiated: bool,
    },
    Answer {
        sdp: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        negotiated: bool,
    },
    Candidate {
        candidate: Option<&'a Candidate>,
    },
}

impl Message {
    /// Parses a text.
    ///
    /// `Ok(None)` is a JSON object of an unknown `type`, or without a type and any known field:
    /// ignore it, for forward compatibility. Unknown fields are ignored for the same reason.
    /// Accepted are
    ///
    /// * `{"type":"offer","sdp":..}` and `{"type":"answer","sdp":..}`, each with
    ///   an optional `"negotiated":true`;
    /// * as an answer too: the bare SDP, and an object with an `sdp` but
    ///   without a `type`;
    /// * `{"type":"candidate","candidate":..}`, `{"type":"ice","candidate":..}`
    ///   and the same without a type, where `candidate` is an object, or the
    ///   `candidate:...` line beside `sdpMid` and the other fields (which
    ///   without a type is a bare `RTCIceCandidateInit`);
    /// * for the end of candidates: `null`, or one of the candidate forms with
    ///   an empty, null or absent candidate.
    ///
    /// The cost is linear in the length of the text, in time and in memory, at any nesting depth.
    /// The caller must bound the length; [`Offerer`](crate::Offerer) and
    /// [`Answerer`](crate::Answerer) do.
    ///
    /// # Errors
    ///
    /// The text is none of these, or its SDP does not begin with `v=0` or contains a NUL.
    pub fn parse(text: &str) -> Result<Option<Message>, ParseError> {
        parse::parse_message(text)
    }

    /// Serializes the message.
    ///
    /// [`parse`](Message::parse) returns the same message if the SDP begins with `v=0` and
    /// contains no NUL, and the candidate is not empty.
    pub fn to_text(&self) -> String {
        serde_json::to_string(&self.to_wire()).expect("strings and numbers can be written as JSON")
    }

    fn to_wire(&self) -> WireMessage<'_> {
        match self {
            Message::Offer { sdp, negotiated } => {
                WireMessage::Offer { sdp, negotiated: *negotiated }
            }
            Message::Answer { sdp, negotiated } => {
                WireMessage::Answer { sdp, negotiated: *negotiated }
            }
            Message::Candidate(candidate) => {
                WireMessage::Candidate { candidate: candidate.as_ref() }
            }
        }
    }
}

fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "candidate:1 1 udp 2130706431 192.0.2.1 3000 typ host";

    fn candidate() -> Candidate {
        Candidate {
            candidate: LINE.into(),
            sdp_mid: "0".into(),
            sdp_m_line_index: 3,
            username_fragment: "ufrag".into(),
        }
    }

    fn assert_both_ways(message: Message, text: &str) {
        assert_eq!(message.to_text(), text);
        assert_eq!(Message::parse(text), Ok(Some(message)));
    }

    #[test]
    fn an_offer_both_ways() {
        let sdp = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n".into();
        assert_both_ways(
            Message::Offer { sdp, negotiated: false },
            r#"{"type":"offer","sdp":"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"}"#,
        );
        let sdp = "v=0\r\n".into();
        assert_both_ways(
            Message::Offer { sdp, negotiated: true },
            r#"{"type":"offer","sdp":"v=0\r\n","negotiated":true}"#,
        );
    }

    #[test]
    fn an_answer_both_ways() {
        let answer = |negotiated| Message::Answer { sdp: "v=0\r\n".into(), negotiated };
        assert_both_ways(answer(false), r#"{"type":"answer","sdp":"v=0\r\n"}"#);
        assert_both_ways(answer(true), r#"{"type":"answer","sdp":"v=0\r\n","negotiated":true}"#);
    }

    #[test]
    fn a_candidate_both_ways() {
        assert_both_ways(
            Message::Candidate(Some(candidate())),
            &format!(
                r#"{{"type":"candidate","candidate":{{"candidate":"{LINE}","sdpMid":"0","sdpMLineIndex":3,"usernameFragment":"ufrag"}}}}"#
            ),
        );
    }

    #[test]
    fn the_end_of_candidates_both_ways() {
        let text = r#"{"type":"candidate","candidate":null}"#;
        assert_both_ways(Message::Candidate(None), text);
    }

    #[test]
    fn quotes_controls_and_astral_signs_survive() {
        let sdp = "v=0\r\ns=\"\\\t\u{1}\u{7f}\u{2028}\u{1f600}\r\n".to_string();
        let message = Message::Offer { sdp, negotiated: false };
        assert_eq!(Message::parse(&message.to_text()), Ok(Some(message)));
    }
}
