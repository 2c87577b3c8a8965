//! Ids and information of peers.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Accepted, PathStats, Request, admission};

/// Id of a peer: 0 for the first that opened, then 1, and so on, never reused.
///
/// A `PeerId` is a number with a type of its own. It can be the key of a map,
/// [`as_u64`](PeerId::as_u64) and `u64::from` return the number, and functions that take an id also
/// take a number or a reference:
///
/// ```no_run
/// # let (server, _queue) = net::Server::new("127.0.0.1:3000");
/// use std::collections::HashMap;
/// use net::PeerId;
///
/// let names = HashMap::from([(PeerId::from(7), "Ada")]);
/// for (id, name) in &names {
///     server.send_reliable(id, format!("{name} is number {}", id.as_u64()));
/// }
/// ```
///
/// With the feature `serde` it is (de)serialised as its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct PeerId(u64);

impl PeerId {
    /// Returns its number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

// The only `From` of an integer: with a second one the literal in `send_reliable(0, ..)` would
// have no type.
impl From<u64> for PeerId {
    fn from(id: u64) -> PeerId {
        PeerId(id)
    }
}

impl From<&PeerId> for PeerId {
    fn from(id: &PeerId) -> PeerId {
        *id
    }
}

impl From<PeerId> for u64 {
    fn from(id: PeerId) -> u64 {
        id.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Address, request and path statistics of an open peer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The address of its websocket. Behind one of
    /// [`Config::trusted_proxies`](crate::Config::trusted_proxies) it is the address that the proxy
    /// names, with port 0 where it names none.
    pub remote: SocketAddr,
    /// The path of its request, for example `/room/7`.
    pub uri_path: String,
    /// The query of its request, percent-encoded, without the `?`, if there was one; without the
    /// item `net=compatible`, by which a client asks for
    /// [`HandshakeOptions::COMPATIBLE`](crate::HandshakeOptions::COMPATIBLE).
    /// [`query_value`](PeerInfo::query_value) decodes it.
    pub query: Option<String>,
    /// The subprotocol that [`Config::accept`](crate::Config::accept) chose.
    pub subprotocol: Option<String>,
    /// Round-trip time, loss, rate and drops of its unreliable path, at the time of the call.
    pub path_stats: PathStats,
    user_data: UserData,
}

impl PeerInfo {
    pub(crate) fn new(request: &Request, admission: Accepted) -> PeerInfo {
        PeerInfo {
            remote: request.remote(),
            uri_path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
            subprotocol: admission.subprotocol,
            path_stats: PathStats::default(),
            user_data: UserData(admission.user_data),
        }
    }

    /// Returns the number of bytes that the client chose, which are kept as long as this value.
    pub(crate) fn memory_size(&self) -> usize {
        self.uri_path.len() + self.query.as_ref().map_or(0, String::len)
    }

    /// Returns the first value of that name in its query, decoded: `a b` of `?name=a%20b`.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        admission::find_query_value(self.query.as_deref()?, name)
    }

    /// Returns the value with which [`Config::accept`](crate::Config::accept) accepted it, if that
    /// is a `T`.
    pub fn user_data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.user_data.0.clone().downcast().ok()
    }
}

/// Application data attached to a peer.
#[derive(Clone)]
struct UserData(Arc<dyn Any + Send + Sync>);

impl PartialEq for UserData {
    /// Compares by identity (`Arc::ptr_eq`).
    fn eq(&self, other: &UserData) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}
