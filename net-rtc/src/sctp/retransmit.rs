//! What SCTP has said while the channel opens and had no answer to: it is said again, sooner
//! than SCTP would.

use std::time::{Duration, Instant};

use crate::sctp::packet::{Chunk, Data, Sack, Tsn, chunks, dcep, kind, protocol};

/// No packet waits longer than this for its next turn, and so many go out again in all: what
/// 15 s have room for.
const LONGEST: Duration = Duration::from_secs(1);
const TRIES: u32 = 16;
/// How long the peer's word that it opens the channel may come after its SACK for ours.
const GRACE: Duration = Duration::from_millis(50);

/// The packets of the opening that nothing has answered. SCTP would send them again after 3 s
/// (RFC 9260 §6.3.1); nobody takes amiss to have them twice (RFC 9260 §5.2, §6.2).
///
/// ```text
///   sent --> unanswered, in DTLS --connected--> unanswered, on the way --answered--> forgotten
///                                                  ^          |
///                                                  '-- time --'
/// ```
#[derive(Debug)]
pub(super) struct Opening {
    /// How long the first answer may take; `None` leaves to SCTP what SCTP repeats.
    patience: Option<Duration>,
    /// Before that, DTLS keeps what SCTP sends.
    connected: bool,
    unanswered: Vec<Unanswered>,
    tries: u32,
    consent: Consent,
}

/// Whether the peer has the channel open. It says so once (RFC 8832 §6), and if that is lost
/// only its own SCTP can say it again, after seconds. But what SCTP has acknowledged it delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    Unknown,
    /// From then on it needs no words.
    From(Instant),
    /// That has been told.
    Told,
}

#[derive(Debug)]
struct Unanswered {
    packet: Vec<u8>,
    answer: Answer,
    next: Instant,
    wait: Duration,
}

impl Opening {
    pub(super) fn new(patience: Option<Duration>) -> Opening {
        Opening {
            patience,
            connected: false,
            unanswered: Vec::new(),
            tries: 0,
            consent: Consent::Unknown,
        }
    }

    /// DTLS is connected: what SCTP sent leaves now.
    pub(super) fn connected(&mut self, now: Instant) {
        self.connected = true;
        self.unanswered.iter_mut().for_each(|waiting| waiting.next = now + waiting.wait);
    }

    /// SCTP sends a packet; kept if it asks for an answer that belongs to the opening.
    pub(super) fn sent(&mut self, now: Instant, packet: &[u8]) {
        let Some(answer) = chunks(packet).filter_map(|chunk| Answer::to(&chunk)).last() else {
            return;
        };
        // SCTP knows nothing of a HEARTBEAT that is ours.
        let ours = (answer == Answer::Word).then_some(LONGEST);
        let Some(wait) = self.patience.or(ours) else { return };
        self.unanswered.retain(|other| other.answer != answer);
        let (packet, next) = (packet.to_vec(), now + wait);
        self.unanswered.push(Unanswered { packet, answer, next, wait });
    }

    /// The peer says something.
    pub(super) fn heard(&mut self, now: Instant, packet: &[u8]) {
        for chunk in chunks(packet) {
            let asked = self.asks_to_open();
            self.unanswered.retain(|waiting| !waiting.answer.is_in(&chunk));
            if asked && chunk.kind == kind::SACK && !self.asks_to_open() {
                self.consent = Consent::From(now + GRACE);
            }
            // Nobody talks on a channel that is not open.
            if is_talk(&chunk) && (self.asks_to_open() || self.consent != Consent::Unknown) {
                self.consent = self.consent.at_once(now);
            }
        }
    }

    /// Whether the peer must have the channel open by now, though its word for it did not come;
    /// told once.
    pub(super) fn consents(&mut self, now: Instant) -> bool {
        let consents = matches!(self.consent, Consent::From(at) if at <= now);
        if consents {
            self.consent = Consent::Told;
        }
        consents
    }

