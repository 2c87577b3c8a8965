//! Session descriptions (RFC 8866): our offers as text, and checks of remote descriptions before
//! str0m parses them.

pub(crate) mod offer;

use std::net::SocketAddr;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use str0m::IceCreds;
use str0m::channel::{ChannelConfig, Reliability};
use str0m::config::Fingerprint;

use crate::DtlsRole;

/// Maximum number of remote candidates that are read from an offer.
const MAX_REMOTE_CANDIDATES: usize = 16;

/// An offer for the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The session description; it has all candidates and `a=end-of-candidates`.
    pub sdp: String,
    /// The same candidates one by one, as in an `RTCIceCandidateInit`, for clients that expect them
    /// there.
    pub candidates: Vec<String>,
    /// The `a=mid` of the one media section.
    pub mid: String,
    /// The ICE username fragment of this side.
    pub ufrag: String,
}

/// Parameters of an offer.
#[derive(Debug)]
pub(crate) struct OfferParams<'a> {
    pub(crate) credentials: &'a IceCreds,
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) dtls_role: DtlsRole,
    pub(crate) max_message_size: usize,
    /// Our INIT chunk in base64, with SNAP.
    pub(crate) sctp_init: Option<&'a str>,
}

/// Identifier of the only media section.
const MID: &str = "0";

impl Offer {
    /// An offer of one data channel section with all our candidates, as an ICE-lite agent (RFC
    /// 8839, RFC 8841).
    pub(crate) fn new(terms: &OfferParams<'_>, announced: &[SocketAddr]) -> Offer {
        let candidates: Vec<_> = announced.iter().enumerate().map(host_candidate).collect();
        let IceCreds { ufrag, pass } = terms.credentials;
        let mut lines = vec![
            "v=0".to_owned(),
            format!("o=- {} 1 IN IP4 0.0.0.0", session_id(ufrag)),
            "s=-".to_owned(),
            "t=0 0".to_owned(),
            format!("a=group:BUNDLE {MID}"),
            "a=ice-lite".to_owned(),
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel".to_owned(),
            "c=IN IP4 0.0.0.0".to_owned(),
            format!("a=mid:{MID}"),
            format!("a=ice-ufrag:{ufrag}"),
            format!("a=ice-pwd:{pass}"),
            format!("a=fingerprint:{}", terms.fingerprint),
            format!("a=setup:{}", terms.dtls_role.as_str()),
            "a=sctp-port:5000".to_owned(),
            format!("a=max-message-size:{}", terms.max_message_size),
        ];
        lines.extend(terms.sctp_init.map(|init| format!("a=sctp-init:{init}")));
        lines.extend(candidates.iter().map(|candidate| format!("a={candidate}")));
        lines.push("a=end-of-candidates\r\n".to_owned());
        Offer { sdp: lines.join("\r\n"), candidates, mid: MID.to_owned(), ufrag: ufrag.clone() }
    }
}

impl DtlsRole {
    fn as_str(self) -> &'static str {
        match self {
            DtlsRole::Active => "active",
            DtlsRole::ActPass => "actpass",
        }
    }
}

/// Returns a unique session id (RFC 8866 §5.2): the low hexadecimal digits of the ufrag, which is
/// unique.
fn session_id(ufrag: &str) -> u64 {
    let digits = ufrag.len().saturating_sub(15);
    ufrag.get(digits..).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(1)
}

/// Returns a host candidate (RFC 8839 §5.1): foundation, component 1 (the only one), type
/// preference 126, and a local preference that decreases from one address to the next (RFC 8445
/// §5.1.2).
fn host_candidate((index, address): (usize, &SocketAddr)) -> String {
    let priority = (126 << 24) + ((65_535 - index.min(65_535) as u32) << 8) + 255;
    let (ip, port) = (address.ip(), address.port());
    format!("candidate:{} 1 udp {priority} {ip} {port} typ host", index + 1)
}

