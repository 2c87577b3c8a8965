//! Who is there, and what each message does. Knows players by a key of the
//! caller's and leaves what is to be sent as [`Mail`].

use std::collections::BTreeMap;

use crate::game::{ARENA, Game, TICK_RATE};
use crate::protocol::{self, FromPage, NOBODY};

/// How many chat lines and name changes a page has in hand; one comes back
/// each second.
const WORDS: u32 = 6;

/// A message to send.
#[derive(Debug, PartialEq)]
pub(crate) struct Mail<K> {
    pub(crate) to: To<K>,
    pub(crate) path: Path,
    pub(crate) message: Vec<u8>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum To<K> {
    One(K),
    All,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Path {
    Reliable,
    Unreliable,
    /// Unreliable, and only the newest with this key matters.
    Latest(u64),
}

/// The arena with everyone who looks at it, players or not.
#[derive(Debug)]
pub(crate) struct Room<K> {
    game: Game,
    seats: BTreeMap<K, Seat>,
    next_id: u32,
    mail: Vec<Mail<K>>,
}

/// A connected page.
#[derive(Debug)]
struct Seat {
    id: u32,
    profile: Option<Profile>,
    words: u32,
}

/// How a player looks to the others.
#[derive(Debug)]
struct Profile {
    colour: u8,
    name: String,
}

impl<K: Copy + Ord> Room<K> {
    pub(crate) fn new(seed: u64) -> Self {
        Self { game: Game::new(seed), seats: BTreeMap::new(), next_id: 0, mail: Vec::new() }
    }

    /// A page connected: it learns who and what is there.
    pub(crate) fn open(&mut self, key: K) {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.tell(key, protocol::welcome(id, ARENA));
        for (index, place) in self.game.sparks().iter().enumerate() {
            let message = protocol::spark(index as u8, *place, NOBODY);
            self.mail.push(reliable(To::One(key), message));
        }
        for message in self.seats.values().filter_map(|seat| seat.introduction(&self.game)) {
            self.mail.push(reliable(To::One(key), message));
        }
        self.seats.insert(key, Seat { id, profile: None, words: WORDS });
    }

    /// A page is gone.
    pub(crate) fn closed(&mut self, key: K) {
        if let Some(seat) = self.seats.remove(&key) {
            self.game.leave(seat.id);
            self.tell_all(protocol::left(seat.id));
        }
    }

    /// A message from a page, whatever it is.
    pub(crate) fn received(&mut self, key: K, message: &[u8]) {
        let Some(message) = FromPage::parse(message) else { return };
        match message {
            FromPage::Join { colour, name } => self.join(key, colour, name),
            FromPage::Say(text) => self.say(key, &text),
            FromPage::Ping(time) => self.answer_ping(key, time),
            FromPage::Move { number, direction } => {
                if let Some(seat) = self.seats.get(&key) {
                    self.game.steer(seat.id, number, direction);
                }
            }
        }
    }

    /// One step of the game, and the snapshot of it.
    pub(crate) fn step(&mut self) {
        for catch in self.game.step() {
            let place = self.game.sparks()[catch.spark];
            self.tell_all(protocol::spark(catch.spark as u8, place, catch.by));
        }
        if self.game.tick().is_multiple_of(TICK_RATE) {
            self.seats.values_mut().for_each(|seat| seat.words = WORDS.min(seat.words + 1));
        }
        let parts = protocol::snapshots(self.game.tick(), &self.game.places());
        for (part, message) in (0..).zip(parts) {
            self.mail.push(Mail { to: To::All, path: Path::Latest(part), message });
        }
    }

    /// What is to be sent, in order.
    pub(crate) fn take_mail(&mut self) -> Vec<Mail<K>> {
        std::mem::take(&mut self.mail)
    }

    fn join(&mut self, key: K, colour: u8, name: String) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        if !seat.spend_word() {
            return;
        }
        let name = if name.is_empty() { format!("Disc {}", seat.id) } else { name };
        seat.profile = Some(Profile { colour, name });
        self.game.enter(seat.id);
        if let Some(message) = seat.introduction(&self.game) {
            self.tell_all(message);
        }
    }

    fn say(&mut self, key: K, text: &str) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        if !text.is_empty() && seat.profile.is_some() && seat.spend_word() {
            let message = protocol::said(seat.id, text);
            self.tell_all(message);
        }
    }

