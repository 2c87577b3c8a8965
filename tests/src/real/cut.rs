//! What a link lets nothing of through.

use std::str::FromStr;
use std::{fmt, io};

/// What a link drops whole, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// The link is up.
    #[default]
    Nothing,
    /// UDP, as when a firewall or a NAT has lost its state.
    Datagrams,
    /// All of IP, as when a radio has no signal.
    Everything,
}

const WORDS: [(&str, Cut); 3] =
    [("nothing", Cut::Nothing), ("datagrams", Cut::Datagrams), ("everything", Cut::Everything)];

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.iter().find(|(_, cut)| cut == self);
        f.write_str(word.expect("each has a word").0)
    }
}

impl FromStr for Cut {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Cut> {
        let found = WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, cut)| *cut).ok_or_else(|| io::Error::other(format!("no cut: {text}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_means_itself() {
        for (word, cut) in WORDS {
            assert_eq!((word.parse::<Cut>().unwrap(), cut.to_string()), (cut, word.to_owned()));
        }
        assert!("some".parse::<Cut>().is_err());
    }
}
