//! SDP answer to our offer (RFC 8866, RFC 8839).

use std::str::FromStr;

use base64ct::{Base64, Encoding};
use str0m::IceCreds;
use str0m::config::Fingerprint;

use crate::DtlsRole;
use crate::sdp::{check_single_media, line_value, line_values};

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

#[cfg(test)]
mod tests {
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
