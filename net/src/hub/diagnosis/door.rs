//! Why a request was not let in, in words.

use net_ws::BadRequest;

use super::{Case, Words, seconds};
use crate::accept::NoVerdict;
use crate::hub::ending::{Full, Scope};
use crate::hub::origins::BadOrigin;

impl Case<'_> {
    pub(super) fn full(&self, full: Full) -> Words {
        match full {
            Full::Peers(Scope::All) => {
                Words::new(format!("the server is full: {} peers", self.config.peers))
                    .set("raise Config::peers")
            }
            Full::Peers(scope) => {
                let peers = scope.peers(self.config);
                Words::new(format!("{peers} peers have this address already")).set(match scope {
                    Scope::LocalAddress => through_a_proxy("peers_per_local"),
                    _ => "raise Config::peers_per_address".to_owned(),
                })
            }
            Full::HalfOpen(scope) => Words::new(self.others(scope)).set(more_half_open(scope)),
            Full::GaveWay(scope) => {
                Words::new(format!("gave way to a newer one: {}", self.others(scope)))
                    .set(more_half_open(scope))
            }
            Full::Early => Words::new("too many messages before the answer")
                .set("wait for the open channel, or raise Config::early_bytes or early_messages"),
        }
    }

    pub(super) fn no_verdict(&self, none: NoVerdict) -> Words {
        match none {
            NoVerdict::Busy => {
                let queue = self.config.accept_queue;
                Words::new(format!("{queue} others wait for a verdict of Config::accept"))
                    .set("is what it asks slow? Config::accept_threads, accept_queue")
            }
            NoVerdict::Late => {
                let time = seconds(self.config.upgrade_timeout);
                Words::new(format!("no verdict of Config::accept within {time}"))
                    .set("is what it asks slow? Config::accept_threads, upgrade_timeout")
            }
            NoVerdict::Panicked => Words::new("Config::accept panicked")
                .set("the panic's message says where; refuse with Verdict::refuse instead"),
        }
    }

    fn others(&self, scope: Scope) -> String {
        let half_open = self.config.half_open;
        match scope {
            Scope::All => format!("{half_open} others are on their way to open"),
            _ => format!("{half_open} others are on their way to open, most from this address"),
        }
    }
}

/// A request that is no websocket's.
pub(super) fn request(why: &BadRequest) -> Words {
    match why {
        BadRequest::Tls => Words::new("a TLS hello (https or wss) on a port without TLS")
            .set("use ws://, or put a TLS proxy in front and connect to that"),
        BadRequest::Upgrade => {
            Words::new("a websocket's request without Upgrade or Connection: Upgrade")
                .set("a proxy must pass Upgrade and Connection headers on")
        }
        BadRequest::Version => Words::new("a websocket's request without its version, 13")
            .set("a proxy must pass the Sec-WebSocket headers on"),
        BadRequest::HttpVersion => Words::new("HTTP/1.0, which has no websockets")
            .set("a proxy must speak HTTP/1.1 (nginx: proxy_http_version 1.1)"),
        BadRequest::Http2 => Words::new("HTTP/2 without TLS on a port for HTTP/1.1").set(
            "let the proxy speak HTTP/1.1 to this port (Envoy: without http2_protocol_options)",
        ),
        BadRequest::ProxyProtocol { version } => Words::new(format!(
            "a PROXY protocol header, version {version}, before the request"
        ))
        .set(
            "switch it off in the proxy (HAProxy: without send-proxy, nginx: proxy_protocol off), \
             or set Config::trusted_proxies and proxy_protocol",
        ),
        BadRequest::NoKey => Words::new("an upgrade without Sec-WebSocket-Key").set(
            "a proxy that takes websockets over HTTP/2 (RFC 8441) must add one, or offer its \
             clients HTTP/1.1 only",
        ),
        BadRequest::HeadBytes { limit, cookies: 0 } => {
            Words::new(format!("the head is over Config::head_bytes ({limit})"))
                .set("raise Config::head_bytes")
        }
        BadRequest::HeadBytes { limit, cookies } => Words::new(format!(
            "the head is over Config::head_bytes ({limit}), {cookies} bytes of it cookies: clear \
             the site's cookies"
        ))
        .set("or raise Config::head_bytes: cookies of a host go to all of its ports"),
        BadRequest::HeadHeaders { limit } => {
            Words::new(format!("the head has over {limit} header lines (Config::head_headers)"))
                .set("do proxies add many? Config::head_headers can be 124 at most")
        }
        other => Words::new(other.to_string()),
    }
}

/// A page that is not in the list.
pub(super) fn origin(bad: &BadOrigin) -> Words {
    match bad {
        BadOrigin::Absent => {
            Words::new("no Origin header").set("a program? Config::originless lets those in")
        }
        BadOrigin::Several => Words::new("several Origin headers"),
        BadOrigin::Foreign(origin) => {
            let words = Words::new(format!("the origin {origin} is not allowed"));
            match origin.as_str() {
                "null" => words.set("a page from a file, or in a sandbox? Serve it over http"),
                _ => words.set("if it is a page of yours, add it to Config::origins"),
            }
        }
    }
}

/// How there is room for more on their way to open.
fn more_half_open(scope: Scope) -> String {
    match scope {
        Scope::All | Scope::Address => "raise Config::half_open".to_owned(),
        Scope::LocalAddress => through_a_proxy("half_open"),
    }
}

/// Where a local address has too many: perhaps it is everyone's.
fn through_a_proxy(what: &str) -> String {
    format!(
        "do they come through a proxy? Then set Config::trusted_proxies; or raise Config::{what}"
    )
}
