//! What all connections of a hub share.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use net_rtc::{Endpoint, HandshakeProgress};

use crate::admission::NoVerdict;
use crate::hub::client_addr::is_trusted;
use crate::hub::close_cause::{Ending, Full, Scope};
use crate::hub::diagnostics::{Came, Case};
use crate::hub::handshake::Questions;
use crate::hub::limits::{Awaits, Census, GivesWay, Place};
use crate::hub::origin::Origins;
use crate::hub::reachability::Reach;
use crate::hub::{ConnectionId, Output};
use crate::{CloseReason, Config, PeerId, Refusal, Stage};

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) endpoint: Endpoint<ConnectionId>,
    pub(super) open: HashMap<PeerId, ConnectionId>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) origins: Origins,
    pub(super) census: Census,
    pub(super) questions: Questions,
    /// Connections that end once the present call is done, because of others.
    pub(super) to_end: Vec<(ConnectionId, Ending)>,
    /// Refused connections that are not over: their words are on the way, or wait for a request.
    /// Ids count up, so the first is the oldest.
    pub(super) lingering: BTreeSet<ConnectionId>,
    next_peer: u64,
    reach: Reach,
    lines: Lines,
    /// The same of peers that are slow.
    slow: Lines,
    /// The same of faults of ours.
    pub(super) faults: Lines,
}

impl Core {
    pub(super) fn new(
        config: Config,
        local: Vec<SocketAddr>,
        announced: Vec<SocketAddr>,
        seed: Option<u64>,
    ) -> Core {
        let reach = Reach::new(local.clone(), announced.clone());
        let webrtc = net_rtc::Config { seed, ..config.webrtc(local, announced) };
        Core {
            endpoint: Endpoint::new(webrtc),
            origins: Origins::new(&config),
            lines: Lines::new(config.log_lines),
            slow: Lines::new(config.log_lines),
            faults: Lines::new(config.log_lines),
            census: Census::new(config.clone()),
            config,
            questions: Questions::default(),
            to_end: Vec::new(),
            lingering: BTreeSet::new(),
            open: HashMap::new(),
            outputs: VecDeque::new(),
            next_peer: 0,
            reach,
        }
    }

    /// Where datagrams arrive, and what browsers are told, has changed.
    pub(super) fn set_addresses(&mut self, local: Vec<SocketAddr>, announced: Vec<SocketAddr>) {
        self.reach = Reach::new(local.clone(), announced.clone());
        self.endpoint.set_addresses(local, announced);
    }

    /// The addresses to offer a client there, whose websocket came in on `arrived`.
    pub(super) fn candidates(&self, client: IpAddr, arrived: Option<IpAddr>) -> Vec<SocketAddr> {
        self.reach.candidates(client, arrived, self.config.max_candidates)
    }

    /// Gives a connection from there the next id, unless there are too many peers.
    pub(super) fn admit(&mut self, connection: ConnectionId, place: Place) -> Result<PeerId, Full> {
        self.room_for_peer(place)?;
        let id = PeerId::from(self.next_peer);
        self.next_peer += 1;
        self.open.insert(id, connection);
        self.census.open(connection, place);
        Ok(id)
    }

    /// Whether there may be one more peer, from there.
    pub(super) fn room_for_peer(&self, place: Place) -> Result<(), Full> {
        if self.open.len() >= self.config.peers {
            return Err(Full::Peers(Scope::All));
        }
        self.census.has_room_for_peer(place)
    }

    /// Makes room for a connection from there.
    pub(super) fn make_room(&mut self, now: Instant, place: Place) -> Result<(), Full> {
        let is_proven = |id| is_proven(&self.endpoint, id);
        let gives_way = self.census.room(now, place, is_proven)?;
        self.give_way(gives_way);
        Ok(())
    }

    /// Has a connection give way that is late with its next step, if there is one.
    pub(super) fn end_late(&mut self, now: Instant) {
        let is_proven = |id| is_proven(&self.endpoint, id);
        let gives_way = self.census.late(now, is_proven);
        self.give_way(gives_way);
    }

    fn give_way(&mut self, gives_way: Option<GivesWay>) {
        let end = |GivesWay { id, scope }| (id, Full::GaveWay(scope).into());
        self.to_end.extend(gives_way.map(end));
    }

