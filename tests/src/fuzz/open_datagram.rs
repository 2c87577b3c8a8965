//! Datagrams to a server with an open client: as in [`first_datagram`](super::first_datagram),
//! and SCTP packets that decrypt and that no honest client sends.

use arbitrary::Unstructured;

use super::rtc_pair::Pair;

/// The bytes are what happens.
///
/// # Panics
/// If the server breaks a promise.
pub fn run(data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let mut pair = Pair::opened(true);
    _ = pair.script(&mut Unstructured::new(data));
    pair.finish();
}
