//! What is measured in passing and worth reading at the end of `tests/all`.

use std::env;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;

/// Prints a line, and adds it to the file NET_TESTS_NUMBERS if there is to be one.
pub fn tell(line: impl Display) {
    println!("{line}");
    let Some(path) = env::var_os("NET_TESTS_NUMBERS") else { return };
    let file = OpenOptions::new().create(true).append(true).open(path);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{line}")) {
        log::warn!("numbers are not kept: {error}");
    }
}
