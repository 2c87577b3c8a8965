//! Every kind of attacker, by name.

use std::time::{Duration, Instant};

use super::datagrams::{self, Flood};
use super::insider::{Conduct, Insider, Insiders};
use super::kit::{Kit, Plan, Raid};
use super::script::Scripts;
use super::spy::{self, Spy};
use super::{Attacker, Means, crowding, door, frames, roaming, sctp, signals};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident $name:literal => $plan:expr,)+) => {
        /// A kind of attacker. The numbers are those of the faults, as in the names of tests.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl Kind {
            const ALL: &[Kind] = &[$(Kind::$kind),+];

            /// In a word or two, for tables and failing seeds.
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)+
                }
            }

            /// One of this kind. What it decides by chance follows from the seed alone.
            pub fn start(self, seed: u64, means: Means) -> Box<dyn Attacker> {
                match self {
                    $(Kind::$kind => raid(self, seed, means, $plan),)+
                }
            }
        }
    };
}

kinds! {
    // At the TCP port.
    /// 1: connects and stays silent.
    Silent "silent" => Scripts::new(16, door::silent),
    /// 2: a byte of the request every 100 ms.
    SlowUpgrade "slow upgrade" => Scripts::new(8, door::slow_upgrade),
    /// 3: a header without end.
    EndlessHeader "endless header" => Scripts::new(4, door::endless_header),
    /// 3: hundreds of headers.
    ManyHeaders "many headers" => Scripts::new(4, door::many_headers),
    /// 4: what is no request for a websocket, a TLS hello too.
    Malformed "malformed request" => Scripts::new(8, door::malformed),
    /// 5: request and message in one segment, then nothing.
    Eager "eager" => Scripts::new(4, door::eager),
    /// 7, 8: frames that announce 16 MiB and more.
    HugeFrames "huge frames" => Scripts::new(4, frames::huge),
    /// 9: messages in pieces without end.
    EndlessFragments "endless fragments" => Scripts::new(4, frames::endless_fragments),
    /// 10: frames that the protocol forbids.
    ForbiddenFrames "forbidden frames" => Scripts::new(8, frames::forbidden),
    /// 11: pings, and reads nothing.
    PingFlood "ping flood" => Scripts::new(2, frames::ping_flood),
    /// 14: ends its half of the connection.
    HalfClose "half close" => Scripts::new(8, door::half_close),
    /// 15: tears connections down, also within a frame.
    Reset "reset" => Scripts::new(8, door::reset),
    /// 18: is closed, and does not answer.
    DeafToClose "deaf to close" => Scripts::new(8, door::deaf_to_close),
    /// 19: a thousand connections from one address.
    CrowdOfOne "crowd from one address" => Scripts::of_one_address(1_000, door::one_of_many),
    /// 19: a thousand connections from as many addresses as it has.
    Crowd "crowd" => Scripts::new(1_000, door::one_of_many),

    // In signalling.
    /// 23: texts that cannot be read.
    GarbageTexts "garbage texts" => Scripts::new(8, signals::garbage),
    /// 24: texts as fast as they go.
    TextFlood "text flood" => Scripts::new(4, signals::text_flood),
    /// 25: session descriptions that are none.
    GarbageSdp "garbage sdp" => Scripts::new(8, signals::garbage_sdp),
    /// 26: candidates without end, of others' addresses.
    Candidates "candidate flood" => Scripts::new(4, signals::candidates),
    /// 27: two answers, answers before the offer, offers.
    OutOfTurn "out of turn" => Scripts::new(8, signals::out_of_turn),
    /// 28: answers that lack something, or want what cannot be.
    BadAnswers "bad answers" => Scripts::new(32, signals::bad_answer),
    /// 30: never answers the offer.
    NeverAnswers "never answers" => Scripts::new(8, signals::never_answers),
    /// 31: answers, and sends no datagram.
    NoUdp "no udp" => Scripts::new(8, signals::no_udp),

    // UDP of nobody.
    /// 33: datagrams of every length and first byte.
    Garbage "garbage" => Flood::new(10, datagrams::garbage),
    /// 34: checks for peers that are not there, from as many addresses as it has.
    UnknownUfrag "unknown ufrag" => Flood::new(20, datagrams::unknown_ufrag),

    // UDP in the name of honest clients, who are overheard.
    /// 35: ClientHellos from addresses of its own, with replayed checks in front.
    ForeignHello "foreign hello" => Spy::new(5, spy::foreign_hello),
    /// 36: ClientHellos, alerts and noise from the client's own address.
    Impostor "impostor" => Spy::new(20, spy::impostor),
    /// 37: the right names, signed with the wrong password.
    ForgedChecks "forged checks" => Spy::new(10, spy::forged_checks),
    /// 38: checks and records once more, from elsewhere.
    ReplayElsewhere "replay from elsewhere" => Spy::new(5, spy::replay_elsewhere),
    /// 38: checks and records once more, from the client's own address.
    ReplayInPlace "replay in place" => Spy::new(5, spy::replay_in_place),

    // Peers of its own that open honestly: their websockets and messages.
    /// 7, 8: an open peer announces 2^63 bytes.
    PeerHugeFrame "peer: huge frame" => peer(crowding::huge),
    /// 9: an open peer sends pieces of a message without end.
    PeerEndlessFragments "peer: endless fragments" => peer(crowding::endless),
    /// 10: an open peer sends frames that the protocol forbids.
    PeerForbiddenFrames "peer: forbidden frames" => peer(crowding::forbidden),
    /// 12: an open peer sends reliable messages at line rate.
    ReliableFlood "peer: reliable flood" => peer(crowding::reliable_flood),
    /// 12: an open peer sends unreliable messages as fast as its path takes them.
    UnreliableFlood "peer: unreliable flood" => peer(crowding::unreliable_flood),
    /// 13: an open peer never reads its websocket.
    NeverReads "peer: never reads" => peer(crowding::never_reads),
    /// 24: an open peer goes on signalling.
    PeerTexts "peer: texts" => peer(crowding::texts),
    /// 51: an open peer sends a reliable message that is a byte too long.
    PeerTooLong "peer: too long" => peer(crowding::too_long),

    // Their addresses, and their DTLS.
    /// 32: two peers with one ufrag, from one address.
    Twins "peer: twins" => Insiders::new(Conduct { twins: true, ..Conduct::new(nothing) }),
    /// 39: valid checks from one port after the other.
    ManyPorts "peer: many ports" => peer(roaming::many_ports),
    /// 40: what one peer says, from the address of another.
    CrossTalk "peer: cross talk" => peer(roaming::cross_talk),
    /// 41: checks and one record of the handshake, then silence.
    OneRecord "one record" => Insiders::new(Conduct {
        most: 8, path: "/?net=compatible", lets: roaming::one_record, ..Conduct::new(nothing)
    }),
    /// 44: a handshake of which no message becomes whole.
    HalfHandshake "half a handshake" => Insiders::new(Conduct {
        most: 8, lets: roaming::no_second_fragment, ..Conduct::new(nothing)
    }),
    /// 44: records of epochs that never were.
    Epochs "peer: epochs" => peer(roaming::epochs),
    /// 44: pieces of handshake messages, from an open peer.
    Pieces "peer: handshake pieces" => peer(roaming::pieces),
    /// 55: vanishes, and does not come back.
    Vanishes "peer: vanishes" => slow_peer(roaming::vanishes),
    /// 55: vanishes for 8 s, again and again.
    ComesAndGoes "peer: comes and goes" => slow_peer(roaming::comes_and_goes),
    /// 56: its address changes every 2 s.
    Rebinds "peer: rebinds" => slow_peer(roaming::rebinds),

    // Their SCTP.
    /// 46: INITs and COOKIE-ECHOs.
    Inits "peer: inits" => peer(sctp::inits),
    /// 47: a message in pieces without end.
    EndlessMessage "peer: endless message" => peer(sctp::endless_message),
    /// 47: messages that begin and never end.
    BegunMessages "peer: begun messages" => peer(sctp::begun_messages),
    /// 47: pieces on thousands of streams.
    PiecesEverywhere "peer: pieces everywhere" => peer(sctp::pieces_everywhere),
    /// 48: FORWARD-TSN by far.
    Jump "peer: jump" => peer(sctp::jump),
    /// 49: acknowledges what was never sent.
    FalseSacks "peer: false sacks" => peer(sctp::false_sacks),
    /// 49: acknowledges with hundreds of gaps.
    GapStorm "peer: gap storm" => peer(sctp::gap_storm),
    /// 50: has no window ever.
    NoWindow "peer: no window" => peer(sctp::no_window),
    /// 50: acknowledges nothing.
    NeverSacks "peer: never sacks" => peer(sctp::never_sacks),
    /// 51: an unreliable message of a megabyte.
    Megabyte "peer: megabyte" => peer(sctp::megabyte),
    /// 52: opens one channel after the other.
    Channels "peer: channels" => peer(sctp::channels),
    /// 53: RE-CONFIG without end.
    Resets "peer: resets" => peer(sctp::resets),
    /// 53: ABORT.
    Abort "peer: abort" => peer(sctp::abort),
    /// 53: SHUTDOWN.
    Shutdown "peer: shutdown" => peer(sctp::shutdown),
    /// 53: close_notify.
    Goodbye "peer: goodbye" => peer(sctp::goodbye),
    /// 15: TSNs that came before, thousands of them.
    Duplicates "peer: duplicates" => peer(sctp::duplicates),
    /// 47: chunks whose lengths lie.
    MalformedChunks "peer: malformed chunks" => peer(sctp::malformed),
    /// 47: hundreds of empty chunks in a packet.
    EmptyChunks "peer: empty chunks" => peer(sctp::empty_chunks),
}

fn nothing(_: &mut Insider, _: Instant, _: &mut Kit) {}

/// Two peers that do this 100 times a second.
fn peer(act: fn(&mut Insider, Instant, &mut Kit)) -> Insiders {
    Insiders::new(Conduct::new(act))
}

/// Two peers that do this 10 times a second.
fn slow_peer(act: fn(&mut Insider, Instant, &mut Kit)) -> Insiders {
    Insiders::new(Conduct { pause: Duration::from_millis(100), ..Conduct::new(act) })
}

fn raid(kind: Kind, seed: u64, means: Means, plan: impl Plan + 'static) -> Box<dyn Attacker> {
    Raid::start(kind.name(), seed, means, plan)
}

impl Kind {
    /// All of them, in the order of the faults.
    pub fn all() -> &'static [Kind] {
        Kind::ALL
    }

    /// The one with this [`name`](Kind::name).
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        assert!(Kind::all().iter().all(|kind| Kind::named(kind.name()) == Some(*kind)));
    }
}
