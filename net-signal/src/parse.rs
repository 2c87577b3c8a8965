//! Parser of signalling messages (JSON, RFC 8259, or bare SDP, RFC 8866).
//!
//! An object is parsed twice: first for its message type, then for the fields of that type. A
//! message of an unknown type may thus use the names of known fields for anything. Unknown values
//! are skipped without recursion.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use crate::{Candidate, Message};

/// Error of [`Message::parse`].
///
/// It never quotes the text, so that it can be logged and sent back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is neither a JSON object, nor `null`, nor SDP.
    #[error("neither a JSON object, nor null, nor SDP beginning with v=0")]
    NotAMessage,
    /// The text begins like a JSON object but is malformed.
    #[error("no valid JSON at line {line} column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },
    /// A known field has a wrong type or is repeated.
    #[error("wrong or repeated field at line {line} column {column}")]
    Field {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },
    /// An offer or an answer without an SDP.
    #[error("a description without sdp")]
    NoSdp,
    /// The SDP does not begin with `v=0` or contains a NUL
    /// ([RFC 8866](https://www.rfc-editor.org/rfc/rfc8866) sections 5.1 and 9).
    #[error("the sdp does not begin with v=0, or holds a NUL")]
    BadSdp,
}

/// Parses a text; see [`Message::parse`].
pub(crate) fn parse_message(text: &str) -> Result<Option<Message>, ParseError> {
    if text.starts_with(SDP_PREFIX) {
        return build_answer(Some(text.to_owned()), false);
    }
    // Derived code would accept an array as an object, hence the check for `{`.
    match text.trim_matches(JSON_WHITESPACE) {
        "null" => Ok(Some(Message::Candidate(None))),
        object if object.starts_with('{') => parse_object(text),
        _ => Err(ParseError::NotAMessage),
    }
}

/// Parses a text as an offer or an answer, for a side that needs no candidates: `None` is a
/// candidate, whatever its fields contain, or an unknown object. A bare `null` is
/// `Message::Candidate(None)`.
pub(crate) fn parse_description(text: &str) -> Result<Option<Message>, ParseError> {
    match text.trim_matches(JSON_WHITESPACE).starts_with('{') && !text.starts_with(SDP_PREFIX) {
        true => from_json::<Header>(text)?.message_type().parse(text),
        false => parse_message(text),
    }
}

/// Prefix of every session description (RFC 8866 section 5.1).
pub(crate) const SDP_PREFIX: &str = "v=0";

/// White space around a JSON value (RFC 8259 section 2).
pub(crate) const JSON_WHITESPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Fields that determine the message type of an object, parsed leniently.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "type")]
    type_name: Option<String>,
    sdp: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    candidate: bool,
}

/// Message type of an object.
#[derive(Clone, Copy)]
enum MessageType {
    Offer,
    Answer,
    Candidate,
    Unknown,
}

impl Header {
    fn message_type(&self) -> MessageType {
        match (self.type_name.as_deref(), &self.sdp, self.candidate) {
            (Some("offer"), ..) => MessageType::Offer,
            (Some("answer"), ..) | (None, Some(_), _) => MessageType::Answer,
            (Some("ice" | "candidate"), ..) | (None, None, true) => MessageType::Candidate,
            _ => MessageType::Unknown,
        }
    }
}

impl MessageType {
    /// Parses a text of this type as an offer or an answer; `None` for other types.
    fn parse(self, text: &str) -> Result<Option<Message>, ParseError> {
        let description = || from_json::<Description>(text);
        match self {
            MessageType::Offer => description().and_then(|it| build_offer(it.sdp, it.negotiated)),
            MessageType::Answer => description().and_then(|it| build_answer(it.sdp, it.negotiated)),
            MessageType::Candidate | MessageType::Unknown => Ok(None),
        }
    }
}

/// The fields of an offer or an answer.
#[derive(Deserialize)]
struct Description {
    sdp: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    negotiated: bool,
}

/// The field of a candidate message.
#[derive(Deserialize)]
struct CandidateMessage {
    #[serde(default)]
    candidate: CandidateField,
}

