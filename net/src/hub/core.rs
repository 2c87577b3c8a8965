//! What all connections of a hub share.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use net_rtc::Endpoint;

use super::{ConnectionId, Output};
use crate::{CloseReason, Config, PeerId, Refusal};

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) endpoint: Endpoint<ConnectionId>,
    pub(super) open: HashMap<PeerId, ConnectionId>,
    pub(super) outputs: VecDeque<Output>,
    next_peer: u64,
}

impl Core {
    pub(super) fn new(
        config: Config,
        local: Vec<SocketAddr>,
        announced: Vec<SocketAddr>,
        seed: Option<u64>,
    ) -> Core {
        let webrtc = net_rtc::Config { seed, ..config.webrtc(local, announced) };
        Core {
            endpoint: Endpoint::new(webrtc),
            config,
            open: HashMap::new(),
            outputs: VecDeque::new(),
            next_peer: 0,
        }
    }

    /// Gives a connection the next id, unless there are too many peers.
    pub(super) fn admit(&mut self, connection: ConnectionId) -> Option<PeerId> {
        if self.open.len() >= self.config.peers {
            return None;
        }
        let id = PeerId::from(self.next_peer);
        self.next_peer += 1;
        self.open.insert(id, connection);
        Some(id)
    }

    /// Whether a connection's answer is in, so that only its channel is awaited.
    pub(super) fn has_answered(&self, connection: ConnectionId) -> bool {
        self.endpoint.stage(&connection).is_some_and(|stage| stage > net_rtc::Stage::Answer)
    }

    pub(super) fn refuse(&mut self, remote: SocketAddr, reason: CloseReason) {
        let refusal = Refusal { remote, reason };
        log::info!("refused {refusal}");
        self.outputs.push_back(Output::Refused(refusal));
    }
}
