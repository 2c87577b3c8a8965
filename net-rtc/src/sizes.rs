//! How much an endpoint holds.

/// How many entries the tables and queues of an [`Endpoint`](crate::Endpoint) have. Once its
/// peers are gone and [`poll_output`](crate::Endpoint::poll_output) has given everything, all
/// are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Peers that are connecting or connected.
    pub peers: usize,
    /// Keys of peers.
    pub keys: usize,
    /// Source addresses that lead to a peer.
    pub routes: usize,
    /// Peers that want to be woken.
    pub deadlines: usize,
    /// Peers that a record from an unknown address may be tried on, and silent ones among them.
    pub findable: usize,
    /// Datagrams and events that wait to be polled.
    pub outputs: usize,
    /// Peers with messages for the next poll.
    pub unflushed: usize,
    /// Peers on their way whose clients may ask for the address that they are seen at.
    pub binding_clients: usize,
}
