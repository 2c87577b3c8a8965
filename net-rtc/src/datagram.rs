//! Classification of datagrams by their first bytes (RFC 7983).

use std::iter;

/// Length of a STUN header, and its magic cookie (RFC 8489 §5).
pub(crate) const STUN_HEADER_LEN: usize = 20;
pub(crate) const STUN_MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
/// Attributes of connectivity checks (RFC 8489 §18.3).
pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;

/// Whether a datagram is STUN rather than DTLS, by its first byte (RFC 7983).
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| *byte < 4)
}

/// Whether a STUN message is a Binding request (RFC 8489 §5).
pub(crate) fn is_binding_request(check: &[u8]) -> bool {
    check.starts_with(&BINDING_REQUEST)
}

/// Whether a datagram is a complete Binding request without USERNAME and MESSAGE-INTEGRITY, which
/// connectivity checks have.
pub(crate) fn is_unauthenticated_binding_request(datagram: &[u8]) -> bool {
    let is_request = datagram.len() >= STUN_HEADER_LEN
        && datagram[..2] == BINDING_REQUEST
        && datagram[4..8] == STUN_MAGIC_COOKIE
        && usize::from(u16_at(datagram, 2)) == datagram.len() - STUN_HEADER_LEN;
    is_request && {
        let mut rest = &datagram[STUN_HEADER_LEN..];
        while rest.len() >= 4 {
            let length = usize::from(u16_at(rest, 2)).next_multiple_of(4);
            if matches!(u16_at(rest, 0), USERNAME | MESSAGE_INTEGRITY) || rest.len() < 4 + length {
                return false;
            }
            rest = &rest[4 + length..];
        }
        rest.is_empty()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Maximum number of records in one datagram. Browsers and this library send one in each.
const MAX_RECORDS: usize = 8;
/// Minimum length of a protected record: an authentication tag and one byte.
const MIN_PROTECTED_LEN: usize = 17;

/// Content types (RFC 5246 §6.2.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Handshake types (RFC 6347 §4.2.2): ClientHello and the responses to it.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// Length of the header of a plaintext record, which its message follows.
const PLAINTEXT_HEADER_LEN: usize = 13;

/// Whether a datagram consists only of encrypted records of an established session, by their
/// headers: data or an alert of DTLS 1.2 (RFC 6347 §4.1), or the unified header of DTLS 1.3 (RFC
/// 9147 §4). Such a record has no effect unless it is authentic. Handshake and plaintext records do
/// not count.
pub(crate) fn is_protected(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    for _ in 0..MAX_RECORDS {
        match skip_protected_record(rest) {
            Some([]) => return true,
            Some(more) => rest = more,
            None => return false,
        }
    }
    false
}

/// Whether a datagram begins with a fragment of a ClientHello.
pub(crate) fn is_client_hello(datagram: &[u8]) -> bool {
    handshake_type(datagram) == Some(CLIENT_HELLO)
}

/// Whether a datagram begins with a fragment of a response to a ClientHello.
pub(crate) fn is_client_hello_response(datagram: &[u8]) -> bool {
    matches!(handshake_type(datagram), Some(SERVER_HELLO | HELLO_VERIFY_REQUEST))
}

/// Returns the description of a fatal plaintext alert (RFC 5246 §7.2), if the datagram is one.
pub(crate) fn fatal_alert(datagram: &[u8]) -> Option<u8> {
    const FATAL: u8 = 2;
    let is_clear = datagram.first() == Some(&ALERT) && datagram.get(3..5) == Some(&[0, 0]);
    match datagram.get(PLAINTEXT_HEADER_LEN..) {
        Some([FATAL, description]) if is_clear => Some(*description),
        _ => None,
    }
}

/// Returns the type of the plaintext handshake message at the start of a datagram.
fn handshake_type(datagram: &[u8]) -> Option<u8> {
    let is_clear = datagram.first() == Some(&HANDSHAKE) && datagram.get(3..5) == Some(&[0, 0]);
    is_clear.then(|| datagram.get(PLAINTEXT_HEADER_LEN).copied()).flatten()
}

/// Iterates over the records of a datagram. A malformed record and everything after it is returned
/// as one, and so is a datagram of more than [`MAX_RECORDS`], which no handshake needs: each record
/// takes one of the 30 places of dimpl's receive queue, whose overflow ends the connection.
pub(crate) fn records(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_whole = all_records(datagram).nth(MAX_RECORDS).is_some();
    let (whole, rest) = if is_whole { (datagram, &[][..]) } else { (&[][..], datagram) };
    Some(whole).filter(|whole| !whole.is_empty()).into_iter().chain(all_records(rest))
}

fn all_records(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    iter::from_fn(move || {
        let (record, more) = rest.split_at_checked(record_len(rest)?).unwrap_or((rest, &[]));
        rest = more;
        Some(record)
    })
}

/// Length of the first record, by its header; a DTLS 1.3 record without a length field takes all
/// bytes. `None` at the end.
fn record_len(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.first()?;
    let is_unified = flags & 0xe0 == 0x20;
    let header = match (is_unified, flags & 4 != 0) {
        (true, true) => 1 + sequence_number_len(flags) + 2,
        (true, false) => return Some(bytes.len()),
        (false, _) => PLAINTEXT_HEADER_LEN,
    };
    let length = bytes.get(header - 2..header).and_then(|length| length.try_into().ok());
    Some(length.map_or(bytes.len(), |length| header + usize::from(u16::from_be_bytes(length))))
}

fn sequence_number_len(flags: u8) -> usize {
    if flags & 8 == 0 { 1 } else { 2 }
}

/// Returns the bytes after the first record, if that is encrypted.
fn skip_protected_record(bytes: &[u8]) -> Option<&[u8]> {
    match *bytes.first()? {
        ALERT | APPLICATION_DATA => skip_dtls12_record(bytes),
        0x20..=0x2f => skip_unified_record(bytes),
        _ => None,
    }
}

fn skip_dtls12_record(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.get(..PLAINTEXT_HEADER_LEN)?;
    let is_first_epoch = header[1..5] == [0xfe, 0xfd, 0, 1];
    let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
    (is_first_epoch && length >= MIN_PROTECTED_LEN)
        .then(|| bytes.get(PLAINTEXT_HEADER_LEN + length..))
        .flatten()
}

/// The bits are 0 0 1 C S L E E (RFC 9147 §4); connection IDs (C) are never negotiated.
fn skip_unified_record(bytes: &[u8]) -> Option<&[u8]> {
    let flags = *bytes.first()?;
    let rest = bytes.get(1 + sequence_number_len(flags)..)?;
    if flags & 4 == 0 {
        return (rest.len() >= MIN_PROTECTED_LEN).then_some(&[]);
    }
    let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
    (length >= MIN_PROTECTED_LEN).then(|| rest.get(2 + length..)).flatten()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn dtls_12(kind: u8, epoch: u8, length: u16) -> Vec<u8> {
        let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9];
        record.extend(length.to_be_bytes());
        record.resize(13 + usize::from(length), 7);
        record
    }

    #[test]
    fn only_data_and_alerts_of_the_epoch_with_keys() {
        assert!(is_protected(&dtls_12(23, 1, 40)) && is_protected(&dtls_12(21, 1, 40)));
        for (kind, epoch) in [(20, 1), (21, 0), (22, 0), (22, 1), (23, 0), (23, 2), (26, 1)] {
            assert!(!is_protected(&dtls_12(kind, epoch, 40)), "{kind} {epoch}");
        }
        assert!(!is_protected(&dtls_12(23, 1, 16)), "nothing is that short");
        assert!(!is_protected(&[]));
    }

    #[test]
    fn the_unified_header_in_all_its_forms() {
        assert!(is_protected(&[&[0x2f, 1, 2, 0, 17][..], &[7; 17]].concat()));
        assert!(is_protected(&[&[0x2b, 1, 2][..], &[7; 17]].concat()), "no length: all the rest");
        assert!(is_protected(&[&[0x23, 1][..], &[7; 17]].concat()));
        assert!(!is_protected(&[&[0x3f, 1, 2, 0, 17][..], &[7; 17]].concat()), "a connection id");
        assert!(!is_protected(&[&[0x2f, 1, 2, 0, 18][..], &[7; 17]].concat()), "cut");
    }

    #[test]
    fn one_odd_record_spoils_the_datagram() {
        let good = dtls_12(23, 1, 40);
        assert!(is_protected(&[good.clone(), good.clone()].concat()));
        assert!(!is_protected(&[good.clone(), dtls_12(22, 0, 40)].concat()));
        assert!(!is_protected(&[&good[..], &[0]].concat()));
        assert!(!is_protected(&good.repeat(MAX_RECORDS + 1)));
    }

    #[test]
    fn a_datagram_is_cut_into_its_records() {
        let hello = dtls_12(22, 0, 40);
        let unified = [&[0x2e, 1, 2, 0, 17][..], &[7; 17]].concat();
        let rest = [&[0x2a, 1, 2][..], &[7; 30]].concat();
        let all = [&hello[..], &unified, &hello, &rest].concat();
        assert_eq!(records(&all).collect::<Vec<_>>(), [&hello[..], &unified, &hello, &rest]);
        let cut = [&hello[..], &hello[..30]].concat();
        assert_eq!(records(&cut).collect::<Vec<_>>(), [&hello[..], &hello[..30]]);
        assert_eq!(records(&[22]).collect::<Vec<_>>(), [[22]]);
        assert_eq!(records(&[]).count(), 0);
        assert_eq!(records(&hello.repeat(MAX_RECORDS)).count(), MAX_RECORDS);
        let many = hello.repeat(MAX_RECORDS + 1);
        assert_eq!(records(&many).collect::<Vec<_>>(), [&many[..]]);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..100_000 {
            let length = random.random_range(0..64);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.random_range(0..48)).collect();
            if let Some(first) = bytes.first_mut() {
                *first = random.random_range(16..64);
            }
            is_protected(&bytes);
            assert_eq!(records(&bytes).collect::<Vec<_>>().concat(), bytes);
        }
    }
}
