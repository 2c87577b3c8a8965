//! The client's request, and what the server answers to it.

use tungstenite::{
    Error,
    client::IntoClientRequest,
    error::CapacityError,
    handshake::{client, derive_accept_key, machine::TryParse},
    http::{HeaderMap, HeaderName, HeaderValue, Uri},
};

use crate::{BadResponse, CloseReason, ConnectError, Request, list::has_token};

/// Headers that only the upgrade itself may set.
const OWN: [&str; 7] = [
    "connection",
    "host",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
];

/// What was asked, and the proof that an answer belongs to it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    accept: String,
}

/// The bytes of an upgrade request with these headers beside the necessary ones.
pub(crate) fn ask(
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<(Vec<u8>, Asked), ConnectError> {
    let mut request = uri(host, target)?
        .into_client_request()
        .map_err(|error| ConnectError::Address(error.to_string()))?;
    for (name, value) in headers {
        let (name, value) = header(name, value)?;
        request.headers_mut().append(name, value);
    }
    let shown = Request::new(request.clone());
    let (bytes, key) = client::generate_request(request)
        .map_err(|error| ConnectError::Header(error.to_string()))?;
    Ok((bytes, Asked { request: shown, accept: derive_accept_key(key.as_bytes()) }))
}

/// Reads a complete head, with at most `max_headers` lines: is it the answer to `asked`?
pub(crate) fn check(head: &[u8], max_headers: usize, asked: &Asked) -> Result<(), CloseReason> {
    let response = match client::Response::try_parse(head) {
        Ok(Some((_, response))) => response,
        Ok(None) => return bad(BadResponse::Syntax("incomplete".to_owned())),
        Err(Error::Capacity(CapacityError::TooManyHeaders)) => {
            return bad(BadResponse::HeadHeaders);
        }
        Err(error) => return bad(BadResponse::Syntax(error.to_string())),
    };
    if response.status().as_u16() != 101 {
        return Err(CloseReason::Refused { status: response.status().as_u16() });
    }
    check_headers(response.headers(), max_headers, asked).map_err(CloseReason::BadResponse)
}

/// RFC 6455 §4.1, the client's five checks.
fn check_headers(headers: &HeaderMap, most: usize, asked: &Asked) -> Result<(), BadResponse> {
    let names_unasked = |name| {
        headers.get(name).is_some_and(|chosen| {
            !asked.request.list(name).any(|one| one == chosen.as_bytes().trim_ascii())
        })
    };
    if headers.len() > most {
        Err(BadResponse::HeadHeaders)
    } else if !has_token(headers, "connection", "upgrade")
        || !has_token(headers, "upgrade", "websocket")
    {
        Err(BadResponse::Upgrade)
    } else if headers.get("sec-websocket-accept").is_none_or(|value| value != &asked.accept) {
        Err(BadResponse::Accept)
    } else if names_unasked("sec-websocket-protocol")
        || headers.contains_key("sec-websocket-extensions")
    {
        Err(BadResponse::Unasked)
    } else {
        Ok(())
    }
}

fn bad(why: BadResponse) -> Result<(), CloseReason> {
    Err(CloseReason::BadResponse(why))
}

/// A URI of exactly these parts: a parser may drop or shift what it finds odd, such as a fragment.
fn uri(host: &str, target: &str) -> Result<Uri, ConnectError> {
    let text = format!("ws://{host}{target}");
    let whole = text.parse::<Uri>().ok().filter(|uri| {
        uri.authority().is_some_and(|part| part == host && !host.contains('@'))
            && uri.path_and_query().is_some_and(|part| part == target)
            && target.is_ascii()
    });
    whole.ok_or(ConnectError::Address(text))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), ConnectError> {
    let bad = |error: &dyn std::fmt::Display| ConnectError::Header(format!("{name:?}: {error}"));
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(bad(&"the upgrade itself decides it"));
    }
    Ok((
        HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(&error))?,
        HeaderValue::from_str(value).map_err(|error| bad(&error))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str) -> Result<(), CloseReason> {
        let mut asked = {
            let name = "Sec-WebSocket-Protocol";
            ask("a", "/", &[(name, "x, y"), (name, "w")]).unwrap().1
        };
        asked.accept = "right".to_owned();
        check(head.as_bytes(), 6, &asked)
    }

    #[test]
    fn odd_addresses_are_refused() {
        for (host, target) in [
            ("", "/"),
            ("a/b", "/"),
            ("a", "b"),
            ("u@a", "/"),
            ("a", "/#b"),
            ("a", "/ b"),
            ("a b", "/"),
        ] {
            assert!(ask(host, target, &[]).is_err(), "{host} {target}");
        }
        for (host, target) in [("a", "/"), ("a:1", "/?"), ("[::1]:3", "/b?c=d"), ("127.0.0.1", "/")]
        {
            let (bytes, _) = ask(host, target, &[]).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert!(
                text.starts_with(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn headers_cannot_smuggle() {
        for header in [("A b", "c"), ("A", "b\r\nC: d"), ("Host", "b"), ("sec-websocket-key", "b")]
        {
            assert!(matches!(ask("a", "/", &[header]), Err(ConnectError::Header(_))), "{header:?}");
        }
        let (bytes, asked) = ask("a", "/", &[("Origin", "https://b")]).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("\r\nOrigin: https://b\r\n"));
        assert_eq!(asked.request.header("origin"), Some("https://b"));
    }

    #[test]
    fn each_check_of_the_answer() {
        let good = "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
                    Sec-WebSocket-Accept: right\r\n";
        let with = |more: &str| answer(&format!("{good}{more}\r\n"));
        let without =
            |line: &str, other: &str| answer(&format!("{}\r\n", good.replace(line, other)));
        assert_eq!(with(""), Ok(()));
        assert_eq!(with("Sec-WebSocket-Protocol: y\r\n"), Ok(()));
        assert_eq!(with("Sec-WebSocket-Protocol: w\r\n"), Ok(()));
        assert_eq!(with("Connection: \u{e9}\r\n"), Ok(()));
        assert_eq!(without("keep-alive, upgrade", "a\r\nConnection: b,\tUpgrade"), Ok(()));
        assert_eq!(with("Sec-WebSocket-Protocol: z\r\n"), bad(BadResponse::Unasked));
        assert_eq!(with("Sec-WebSocket-Extensions: z\r\n"), bad(BadResponse::Unasked));
        assert_eq!(with("A: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\n"), bad(BadResponse::HeadHeaders));
        assert_eq!(without("right", "wrong"), bad(BadResponse::Accept));
        assert_eq!(without("WebSocket\r", "h2c\r"), bad(BadResponse::Upgrade));
        assert_eq!(without("keep-alive, upgrade", "close"), bad(BadResponse::Upgrade));
        assert_eq!(without("101", "403"), Err(CloseReason::Refused { status: 403 }));
        assert!(matches!(
            answer("SSH-2.0\r\n\r\n"),
            Err(CloseReason::BadResponse(BadResponse::Syntax(_)))
        ));
    }
}
