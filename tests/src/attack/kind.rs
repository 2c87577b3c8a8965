//! Every kind of attacker, by name.

use super::datagrams::{self, Flood};
use super::kit::{Plan, Raid};
use super::script::Scripts;
use super::spy::{self, Spy};
use super::{Attacker, Means, door, frames, signals};

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
    CrowdOfOne "crowd from one address" => Scripts::new(1_000, door::one_of_many).from_one_address(),
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
    BadAnswers "bad answers" => Scripts::new(8, signals::bad_answer),
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
