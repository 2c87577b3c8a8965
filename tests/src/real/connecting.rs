//! How a server lets its peers connect, in the words of a command line.

use std::io;

use net::HandshakeOptions;

/// One switch of [`HandshakeOptions`]: its word, and what turns it to the value of another.
type Switch = (&'static str, fn(&mut HandshakeOptions, &HandshakeOptions));

/// Every switch of [`HandshakeOptions`].
pub const SWITCHES: [Switch; 8] = [
    ("nomination", |to, from| to.auto_nomination = from.auto_nomination),
    ("dtls13", |to, from| to.dtls_versions = from.dtls_versions),
    ("active", |to, from| to.dtls_role = from.dtls_role),
    ("snap", |to, from| to.snap = from.snap),
    ("negotiated", |to, from| to.negotiated = from.negotiated),
    ("early", |to, from| to.early_checks = from.early_checks),
    ("resend", |to, from| to.initial_rto = from.initial_rto),
    ("shared", |to, from| to.shared_dtls_config = from.shared_dtls_config),
];

/// `all`, `stock` or `compatible`, and then switches that are turned on or off behind it:
/// `all,-snap` is everything but that, `stock,+dtls13,+active` nothing but those.
///
/// # Errors
/// A word that is none of them.
pub fn parse_connecting(text: &str) -> io::Result<HandshakeOptions> {
    let unknown = |word: &str| io::Error::other(format!("no word for how to connect: {word:?}"));
    let mut words = text.split(',');
    let mut connecting = match words.next().unwrap_or_default() {
        "all" => HandshakeOptions::default(),
        "stock" => HandshakeOptions::STR0M_DEFAULTS,
        "compatible" => HandshakeOptions::COMPATIBLE,
        other => return Err(unknown(other)),
    };
    for word in words {
        let (sign, name) = word.split_at_checked(1).ok_or_else(|| unknown(word))?;
        let (_, turn) =
            SWITCHES.iter().find(|(switch, _)| *switch == name).ok_or_else(|| unknown(word))?;
        match sign {
            "+" => turn(&mut connecting, &HandshakeOptions::default()),
            "-" => turn(&mut connecting, &HandshakeOptions::STR0M_DEFAULTS),
            _ => return Err(unknown(word)),
        }
    }
    Ok(connecting)
}

#[cfg(test)]
mod tests {
    use net::{DtlsRole, DtlsVersions};

    use super::*;

    #[test]
    fn every_switch_makes_a_difference() {
        let all = HandshakeOptions::default();
        let mut stock = HandshakeOptions::STR0M_DEFAULTS;
        for (name, turn) in SWITCHES {
            let one = parse_connecting(&format!("all,-{name}")).unwrap();
            assert_ne!(one, all, "{name}");
            turn(&mut stock, &all);
        }
        assert_eq!(stock, all, "every switch has a word");
    }

    #[test]
    fn words_add_up() {
        let only = parse_connecting("stock,+dtls13,+active").unwrap();
        assert_eq!((only.dtls_versions, only.dtls_role), (DtlsVersions::Auto, DtlsRole::Active));
        assert!(!only.snap && !only.auto_nomination);
        for wrong in ["", "fast", "all,snap", "all,-fast", "all,", "-snap"] {
            assert!(parse_connecting(wrong).is_err(), "{wrong}");
        }
    }
}
