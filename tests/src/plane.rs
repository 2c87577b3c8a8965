//! The unreliable data plane of a server or a client: the one place where tests choose it.

use std::net::SocketAddr;
use std::time::Duration;

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(86_400);
/// What str0m lets wait inside SCTP by default, in bytes.
const STOCK_SERVER: usize = 128 * 1024;
/// What Chromium lets wait inside a data channel, in bytes.
const STOCK_BROWSER: usize = 16 * 1024 * 1024;
/// In front of a stock SCTP nothing waits: one message is the least that is possible.
const ONE_MESSAGE: usize = 1;

/// How unreliable messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// As this library sends them by default.
    Ours,
    /// Over plain SCTP, which nothing keeps from queueing: as other servers and unmodified
    /// browsers do.
    Stock,
}

impl Plane {
    /// A server with this plane.
    pub fn server(self) -> net::Config {
        let config = net::Config::default();
        match self {
            Plane::Ours => config,
            Plane::Stock => net::Config {
                data_path: net::DataPathMode::PlainSctp,
                sctp_send_buffer: STOCK_SERVER,
                unreliable_send_buffer: ONE_MESSAGE,
                unreliable_max_age: FOR_EVER,
                ..config
            },
        }
    }

    /// A client with this plane, whose datagrams leave from `local`.
    pub fn client(self, local: SocketAddr, seed: Option<u64>) -> net_rtc::Config {
        let config = net_rtc::Config { seed, ..net_rtc::Config::new(vec![local]) };
        match self {
            Plane::Ours => config,
            Plane::Stock => net_rtc::Config {
                data_path: net_rtc::DataPathMode::PlainSctp,
                sctp_send_buffer: STOCK_BROWSER,
                unreliable_send_buffer: ONE_MESSAGE,
                unreliable_max_age: FOR_EVER,
                ..config
            },
        }
    }
}