/// Checks that a remote offer has the required lines, and removes the candidates past the bound,
/// because str0m's cost is quadratic in them.
pub(crate) fn sanitize_offer(sdp: &str, most_bytes: usize, snap: bool) -> Result<String, String> {
    check_single_media(sdp, most_bytes)?;
    for needed in ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"] {
        line_value(sdp, needed).ok_or_else(|| format!("no {needed} line"))?;
    }
    let mut left = MAX_REMOTE_CANDIDATES;
    Ok(filter_lines(sdp, |line| {
        let drop = is_candidate(line) && (left == 0 || !line.starts_with("a=candidate:"));
        left -= usize::from(is_candidate(line) && !drop);
        drop || (!snap && line.starts_with("a=sctp-init:"))
    }))
}

/// Checks the size of a description, and that its only section is a data channel.
pub(crate) fn check_single_media(sdp: &str, most_bytes: usize) -> Result<(), String> {
    if sdp.len() > most_bytes {
        return Err(format!("{} bytes are more than the {most_bytes} allowed", sdp.len()));
    }
    match line_values(sdp, "m=").count() {
        1 => {}
        sections => return Err(format!("{sections} media sections; one was expected")),
    }
    line_value(sdp, "m=application").map(drop).ok_or_else(|| "no m=application line".into())
}

/// Returns the addresses of an offer's candidates.
pub(crate) fn candidate_addresses(sdp: &str) -> Vec<SocketAddr> {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a=candidate:"))
        .filter_map(candidate_addr)
        .collect()
}

fn candidate_addr(candidate: &str) -> Option<SocketAddr> {
    let mut fields = candidate.split_ascii_whitespace().skip(4);
    let ip = fields.next()?.parse().ok()?;
    Some(SocketAddr::new(ip, fields.next()?.parse().ok()?))
}

fn is_candidate(line: &str) -> bool {
    ["a=candidate:", "a=end-of-candidates", "a=remote-candidates:"]
        .iter()
        .any(|prefix| line.starts_with(prefix))
}

/// Returns the rest of the first line with this prefix.
pub(crate) fn line_value<'a>(sdp: &'a str, prefix: &'a str) -> Option<&'a str> {
    line_values(sdp, prefix).next()
}

/// Returns the rest of each line with this prefix.
pub(crate) fn line_values<'a>(sdp: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    sdp.lines().filter_map(move |line| line.strip_prefix(prefix)).map(str::trim_end)
}

fn filter_lines(sdp: &str, mut drop: impl FnMut(&str) -> bool) -> String {
    let mut text = String::with_capacity(sdp.len() + 128);
    for line in sdp.lines().filter(|line| !line.is_empty() && !drop(line)) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text
}

/// The required parts of an answer. Its candidates are ignored: the other side's addresses are
/// learned from its connectivity checks.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) credentials: IceCreds,
    pub(crate) fingerprint: Fingerprint,
    /// Whether this side is the DTLS client.
    pub(crate) is_dtls_client: bool,
    /// The INIT chunk of the other side's SCTP, with SNAP.
    pub(crate) sctp_init: Option<Vec<u8>>,
}

impl Answer {
    /// Parses an answer to an offer with this `a=setup`. The error is a message.
    pub(crate) fn parse(sdp: &str, most_bytes: usize, offered: DtlsRole) -> Result<Answer, String> {
        check_single_media(sdp, most_bytes)?;
        if sdp.lines().any(|line| line == "a=ice-lite") {
            return Err("a=ice-lite: one side has to make connectivity checks".into());
        }
        let text = |name| line_value(sdp, name).map(str::to_owned).ok_or(format!("no {name} line"));
        Ok(Answer {
            credentials: IceCreds { ufrag: text("a=ice-ufrag:")?, pass: text("a=ice-pwd:")? },
            fingerprint: fingerprint(sdp)?,
            is_dtls_client: is_dtls_client(line_value(sdp, "a=setup:"), offered),
            sctp_init: line_value(sdp, "a=sctp-init:").map(decode_init).transpose()?,
        })
    }
}

/// Returns the fingerprint, by SHA-256 if there are several (RFC 8122 §5.1).
fn fingerprint(sdp: &str) -> Result<Fingerprint, String> {
    let all = || line_values(sdp, "a=fingerprint:");
    let best = all().find(|text| text.to_ascii_lowercase().starts_with("sha-256"));
    let text = best.or_else(|| all().next()).ok_or("no a=fingerprint: line")?;
    let parsed = Fingerprint::from_str(text).map_err(|error| format!("a=fingerprint: {error}"))?;
    Ok(Fingerprint { hash_func: parsed.hash_func.to_ascii_lowercase(), ..parsed })
}

