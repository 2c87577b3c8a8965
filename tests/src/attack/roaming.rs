//! What a peer can do wrong with addresses, and with being there at all: rows 39-41, 44, 55, 56.

use std::time::Instant;

use rand::RngExt;

use super::insider::Insider;
use super::kit::Kit;
use super::stun;

const HANDSHAKE: u8 = 22;
/// Rounds of 100 ms between two absences, and how long one is.
const HERE: u32 = 50;
const AWAY: u32 = 80;

/// Valid checks from one port after the other.
pub(super) fn many_ports(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    let Some(check) = insider.said.iter().find(|said| stun::is_request(said)).cloned() else {
        return;
    };
    for nth in 0..50 {
        kit.send(kit.means.udp(1_000 + insider.round * 50 + nth), check.clone());
    }
}

/// Its own records from where another of its kind is.
pub(super) fn cross_talk(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    insider.agent.send(now, net::Delivery::Unreliable, b"in another's name"[..].into());
    let other = kit.means.udp(insider.number ^ 1);
    insider.said.iter().for_each(|said| kit.send(other, said.clone()));
}

/// Checks, and one record of the handshake.
pub(super) fn one_record(insider: &Insider, contents: &[u8]) -> bool {
    stun::is_request(contents) && insider.said.len() < 3
        || contents[0] == HANDSHAKE && !insider.said.iter().any(|said| said[0] == HANDSHAKE)
}

/// Of each datagram of the handshake the first record, cut short: its message never ends.
pub(super) fn no_second_fragment(_: &Insider, contents: &[u8]) -> bool {
    contents[0] != HANDSHAKE || !ends_message(contents)
}

/// Whether the first record of a handshake carries the end of its message (RFC 6347 §4.2.2).
fn ends_message(record: &[u8]) -> bool {
    let number =
        |at: usize| record.get(at..at + 3).map(|b| u32::from_be_bytes([0, b[0], b[1], b[2]]));
    let (length, offset, fragment) = (number(14), number(19), number(22));
    match (length, offset, fragment) {
        (Some(length), Some(offset), Some(fragment)) => offset + fragment >= length,
        _ => true,
    }
}

/// Records of epochs that never were, from where the peer is.
pub(super) fn epochs(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    let random = &mut kit.random;
    let kind = random.random_range(20..26);
    let mut record = vec![kind, 254, 253];
    record.extend(random.random::<[u8; 8]>());
    record.extend([0, 40]);
    record.extend(random.random::<[u8; 40]>());
    kit.send(insider.udp, record);
}

/// Handshake messages in pieces that never become whole, from where the peer is.
pub(super) fn pieces(insider: &mut Insider, _: Instant, kit: &mut Kit) {
    for _ in 0..10 {
        let (sequence, offset) = (kit.random.random::<u16>(), kit.random.random::<u8>());
        let mut record = vec![HANDSHAKE, 254, 253, 0, 0, 0, 0, 0, 0];
        record.extend(sequence.to_be_bytes());
        // A ClientHello of 64 KiB, of which 100 bytes are here.
        record.extend([0, 112, 1, 0, 255, 255]);
        record.extend(sequence.to_be_bytes());
        record.extend([0, offset, 0, 0, 0, 100]);
        record.extend([7; 100]);
        kit.send(insider.udp, record);
    }
}

/// Its cable is pulled and plugged in again.
pub(super) fn comes_and_goes(insider: &mut Insider, _: Instant, _: &mut Kit) {
    insider.plugged = insider.round % (HERE + AWAY) < HERE;
}

/// Its cable is pulled for good.
pub(super) fn vanishes(insider: &mut Insider, _: Instant, _: &mut Kit) {
    insider.plugged = insider.round < HERE;
}

/// Its NAT forgets it again and again.
pub(super) fn rebinds(insider: &mut Insider, now: Instant, kit: &mut Kit) {
    if insider.round.is_multiple_of(20) {
        insider.number += kit.means.addresses.len() as u32;
        insider.udp = kit.means.udp(insider.number);
    }
    insider.agent.send(now, net::Delivery::Unreliable, b"here"[..].into());
}
