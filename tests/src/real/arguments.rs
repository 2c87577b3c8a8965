//! What command lines say.

use std::io;

use net::{Congestion, Repair};

use crate::lab::Load;
use crate::plane::Plane;

const PLANES: [(&str, Plane); 2] = [("ours", Plane::Ours), ("stock", Plane::Stock)];
const CONGESTIONS: [(&str, Congestion); 2] =
    [("adaptive", Congestion::DelayBased), ("simple", Congestion::LossBased)];
const REPAIRS: [(&str, Repair); 3] =
    [("off", Repair::Off), ("while-lossy", Repair::WhileLossy), ("on", Repair::On)];

/// The pairs of `--name value`.
///
/// # Errors
/// A name without value, or a value without name.
pub fn arguments(words: &[String]) -> io::Result<Vec<(&str, &str)>> {
    let pairs = words.chunks(2).map(|pair| match pair {
        [name, value] if name.starts_with("--") => Ok((name.as_str(), value.as_str())),
        other => Err(io::Error::other(format!("instead of --name value: {other:?}"))),
    });
    pairs.collect()
}

/// A load in the words of the command line and of the page's address: `1x60x200` is one message
/// at a time, 60 times a second, of 200 bytes.
///
/// # Errors
/// These are not three numbers.
pub fn parse_load(text: &str) -> io::Result<Load> {
    let numbers: Result<Vec<u32>, _> = text.split('x').map(str::parse).collect();
    match numbers.as_deref() {
        Ok([burst, per_second, bytes]) if *per_second > 0 && *burst > 0 => {
            Ok(Load::bursts(*burst, *per_second, *bytes as usize))
        }
        _ => Err(io::Error::other(format!("instead of BURSTxRATExBYTES: {text}"))),
    }
}

/// A data plane: `ours` or `stock`.
///
/// # Errors
/// It is none.
pub fn parse_plane(text: &str) -> io::Result<Plane> {
    parse(&PLANES, text)
}

/// How the sending rate is found: `adaptive` or `simple`.
///
/// # Errors
/// It is none.
pub fn parse_congestion(text: &str) -> io::Result<Congestion> {
    parse(&CONGESTIONS, text)
}

/// When messages ride again: `off`, `while-lossy` or `on`.
///
/// # Errors
/// It is none.
pub fn parse_repair(text: &str) -> io::Result<Repair> {
    parse(&REPAIRS, text)
}

pub(super) fn plane_text(plane: Plane) -> &'static str {
    text(&PLANES, plane)
}

pub(super) fn congestion_text(congestion: Congestion) -> &'static str {
    text(&CONGESTIONS, congestion)
}

pub(super) fn repair_text(repair: Repair) -> &'static str {
    text(&REPAIRS, repair)
}

fn parse<T: Copy>(words: &[(&str, T)], text: &str) -> io::Result<T> {
    let found = words.iter().find(|(word, _)| *word == text);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| io::Error::other(format!("no word for it: {text}")))
}

fn text<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, other)| *other == value).map_or("?", |(word, _)| word)
}

/// The reverse of [`parse_load`].
pub(super) fn load_text(load: Load) -> String {
    format!("{}x{}x{}", load.burst, load.bursts_per_second, load.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_in_pairs() {
        let words = ["--delay", "20", "--loss", "0.05"].map(str::to_owned);
        assert_eq!(arguments(&words).unwrap(), [("--delay", "20"), ("--loss", "0.05")]);
        assert!(arguments(&words[..3]).is_err());
        assert!(arguments(&words[1..3]).is_err());
    }

    #[test]
    fn every_word_means_itself() {
        for (word, repair) in REPAIRS {
            assert_eq!((parse_repair(word).unwrap(), repair_text(repair)), (repair, word));
        }
        for (word, congestion) in CONGESTIONS {
            assert_eq!(parse_congestion(word).unwrap(), congestion);
            assert_eq!(congestion_text(congestion), word);
        }
        for (word, plane) in PLANES {
            assert_eq!((parse_plane(word).unwrap(), plane_text(plane)), (plane, word));
        }
        assert!(parse_repair("never").is_err());
    }

    #[test]
    fn a_load_is_three_numbers() {
        assert_eq!(parse_load("100x10x200").unwrap(), Load::bursts(100, 10, 200));
        assert_eq!(load_text(Load::steady(60, 1_000)), "1x60x1000");
        for wrong in ["", "1x60", "1x0x200", "axbxc", "1x2x3x4"] {
            assert!(parse_load(wrong).is_err(), "{wrong}");
        }
    }
}
