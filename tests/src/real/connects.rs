//! How long browsers take to connect.

use std::time::Duration;
use std::{fmt, io};

use serde_json::Value;

use crate::browser::{Browser, Kind, Site};

/// Time for a browser to start, and between two of its reports.
const PATIENCE: Duration = Duration::from_secs(60);

/// The code in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// This library's own.
    Ours,
    /// A client of an earlier version, which must go on working.
    Old,
}

/// The browser, with the arguments that are not everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Which browser.
    pub kind: Kind,
    /// Further arguments of its program.
    pub arguments: &'static [&'static str],
}

/// What a browser is to do.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The servers' address.
    pub host: &'a str,
    /// Who connects to which port; they take turns.
    pub runs: &'a [(Page, u16)],
    /// How often each.
    pub tries: usize,
    /// How many at a time.
    pub parallel: usize,
}

/// How one of the runs went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tries {
    /// Those that connected, the fastest first.
    pub connected: Vec<Connected>,
    /// Why the others did not connect.
    pub failed: Vec<String>,
    /// What the page could tell of the last: the DTLS version, and who knew of SNAP.
    pub manner: Manner,
}

/// One connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// From the page's `setLocalDescription` to its channel's `open`.
    pub took: Duration,
    /// When the channel opened, in microseconds since 1970.
    pub ended: u64,
}

/// How a page connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The DTLS version, as on the wire in hexadecimal digits; empty if the browser hides it.
    pub dtls: String,
    /// The page's role in it.
    pub role: String,
    /// Whether offer and answer had `a=sctp-init`.
    pub snap: [bool; 2],
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Page::Ours => "ours",
            Page::Old => "old",
        })
    }
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.dtls.as_str() {
            "FEFC" => "1.3",
            "FEFD" => "1.2",
            _ => "?",
        };
        let snap = if self.snap == [true; 2] { ", SNAP" } else { "" };
        write!(f, "DTLS {version} {}{snap}", self.role)
    }
}

impl Tries {
    /// The time that this share of all tries took at most; `None` if they did not connect.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let index = (share * self.count() as f64).ceil() as usize;
        self.connected.get(index.max(1) - 1).map(|one| one.took)
    }

    /// All tries.
    pub fn count(&self) -> usize {
        self.connected.len() + self.failed.len()
    }

    fn take(&mut self, report: &Value) {
        match (report["took"].as_f64(), report["error"].as_str()) {
            (Some(took), _) => {
                let took = Duration::from_secs_f64(took.max(0.0) / 1e3);
                let ended = report["ended"].as_u64().unwrap_or(0);
                let place = self.connected.partition_point(|other| other.took <= took);
                self.connected.insert(place, Connected { took, ended });
                self.manner = manner(report);
            }
            (None, why) => self.failed.push(why.unwrap_or("no time").to_owned()),
        }
    }
}

fn manner(report: &Value) -> Manner {
    let text = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
    let snap = [0, 1].map(|index| report["snap"][index] == true);
    Manner { dtls: text("tls").to_uppercase(), role: text("role"), snap }
}

/// Lets a browser connect, and gives how each of the runs went.
///
/// # Errors
/// The page reports something else.
///
/// # Panics
/// When the browser is not installed, or its page does not report for a minute.
pub fn connect(visitor: Visitor, request: &Request<'_>) -> io::Result<Vec<Tries>> {
    let site = Site::new();
    let url = site.url(&format!("connects.html?{}", query(request)));
    let _browser = Browser::start_with(visitor.kind, &url, visitor.arguments);
    let mut all = vec![Tries::default(); request.runs.len()];
    loop {
        let report = site.report(PATIENCE);
        if report["done"] == true {
            return Ok(all);
        }
        let run = report["run"].as_u64().and_then(|run| all.get_mut(run as usize));
        run.ok_or_else(|| io::Error::other(report.to_string()))?.take(&report);
    }
}

fn query(request: &Request<'_>) -> String {
    let Request { host, runs, tries, parallel } = request;
    let runs: Vec<String> = runs.iter().map(|(page, port)| format!("{page}@{port}")).collect();
    format!("host={host}&runs={}&tries={tries}&parallel={parallel}", runs.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_page_is_told_whom_to_connect_to() {
        let runs = [(Page::Ours, 4_000), (Page::Old, 4_001)];
        let request = Request { host: "203.0.113.1", runs: &runs, tries: 3, parallel: 1 };
        let expected = "host=203.0.113.1&runs=ours@4000,old@4001&tries=3&parallel=1";
        assert_eq!(query(&request), expected);
    }

    #[test]
    fn what_did_not_connect_took_for_ever() {
        let mut tries = Tries::default();
        for took in [300.0, 100.0, 200.0] {
            tries.take(&json!({ "took": took, "tls": "fefc", "snap": [true, false] }));
        }
        tries.take(&json!({ "error": "timeout" }));
        assert_eq!(tries.quantile(0.5), Some(200 * MS));
        assert_eq!((tries.quantile(0.75), tries.quantile(0.95)), (Some(300 * MS), None));
        assert_eq!(tries.manner.to_string(), "DTLS 1.3 ");
        assert_eq!(Tries::default().quantile(0.5), None);
    }
}
