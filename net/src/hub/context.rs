//! State shared by all connections of a hub.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use net_rtc::{Endpoint, HandshakeProgress};

use crate::admission::HookError;
use crate::hub::client_addr::is_trusted;
use crate::hub::close_cause::{CloseCause, LimitHit, LimitScope};
use crate::hub::diagnostics::{ConnectProgress, FailureContext};
use crate::hub::handshake::AcceptQueue;
use crate::hub::limits::{Awaiting, ClientKey, ConnLimits, Evicted};
use crate::hub::origin::OriginPolicy;
use crate::hub::reachability::UdpAddrs;
use crate::hub::{ConnectionId, Output};
use crate::{CloseReason, Config, ConnectFailure, HandshakeStage, PeerId};

/// State that all connections of a hub share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) endpoint: Endpoint<ConnectionId>,
    pub(super) peers: HashMap<PeerId, ConnectionId>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) origin_policy: OriginPolicy,
    pub(super) conn_limits: ConnLimits,
    pub(super) accept_queue: AcceptQueue,
    /// Other connections to close at the end of the present call.
    pub(super) pending_closes: Vec<(ConnectionId, CloseCause)>,
    /// Refused connections that are not over: their close frame is being sent, or waits for a
    /// request. Ids increase, so the first is the oldest.
    pub(super) lingering: BTreeSet<ConnectionId>,
    next_peer_id: u64,
    udp_addrs: UdpAddrs,
    failure_log: LogLimiter,
    /// Limits log lines about slow consumers.
    slow_consumer_log: LogLimiter,
    /// Limits log lines about panics.
    pub(super) panic_log: LogLimiter,
}

impl Context {
    pub(super) fn new(
        config: Config,
        local: Vec<SocketAddr>,
        announced: Vec<SocketAddr>,
        seed: Option<u64>,
    ) -> Context {
        let udp_addrs = UdpAddrs::new(local.clone(), announced.clone());
        let webrtc = net_rtc::Config { seed, ..config.rtc_config(local, announced) };
        Context {
            endpoint: Endpoint::new(webrtc),
            origin_policy: OriginPolicy::new(&config),
            failure_log: LogLimiter::new(config.max_log_lines_per_sec),
            slow_consumer_log: LogLimiter::new(config.max_log_lines_per_sec),
            panic_log: LogLimiter::new(config.max_log_lines_per_sec),
            conn_limits: ConnLimits::new(config.clone()),
            config,
            accept_queue: AcceptQueue::default(),
            pending_closes: Vec::new(),
            lingering: BTreeSet::new(),
            peers: HashMap::new(),
            outputs: VecDeque::new(),
            next_peer_id: 0,
            udp_addrs,
        }
    }

    /// Replaces the receiving and the advertised addresses.
    pub(super) fn set_addresses(&mut self, local: Vec<SocketAddr>, announced: Vec<SocketAddr>) {
        self.udp_addrs = UdpAddrs::new(local.clone(), announced.clone());
        self.endpoint.set_addresses(local, announced);
    }

    /// Returns the addresses to offer a client there, whose websocket arrived on `arrived`.
    pub(super) fn candidates(&self, client: IpAddr, arrived: Option<IpAddr>) -> Vec<SocketAddr> {
        self.udp_addrs.candidates(client, arrived, self.config.max_candidates)
    }

    /// Assigns a connection from there the next peer id, unless there are too many peers.
    pub(super) fn open_peer(
        &mut self,
        connection: ConnectionId,
        place: ClientKey,
    ) -> Result<PeerId, LimitHit> {
        self.check_peer_limit(place)?;
        let id = PeerId::from(self.next_peer_id);
        self.next_peer_id += 1;
        self.peers.insert(id, connection);
        self.conn_limits.on_open(connection, place);
        Ok(id)
    }

    /// Returns whether one more peer from there is within the limits.
    pub(super) fn check_peer_limit(&self, place: ClientKey) -> Result<(), LimitHit> {
        if self.peers.len() >= self.config.max_peers {
            return Err(LimitHit::Peers(LimitScope::All));
        }
        self.conn_limits.check_peer_limit(place)
    }

    /// Reserves a place for a pending connection from there, evicting another if necessary.
    pub(super) fn reserve_handshake(
        &mut self,
        now: Instant,
        place: ClientKey,
    ) -> Result<(), LimitHit> {
        let is_proven = |id| is_validated(&self.endpoint, id);
        let gives_way = self.conn_limits.check_handshake_limit(now, place, is_proven)?;
        self.evict(gives_way);
        Ok(())
    }

    /// Evicts a connection that has stalled, if there is one.
    pub(super) fn evict_stalled(&mut self, now: Instant) {
        let is_proven = |id| is_validated(&self.endpoint, id);
        let gives_way = self.conn_limits.next_stalled(now, is_proven);
        self.evict(gives_way);
    }

    fn evict(&mut self, gives_way: Option<Evicted>) {
        let end = |Evicted { id, scope }| (id, LimitHit::Evicted(scope).into());
        self.pending_closes.extend(gives_way.map(end));
    }

    /// Queues a request for the admission hook; another may be refused because of it.
    pub(super) fn queue_accept_request(&mut self, id: ConnectionId, place: ClientKey) {
        self.conn_limits.set_awaiting(id, Awaiting::Decision);
        let turned_away = self.accept_queue.push(&self.config, id, place);
        self.pending_closes.extend(turned_away.map(|id| (id, HookError::QueueFull.into())));
    }