/// Value of the `candidate` field.
#[derive(Default)]
enum CandidateField {
    /// Null or absent.
    #[default]
    EndOfCandidates,
    /// The `candidate:...` line: the object around it is the candidate.
    Line,
    /// The candidate itself.
    Object(Candidate),
}

fn parse_object(text: &str) -> Result<Option<Message>, ParseError> {
    match from_json::<Header>(text)?.message_type() {
        MessageType::Candidate => parse_candidate(text),
        other => other.parse(text),
    }
}

fn build_offer(sdp: Option<String>, negotiated: bool) -> Result<Option<Message>, ParseError> {
    let sdp = check_sdp(sdp)?;
    Ok(Some(Message::Offer { sdp, negotiated }))
}

fn build_answer(sdp: Option<String>, negotiated: bool) -> Result<Option<Message>, ParseError> {
    let sdp = check_sdp(sdp)?;
    Ok(Some(Message::Answer { sdp, negotiated }))
}

fn parse_candidate(text: &str) -> Result<Option<Message>, ParseError> {
    let trickle: CandidateMessage = from_json(text)?;
    let candidate = match trickle.candidate {
        CandidateField::EndOfCandidates => Candidate::default(),
        CandidateField::Line => from_json(text)?,
        CandidateField::Object(candidate) => candidate,
    };
    let is_end = candidate.candidate.is_empty();
    Ok(Some(Message::Candidate((!is_end).then_some(candidate))))
}

fn check_sdp(sdp: Option<String>) -> Result<String, ParseError> {
    let sdp = sdp.ok_or(ParseError::NoSdp)?;
    match sdp.starts_with(SDP_PREFIX) && !sdp.contains('\0') {
        true => Ok(sdp),
        false => Err(ParseError::BadSdp),
    }
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ParseError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => ParseError::Field { line, column },
            Category::Syntax | Category::Eof | Category::Io => ParseError::Json { line, column },
        }
    })
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'de> Deserialize<'de> for CandidateField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CandidateVisitor)
    }
}

/// Serde visitor of the `candidate` field.
struct CandidateVisitor;

impl<'de> Visitor<'de> for CandidateVisitor {
    type Value = CandidateField;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a candidate, its line, or null")
    }

    fn visit_unit<E>(self) -> Result<CandidateField, E> {
        Ok(CandidateField::EndOfCandidates)
    }

    fn visit_str<E>(self, _line: &str) -> Result<CandidateField, E> {
        Ok(CandidateField::Line)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<CandidateField, M::Error> {
        Candidate::deserialize(MapAccessDeserializer::new(map)).map(CandidateField::Object)
    }
}

/// Deserializes a boolean; null is `false`.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match deserializer.deserialize_any(ScalarVisitor)? {
        JsonScalar::Null => Ok(false),
        JsonScalar::Bool(flag) => Ok(flag),
        JsonScalar::Number(_) => Err(D::Error::custom("a number where a flag belongs")),
    }
}

/// Deserializes a 16-bit number; null is 0.
pub(crate) fn index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match deserializer.deserialize_any(ScalarVisitor)? {
        JsonScalar::Null => Ok(0),
        JsonScalar::Bool(_) => Err(D::Error::custom("a flag where a number belongs")),
        JsonScalar::Number(number) => number.try_into().map_err(D::Error::custom),
    }
}

/// JSON value of a field that may be null, a boolean or a number.
enum JsonScalar {
    Null,
    Bool(bool),
    Number(u64),
}

