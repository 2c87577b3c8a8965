//! Whose pages may connect: the `Origin` header against the list (RFC 6455 §10.2).

use std::collections::HashSet;

use net_ws::Request;

use crate::Config;

/// Bytes of a foreign origin that are told and kept.
const SHOWN: usize = 64;

/// Who may, by the page that its request comes from.
#[derive(Debug)]
pub(super) enum Origins {
    Everyone,
    Listed {
        list: HashSet<String>,
        /// Whether who names no origin may, too.
        originless: bool,
    },
}

/// What is wrong with a request's origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadOrigin {
    /// It names none.
    Absent,
    /// It names several.
    Several,
    /// It is not in the list; so it begins.
    Foreign(String),
}

impl Origins {
    pub(super) fn new(config: &Config) -> Origins {
        match &config.origins {
            None => Origins::Everyone,
            Some(list) => Origins::Listed {
                list: list.iter().map(|origin| as_sent(origin)).collect(),
                originless: config.originless,
            },
        }
    }

    pub(super) fn check(&self, request: &Request) -> Result<(), BadOrigin> {
        let Origins::Listed { list, originless } = self else { return Ok(()) };
        let mut headers = request.values("origin");
        let (first, more) = (headers.next(), headers.next().is_some());
        match first {
            _ if more => Err(BadOrigin::Several),
            None if *originless => Ok(()),
            None => Err(BadOrigin::Absent),
            Some(origin) => match std::str::from_utf8(origin) {
                Ok(origin) if list.contains(origin) => Ok(()),
                _ => Err(BadOrigin::Foreign(shown(origin))),
            },
        }
    }
}

/// An entry of the list as browsers send it (RFC 6454 §6.2): lower case, without the slash of a
/// URL and without the port that its scheme implies.
fn as_sent(origin: &str) -> String {
    let origin = origin.trim().trim_end_matches('/').to_ascii_lowercase();
    let implied = match origin.split_once("://") {
        Some(("http", _)) => ":80",
        Some(("https", _)) => ":443",
        _ => return origin,
    };
    origin.strip_suffix(implied).map(str::to_owned).unwrap_or(origin)
}

fn shown(origin: &[u8]) -> String {
    let visible = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    origin.iter().take(SHOWN).map(visible).collect()
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
            assert_eq!(as_sent(written), sent);
        }
    }

    #[test]
    fn what_is_shown_is_short_and_visible() {
        assert_eq!(shown(b"https://e\xff\n\x00"), "https://e???");
        assert_eq!(shown(&[b'x'; 8_000]).len(), SHOWN);
    }
}
