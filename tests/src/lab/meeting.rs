//! A server and a client that connect over a bad network, from the answer on.

mod play;
mod sent;

use std::time::Duration;

use net_rtc::{DtlsRole, HandshakeOptions};

use self::play::Play;
pub use self::sent::Sent;

const SECOND: Duration = Duration::from_secs(1);

/// What two need to know to connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meeting {
    /// The server's switches.
    pub server: HandshakeOptions,
    /// The client's.
    pub client: HandshakeOptions,
    /// The path between them and back.
    pub round_trip: Duration,
    /// What the path loses each way, from 0 to 1.
    pub loss: f64,
    /// What chance follows from; but dimpl draws the times of its flights itself.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// From the answer to `Open` at the server, and at the client; `None` if it never came.
    pub opened: [Option<Duration>; 2],
    /// Why it ended before, at either.
    pub ended: Option<String>,
    /// What was sent.
    pub datagrams: Vec<Sent>,
}

impl Default for Meeting {
    /// As both are by default, over an empty path of 20 ms and back; the client repeats what is
    /// lost after a second, as the SCTP of browsers does.
    fn default() -> Meeting {
        let client = HandshakeOptions { initial_rto: Some(SECOND), ..HandshakeOptions::default() };
        Meeting {
            server: HandshakeOptions::default(),
            client,
            round_trip: Duration::from_millis(20),
            loss: 0.0,
            seed: 1,
        }
    }
}

impl Meeting {
    /// Connects the two.
    pub fn run(&self) -> Met {
        Play::new(self).run()
    }
}

/// The server's switches that can be told apart here, with none, each alone, and all.
pub fn switches() -> Vec<(&'static str, HandshakeOptions)> {
    let (all, stock) = (HandshakeOptions::default(), HandshakeOptions::STR0M_DEFAULTS);
    vec![
        ("stock", stock),
        ("self-nomination", HandshakeOptions { auto_nomination: true, ..stock }),
        ("DTLS 1.3", HandshakeOptions { dtls_versions: all.dtls_versions, ..stock }),
        ("active", HandshakeOptions { dtls_role: DtlsRole::Active, ..stock }),
        ("SNAP", HandshakeOptions { snap: true, ..stock }),
        ("negotiated", HandshakeOptions { negotiated: true, ..stock }),
        ("early checks", HandshakeOptions { early_checks: true, ..stock }),
        ("resend", HandshakeOptions { initial_rto: all.initial_rto, ..stock }),
        ("all but resend", HandshakeOptions { initial_rto: None, ..all }),
        ("compatible", HandshakeOptions::COMPATIBLE),
        ("all", all),
    ]
}