    /// The next packet whose time has come again.
    pub(super) fn packet(&mut self, now: Instant) -> Option<Vec<u8>> {
        let due = self.resend().is_some_and(|at| at <= now);
        let waiting = self.unanswered.iter_mut().find(|waiting| due && waiting.next <= now)?;
        self.tries += 1;
        waiting.wait = (waiting.wait * 2).min(LONGEST).max(waiting.wait);
        waiting.next = now + waiting.wait;
        Some(waiting.packet.clone())
    }

    /// When there is something to say, or to tell.
    pub(super) fn wake(&self) -> Option<Instant> {
        let consent = match self.consent {
            Consent::From(at) => Some(at),
            Consent::Unknown | Consent::Told => None,
        };
        self.resend().into_iter().chain(consent).min()
    }

    fn resend(&self) -> Option<Instant> {
        let may = self.connected && self.tries < TRIES;
        self.unanswered.iter().filter(|_| may).map(|waiting| waiting.next).min()
    }

    fn asks_to_open(&self) -> bool {
        self.unanswered.iter().any(|waiting| matches!(waiting.answer, Answer::Open(_)))
    }
}

impl Consent {
    fn at_once(self, now: Instant) -> Consent {
        match self {
            Consent::Unknown | Consent::From(_) => Consent::From(now),
            Consent::Told => Consent::Told,
        }
    }
}

/// Whether it is a message of the application's.
fn is_talk(chunk: &Chunk<'_>) -> bool {
    let data = Data::parse(chunk).filter(|_| chunk.kind == kind::DATA);
    data.is_some_and(|data| data.protocol != protocol::DCEP)
}

/// What ends the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To our HEARTBEAT: anything.
    Word,
    /// To our INIT.
    InitAck,
    /// To our INIT ACK.
    CookieEcho,
    /// To our COOKIE ECHO.
    CookieAck,
    /// To our COOKIE ACK: any data, or a SACK.
    Talk,
    /// To our OPEN (RFC 8832): a SACK for this TSN.
    Open(Tsn),
    /// To our ACK of the peer's OPEN: a SACK for this TSN.
    Ack(Tsn),
}

