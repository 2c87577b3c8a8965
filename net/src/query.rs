//! Query strings of the form `application/x-www-form-urlencoded` (WHATWG URL §5.1), as
//! `URLSearchParams` and forms write them.

use std::borrow::Cow;

/// Names and values in order. Any query can be read: what is no percent-encoding stays as it is,
/// and what is no UTF-8 becomes U+FFFD.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|item| !item.is_empty()).map(|item| {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        (decode(name), decode(value))
    })
}

/// The first value of this name.
pub(crate) fn value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    pairs(query).find(|(found, _)| found == name).map(|(_, value)| value)
}

/// Undoes percent-encoding, and `+` for a space.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let (decoded, after) = match (byte, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest.split_at(1).1),
            },
            _ => (*byte, after),
        };
        bytes.push(decoded);
        rest = after;
    }
    match String::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into(),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Vec<(String, String)> {
        pairs(query).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    fn is(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn what_a_page_writes_is_read() {
        // new URLSearchParams({ ticket: 'a b', room: 'Zürich & co', sum: '1+1=2', flag: '' })
        let query = "ticket=a+b&room=Z%C3%BCrich+%26+co&sum=1%2B1%3D2&flag=";
        let pairs = [("ticket", "a b"), ("room", "Zürich & co"), ("sum", "1+1=2"), ("flag", "")];
        assert_eq!(read(query), is(&pairs));
        assert_eq!(value(query, "room").as_deref(), Some("Zürich & co"));
        assert_eq!(value("ticket=a%20b&ticket=c", "ticket").as_deref(), Some("a b"));
        assert_eq!(value("%74icket=1", "ticket").as_deref(), Some("1"));
        assert_eq!(value("ticket", "ticket").as_deref(), Some(""));
        assert_eq!(value("tickets=1", "ticket"), None);
    }

    #[test]
    fn any_query_can_be_read() {
        assert_eq!(read(""), is(&[]));
        assert_eq!(read("&&a&=b&="), is(&[("a", ""), ("", "b"), ("", "")]));
        assert_eq!(read("a=b=c"), is(&[("a", "b=c")]));
        for kept in ["%", "%4", "100%", "%zz", "%4g", "%+1"] {
            assert_eq!(read(kept), is(&[(&kept.replace('+', " "), "")]), "{kept}");
        }
        assert_eq!(read("a=%ff%41"), is(&[("a", "\u{fffd}A")]));
        assert_eq!(read("a=%00"), is(&[("a", "\0")]));
    }

    #[test]
    fn what_is_not_encoded_is_not_copied() {
        assert!(matches!(value("a=b", "a"), Some(Cow::Borrowed("b"))));
    }
}