    /// Returns whether connections from there are a trusted proxy's, on behalf of clients.
    pub(super) fn is_trusted_proxy(&self, remote: SocketAddr) -> bool {
        is_trusted(&self.config.trusted_proxies, remote.ip())
    }

    /// Returns whether a connection has answered, so that only its channel is awaited.
    pub(super) fn has_answered(&self, connection: ConnectionId) -> bool {
        self.endpoint.stage(&connection).is_some_and(|stage| stage > net_rtc::WebRtcStage::Answer)
    }

    /// Reports that a connection failed to become a peer, and the cause.
    pub(super) fn report_failure(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        age: Duration,
        came: ConnectProgress,
        ending: &CloseCause,
    ) {
        let refusal = self.explain_failure(now, remote, &[], age, came, ending);
        self.outputs.push_back(Output::ConnectFailed(refusal));
    }

    /// Explains and logs why a connection failed. `offered` are the candidates it got, `age` the
    /// time since it connected, `came` its progress.
    pub(super) fn explain_failure(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        offered: &[SocketAddr],
        age: Duration,
        came: ConnectProgress,
        ending: &CloseCause,
    ) -> ConnectFailure {
        let ip = remote.ip();
        let (config, reach) = (&self.config, &self.udp_addrs);
        let case = FailureContext {
            config,
            udp_addrs: reach,
            remote: ip,
            offered_addrs: offered,
            age,
            progress: came,
        };
        let (stage, words) = (case.stage(ending), case.explain(ending));
        let (cause, setting) = (words.cause, words.hint);
        let refusal =
            ConnectFailure { remote, stage, reason: ending.close_reason(), cause, hint: setting };
        if let Some(unwritten) = self.failure_log.allow(now) {
            log_failure(&refusal, came.handshake_progress(), unwritten);
        }
        refusal
    }

    /// Logs a line about a slow consumer, within the rate limit.
    pub(super) fn warn_slow_consumer(&mut self, now: Instant, line: fmt::Arguments<'_>) {
        match self.slow_consumer_log.allow(now) {
            None => {}
            Some(0) => log::warn!("{line}"),
            Some(unwritten) => log::warn!("{line} ({unwritten} such lines were left out)"),
        }
    }
}

/// Returns whether authenticated datagrams of a connection have arrived.
fn is_validated(endpoint: &Endpoint<ConnectionId>, id: ConnectionId) -> bool {
    endpoint.handshake_progress(&id).is_some_and(|evidence| evidence.stun_checks > 0)
}

/// Logs all details in one line. Causes that keep honest clients out are warnings.
fn log_failure(refusal: &ConnectFailure, evidence: Option<HandshakeProgress>, unwritten: u64) {
    let level = match refusal.stage {
        _ if refusal.reason == CloseReason::AcceptPanicked => log::Level::Error,
        HandshakeStage::Ice | HandshakeStage::Dtls | HandshakeStage::Channel
            if refusal.hint.is_some() =>
        {
            log::Level::Warn
        }
        _ => log::Level::Info,
    };
    if unwritten > 0 {
        log::log!(level, "refused {unwritten} others, too many to name");
    }
    match evidence {
        Some(HandshakeProgress {
            stun_checks: checks,
            dtls_datagrams: records,
            bad_integrity: forged,
            ..
        }) => log::log!(
            level,
            "refused {refusal} ({checks} checks, {records} DTLS datagrams, {forged} forged checks)"
        ),
        None => log::log!(level, "refused {refusal}"),
    }
}

/// Rate limiter of log lines of one kind.
#[derive(Debug)]
pub(super) struct LogLimiter {
    /// Maximum number of lines per second.
    max_per_sec: u32,
    /// Start of the current second, and the lines logged in it.
    window: Option<(Instant, u32)>,
    suppressed: u64,
}

impl LogLimiter {
    pub(super) fn new(max_per_sec: u32) -> LogLimiter {
        LogLimiter { max_per_sec, window: None, suppressed: 0 }
    }

    /// Returns `Some` if a line may be logged now, with the number of lines suppressed since the
    /// last one.
    pub(super) fn allow(&mut self, now: Instant) -> Option<u64> {
        let (began, lines) = match self.window {
            Some((began, lines)) if now < began + Duration::from_secs(1) => (began, lines),
            _ => (now, 0),
        };
        self.window = Some((began, (lines + 1).min(self.max_per_sec)));
        if lines >= self.max_per_sec {
            self.suppressed += 1;
            return None;
        }
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_and_the_rest_is_counted() {
        let mut lines = LogLimiter::new(10);
        let now = Instant::now();
        let admitted = |lines: &mut LogLimiter, at: Duration| {
            (0..100).filter_map(|_| lines.allow(now + at)).collect::<Vec<_>>()
        };
        assert_eq!(admitted(&mut lines, Duration::ZERO), [0; 10]);
        assert_eq!(admitted(&mut lines, Duration::from_millis(999)), [0; 0]);
        let next = admitted(&mut lines, Duration::from_secs(1));
        assert_eq!((next[0], &next[1..]), (190, &[0; 9][..]));
    }
}