    /// A request waits for the application's verdict; another may wait in vain because of it.
    pub(super) fn wait_for_verdict(&mut self, id: ConnectionId, place: Place) {
        self.census.progress(id, Awaits::Verdict);
        let turned_away = self.questions.push(&self.config, id, place);
        self.to_end.extend(turned_away.map(|id| (id, NoVerdict::Busy.into())));
    }

    /// Whether connections from there may be somebody else's.
    pub(super) fn is_proxy(&self, remote: SocketAddr) -> bool {
        is_trusted(&self.config.trusted_proxies, remote.ip())
    }

    /// Whether a connection's answer is in, so that only its channel is awaited.
    pub(super) fn has_answered(&self, connection: ConnectionId) -> bool {
        self.endpoint.stage(&connection).is_some_and(|stage| stage > net_rtc::WebRtcStage::Answer)
    }

    /// Tells that a connection will not become a peer, and why.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        age: Duration,
        came: Came,
        ending: &Ending,
    ) {
        let refusal = self.diagnose(now, remote, &[], age, came, ending);
        self.outputs.push_back(Output::Refused(refusal));
    }

    /// Why a connection will not become a peer. `offered` is what it was told of addresses, `age`
    /// the time since it connected, `came` how far it has come since. Goes to the log, too.
    pub(super) fn diagnose(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        offered: &[SocketAddr],
        age: Duration,
        came: Came,
        ending: &Ending,
    ) -> Refusal {
        let ip = remote.ip();
        let (config, reach) = (&self.config, &self.reach);
        let case = Case { config, reach, remote: ip, offered, age, came };
        let (stage, words) = (case.stage(ending), case.words(ending));
        let (cause, setting) = (words.cause, words.setting);
        let refusal = Refusal { remote, stage, reason: ending.reason(), cause, setting };
        if let Some(unwritten) = self.lines.admit(now) {
            log(&refusal, came.evidence(), unwritten);
        }
        refusal
    }

    /// Writes a line about a peer that is slow, unless there were too many.
    pub(super) fn warn_of_slow(&mut self, now: Instant, line: fmt::Arguments<'_>) {
        match self.slow.admit(now) {
            None => {}
            Some(0) => log::warn!("{line}"),
            Some(unwritten) => log::warn!("{line} ({unwritten} such lines were left out)"),
        }
    }
}

/// Whether authenticated datagrams of a connection have come.
fn is_proven(endpoint: &Endpoint<ConnectionId>, id: ConnectionId) -> bool {
    endpoint.handshake_progress(&id).is_some_and(|evidence| evidence.stun_checks > 0)
}

/// One line with everything. What keeps honest clients out is a warning.
fn log(refusal: &Refusal, evidence: Option<HandshakeProgress>, unwritten: u64) {
    let level = match refusal.stage {
        _ if refusal.reason == CloseReason::AcceptPanicked => log::Level::Error,
        Stage::Ice | Stage::Dtls | Stage::Channel if refusal.setting.is_some() => log::Level::Warn,
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

/// Bounds the lines of one kind.
#[derive(Debug)]
pub(super) struct Lines {
    /// In a second.
    most: u32,
    /// When the second began, and how many lines it has seen.
    second: Option<(Instant, u32)>,
    unwritten: u64,
}

impl Lines {
    pub(super) fn new(most: u32) -> Lines {
        Lines { most, second: None, unwritten: 0 }
    }

    /// Whether a line may be written now, and if so how many were not since the last one.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        let (began, lines) = match self.second {
            Some((began, lines)) if now < began + Duration::from_secs(1) => (began, lines),
            _ => (now, 0),
        };
        self.second = Some((began, (lines + 1).min(self.most)));
        if lines >= self.most {
            self.unwritten += 1;
            return None;
        }
        Some(std::mem::take(&mut self.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_second_and_the_rest_is_counted() {
        let mut lines = Lines::new(10);
        let now = Instant::now();
        let admitted = |lines: &mut Lines, at: Duration| {
            (0..100).filter_map(|_| lines.admit(now + at)).collect::<Vec<_>>()
        };
        assert_eq!(admitted(&mut lines, Duration::ZERO), [0; 10]);
        assert_eq!(admitted(&mut lines, Duration::from_millis(999)), [0; 0]);
        let next = admitted(&mut lines, Duration::from_secs(1));
        assert_eq!((next[0], &next[1..]), (190, &[0; 9][..]));
    }
}