    fn answer_ping(&mut self, key: K, time: u32) {
        let message = protocol::ping(time);
        self.mail.push(Mail { to: To::One(key), path: Path::Unreliable, message });
    }

    fn tell(&mut self, key: K, message: Vec<u8>) {
        self.mail.push(reliable(To::One(key), message));
    }

    fn tell_all(&mut self, message: Vec<u8>) {
        self.mail.push(reliable(To::All, message));
    }
}

impl Seat {
    fn spend_word(&mut self) -> bool {
        let enough = self.words > 0;
        self.words = self.words.saturating_sub(1);
        enough
    }

    /// The message that shows this player to others; `None` before joining.
    fn introduction(&self, game: &Game) -> Option<Vec<u8>> {
        let Profile { colour, name } = self.profile.as_ref()?;
        let score = game.player(self.id)?.score;
        Some(protocol::player(self.id, *colour, score, name))
    }
}

fn reliable<K>(to: To<K>, message: Vec<u8>) -> Mail<K> {
    Mail { to, path: Path::Reliable, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::SPARKS;

    fn kinds(mail: &[Mail<char>]) -> Vec<(Option<char>, u8)> {
        let to = |mail: &Mail<char>| match mail.to {
            To::One(key) => Some(key),
            To::All => None,
        };
        mail.iter().map(|mail| (to(mail), mail.message[0])).collect()
    }

    fn room() -> Room<char> {
        let mut room = Room::new(1);
        room.open('a');
        room.received('a', b"\x01\x02Ada");
        room.take_mail();
        room
    }

    #[test]
    fn a_newcomer_learns_of_the_sparks_and_of_those_who_joined() {
        let mut room = room();
        room.open('b');
        let mail = room.take_mail();
        assert_eq!(kinds(&mail)[0], (Some('b'), 16));
        assert_eq!(kinds(&mail)[1..=SPARKS], [(Some('b'), 21); SPARKS]);
        assert_eq!(mail[SPARKS + 1].message, b"\x11\0\0\0\0\x02\0\0Ada");
        assert_eq!(mail.len(), SPARKS + 2);
    }

    #[test]
    fn joining_and_leaving_is_told_to_all() {
        let mut room = room();
        room.open('b');
        room.take_mail();
        room.received('b', b"\x01\x03Bo");
        room.closed('b');
        room.closed('b');
        assert_eq!(kinds(&room.take_mail()), [(None, 17), (None, 18)]);
    }

    #[test]
    fn a_nameless_player_gets_a_name() {
        let mut room = room();
        room.received('a', b"\x01\x00   ");
        assert_eq!(room.take_mail()[0].message, b"\x11\0\0\0\0\0\0\0Disc 0");
    }

    #[test]
    fn only_players_talk_and_not_endlessly() {
        let mut room = room();
        room.open('b');
        room.received('b', b"\x04hello");
        room.take_mail();
        for _ in 0..100 {
            room.received('a', b"\x04hello");
        }
        assert_eq!(room.take_mail().len() as u32, WORDS - 1, "one went for joining");
        (0..TICK_RATE).for_each(|_| room.step());
        room.take_mail();
        room.received('a', b"\x04hello");
        assert_eq!(kinds(&room.take_mail()), [(None, 19)]);
    }

    #[test]
    fn each_step_sends_one_snapshot_that_replaces_the_last() {
        let mut room = room();
        room.step();
        let snapshots: Vec<_> =
            room.take_mail().into_iter().filter(|mail| mail.path == Path::Latest(0)).collect();
        assert_eq!(kinds(&snapshots), [(None, 20)]);
        assert_eq!(snapshots[0].message.len(), 5 + 8);
    }

    #[test]
    fn a_ping_goes_back_to_its_sender_alone() {
        let mut room = room();
        room.received('a', &[3, 1, 2, 3, 4]);
        let mail = room.take_mail();
        assert_eq!(kinds(&mail), [(Some('a'), 3)]);
        assert_eq!(
            (&mail[0].path, mail[0].message.as_slice()),
            (&Path::Unreliable, &[3, 1, 2, 3, 4][..])
        );
    }

    #[test]
    fn strangers_and_nonsense_change_nothing() {
        let mut room = room();
        room.received('z', b"\x01\x02Zed");
        room.received('z', b"\x04hi");
        room.received('a', b"");
        room.received('a', &[255; 70_000]);
        assert_eq!(room.take_mail(), []);
    }
}
