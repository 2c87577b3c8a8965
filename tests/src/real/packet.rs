//! A record of what went over a link.

use std::fmt;

use serde_json::Value;

/// A packet that entered the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, in microseconds since 1970.
    pub at: u64,
    /// `up` (from the client) or `down`.
    pub way: String,
    /// The number of the protocol above IP.
    pub protocol: u64,
    /// With all headers.
    pub bytes: u64,
    /// What the datagram or TCP segment carries, as much of it as was recorded.
    pub payload: Vec<u8>,
    /// Whether it left the link.
    pub passed: bool,
}

const TCP: u64 = 6;
const UDP: u64 = 17;

impl Packet {
    /// All of those that these lines of the link tell of.
    pub fn told(lines: &[Value]) -> Vec<Packet> {
        lines.iter().filter_map(|line| Packet::of(&line["packet"])).collect()
    }

    fn of(row: &Value) -> Option<Packet> {
        Some(Packet {
            at: row[0].as_u64()?,
            way: row[1].as_str()?.to_owned(),
            protocol: row[2].as_u64()?,
            bytes: row[3].as_u64()?,
            payload: bytes(row[4].as_str()?),
            passed: row[5] == true,
        })
    }

    /// What it is, in a few words.
    pub fn words(&self) -> String {
        match (self.protocol, self.payload.as_slice()) {
            (TCP, []) => "TCP".to_owned(),
            (TCP, payload) => format!("TCP {:?}", printable(payload)),
            (UDP, payload) => datagram(payload),
            (other, _) => format!("IP {other}"),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = if self.passed { "" } else { "LOST " };
        write!(f, "{:4} {:4} B {lost}{}", self.way, self.bytes, self.words())
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0) as u8;
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |n, byte| n << 4 | digit(byte)))
        .collect()
}

/// By the first byte (RFC 9443 §3).
fn datagram(payload: &[u8]) -> String {
    match payload {
        [0..=3, ..] => stun(payload),
        [20..=63, ..] => records(payload),
        _ => "UDP".to_owned(),
    }
}

/// RFC 8489 §5.
fn stun(payload: &[u8]) -> String {
    let kind = match payload {
        [0, 1, ..] => "request",
        [1, 1, ..] => "response",
        [1, 0x11, ..] => "error",
        _ => "message",
    };
    let has = |attribute: u16| {
        let mut rest = payload.get(20..).unwrap_or_default();
        while let [a, b, c, d, value @ ..] = rest {
            if u16::from_be_bytes([*a, *b]) == attribute {
                return true;
            }
            let length = usize::from(u16::from_be_bytes([*c, *d])).next_multiple_of(4);
            rest = value.get(length..).unwrap_or_default();
        }
        false
    };
    let nominates = if has(0x0025) { " USE-CANDIDATE" } else { "" };
    format!("STUN {kind}{nominates}")
}

/// RFC 6347 §4.1 and RFC 9147 §4.
fn records(mut payload: &[u8]) -> String {
    let mut words = Vec::new();
    while let [first, ..] = payload {
        let (word, length) = match (first, payload) {
            (20..=25, [kind, _, _, _, epoch, ..]) if payload.len() >= 13 => {
                let body = usize::from(u16::from_be_bytes([payload[11], payload[12]]));
                let handshake = payload.get(13).filter(|_| *kind == 22 && *epoch == 0);
                (plain(*kind, *epoch, handshake), 13 + body)
            }
            (32..=63, _) => unified(payload),
            _ => break,
        };
        words.push(word);
        payload = payload.get(length..).unwrap_or_default();
    }
    format!("DTLS {}", words.join(" + "))
}

fn plain(kind: u8, epoch: u8, handshake: Option<&u8>) -> String {
    let message = match handshake {
        Some(1) => "ClientHello",
        Some(2) => "ServerHello",
        Some(3) => "HelloVerifyRequest",
        Some(11) => "Certificate",
        Some(12) => "ServerKeyExchange",
        Some(13) => "CertificateRequest",
        Some(14) => "ServerHelloDone",
        Some(15) => "CertificateVerify",
        Some(16) => "ClientKeyExchange",
        _ => match kind {
            20 => "ChangeCipherSpec",
            21 => "alert",
            22 => "handshake",
            23 => "data",
            _ => "record",
        },
    };
    if epoch == 0 { message.to_owned() } else { format!("{message}, epoch {epoch}") }
}

/// A record with the header of DTLS 1.3: its contents' type is encrypted.
fn unified(payload: &[u8]) -> (String, usize) {
    let first = payload[0];
    let connection = 0; // no connection ids here
    let number = if first & 0x08 == 0 { 1 } else { 2 };
    let at = 1 + connection + number;
    let length = match (first & 0x04, payload.get(at..at + 2)) {
        (4, Some([high, low])) => at + 2 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => payload.len(),
    };
    (format!("{length} B of epoch {}", first & 3), length)
}

fn printable(payload: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(payload).chars().take(60).collect();
    text.chars().filter(|c| !c.is_control() && *c != '\u{FFFD}').collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(hex: &str) -> String {
        datagram(&bytes(hex))
    }

    #[test]
    fn a_line_is_a_packet() {
        let lines = [json!({ "packet": [7, "up", 17, 48, "0001", false] }), json!({ "done": [] })];
        let packets = Packet::told(&lines);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].to_string(), "up     48 B LOST STUN request");
    }

    #[test]
    fn what_a_datagram_is_shows_in_its_first_bytes() {
        let header = "0101000021120a42000102030405060708090a0b";
        assert_eq!(words(header), "STUN response");
        let check = format!("0001{}00240004000000ff00250000", &header[4..]);
        assert_eq!(words(&check), "STUN request USE-CANDIDATE");
        let hello = "16fefd0000000000000000000201aa";
        let finished = "16fefd00010000000000000001ff";
        assert_eq!(words(&format!("{hello}{finished}")), "DTLS ClientHello + handshake, epoch 1");
        assert_eq!(words("2e00010002aabb"), "DTLS 7 B of epoch 2");
        assert_eq!(words("ff"), "UDP");
    }
}
