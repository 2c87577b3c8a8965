//! What is known of a peer.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Accepted, PathStats, Request, admission};

/// Where an open peer is, what it asked for, and how the way to it is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The address of its websocket. Behind one of
    /// [`Config::trusted_proxies`](crate::Config::trusted_proxies) it is what that says, with
    /// port 0 where it says none.
    pub remote: SocketAddr,
    /// The path that it asked for, as in `/room/7`.
    pub uri_path: String,
    /// What stood behind the `?`, if there was one; without the item `net=compatible`, by
    /// which a client asks for [`HandshakeOptions::COMPATIBLE`](crate::HandshakeOptions::COMPATIBLE). As it
    /// was sent; [`query_value`](PeerInfo::query_value) reads it.
    pub query: Option<String>,
    /// The subprotocol that [`Config::accept`](crate::Config::accept) chose.
    pub subprotocol: Option<String>,
    /// Round trip, loss, rate and drops of its unreliable path, as they were at the call.
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

    /// Bytes that the client chose, and that are kept as long as this is.
    pub(crate) fn memory_size(&self) -> usize {
        self.uri_path.len() + self.query.as_ref().map_or(0, String::len)
    }

    /// The first value of that name in its query, decoded: `a b` of `?name=a%20b`.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        admission::find_query_value(self.query.as_deref()?, name)
    }

    /// What [`Config::accept`](crate::Config::accept) accepted it with, if that is a `T`.
    pub fn user_data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.user_data.0.clone().downcast().ok()
    }
}

/// What the application knows of a peer.
#[derive(Clone)]
struct UserData(Arc<dyn Any + Send + Sync>);

impl PartialEq for UserData {
    /// Whether it is the same one.
    fn eq(&self, other: &UserData) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}
