//! From a whole request to the offer: whether its client is let in.

use std::time::Instant;

use log::warn;
use net_rtc::OfferOptions;
use net_signal::{Candidate, Negotiation};

use super::{Connection, Phase};
use crate::accept::{Admission, NoVerdict, Verdict};
use crate::hub::Output;
use crate::hub::asked::Asked;
use crate::hub::census::Place;
use crate::hub::core::Core;
use crate::hub::ending::{Ending, Full};
use crate::hub::form::Form;
use crate::hub::forwarded::Client;
use crate::hub::setup::Setup;
use crate::{PeerInfo, Request};

impl Connection {
    /// The request is whole. It waits for its answer.
    pub(super) fn requested(&mut self, now: Instant, head: net_ws::Request, core: &mut Core) {
        let client = Client::of(self.remote, &head, &core.config.trusted_proxies);
        self.remote = client.address();
        if let Err(bad) = core.origins.check(&head) {
            return self.finish(now, bad, core);
        }
        if let Err(full) = self.settle(client, core) {
            return self.finish(now, full, core);
        }
        let (form, query) = Form::asked(head.query());
        let asked = Asked::new(Request::new(self.remote, query, head), form);
        if core.config.accept.is_none() {
            return self.admit(now, &asked, Admission::default(), core);
        }
        core.outputs.push_back(Output::Ask(asked.question(self.id)));
        self.set_phase(Phase::Asking(Box::new(asked)));
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

    /// Counts the connection where its client is, if there is room.
    fn settle(&mut self, client: Client, core: &mut Core) -> Result<(), Full> {
        let place = Place::of(client);
        if self.place.is_none() {
            core.settle(self.id, place)?;
            self.place = Some(place);
        }
        core.room_for_peer(place)
    }

    /// The application lets it in.
    fn accepted(&mut self, now: Instant, admission: Admission, core: &mut Core) {
        if let Phase::Asking(asked) = std::mem::replace(&mut self.phase, Phase::Upgrading) {
            self.admit(now, &asked, admission, core);
        }
    }

    /// It may become a peer.
    fn admit(&mut self, now: Instant, asked: &Asked, mut admission: Admission, core: &mut Core) {
        let place = self.place.expect("the request told");
        if let Err(full) = core.room_for_peer(place) {
            return self.finish(now, full, core);
        }
        let offered = |chosen: &String| asked.request.protocols().any(|one| one == chosen);
        if let Some(unknown) = admission.protocol.take_if(|chosen| !offered(chosen)) {
            warn!("{} did not offer the subprotocol {unknown:?}", self.remote);
        }
        self.websocket.admit(now, admission.protocol.as_deref());
        let info = PeerInfo::new(&asked.request, admission);
        let negotiation = self.offer(now, asked.form, core);
        self.set_phase(Phase::Setup(Box::new(Setup::new(info, negotiation))));
    }

    /// The offer that it gets.
    fn offer(&self, now: Instant, form: Form, core: &mut Core) -> Negotiation {
        let connecting = form.connecting(&core.config);
        let options = OfferOptions { remote: Some(self.remote.ip()), connecting: Some(connecting) };
        let offer = core.endpoint.offer_with(now, self.id, options);
        let offer = offer.expect("connection ids are never reused");
        let candidates = offer.candidates.iter().map(|candidate| Candidate {
            candidate: candidate.clone(),
            sdp_mid: offer.mid.clone(),
            sdp_m_line_index: 0,
            username_fragment: offer.ufrag.clone(),
        });
        let offer_in = match connecting.negotiated {
            true => Negotiation::offer_negotiated,
            false => Negotiation::offer,
        };
        offer_in(now, core.config.signalling(), offer.sdp, candidates.collect())
    }
}
