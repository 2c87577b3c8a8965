//! Connection migration (cf. RFC 9000 §9): remote addresses, path validation, and probes of an idle
//! peer.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use log::debug;

use crate::datagram::{is_binding_request, is_protected, is_stun};
use crate::endpoint::demux::LookupKey;
use crate::peer::amplification::AmplificationLimit;
use crate::peer::path::{FourTuple, Inserted, SeenBy};
use crate::peer::state::State;
use crate::peer::{Peer, PeerOutput};
use crate::sctp::RecvActivity;

/// Silence of an address after which it may be routed to another peer.
const ADDR_SILENT_AFTER: Duration = Duration::from_millis(250);

/// Result of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatagramOutcome {
    /// Not authenticated.
    Ignored,
    /// Authenticated as the peer's.
    Authenticated,
    /// Authenticated, and its path is validated by a path response.
    PathValidated,
}

impl Peer {
    /// Handles a datagram that may be from this peer.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        way: FourTuple,
        contents: &[u8],
        out: &mut Vec<PeerOutput>,
    ) -> DatagramOutcome {
        let Some(input) = way.rtc_input(now, contents) else { return DatagramOutcome::Ignored };
        if !self.is_acceptable(way, &input, contents) {
            return DatagramOutcome::Ignored;
        }
        self.idle_timer.on_datagram(now, contents);
        let paid = self.amplification_limit.on_recv(way.remote, contents.len());
        out.extend(paid.map(PeerOutput::Transmit));
        self.handshake_progress.on_datagram(way.remote, contents);
        self.auto_nomination.on_datagram(way, contents);
        let (before, begin) = (self.data_path.lock().recv_activity(), out.len());
        self.handle_rtc_input(now, input, out);
        self.nominate(now, out);
        let taken = match is_stun(contents) {
            true => self.on_check(now, way, contents, begin, out),
            false => self.on_record(now, way, contents.len(), before, out),
        };
        self.update_timeout(now);
        taken
    }

    /// Records a remote address of the peer; returns false if the table is full.
    pub(crate) fn observe_addr(
        &mut self,
        now: Instant,
        address: SocketAddr,
        sign: SeenBy,
        out: &mut Vec<PeerOutput>,
    ) -> bool {
        let here = self.active_path.validated().map(|way| way.remote);
        match self.remote_addrs.observe(now, address, sign, here) {
            Inserted::Kept => true,
            Inserted::Evicted(old) => {
                out.push(PeerOutput::AddrRemoved(old));
                true
            }
            Inserted::Full => false,
        }
    }

    /// Removes an address that belongs to another peer.
    pub(crate) fn remove_addr(&mut self, address: SocketAddr) {
        self.remote_addrs.remove(address);
    }

    /// Returns the remote addresses of the peer.
    pub(crate) fn remote_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.remote_addrs.addrs()
    }

    /// Whether nothing authenticated has arrived from an address for [`ADDR_SILENT_AFTER`].
    pub(crate) fn is_silent_at(&self, now: Instant, address: SocketAddr) -> bool {
        self.remote_addrs.last_recv(address).is_none_or(|heard| now >= heard + ADDR_SILENT_AFTER)
    }

    /// Returns the key by which this peer is found if it moves.
    pub(crate) fn lookup_key(&self) -> LookupKey {
        match self.active_path.validated() {
            Some(way) if !self.is_closed() => LookupKey {
                ip: Some(way.remote.ip()),
                silent_since: self.idle_timer.silent_since(),
            },
            _ => LookupKey::default(),
        }
    }

    /// Whether it has been idle for so long that only path challenges are sent.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let is_open = matches!(self.state, State::Open(_));
        is_open && self.idle_timer.is_quiet(now, self.data_path.lock().recv_activity().last_recv)
    }

    /// Sends a path challenge to an idle peer, if one is due.
    pub(super) fn probe_idle(&mut self, now: Instant, out: &mut Vec<PeerOutput>) {
        let heard = self.data_path.lock().recv_activity().last_recv;
        if let Some(way) = self.active_path.current()
            && self.idle_timer.poll_probe(now, heard)
        {
            self.send_path_challenge(now, way, out);
        }
    }

    /// Sends a datagram of str0m, within the amplification limit. Responses to checks go back to
    /// their source; everything else takes the active path.
    pub(super) fn emit(&mut self, way: FourTuple, contents: Vec<u8>, out: &mut Vec<PeerOutput>) {
        if is_stun(&contents) {
            return out.push(PeerOutput::Transmit(way.transmit(contents)));
        }
        let way = self.active_path.route(way);
        self.lift_amplification_limit();
        let allowed = self.amplification_limit.try_send(way.transmit(contents));
        out.extend(allowed.map(PeerOutput::Transmit));
    }

    /// Whether a datagram may reach str0m. Before the channel is open, a ClientHello from an
    /// address without a valid check must not reach DTLS. After that, only encrypted records may
    /// come from other addresses than the active one.
    fn is_acceptable(&self, way: FourTuple, input: &str0m::Input<'_>, contents: &[u8]) -> bool {
        match self.active_path.validated() {
            Some(here) if !is_stun(contents) => here.remote == way.remote || is_protected(contents),
            _ => self.rtc.accepts(input),
        }
    }

    /// Handles a check from this path; str0m's response to it is in `out` from `begin` on.
    fn on_check(
        &mut self,
        now: Instant,
        way: FourTuple,
        contents: &[u8],
        begin: usize,
        out: &mut Vec<PeerOutput>,
    ) -> DatagramOutcome {
        if is_binding_request(contents)
            && self.active_path.is_off_path(way)
            && self.remote_addrs.poll_probe(now, way.remote, SeenBy::Check)
        {
            let answered = out.len();
            self.send_path_challenge(now, way, out);
            if !self.remote_addrs.is_validated(way.remote) {
                limit_reply(way, contents.len(), begin, answered, out);
            }
        }
        DatagramOutcome::Ignored
    }

    /// Handles a record from this path. A record that decrypts is not a replay, so it is from the
    /// peer; but an attacker on the path may have forwarded it from another address, so the path
    /// still needs validation.
    fn on_record(
        &mut self,
        now: Instant,
        way: FourTuple,
        size: usize,
        before: RecvActivity,
        out: &mut Vec<PeerOutput>,
    ) -> DatagramOutcome {
        let mut plane = self.data_path.lock();
        let (heard, nonce) = (plane.recv_activity(), plane.poll_path_response());
        nonce.into_iter().for_each(|_| plane.on_reachable());
        drop(plane);
        if heard.packets == before.packets || self.is_closed() {
            return DatagramOutcome::Ignored;
        }
        self.observe_addr(now, way.remote, SeenBy::Record, out);
        if nonce.is_some_and(|nonce| self.on_path_response(nonce, way)) {
            return DatagramOutcome::PathValidated;
        }
        self.lift_amplification_limit();
        self.remote_addrs.credit(way.remote, size);
        let is_proven = self.amplification_limit.is_lifted() && !self.active_path.is_off_path(way);
        let is_open = matches!(self.state, State::Open(_));
        if is_open && !is_proven && self.remote_addrs.poll_probe(now, way.remote, SeenBy::Record) {
            let begin = out.len();
            self.send_path_challenge(now, way, out);
            let bytes = out[begin..].iter().map(|output| transmit_len(way, output)).sum();
            if !self.remote_addrs.try_debit(way.remote, bytes) {
                drop_outputs(way, begin..out.len(), out);
            }
        }
        DatagramOutcome::Authenticated
    }

    /// Handles a path response from this path; returns whether it validates the path.
    fn on_path_response(&mut self, nonce: u64, way: FourTuple) -> bool {
        let before = self.active_path.validated();
        let proven = self.active_path.on_path_response(nonce, way).is_some();
        if proven {
            self.remote_addrs.validate(way.remote);
            self.amplification_limit.lift();
        }
        if let Some(before) = before.filter(|before| proven && *before != way) {
            debug!("{}: moved from {} to {}", self.credentials.ufrag, before.remote, way.remote);
            self.data_path.lock().on_path_changed();
        }
        proven
    }

    /// Lifts the amplification limit if the active path is the one that DTLS validated.
    fn lift_amplification_limit(&mut self) {
        if let Some(here) = self.active_path.validated() {
            self.amplification_limit.on_channel_open(here.remote);
        }
    }

    /// Sends only a path challenge on this path.
    fn send_path_challenge(&mut self, now: Instant, way: FourTuple, out: &mut Vec<PeerOutput>) {
        let nonce = self.active_path.new_challenge(way);
        if !self.data_path.lock().send_path_challenge(nonce) {
            return;
        }
        let begin = out.len();
        // `RemoteAddrs` limits what goes there.
        let allowance =
            std::mem::replace(&mut self.amplification_limit, AmplificationLimit::Lifted);
        match self.rtc.handle_input(str0m::Input::Timeout(now)) {
            Ok(()) => self.drain_rtc(out),
            Err(error) => self.on_rtc_error(error, out),
        }
        self.amplification_limit = allowance;
        for output in &mut out[begin..] {
            if let PeerOutput::Transmit(transmit) = output
                && !is_stun(&transmit.contents)
            {
                (transmit.source, transmit.destination) = (way.local, way.remote);
            }
        }
    }
}

/// Limits the reply to a check from an unvalidated address to the size of the check. A path
/// challenge is preferred to the response, which the next check gets; a challenge that is longer
/// than the check is dropped. In `out`, responses are from `begin` on and challenges from `probes`
/// on.
fn limit_reply(
    way: FourTuple,
    size: usize,
    begin: usize,
    probes: usize,
    out: &mut Vec<PeerOutput>,
) {
    let probe: usize = out[probes..].iter().map(|output| transmit_len(way, output)).sum();
    drop_outputs(way, if probe <= size { begin..probes } else { probes..out.len() }, out);
}

/// Drops those of these outputs that would go to this path.
fn drop_outputs(way: FourTuple, gone: Range<usize>, out: &mut Vec<PeerOutput>) {
    let mut index = 0;
    out.retain(|output| {
        let keep = !gone.contains(&index) || transmit_len(way, output) == 0;
        index += 1;
        keep
    });
}

/// Size of an output that is a datagram to this path, otherwise 0.
fn transmit_len(way: FourTuple, output: &PeerOutput) -> usize {
    match output {
        PeerOutput::Transmit(transmit) if transmit.destination == way.remote => {
            transmit.contents.len()
        }
        _ => 0,
    }
}