/// Whether this side is the DTLS client: the answerer decides (RFC 8842 §5.3); without a valid
/// value, our offer does.
fn is_dtls_client(setup: Option<&str>, offered: DtlsRole) -> bool {
    match setup {
        Some("active") => false,
        Some("passive") => true,
        _ => offered == DtlsRole::Active,
    }
}

/// INIT chunks of both sides (SNAP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitChunks {
    pub(crate) local: Vec<u8>,
    pub(crate) remote: Vec<u8>,
}

impl InitChunks {
    /// Returns those of two descriptions, if both have one.
    pub(crate) fn from_sdp(ours: &str, theirs: &str) -> Option<InitChunks> {
        let init = |sdp| decode_init(line_value(sdp, "a=sctp-init:")?).ok();
        Some(InitChunks { local: init(ours)?, remote: init(theirs)? })
    }
}

/// Decodes the chunk in an `a=sctp-init`. The error is a message.
pub(crate) fn decode_init(text: &str) -> Result<Vec<u8>, String> {
    Base64::decode_vec(text).map_err(|_| "a=sctp-init: not base64".into())
}

/// Configuration of the unreliable channel; str0m's default is ordered and reliable. `negotiated`
/// means that both sides open it themselves, as stream 0.
pub(crate) fn channel_config(negotiated: bool) -> ChannelConfig {
    ChannelConfig {
        label: "unreliable".into(),
        ordered: false,
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        negotiated: negotiated.then_some(0),
        ..ChannelConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 AA\r\na=mid:0\r\n\
        a=sctp-init:AQID\r\na=end-of-candidates\r\n";

    fn offer(setup: DtlsRole, init: Option<&str>) -> Offer {
        let credentials = IceCreds { ufrag: "00000000abcdef012345".into(), pass: "secret".into() };
        let fingerprint = Fingerprint { hash_func: "sha-256".into(), bytes: vec![10, 255] };
        let (credentials, fingerprint) = (&credentials, &fingerprint);
        let terms = OfferParams {
            credentials,
            fingerprint,
            dtls_role: setup,
            max_message_size: 99,
            sctp_init: init,
        };
        let announced =
            ["203.0.113.5:3000".parse().unwrap(), "[2001:db8::1]:3000".parse().unwrap()];
        Offer::new(&terms, &announced)
    }

    #[test]
    fn an_offer_says_what_we_are_and_where() {
        let offer = offer(DtlsRole::Active, Some("AQID"));
        for line in [
            "o=- 188900966474565 1 IN IP4 0.0.0.0",
            "a=ice-lite",
            "a=ice-ufrag:00000000abcdef012345",
            "a=ice-pwd:secret",
            "a=fingerprint:sha-256 0A:FF",
            "a=setup:active",
            "a=max-message-size:99",
            "a=sctp-init:AQID",
            "a=candidate:1 1 udp 2130706431 203.0.113.5 3000 typ host",
            "a=candidate:2 1 udp 2130706175 2001:db8::1 3000 typ host",
        ] {
            assert!(offer.sdp.lines().any(|other| other == line), "{line} in {}", offer.sdp);
        }
        assert!(offer.sdp.ends_with("\r\na=end-of-candidates\r\n"));
        assert_eq!(candidate_addresses(&offer.sdp).len(), 2);
        assert_eq!((offer.mid.as_str(), offer.candidates.len()), ("0", 2));
    }

    #[test]
    fn an_offer_leaves_out_what_is_switched_off() {
        let offer = offer(DtlsRole::ActPass, None);
        assert!(offer.sdp.contains("a=setup:actpass\r\n"));
        assert!(!offer.sdp.contains("sctp-init"));
    }

    #[test]
    fn an_offer_to_us_keeps_a_few_candidates() {
        let many = format!("{THEIRS}{}", "a=candidate:9 1 udp 1 192.0.2.9 1 typ host\n".repeat(50));
        let clean = sanitize_offer(&many, 16_384, true).unwrap();
        assert_eq!(candidate_addresses(&clean).len(), MAX_REMOTE_CANDIDATES);
        assert!(clean.contains("a=sctp-init:AQID\r\n"));
        assert!(!sanitize_offer(&many, 16_384, false).unwrap().contains("sctp-init"));
    }

    #[test]
    fn what_is_missing_in_an_offer_is_named() {
        let refused = |sdp: &str| sanitize_offer(sdp, 2_000, true).unwrap_err();
        assert_eq!(refused(""), "0 media sections; one was expected");
        assert_eq!(refused(&THEIRS.repeat(2)), "2 media sections; one was expected");
        assert_eq!(refused(&THEIRS.replace("a=fing", "a=ring")), "no a=fingerprint: line");
        assert_eq!(refused(&THEIRS.replace("application", "audio")), "no m=application line");
        assert_eq!(refused(&"v".repeat(2_001)), "2001 bytes are more than the 2000 allowed");
    }

    #[test]
    fn mdns_names_have_no_address() {
        assert_eq!(candidate_addresses("a=candidate:1 1 udp 1 6c7.local 5000 typ host"), []);
    }
}

#[cfg(test)]
mod answer_tests {
    use super::*;

    const ANSWER: &str = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n\
        a=fingerprint:SHA-256 0A:ff\r\na=setup:passive\r\na=sctp-init:AQID\r\n";

    fn parsed(sdp: &str) -> Result<Answer, String> {
        Answer::parse(sdp, 2_000, DtlsRole::Active)
    }

    #[test]
    fn what_is_needed_is_read() {
        let answer = parsed(ANSWER).unwrap();
        assert_eq!(answer.credentials.ufrag, "abcd");
        assert_eq!(answer.credentials.pass, "abcdefghijklmnopqrstuv");
        assert_eq!(answer.fingerprint.to_string(), "sha-256 0A:FF");
        assert_eq!((answer.is_dtls_client, answer.sctp_init), (true, Some(vec![1, 2, 3])));
    }

    #[test]
    fn an_answer_loses_every_candidate() {
        let hostile = "a=candidate:9 1 udp 1 169.254.169.254 1 typ host\n".repeat(50);
        let answer =
            Answer::parse(&format!("{ANSWER}{hostile}"), 16_384, DtlsRole::Active).unwrap();
        assert!(!format!("{answer:?}").contains("169.254"), "{answer:?}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let refused = |from: &str, to: &str| parsed(&ANSWER.replace(from, to)).unwrap_err();
        assert_eq!(refused("a=fing", "a=ring"), "no a=fingerprint: line");
        assert_eq!(refused("application", "audio"), "no m=application line");
        assert_eq!(refused("a=ice-pwd", "a=pwd"), "no a=ice-pwd: line");
        assert!(refused("0A:ff", "0A:fg").starts_with("a=fingerprint: "));
        assert!(refused("v=0", "v=0\r\na=ice-lite").starts_with("a=ice-lite: "));
        assert_eq!(refused("AQID", "*"), "a=sctp-init: not base64");
        assert_eq!(parsed("").unwrap_err(), "0 media sections; one was expected");
        assert_eq!(parsed(&ANSWER.repeat(2)).unwrap_err(), "2 media sections; one was expected");
        let filled = format!("{ANSWER}{}", "v".repeat(2_000 - ANSWER.len()));
        assert!(parsed(&filled).is_ok(), "as long as may be");
        assert_eq!(
            parsed(&"v".repeat(2_001)).unwrap_err(),
            "2001 bytes are more than the 2000 allowed"
        );
    }

    #[test]
    fn sha_256_is_the_best_of_several_fingerprints() {
        let two = ANSWER.replace("a=fing", "a=fingerprint:sha-1 01\r\na=fing");
        assert_eq!(parsed(&two).unwrap().fingerprint.hash_func, "sha-256");
    }

    #[test]
    fn the_other_side_says_who_begins() {
        for (said, offered, expected) in [
            (Some("active"), DtlsRole::Active, false),
            (Some("passive"), DtlsRole::ActPass, true),
            (Some("actpass"), DtlsRole::ActPass, false),
            (None, DtlsRole::ActPass, false),
            (None, DtlsRole::Active, true),
        ] {
            assert_eq!(is_dtls_client(said, offered), expected, "{said:?} {offered:?}");
        }
    }
}
