//! What command lines say.

use std::io;

use crate::lab::Load;

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
    fn a_load_is_three_numbers() {
        assert_eq!(parse_load("100x10x200").unwrap(), Load::bursts(100, 10, 200));
        assert_eq!(load_text(Load::steady(60, 1_000)), "1x60x1000");
        for wrong in ["", "1x60", "1x0x200", "axbxc", "1x2x3x4"] {
            assert!(parse_load(wrong).is_err(), "{wrong}");
        }
    }
}
