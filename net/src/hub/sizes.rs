//! How much a hub holds.

/// How many entries the tables and queues of a [`Hub`](super::Hub) have. Once its connections
/// are gone and [`poll_output`](super::Hub::poll_output) has given everything, all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// TCP connections.
    pub connections: usize,
    /// Those on their way to open.
    pub waiting: usize,
    /// Those that are open.
    pub peers: usize,
    /// Addresses of which there is a connection.
    pub addresses: usize,
    /// Connections that want to be woken.
    pub deadlines: usize,
    /// What waits to be polled.
    pub outputs: usize,
    /// The WebRTC side.
    pub endpoint: net_rtc::Sizes,
}