impl Answer {
    /// What a chunk of ours asks for.
    pub(crate) fn to(chunk: &Chunk<'_>) -> Option<Answer> {
        match chunk.kind {
            kind::HEARTBEAT => Some(Answer::Word),
            kind::INIT => Some(Answer::InitAck),
            kind::INIT_ACK => Some(Answer::CookieEcho),
            kind::COOKIE_ECHO => Some(Answer::CookieAck),
            kind::COOKIE_ACK => Some(Answer::Talk),
            kind::DATA => match Data::parse(chunk)? {
                Data { protocol: protocol::DCEP, tsn, payload: [dcep::OPEN, ..], .. } => {
                    Some(Answer::Open(tsn))
                }
                Data { protocol: protocol::DCEP, tsn, .. } => Some(Answer::Ack(tsn)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a chunk of the peer's is it, or something that comes later.
    pub(crate) fn is_in(self, chunk: &Chunk<'_>) -> bool {
        if self == Answer::Word {
            return true;
        }
        let step = match chunk.kind {
            kind::ABORT | kind::SHUTDOWN | kind::SHUTDOWN_ACK => return true,
            kind::INIT_ACK => 0,
            kind::COOKIE_ECHO | kind::COOKIE_ACK => 2,
            kind::DATA | kind::SACK | kind::FORWARD_TSN => 3,
            _ => return false,
        };
        match self {
            Answer::Word | Answer::InitAck => true,
            Answer::CookieEcho | Answer::CookieAck => step >= 2,
            Answer::Talk => step >= 3,
            Answer::Open(tsn) | Answer::Ack(tsn) => chunk.kind == kind::SACK && covers(chunk, tsn),
        }
    }
}

fn covers(chunk: &Chunk<'_>, tsn: Tsn) -> bool {
    let Some(sack) = Sack::parse(chunk) else { return false };
    tsn <= sack.cumulative || sack.gaps().any(|(from, to)| from <= tsn && tsn <= to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::packet::{Builder, Header, Tsn, dcep, flag};

    const MS: Duration = Duration::from_millis(1);

    fn packet(write: impl FnOnce(&mut Builder)) -> Vec<u8> {
        let mut builder = Builder::new(Header { source: 1, destination: 2, tag: 3 });
        write(&mut builder);
        builder.finish()
    }

    fn plain(kind: u8) -> Vec<u8> {
        packet(|builder| builder.chunk(kind, 0, &[&[0; 16]]))
    }

    fn data(protocol: u32, tsn: u32, first: u8) -> Vec<u8> {
        let (flags, tsn, payload) = (flag::BEGIN | flag::END, Tsn(tsn), &[first][..]);
        packet(|builder| builder.data(&Data { flags, tsn, stream: 1, protocol, payload }))
    }

    fn open(tsn: u32) -> Vec<u8> {
        data(protocol::DCEP, tsn, dcep::OPEN)
    }

    fn sack(cumulative: u32) -> Vec<u8> {
        packet(|builder| builder.sack(Tsn(cumulative), 9))
    }

    /// When packets go out again until so many milliseconds have passed.
    fn resent(opening: &mut Opening, from: Instant, until: Duration) -> Vec<(u128, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(at) = opening.wake().filter(|at| *at <= from + until) {
            assert_eq!(opening.packet(at - MS), None, "too soon");
            let packet = opening.packet(at).expect("it asked to be woken");
            all.push(((at - from).as_millis(), packet));
        }
        all
    }

    fn opening(now: Instant) -> Opening {
        let mut opening = Opening::new(Some(250 * MS));
        opening.connected(now);
        opening
    }

    #[test]
    fn what_nobody_answers_goes_out_again_and_again_within_bounds() {
        let now = Instant::now();
        let mut opening = opening(now);
        opening.sent(now, &plain(kind::INIT));
        let times = resent(&mut opening, now, 3_000 * MS);
        let expected = [250, 750, 1_750, 2_750].map(|at| (at, plain(kind::INIT)));
        assert_eq!(times, expected);
        let all = times.len() + resent(&mut opening, now, 1_000_000 * MS).len();
        assert_eq!(all, TRIES as usize);
        assert_eq!(opening.wake(), None);
    }

    #[test]
    fn off_nothing_goes_out_again_but_a_heartbeat() {
        let now = Instant::now();
        let mut opening = Opening::new(None);
        opening.connected(now);
        opening.sent(now, &plain(kind::INIT));
        assert_eq!((opening.wake(), opening.packet(now + 9_000 * MS)), (None, None));
        opening.sent(now, &plain(kind::HEARTBEAT));
        assert_eq!(opening.wake(), Some(now + LONGEST), "nobody else would");
    }

    #[test]
    fn time_runs_from_the_end_of_the_dtls_handshake() {
        let now = Instant::now();
        let mut opening = Opening::new(Some(250 * MS));
        opening.sent(now, &plain(kind::INIT));
        assert_eq!((opening.wake(), opening.packet(now + 9_000 * MS)), (None, None));
        opening.connected(now + 400 * MS);
        assert_eq!(opening.wake(), Some(now + 650 * MS));
    }

    #[test]
    fn each_packet_waits_for_its_own_answer_or_for_what_comes_later() {
        let now = Instant::now();
        let heartbeat_ack = plain(kind::HEARTBEAT_ACK);
        let any = [kind::INIT_ACK, kind::COOKIE_ECHO, kind::COOKIE_ACK].map(plain);
        let [init_ack, cookie_echo, cookie_ack] = any;
        let theirs = data(protocol::BINARY, 900, 0);
        let cases = [
            (plain(kind::INIT), vec![&cookie_echo, &cookie_ack, &init_ack], vec![]),
            (plain(kind::INIT_ACK), vec![&cookie_echo], vec![&init_ack]),
            (plain(kind::COOKIE_ECHO), vec![&cookie_ack, &theirs], vec![&init_ack]),
            (plain(kind::COOKIE_ACK), vec![&theirs], vec![&init_ack, &cookie_echo]),
            (plain(kind::HEARTBEAT), vec![&theirs, &init_ack, &heartbeat_ack], vec![]),
            (open(7), vec![], vec![&init_ack, &cookie_echo, &cookie_ack, &theirs]),
        ];
        for (ours, answers, others) in cases {
            for (reply, ends) in
                answers.iter().map(|a| (a, true)).chain(others.iter().map(|o| (o, false)))
            {
                let mut opening = opening(now);
                opening.sent(now, &ours);
                opening.heard(now, reply);
                assert_eq!(opening.wake().is_none(), ends, "{ours:?} {reply:?}");
            }
        }
    }

    #[test]
    fn open_and_ack_wait_for_the_sack_that_covers_them() {
        let now = Instant::now();
        for ours in [open(7), data(protocol::DCEP, 7, dcep::ACK)] {
            let mut opening = opening(now);
            opening.sent(now, &ours);
            opening.heard(now, &sack(6));
            assert!(opening.resend().is_some());
            opening.heard(now, &sack(7));
            assert_eq!(opening.resend(), None);
            opening.sent(now, &data(protocol::BINARY, 8, 0));
            assert_eq!(opening.resend(), None, "that is no concern of the opening");
        }
    }

    #[test]
    fn who_has_our_open_consents_a_little_later_and_once() {
        let now = Instant::now();
        let mut opening = opening(now);
        opening.sent(now, &open(7));
        opening.heard(now, &sack(6));
        assert!(!opening.consents(now + 200 * MS));
        opening.heard(now, &sack(7));
        assert_eq!(opening.wake(), Some(now + GRACE));
        assert!(!opening.consents(now + GRACE - MS));
        assert!(opening.consents(now + GRACE));
        opening.heard(now, &sack(7));
        opening.heard(now, &data(protocol::BINARY, 900, 0));
        assert!(!opening.consents(now + 9 * GRACE));
        assert_eq!(opening.wake(), None);
    }

    #[test]
    fn who_talks_on_our_channel_consents_at_once() {
        let now = Instant::now();
        for acked in [6, 7] {
            let mut opening = opening(now);
            opening.heard(now, &data(protocol::BINARY, 900, 0));
            assert!(!opening.consents(now), "there is no channel of ours");
            opening.sent(now, &open(7));
            opening.heard(now, &sack(acked));
            opening.heard(now, &data(protocol::DCEP, 900, dcep::ACK));
            assert!(!opening.consents(now), "those are words, for SCTP");
            opening.heard(now, &data(protocol::BINARY, 901, 0));
            assert!(opening.consents(now));
        }
    }

    #[test]
    fn two_that_wait_go_out_in_their_order() {
        let now = Instant::now();
        let mut opening = opening(now);
        let both = [plain(kind::COOKIE_ACK), open(7)];
        both.iter().for_each(|packet| opening.sent(now, packet));
        let again: Vec<_> = resent(&mut opening, now, 300 * MS).into_iter().collect();
        assert_eq!(again, both.map(|packet| (250, packet)));
    }

    #[test]
    fn what_sctp_itself_repeats_is_kept_once() {
        let now = Instant::now();
        let mut opening = opening(now);
        opening.sent(now, &plain(kind::INIT));
        opening.sent(now + 200 * MS, &plain(kind::INIT));
        assert_eq!(resent(&mut opening, now, 700 * MS), [(450, plain(kind::INIT))]);
    }

    #[test]
    fn an_end_ends_it() {
        let now = Instant::now();
        for end in [kind::ABORT, kind::SHUTDOWN, kind::SHUTDOWN_ACK] {
            let mut opening = opening(now);
            opening.sent(now, &open(7));
            opening.heard(now, &plain(end));
            assert_eq!(opening.wake(), None);
        }
    }
}
