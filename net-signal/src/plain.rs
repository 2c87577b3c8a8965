//! Numbers and flags.
//!
//! Serde's own code for them, when it finds a string in their place, quotes the
//! whole string in its error, at twelve times the memory of the text.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Reads a flag; null is `false`.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match deserializer.deserialize_any(PlainVisitor)? {
        Plain::Null => Ok(false),
        Plain::Flag(flag) => Ok(flag),
        Plain::Number(_) => Err(D::Error::custom("a number where a flag belongs")),
    }
}

/// Reads a number of 16 bits; null is 0.
pub(crate) fn index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match deserializer.deserialize_any(PlainVisitor)? {
        Plain::Null => Ok(0),
        Plain::Flag(_) => Err(D::Error::custom("a flag where a number belongs")),
        Plain::Number(number) => number.try_into().map_err(D::Error::custom),
    }
}

enum Plain {
    Null,
    Flag(bool),
    Number(u64),
}

struct PlainVisitor;

impl Visitor<'_> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a flag, or null")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Plain, E> {
        Ok(Plain::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Plain, E> {
        Ok(Plain::Number(number))
    }

    fn visit_str<E: Error>(self, _text: &str) -> Result<Plain, E> {
        Err(E::custom("a text where a number or a flag belongs"))
    }
}

#[cfg(test)]
mod tests {
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
