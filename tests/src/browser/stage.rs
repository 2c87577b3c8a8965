//! A server with a browser on it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use net::{Config, ConnectFailure};
use serde_json::Value;

use super::{Answerer, Browser, Kind, Site};

/// Time for a browser to start and a page to do its work.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, a site and a browser that visits it; it is told the server's port.
pub struct Stage {
    // The order of the fields is the order in which they end.
    _browser: Browser,
    /// Where the page comes from.
    pub site: Site,
    /// The server.
    pub answerer: Answerer,
}

impl Stage {
    /// Opens a page, as `echo.html?count=1`.
    ///
    /// # Panics
    /// When the browser is not installed.
    pub fn open(kind: Kind, page: &str) -> Self {
        Self::with(kind, page, Config::default())
    }

    /// The same with a server of this configuration.
    ///
    /// # Panics
    /// As [`open`](Stage::open).
    pub fn with(kind: Kind, page: &str, config: Config) -> Self {
        let _ = env_logger::builder().is_test(true).try_init();
        let answerer = Answerer::on((Ipv4Addr::LOCALHOST, 0), config);
        Self::before(answerer, page, |url| Browser::start(kind, url))
    }

    /// The same with a server and a browser of the caller's.
    pub fn before(answerer: Answerer, page: &str, browser: impl FnOnce(&str) -> Browser) -> Self {
        let site = Site::new();
        let mark = if page.contains('?') { '&' } else { '?' };
        let url = site.url(&format!("{page}{mark}port={}", answerer.address().port()));
        Self { _browser: browser(&url), site, answerer }
    }

    /// The last refusal, which the server may see a moment after the page.
    ///
    /// # Panics
    /// When there is none within 5 s.
    pub fn refusal(&self) -> ConnectFailure {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if let Some(last) = self.answerer.refusals().pop() {
                return last;
            }
            std::thread::yield_now();
        }
        panic!("no refusal in time");
    }

    /// The page's next report, which must say `ok`.
    ///
    /// # Panics
    /// When it says otherwise, or none comes within a minute.
    pub fn report(&mut self) -> Value {
        let report = self.site.report(PATIENCE);
        assert_eq!(report["ok"], true, "{report:#}\n{}", self.site.log());
        report
    }
}

/// A port on which nothing listens, unless another program takes it within the test.
///
/// # Panics
/// When there is none.
pub fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
