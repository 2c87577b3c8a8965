//! Who comes and wants no websocket: balancers, monitors, people with a browser.

use net_ws::Request;

/// The status and the words that answer a plain HTTP request, on any path.
pub(super) fn answer(request: &Request) -> (u16, &'static str) {
    match request.method() {
        "GET" | "HEAD" | "OPTIONS" => (200, "websockets are served here, and nothing else"),
        _ => (405, "websockets are served here, and nothing else: they begin with a GET"),
    }
}
