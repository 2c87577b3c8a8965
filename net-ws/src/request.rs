//! What a client asks for.

use tungstenite::{
    Error,
    error::{CapacityError, ProtocolError},
    handshake::{machine::TryParse, server},
    http::HeaderValue,
};

use crate::BadRequest;

/// What the client asked for: the head of its upgrade request (RFC 6455 §4.1). On the client side
/// this is what it asked itself.
#[derive(Clone, Debug)]
pub struct Request {
    head: tungstenite::http::Request<()>,
}

impl Request {
    /// The path, beginning with `/`, as it was sent (percent-encoded).
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// What follows the `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.head.uri().query()
    }

    /// The first header of that name, in any case; `None` also where its value is not visible
    /// ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name)?.to_str().ok()
    }

    /// The values of all headers of that name, in any case, in order, as they were sent: so that
    /// what is repeated, or is not visible ASCII, can be told from what is not there.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.head.headers().get_all(name).iter().map(|value| value.as_bytes())
    }

    /// Names (lower case) and values of all headers whose value is visible ASCII.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.head.headers().iter();
        headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// Whether it is a browser's: one names an `Origin` always (RFC 6455 §4.1), a program seldom.
    pub fn is_browser(&self) -> bool {
        self.head.headers().contains_key("origin")
    }

    /// The first subprotocol that is offered.
    pub(crate) fn first_protocol(&self) -> Option<HeaderValue> {
        let mut offered = self.values("sec-websocket-protocol").flat_map(|list| {
            list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|one| !one.is_empty())
        });
        // It is to stand in the answer: visible ASCII only.
        HeaderValue::from_str(std::str::from_utf8(offered.next()?).ok()?).ok()
    }

    pub(crate) fn new(head: tungstenite::http::Request<()>) -> Request {
        Request { head }
    }
}

impl PartialEq for Request {
    /// By target and headers.
    fn eq(&self, other: &Request) -> bool {
        self.head.uri() == other.head.uri() && self.head.headers() == other.head.headers()
    }
}

impl Eq for Request {}

/// Reads a complete head, with at most `max_headers` lines, and prepares the 101.
pub(crate) fn parse(
    head: &[u8],
    max_headers: usize,
) -> Result<(Request, server::Response), BadRequest> {
    let parsed = server::Request::try_parse(head).map_err(refusal)?;
    let Some((_, request)) = parsed else {
        return Err(BadRequest::Syntax("incomplete".to_owned()));
    };
    if request.headers().len() > max_headers {
        return Err(BadRequest::HeadHeaders);
    }
    // RFC 9112 §3.2: none or several are an error; the upgrade needs it (RFC 6455 §4.2.1).
    if request.headers().get_all("host").iter().count() != 1 {
        return Err(BadRequest::Host);
    }
    let response = server::create_response(&request).map_err(refusal)?;
    Ok((Request::new(request), response))
}

/// What tungstenite found wrong, in our words.
fn refusal(error: Error) -> BadRequest {
    match error {
        Error::Capacity(CapacityError::TooManyHeaders) => BadRequest::HeadHeaders,
        Error::Protocol(ProtocolError::WrongHttpMethod) => BadRequest::Method,
        Error::Protocol(ProtocolError::WrongHttpVersion) => BadRequest::HttpVersion,
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => BadRequest::Upgrade,
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => BadRequest::Version,
        Error::Protocol(
            ProtocolError::MissingSecWebSocketKey | ProtocolError::InvalidSecWebSocketKey,
        ) => BadRequest::Key,
        error => BadRequest::Syntax(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_subprotocol_of_all_lists_is_found() {
        let first = |lists: &[&str]| {
            let asked = tungstenite::http::Request::get("/");
            let name = "sec-websocket-protocol";
            let asked = lists.iter().fold(asked, |asked, list| asked.header(name, *list));
            Request::new(asked.body(()).expect("a request")).first_protocol()
        };
        assert_eq!(first(&[]), None);
        assert_eq!(first(&["", " ,"]), None);
        assert_eq!(first(&["ü"]), None);
        assert_eq!(first(&[" ,", "chat\t, v2", "v1"]), Some(HeaderValue::from_static("chat")));
    }

    #[test]
    fn requests_are_the_same_by_target_and_headers() {
        let request = |target: &str, key: &str| {
            let built = tungstenite::http::Request::get(target).header("a", key).body(());
            Request::new(built.expect("a request"))
        };
        assert_eq!(request("/a", "1"), request("/a", "1"));
        assert_ne!(request("/a", "1"), request("/b", "1"));
        assert_ne!(request("/a", "1"), request("/a", "2"));
    }
}