/// Serde visitor of a [`JsonScalar`].
struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = JsonScalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a flag, or null")
    }

    fn visit_unit<E>(self) -> Result<JsonScalar, E> {
        Ok(JsonScalar::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<JsonScalar, E> {
        Ok(JsonScalar::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<JsonScalar, E> {
        Ok(JsonScalar::Number(number))
    }

    fn visit_str<E: Error>(self, _text: &str) -> Result<JsonScalar, E> {
        Err(E::custom("a text where a number or a flag belongs"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Message {
        parse_message(text).expect("the text is well-formed").expect("the type is known")
    }

    fn answer_of(sdp: &str, negotiated: bool) -> Message {
        let sdp = sdp.into();
        Message::Answer { sdp, negotiated }
    }

    #[test]
    fn answers_in_every_form() {
        for (text, negotiated) in [
            ("v=0\r\ns=-\r\n", false),
            (r#"{"type":"answer","sdp":"v=0\r\ns=-\r\n"}"#, false),
            (r#"{"sdp":"v=0\r\ns=-\r\n","type":"answer"}"#, false),
            (r#"{"sdp":"v=0\r\ns=-\r\n"}"#, false),
            (r#"{"sdp":"v=0\r\ns=-\r\n","candidate":"x"}"#, false),
            (" \r\n\t{ \"type\" : \"answer\", \"sdp\" : \"v=0\\r\\ns=-\\r\\n\" }\n", false),
            (r#"{"type":"\u0061nswer","sd\u0070":"\u0076=0\r\ns=-\r\n"}"#, false),
            (r#"{"type":"answer","sdp":"v=0\r\ns=-\r\n","negotiated":null}"#, false),
            (r#"{"type":"answer","sdp":"v=0\r\ns=-\r\n","negotiated":false}"#, false),
            (r#"{"type":"answer","sdp":"v=0\r\ns=-\r\n","negotiated":true}"#, true),
            (r#"{"sdp":"v=0\r\ns=-\r\n","negotiated":true}"#, true),
            (r#"{"type":"answer","sdp":"v=0\r\ns=-\r\n","extra":{"a":[1e999,"\ud800"]}}"#, false),
        ] {
            let expected = answer_of("v=0\r\ns=-\r\n", negotiated);
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn candidates_in_every_form() {
        let expected = Message::Candidate(Some(Candidate {
            candidate: "candidate:1".into(),
            sdp_mid: "0".into(),
            sdp_m_line_index: 1,
            username_fragment: "u".into(),
        }));
        let init = r#""candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":1,"usernameFragment":"u","x":[{}]"#;
        for text in [
            format!(r#"{{"type":"ice","candidate":{{{init}}}}}"#),
            format!(r#"{{"type":"candidate","candidate":{{{init}}}}}"#),
            format!(r#"{{"candidate":{{{init}}}}}"#),
            format!(r#"{{"type":"candidate",{init}}}"#),
            format!(r#"{{{init}}}"#),
        ] {
            assert_eq!(parsed(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_candidate_may_lack_all_but_its_line() {
        let line = "candidate:1".to_string();
        let expected =
            Message::Candidate(Some(Candidate { candidate: line, ..Candidate::default() }));
        for text in [
            r#"{"candidate":"candidate:1"}"#,
            r#"{"candidate":"candidate:1","sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null}"#,
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn the_end_of_candidates_in_every_form() {
        for text in [
            "null",
            " null\n",
            r#"{"candidate":null}"#,
            r#"{"candidate":""}"#,
            r#"{"candidate":{}}"#,
            r#"{"candidate":"","sdpMid":"0","sdpMLineIndex":0}"#,
            r#"{"type":"ice"}"#,
            r#"{"type":"ice","candidate":null}"#,
            r#"{"type":"ice","candidate":""}"#,
            r#"{"type":"ice","candidate":{"candidate":""}}"#,
            r#"{"type":"candidate","candidate":{"candidate":null}}"#,
        ] {
            assert_eq!(parsed(text), Message::Candidate(None), "{text}");
        }
    }

    #[test]
    fn what_is_unknown_is_ignored() {
        for text in [
            "{}",
            r#"{"type":null}"#,
            r#"{"type":"pranswer","sdp":"v=0"}"#,
            r#"{"type":"weather"}"#,
            r#"{"type":"weather","sdp":1,"candidate":[2],"negotiated":"3"}"#,
            r#"{"hello":"world","n":1e999,"s":"\ud800"}"#,
        ] {
            assert_eq!(parse_message(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_description_needs_sdp() {
        for text in
            [r#"{"type":"answer"}"#, r#"{"type":"offer"}"#, r#"{"type":"answer","sdp":null}"#]
        {
            assert_eq!(parse_message(text), Err(ParseError::NoSdp), "{text}");
        }
        for text in [
            r#"{"type":"answer","sdp":""}"#,
            r#"{"type":"offer","sdp":"v=1"}"#,
            r#"{"type":"answer","sdp":" v=0"}"#,
            r#"{"type":"answer","sdp":"v=0\u0000"}"#,
            r#"{"sdp":""}"#,
            "v=0\r\n\0",
        ] {
            assert_eq!(parse_message(text), Err(ParseError::BadSdp), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for text in [
            "",
            " ",
            "[]",
            "7",
            "1e999",
            "true",
            "nul",
            "null null",
            "\"v=0\"",
            "\0",
            "V=0",
            "\u{feff}{}",
            r#"["answer","v=0"]"#,
            "undefined",
        ] {
            assert_eq!(parse_message(text), Err(ParseError::NotAMessage), "{text}");
        }
    }

    #[test]
    fn broken_json_is_an_error() {
        for text in [
            "{",
            "{}}",
            "{\"type\":\"answer\",}",
            "{\"type\":\"answ\0er\"}",
            r#"{"type":"\ud800"}"#,
            r#"{"type":"answer","sdp":"v=0\udc00"}"#,
            r#"{"candidate":{"sdpMLineIndex":1e999}}"#,
            "{'type':'answer'}",
        ] {
            let result = parse_message(text);
            assert!(matches!(result, Err(ParseError::Json { .. })), "{text}: {result:?}");
        }
    }

    #[test]
    fn wrong_and_repeated_fields_are_errors() {
        for text in [
            r#"{"type":5}"#,
            r#"{"type":["answer"]}"#,
            r#"{"sdp":5}"#,
            r#"{"type":"answer","sdp":["v=0"]}"#,
            r#"{"type":"answer","sdp":"v=0","negotiated":1}"#,
            r#"{"type":"answer","type":"answer","sdp":"v=0"}"#,
            r#"{"type":"answer","sdp":"v=0","sdp":"v=0"}"#,
            r#"{"candidate":"","candidate":""}"#,
            r#"{"candidate":[]}"#,
            r#"{"candidate":7}"#,
            r#"{"candidate":{"candidate":{}}}"#,
            r#"{"candidate":{"sdpMLineIndex":65536}}"#,
            r#"{"candidate":{"sdpMLineIndex":-1}}"#,
        ] {
            let result = parse_message(text);
            assert!(matches!(result, Err(ParseError::Field { .. })), "{text}: {result:?}");
        }
    }

    #[test]
    fn an_error_names_the_place() {
        let place = ParseError::Json { line: 2, column: 1 };
        assert_eq!(parse_message("{\n]"), Err(place));
    }
}

#[cfg(test)]
mod plain_tests {
    use super::*;

    fn flag_of(text: &str) -> Option<bool> {
        flag(&mut serde_json::Deserializer::from_str(text)).ok()
    }

    fn index_of(text: &str) -> Option<u16> {
        index(&mut serde_json::Deserializer::from_str(text)).ok()
    }

    #[test]
    fn flags() {
        assert_eq!(flag_of("true"), Some(true));
        assert_eq!(flag_of("false"), Some(false));
        assert_eq!(flag_of("null"), Some(false));
        for text in ["0", "1", "-1", "\"true\"", "[]", "{}", "1e999"] {
            assert_eq!(flag_of(text), None, "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(index_of("0"), Some(0));
        assert_eq!(index_of("65535"), Some(65_535));
        assert_eq!(index_of("null"), Some(0));
        for text in ["65536", "-1", "0.5", "1e999", "true", "\"0\"", "[]", "{}"] {
            assert_eq!(index_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_error_does_not_quote_a_text() {
        let text = format!("\"{}\"", "\u{7f}".repeat(1_000));
        let error = index(&mut serde_json::Deserializer::from_str(&text));
        let words = error.expect_err("a text is no number").to_string();
        assert!(words.len() < 100, "{words}");
    }
}
