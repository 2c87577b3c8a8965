//! From a whole request to the offer: whether its client is let in.

use std::time::Instant;

use log::{debug, warn};
use net_rtc::OfferOptions;
use net_signal::{Candidate, Offerer};
use net_ws::BadRequest;

use crate::admission::{Admission, NoVerdict, Verdict};
use crate::hub::client_addr::{Client, Progress};
use crate::hub::close_cause::Ending;
use crate::hub::connection::{Connection, Phase, ProxyHeader};
use crate::hub::context::Core;
use crate::hub::handshake::{Asked, Form, Setup};
use crate::hub::limits::{Awaits, Place};
use crate::hub::{Output, connection};
use crate::{PeerInfo, Request};

impl Connection {
    /// The request is whole. It waits for its answer.
    pub(super) fn requested(&mut self, now: Instant, head: net_ws::Request, core: &mut Core) {
        if matches!(self.phase, Phase::TurnedAway { .. }) {
            return self.dismiss(now);
        }
        let client = self.client(&head, core);
        self.arrived = self.arrived.filter(|_| matches!(client, Client::Direct(_)));
        let origin = core.origins.check(&head);
        let (form, query) = Form::asked(head.query());
        let request = Request::new(self.remote, query, head);
        self.place = Place::of(client);
        core.census.settle(self.id, self.place);
        self.set_phase(Phase::Asking(Box::new(Asked { request, form })));
        if let Err(bad) = origin {
            return self.finish(now, bad, core);
        }
        if let Err(full) = core.room_for_peer(self.place) {
            return self.finish(now, full, core);
        }
        match core.config.accept {
            Some(_) => core.wait_for_verdict(self.id, self.place),
            None => self.accepted(now, Admission::default(), core),
        }
    }

    /// It is its turn: the application is asked.
    pub(in crate::hub) fn ask(&mut self, core: &mut Core) {
        if let Phase::Asking(asked) = &self.phase {
            core.outputs.push_back(Output::Ask(asked.question(self.id)));
        }
    }

    /// A request is in plain HTTP, and asks for no websocket.
    pub(super) fn answer_plain(&mut self, now: Instant, head: &net_ws::Request, core: &mut Core) {
        self.client(head, core);
        debug!("{} asks for {} in plain HTTP", self.remote, head.path());
        self.end_plain(core);
        let (status, text) = connection::answer(head);
        self.websocket.respond(now, status, text);
    }

    /// A request is over a limit. A browser hears so on the websocket, all others in HTTP.
    pub(super) fn oversized(
        &mut self,
        now: Instant,
        head: &net_ws::Request,
        why: BadRequest,
        core: &mut Core,
    ) {
        self.client(head, core);
        // Without room it is refused already, and hears that.
        self.finish(now, net_ws::CloseReason::BadRequest(why), core);
    }

    /// What follows the header of a proxy, where there is one; `None` while it is not whole, or
    /// if it is none.
    pub(super) fn behind_proxy_header<'a>(
        &mut self,
        now: Instant,
        bytes: &'a [u8],
        core: &mut Core,
    ) -> Option<&'a [u8]> {
        let ProxyHeader::Awaited(header) = &mut self.proxy_header else { return Some(bytes) };
        match header.extend(bytes) {
            Progress::Partial => None,
            Progress::Complete(client, rest) => {
                self.proxy_header = client.map_or(ProxyHeader::None, |_| ProxyHeader::Read);
                self.remote = client.unwrap_or(self.remote);
                Some(rest)
            }
            Progress::Invalid => {
                self.finish(now, Ending::ProxyHeader, core);
                None
            }
        }
    }

    /// Who asks, as far as its proxies are believed.
    fn client(&mut self, head: &net_ws::Request, core: &Core) -> Client {
        let client = Client::of(self.remote, head, &core.config.trusted_proxies);
        self.remote = client.address();
        match self.proxy_header {
            ProxyHeader::Read => Client::Forwarded(self.remote),
            ProxyHeader::None | ProxyHeader::Awaited(_) => client,
        }
    }

    /// The application has spoken, or will not.
    pub(in crate::hub) fn on_verdict(
        &mut self,
        now: Instant,
        verdict: &Result<Verdict, NoVerdict>,
        core: &mut Core,
    ) {
        if !matches!(self.phase, Phase::Asking(_)) {
            return;
        }
        match verdict {
            Ok(Verdict::Accept(admission)) => self.accepted(now, admission.clone(), core),
            Ok(Verdict::Refuse { status, reason }) => {
                let unwanted = Ending::Unwanted { status: *status, reason: reason.clone() };
                self.finish(now, unwanted, core);
            }
            Err(none) => self.finish(now, *none, core),
        }
        self.drain(now, core);
    }

    /// The application was asked and has not answered in time.
    pub(super) fn expire_question(&mut self, now: Instant, core: &mut Core) {
        // The held upgrade's deadline is the only one of this phase.
        let is_late = self.wake.is_some_and(|wake| wake <= now);
        if is_late && matches!(self.phase, Phase::Asking(_)) {
            self.finish(now, NoVerdict::Late, core);
        }
    }

    /// It may become a peer, if there is room still.
    fn accepted(&mut self, now: Instant, mut admission: Admission, core: &mut Core) {
        if let Err(full) = core.room_for_peer(self.place) {
            return self.finish(now, full, core);
        }
        let Phase::Asking(asked) = std::mem::replace(&mut self.phase, Phase::Upgrading) else {
            return;
        };
        let offered = |chosen: &String| asked.request.protocols().any(|one| one == chosen);
        if let Some(unknown) = admission.protocol.take_if(|chosen| !offered(chosen)) {
            warn!("{} did not offer the subprotocol {unknown:?}", self.remote);
        }
        self.websocket.accept_upgrade(now, admission.protocol.as_deref());
        core.census.progress(self.id, Awaits::Client(now));
        let info = PeerInfo::new(&asked.request, admission);
        let negotiation = self.offer(now, asked.form, core);
        self.set_phase(Phase::Setup(Box::new(Setup::new(info, negotiation))));
    }

    /// Says goodbye to a client that was turned away.
    pub(super) fn dismiss(&mut self, now: Instant) {
        if let Phase::TurnedAway { code, words } = &self.phase {
            self.websocket.close(now, *code, words);
            self.phase = Phase::Ending;
        }
    }

    /// The offer that it gets.
    fn offer(&mut self, now: Instant, form: Form, core: &mut Core) -> Offerer {
        let connecting = form.connecting(&core.config);
        let remote = self.remote.ip();
        self.offered = core.candidates(remote, self.arrived);
        let options = OfferOptions {
            remote: Some(remote),
            candidates: self.offered.clone(),
            handshake: Some(connecting),
        };
        let offer = core.endpoint.offer_with(now, self.id, options);
        let offer = offer.expect("connection ids are never reused");
        let candidates = offer.candidates.iter().map(|candidate| Candidate {
            candidate: candidate.clone(),
            sdp_mid: offer.mid.clone(),
            sdp_m_line_index: 0,
            username_fragment: offer.ufrag.clone(),
        });
        let offer_in = match connecting.negotiated {
            true => Offerer::offer_negotiated,
            false => Offerer::offer,
        };
        offer_in(now, core.config.signalling(), offer.sdp, candidates.collect())
    }
}
