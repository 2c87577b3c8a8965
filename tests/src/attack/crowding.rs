//! What a peer can do wrong with messages, and on its websocket: rows 7-13 and 24.

use std::time::Instant;

use net::Delivery;

use super::frames::forbidden_frame;
use super::http::{BINARY, FIN, frame, head, text};
use super::insider::Insider;
use super::kit::Kit;

/// More than a message may be.
const TOO_LONG: usize = 64 * 1024 + 1;

/// A frame that the protocol forbids.
pub(super) fn forbidden(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    let frame = forbidden_frame(&mut kit.random);
    kit.write(insider.tcp, frame);
}

/// A frame that announces more than there is memory.
pub(super) fn huge(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    kit.write(insider.tcp, head(FIN | BINARY, 1 << 63));
}

/// A message one byte too long.
pub(super) fn too_long(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    kit.write(insider.tcp, frame(FIN | BINARY, &[7; TOO_LONG]));
}

/// Pieces of a message without end.
pub(super) fn endless(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    let first = if insider.round == 0 { BINARY } else { 0 };
    kit.write(insider.tcp, frame(first, &[7; 1_000]));
}

/// Reliable messages as fast as they go.
pub(super) fn reliable_flood(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    kit.write(insider.tcp, frame(FIN | BINARY, &[7; 100]).repeat(100 * kit.means.pace as usize));
}

/// Unreliable messages as fast as the path takes them.
pub(super) fn unreliable_flood(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    for _ in 0..20 * kit.means.pace {
        insider.agent.send(now, Delivery::Unreliable, vec![7; 200].into());
    }
}

/// Signalling texts as fast as they go.
pub(super) fn texts(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    kit.write(insider.tcp, text(r#"{"type":"chat"}"#).repeat(10));
}

/// Reads no more from the websocket.
pub(super) fn never_reads(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    if insider.round == 0 {
        kit.read(insider.tcp, false);
    }
}
