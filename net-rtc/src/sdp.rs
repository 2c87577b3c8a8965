//! Session descriptions (RFC 8866) as text: what is taken out and put in before and after
//! str0m sees them.

use std::net::SocketAddr;

/// Most remote candidates that are read from an offer.
const CANDIDATES: usize = 16;

/// An offer to hand to the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The session description; it carries every candidate and says that there are no more.
    pub sdp: String,
    /// The same candidates one by one, as in an `RTCIceCandidateInit`, for clients that look
    /// for them there.
    pub candidates: Vec<String>,
    /// The `a=mid` of the one media section.
    pub mid: String,
    /// The ICE username fragment of this side.
    pub ufrag: String,
}

impl Offer {
    /// Puts our own candidates in place of those in `sdp`.
    pub(crate) fn new(sdp: &str, announced: &[SocketAddr], ufrag: &str) -> Offer {
        let candidates: Vec<_> = announced.iter().enumerate().map(host_candidate).collect();
        let mut text = without(sdp, is_candidate);
        for candidate in &candidates {
            text.push_str(&format!("a={candidate}\r\n"));
        }
        text.push_str("a=end-of-candidates\r\n");
        let mid = value(sdp, "a=mid:").unwrap_or_default().to_owned();
        Offer { sdp: text, candidates, mid, ufrag: ufrag.to_owned() }
    }
}

/// RFC 8839 §5.1: foundation, component 1 (there is only one), type preference 126, and a
/// local preference that falls from one address to the next (RFC 8445 §5.1.2).
fn host_candidate((index, address): (usize, &SocketAddr)) -> String {
    let priority = (126 << 24) + ((65_535 - index.min(65_535) as u32) << 8) + 255;
    let (ip, port) = (address.ip(), address.port());
    format!("candidate:{} 1 udp {priority} {ip} {port} typ host", index + 1)
}

/// Checks an answer, or an offer, for what we need of it, and takes out the candidates: every
/// one (str0m's cost is quadratic in them, and checks reveal the address anyway), or those
/// past a bound.
pub(crate) fn checked(sdp: &str, most_bytes: usize, role: Role) -> Result<String, String> {
    if sdp.len() > most_bytes {
        return Err(format!("{} bytes are more than the {most_bytes} allowed", sdp.len()));
    }
    match sdp.lines().filter(|line| line.starts_with("m=")).count() {
        1 => {}
        sections => return Err(format!("{sections} media sections; one was expected")),
    }
    for needed in ["m=application", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"] {
        if value(sdp, needed).is_none() {
            return Err(format!("no {needed} line"));
        }
    }
    let mut left = role.candidates();
    Ok(without(sdp, |line| {
        let drop = is_candidate(line) && (left == 0 || !line.starts_with("a=candidate:"));
        left -= usize::from(is_candidate(line) && !drop);
        drop
    }))
}

/// Who reads a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// We offered and learn the other side's address from its checks.
    Offerer,
    /// We answer and check the addresses that the offer names.
    Answerer,
}

impl Role {
    fn candidates(self) -> usize {
        match self {
            Role::Offerer => 0,
            Role::Answerer => CANDIDATES,
        }
    }
}

/// The addresses of an offer's candidates.
pub(crate) fn candidate_addresses(sdp: &str) -> Vec<SocketAddr> {
    sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:")).filter_map(address).collect()
}

fn address(candidate: &str) -> Option<SocketAddr> {
    let mut fields = candidate.split_ascii_whitespace().skip(4);
    let ip = fields.next()?.parse().ok()?;
    Some(SocketAddr::new(ip, fields.next()?.parse().ok()?))
}

fn is_candidate(line: &str) -> bool {
    ["a=candidate:", "a=end-of-candidates", "a=remote-candidates:"]
        .iter()
        .any(|prefix| line.starts_with(prefix))
}

fn value<'a>(sdp: &'a str, prefix: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.strip_prefix(prefix))
}

fn without(sdp: &str, mut drop: impl FnMut(&str) -> bool) -> String {
    let mut text = String::with_capacity(sdp.len() + 128);
    for line in sdp.lines().filter(|line| !line.is_empty() && !drop(line)) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 AA\r\na=mid:0\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn an_offer_carries_our_candidates_only() {
        let announced =
            ["203.0.113.5:3000".parse().unwrap(), "[2001:db8::1]:3000".parse().unwrap()];
        let offer = Offer::new(ANSWER, &announced, "abcd");
        assert!(!offer.sdp.contains("192.0.2.7"));
        assert!(offer.sdp.contains("a=candidate:1 1 udp 2130706431 203.0.113.5 3000 typ host\r\n"));
        assert!(offer.sdp.ends_with(
            "a=candidate:2 1 udp 2130706175 2001:db8::1 3000 typ host\r\na=end-of-candidates\r\n"
        ));
        assert_eq!(candidate_addresses(&offer.sdp), announced);
        assert_eq!((offer.mid.as_str(), offer.candidates.len()), ("0", 2));
    }

    #[test]
    fn an_answer_loses_every_candidate() {
        let hostile =
            format!("{ANSWER}{}", "a=candidate:9 1 udp 1 169.254.169.254 1 typ host\n".repeat(50));
        let clean = checked(&hostile, 16_384, Role::Offerer).unwrap();
        assert!(!clean.contains("candidate"), "{clean}");
        assert!(clean.contains("a=fingerprint:sha-256 AA\r\n"));
    }

    #[test]
    fn an_offer_keeps_a_few_candidates() {
        let many = format!("{ANSWER}{}", "a=candidate:9 1 udp 1 192.0.2.9 1 typ host\n".repeat(50));
        let clean = checked(&many, 16_384, Role::Answerer).unwrap();
        assert_eq!(candidate_addresses(&clean).len(), CANDIDATES);
    }

    #[test]
    fn what_is_missing_is_named() {
        let refused = |sdp: &str| checked(sdp, 2_000, Role::Offerer).unwrap_err();
        assert_eq!(refused(""), "0 media sections; one was expected");
        assert_eq!(refused(&ANSWER.repeat(2)), "2 media sections; one was expected");
        assert_eq!(refused(&ANSWER.replace("a=fing", "a=ring")), "no a=fingerprint: line");
        assert_eq!(refused(&ANSWER.replace("application", "audio")), "no m=application line");
        assert_eq!(refused(&"v".repeat(2_001)), "2001 bytes are more than the 2000 allowed");
    }

    #[test]
    fn mdns_names_have_no_address() {
        assert_eq!(candidate_addresses("a=candidate:1 1 udp 1 6c7.local 5000 typ host"), []);
    }
}
