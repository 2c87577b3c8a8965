//! The application's word on who may become a peer.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::Request;

/// Asks the application whether a client may become a peer: [`Config::accept`].
///
/// ```no_run
/// use net::{Accept, Config, Server, Verdict};
///
/// #[derive(Clone)]
/// struct Account(String);
///
/// # fn look_up(ticket: &str) -> Option<Account> { Some(Account(ticket.into())) }
/// let accept = Accept::new(|request| match request.cookie("ticket").and_then(look_up) {
///     Some(account) => Verdict::accept(account),
///     None => Verdict::refuse(403, "no ticket"),
/// });
/// let config = Config { accept: Some(accept), ..Config::default() };
/// let (server, queue) = Server::bind("127.0.0.1:3000", config)?;
///
/// // Later, of an open peer:
/// let account = server.peer(0).and_then(|peer| peer.value::<Account>());
/// # Ok::<(), net::BindError>(())
/// ```
///
/// It runs on threads of its own ([`Config::accept_threads`]), so it may wait for a file or a
/// database: nobody else waits with it. Two of them are equal if one is a clone of the other.
///
/// [`Config::accept`]: crate::Config::accept
/// [`Config::accept_threads`]: crate::Config::accept_threads
#[derive(Clone)]
pub struct Accept {
    hook: Arc<dyn Fn(&Request) -> Verdict + Send + Sync>,
}

/// Whether a client may become a peer.
#[derive(Clone, Debug)]
#[must_use = "a verdict decides nothing until Config::accept returns it"]
pub enum Verdict {
    /// It may; the offer follows.
    Accept(Admission),
    /// It may not, and is told so in the way that it can read.
    ///
    /// Browsers show no HTTP status to a page. A browser's request, one that names an `Origin`,
    /// is therefore upgraded and closed at once with a close code and `accept: {reason}`; no offer
    /// is made. The code is 1008, or 1013 ("try again later", which `net.js` does) for status
    /// 503. Any other client is answered with the HTTP status.
    Refuse {
        /// The HTTP status, 400 to 599, for example 403; another goes out as 500.
        status: u16,
        /// Why, for the client, the log and [`Refusal::cause`](crate::Refusal::cause). A browser
        /// is told its first 115 bytes.
        reason: String,
    },
}

/// What a client is accepted with.
#[derive(Clone, Debug)]
pub struct Admission {
    /// What the application wants to know of the peer while it lives:
    /// [`PeerInfo::value`](crate::PeerInfo::value). It may be dropped on the server's own thread,
    /// or by a call that takes events, so its `Drop` must neither wait nor panic.
    pub value: Arc<dyn Any + Send + Sync>,
    /// The subprotocol, one of [`Request::protocols`]; another is left out. A browser that
    /// offers some hangs up if none of them is chosen.
    pub protocol: Option<String>,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission { value: Arc::new(()), protocol: None }
    }
}

/// Why there is no verdict on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVerdict {
    /// Too many requests wait for theirs: [`Config::accept_queue`](crate::Config::accept_queue).
    Busy,
    /// None came within [`Config::upgrade_timeout`](crate::Config::upgrade_timeout).
    Late,
    /// The application panicked.
    Panicked,
}

impl Verdict {
    /// It may; `value` is kept for [`PeerInfo::value`](crate::PeerInfo::value), `()` if there is
    /// nothing to keep.
    pub fn accept(value: impl Any + Send + Sync) -> Verdict {
        Verdict::Accept(Admission { value: Arc::new(value), ..Admission::default() })
    }

    /// It may not, with an HTTP status and the reason: [`Verdict::Refuse`]. Status 503 is for what
    /// is temporary.
    pub fn refuse(status: u16, reason: impl Into<String>) -> Verdict {
        Verdict::Refuse { status, reason: reason.into() }
    }

    /// The same with a subprotocol, see [`Admission::protocol`]; changes no refusal.
    pub fn with_protocol(mut self, protocol: impl Into<String>) -> Verdict {
        if let Verdict::Accept(admission) = &mut self {
            admission.protocol = Some(protocol.into());
        }
        self
    }
}

impl Accept {
    /// Asks this. It should answer within [`Config::upgrade_timeout`](crate::Config::upgrade_timeout), which
    /// counts from the TCP connection: a request that has no verdict by then is refused with 503
    /// (a browser is told 1013), one whose verdict is a panic with 500 (1011).
    #[must_use = "it is asked once it is in Config::accept"]
    pub fn new(hook: impl Fn(&Request) -> Verdict + Send + Sync + 'static) -> Accept {
        Accept { hook: Arc::new(hook) }
    }

    /// Asks it now, on this thread: for who drives a [`Hub`](crate::hub::Hub).
    ///
    /// # Errors
    /// [`NoVerdict::Panicked`] if it panics, where panics unwind.
    pub fn ask(&self, request: &Request) -> Result<Verdict, NoVerdict> {
        // Nothing of ours is changed by it, and what is the application's own is its own care.
        catch_unwind(AssertUnwindSafe(|| (self.hook)(request))).map_err(|_| NoVerdict::Panicked)
    }
}

impl PartialEq for Accept {
    fn eq(&self, other: &Accept) -> bool {
        Arc::ptr_eq(&self.hook, &other.hook)
    }
}

impl Eq for Accept {}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accept(..)")
    }
}
