//! Origin check: the `Origin` header against the allowed origins (RFC 6455 §10.2).

use std::collections::HashSet;

use net_ws::Request;

use crate::Config;

/// Maximum bytes of a rejected origin that are kept and shown.
const MAX_SHOWN_LEN: usize = 64;

/// Origin policy.
#[derive(Debug)]
pub(super) enum OriginPolicy {
    Any,
    List {
        allowed: HashSet<String>,
        /// Whether requests without an origin are allowed.
        allow_missing: bool,
    },
}

/// Violation of the origin policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadOrigin {
    /// The request has no origin.
    Missing,
    /// The request has several origins.
    Multiple,
    /// The origin is not in the list; this is its beginning.
    NotAllowed(String),
}

impl OriginPolicy {
    pub(super) fn new(config: &Config) -> OriginPolicy {
        match &config.allowed_origins {
            None => OriginPolicy::Any,
            Some(list) => OriginPolicy::List {
                allowed: list.iter().map(|origin| normalize(origin)).collect(),
                allow_missing: config.allow_missing_origin,
            },
        }
    }

    pub(super) fn check(&self, request: &Request) -> Result<(), BadOrigin> {
        let OriginPolicy::List { allowed: list, allow_missing: originless } = self else {
            return Ok(());
        };
        let mut headers = request.values("origin");
        let (first, more) = (headers.next(), headers.next().is_some());
        match first {
            _ if more => Err(BadOrigin::Multiple),
            None if *originless => Ok(()),
            None => Err(BadOrigin::Missing),
            Some(origin) => match std::str::from_utf8(origin) {
                Ok(origin) if list.contains(origin) => Ok(()),
                _ => Err(BadOrigin::NotAllowed(printable_prefix(origin))),
            },
        }
    }
}

/// Normalises an entry of the list to the form that browsers send (RFC 6454 §6.2): lower case,
/// without the trailing slash of a URL and without the default port of its scheme.
fn normalize(origin: &str) -> String {
    let origin = origin.trim().trim_end_matches('/').to_ascii_lowercase();
    let implied = match origin.split_once("://") {
        Some(("http", _)) => ":80",
        Some(("https", _)) => ":443",
        _ => return origin,
    };
    origin.strip_suffix(implied).map(str::to_owned).unwrap_or(origin)
}

fn printable_prefix(origin: &[u8]) -> String {
    let visible = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    origin.iter().take(MAX_SHOWN_LEN).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_may_be_written_as_people_write_it() {
        for (written, sent) in [
            ("https://game.example", "https://game.example"),
            ("https://Game.Example/", "https://game.example"),
            ("https://game.example:443", "https://game.example"),
            ("http://game.example:80/", "http://game.example"),
            ("http://game.example:443", "http://game.example:443"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("null", "null"),
        ] {
            assert_eq!(normalize(written), sent);
        }
    }

    #[test]
    fn what_is_shown_is_short_and_visible() {
        assert_eq!(printable_prefix(b"https://e\xff\n\x00"), "https://e???");
        assert_eq!(printable_prefix(&[b'x'; 8_000]).len(), MAX_SHOWN_LEN);
    }
}
