//! The client's end: a browser with a page, or a program.

use std::io;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Lines;
use crate::browser::{Browser, Kind, Site};

/// Time for a browser to start, and between two reports of anybody.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who connects to the server and reports what it sent and received.
pub enum End {
    /// An unmodified browser.
    Browser(Site, Browser),
    /// A program that prints its reports.
    Program(Lines),
}

impl End {
    /// Opens the page with these words behind the `?`.
    ///
    /// # Panics
    /// When the browser is not installed.
    pub fn browser(kind: Kind, query: &str) -> End {
        let site = Site::new();
        let browser = Browser::start(kind, &site.url(&format!("flow.html?{query}")));
        End::Browser(site, browser)
    }

    /// Starts a program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn program(command: &mut Command) -> io::Result<End> {
        Lines::start(command).map(End::Program)
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
