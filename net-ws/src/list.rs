//! Header fields that hold a list (RFC 9110 §5.3, §5.6.1).

use tungstenite::http::HeaderMap;

/// The members of a comma-separated list over all lines of that name, in order, without the white
/// space around them. Empty ones are left out.
pub(crate) fn members<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter().map(|value| value.as_bytes());
    let members = lines.flat_map(|line| line.split(|byte| *byte == b','));
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether this token is among them, in any case.
pub(crate) fn has_token(headers: &HeaderMap, name: &str, token: &str) -> bool {
    members(headers, name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use tungstenite::http::HeaderValue;

    use super::*;

    #[test]
    fn a_list_is_that_of_all_its_lines() {
        let mut headers = HeaderMap::new();
        for line in [&b"keep-alive"[..], b"a,\tUpgrade\t,, b ", b"\xfc, \xe9x"] {
            headers.append("connection", HeaderValue::from_bytes(line).expect("a value"));
        }
        let all: Vec<_> = members(&headers, "connection").collect();
        assert_eq!(all, [&b"keep-alive"[..], b"a", b"Upgrade", b"b", b"\xfc", b"\xe9x"]);
        assert!(has_token(&headers, "connection", "upgrade"));
        assert!(!has_token(&headers, "connection", "grade"));
        assert!(!has_token(&headers, "upgrade", "upgrade"));
    }
}
