//! Datagrams to a server with one client on its way: honest ones that are lost, repeated and
//! changed, and others'.

use arbitrary::Unstructured;

use super::rtc_pair::Pair;

/// The first byte chooses how much of the SCTP handshake goes along with the signalling.
///
/// # Panics
/// If the server breaks a promise: the order of its events, its bounds, never more bytes to a
/// stranger than came from there, an end by time alone.
pub fn run(data: &[u8]) {
    let Some((manners, rest)) = data.split_first() else { return };
    let mut pair = Pair::signalled(manners & 1 == 1);
    _ = pair.script(&mut Unstructured::new(rest));
    pair.finish();
}
