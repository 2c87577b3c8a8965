//! The client's end: a browser with a page, or a program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fmt, io};

use serde_json::Value;

use super::Lines;
use crate::browser::{Browser, Kind, Site};

/// Time for a browser to start, and between two reports of anybody.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// An unmodified browser, with the page `flow.html`.
    Browser(Kind),
    /// Python, with `aiortc/flow.py`; the variable `NET_TESTS_PYTHON` names the interpreter.
    Aiortc,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Browser(kind) => write!(f, "{kind:?}"),
            Client::Aiortc => f.write_str("aiortc"),
        }
    }
}

/// A client at work, which reports what it sent and received.
pub enum End {
    /// A browser and the site of its page.
    Browser(Site, Browser),
    /// A program that prints its reports.
    Program(Lines),
}

impl End {
    /// Starts a client with the words of [`Plan::query`](super::Plan::query).
    ///
    /// # Errors
    /// It cannot be started.
    ///
    /// # Panics
    /// When the browser is not installed.
    pub fn start(client: Client, query: &str) -> io::Result<End> {
        match client {
            Client::Browser(kind) => {
                let site = Site::new();
                let browser = Browser::start(kind, &site.url(&format!("flow.html?{query}")));
                Ok(End::Browser(site, browser))
            }
            Client::Aiortc => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("aiortc/flow.py");
                Lines::start(Command::new(python()).arg(script).arg(query)).map(End::Program)
            }
        }
    }

    /// The next report.
    ///
    /// # Errors
    /// It says that something failed, or is none.
    ///
    /// # Panics
    /// When a page does not report for a minute.
    pub fn report(&self) -> io::Result<Value> {
        let report = match self {
            End::Browser(site, _) => site.report(PATIENCE),
            End::Program(lines) => serde_json::from_str(&lines.next(PATIENCE)?)?,
        };
        match report["ok"] == true {
            true => Ok(report),
            false => Err(io::Error::other(report.to_string())),
        }
    }
}

/// The interpreter that `tests/all` fills with packages.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    env::var_os("NET_TESTS_PYTHON")
        .map_or_else(|| root.join("../target/python/bin/python"), PathBuf::from)
}
