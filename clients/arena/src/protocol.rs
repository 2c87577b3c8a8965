//! What the page and the server say to each other. `page/protocol.js` is the
//! other half and has the same table.
//!
//! Numbers are little endian; the first byte is the kind; a text is UTF-8 and
//! reaches to the end of the message. Positions are in 1/16 unit.
//!
//! | kind | from | path | content |
//! |---|---|---|---|
//! | 1 join | page | reliable | u8 colour, text name; again to change either |
//! | 2 move | page | unreliable | u16 number, i8 x, i8 y: where to, 127 is full speed |
//! | 3 ping | both | unreliable | u32 the page's choice, sent back |
//! | 4 say | page | reliable | text |
//! | 16 welcome | server | reliable | u32 own id, u16 width, u16 height of the arena in units |
//! | 17 player | server | reliable | u32 id, u8 colour, u16 score, text name |
//! | 18 left | server | reliable | u32 id |
//! | 19 said | server | reliable | u32 id, text |
//! | 20 snapshot | server | unreliable | u32 tick, then for each player u32 id, u16 x, u16 y |
//! | 21 spark | server | reliable | u8 index, u16 x, u16 y, u32 id of who caught it before, or `NOBODY` |

/// The longest name in characters; more are cut off.
pub(crate) const NAME_LIMIT: usize = 24;
/// The longest chat line in characters; more are cut off.
pub(crate) const CHAT_LIMIT: usize = 200;
/// How many colours the page knows.
pub(crate) const COLOURS: u8 = 10;
/// Players in one snapshot message: 965 bytes, one packet.
pub(crate) const SNAPSHOT_PLAYERS: usize = 120;
/// The id that no player has.
pub(crate) const NOBODY: u32 = u32::MAX;

/// A message from a page.
#[derive(Debug, PartialEq)]
pub(crate) enum FromPage {
    Join {
        colour: u8,
        name: String,
    },
    /// The direction's length is at most 1.
    Move {
        number: u16,
        direction: [f32; 2],
    },
    Ping(u32),
    Say(String),
}

impl FromPage {
    /// Reads a message; `None` for one that is not of this protocol.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let (&kind, content) = message.split_first()?;
        match (kind, content) {
            (1, [colour, name @ ..]) => {
                Some(Self::Join { colour: colour % COLOURS, name: text(name, NAME_LIMIT) })
            }
            (2, &[low, high, x, y]) => Some(Self::Move {
                number: u16::from_le_bytes([low, high]),
                direction: direction(x, y),
            }),
            (3, &[a, b, c, d]) => Some(Self::Ping(u32::from_le_bytes([a, b, c, d]))),
            (4, content) => Some(Self::Say(text(content, CHAT_LIMIT))),
            _ => None,
        }
    }
}

/// Text as it may be shown: no control characters, no blanks around, not longer
/// than `limit` characters.
fn text(bytes: &[u8], limit: usize) -> String {
    // A character has at most four bytes: the rest need not be looked at.
    let bytes = &bytes[..bytes.len().min(limit * 4)];
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text.trim().chars().filter(|c| !hidden(*c)).take(limit).collect();
    shown.trim().to_owned()
}

/// Control characters, and those that turn the direction of the text around.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn direction(x: u8, y: u8) -> [f32; 2] {
    let [x, y] = [x, y].map(|byte| f32::from(byte.cast_signed()) / 127.0);
    let length = x.hypot(y).max(1.0);
    [x / length, y / length]
}

pub(crate) fn ping(time: u32) -> Vec<u8> {
    message(3, &[&time.to_le_bytes()])
}

pub(crate) fn welcome(id: u32, [width, height]: [f32; 2]) -> Vec<u8> {
    let size = [width as u16, height as u16].map(u16::to_le_bytes);
    message(16, &[&id.to_le_bytes(), &size.concat()])
}

pub(crate) fn player(id: u32, colour: u8, score: u16, name: &str) -> Vec<u8> {
    message(17, &[&id.to_le_bytes(), &[colour], &score.to_le_bytes(), name.as_bytes()])
}

pub(crate) fn left(id: u32) -> Vec<u8> {
    message(18, &[&id.to_le_bytes()])
}

pub(crate) fn said(id: u32, text: &str) -> Vec<u8> {
    message(19, &[&id.to_le_bytes(), text.as_bytes()])
}

/// The players' places at a tick, in as many messages as needed, at least one.
pub(crate) fn snapshots(tick: u32, players: &[(u32, [f32; 2])]) -> Vec<Vec<u8>> {
    let parts = players.len().div_ceil(SNAPSHOT_PLAYERS).max(1);
    let mut parts: Vec<Vec<u8>> = (0..parts).map(|_| message(20, &[&tick.to_le_bytes()])).collect();
    for (index, (id, place)) in players.iter().enumerate() {
        let part = &mut parts[index / SNAPSHOT_PLAYERS];
        part.extend(id.to_le_bytes());
        part.extend(packed(*place));
    }
    parts
}

pub(crate) fn spark(index: u8, place: [f32; 2], caught_by: u32) -> Vec<u8> {
    message(21, &[&[index], &packed(place), &caught_by.to_le_bytes()])
}

fn packed(place: [f32; 2]) -> [u8; 4] {
    let [[a, b], [c, d]] = place.map(|units| ((units * 16.0).round() as u16).to_le_bytes());
    [a, b, c, d]
}

fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![kind];
    parts.iter().for_each(|part| message.extend_from_slice(part));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_have_the_same_table() {
        let rows = |text: &'static str, mark| {
            text.lines().filter_map(move |line| line.strip_prefix(mark)).collect::<Vec<_>>()
        };
        let ours = rows(include_str!("protocol.rs"), "//! |");
        assert_eq!(ours.len(), 12);
        let theirs = rows(include_str!("../page/protocol.js"), "// |");
        assert_eq!(ours.join("\n").replace('`', ""), theirs.join("\n"));
    }

    #[test]
    fn every_kind_is_read() {
        let join = FromPage::Join { colour: 3, name: "Ada".into() };
        assert_eq!(FromPage::parse(b"\x01\x03 Ada "), Some(join));
        let moved = FromPage::Move { number: 513, direction: [1.0, 0.0] };
        assert_eq!(FromPage::parse(&[2, 1, 2, 127, 0]), Some(moved));
        assert_eq!(FromPage::parse(&[3, 1, 0, 0, 0]), Some(FromPage::Ping(1)));
        assert_eq!(FromPage::parse(b"\x04hi"), Some(FromPage::Say("hi".into())));
    }

    #[test]
    fn wrong_lengths_and_kinds_are_nothing() {
        let wrong: [&[u8]; 8] = [
            b"",
            &[0],
            &[1],
            &[2, 1, 2, 3],
            &[2, 1, 2, 3, 4, 5],
            &[3, 1],
            &[20, 0, 0, 0, 0],
            &[255],
        ];
        for message in wrong {
            assert_eq!(FromPage::parse(message), None, "{message:?}");
        }
    }

    #[test]
    fn no_message_panics_and_texts_stay_within_their_limits() {
        for first in 0..=255 {
            for length in 0..900 {
                let message: Vec<u8> = std::iter::once(first)
                    .chain((0..length).map(|at| (at * 31 + length) as u8))
                    .collect();
                match FromPage::parse(&message) {
                    Some(FromPage::Join { colour, name }) => {
                        assert!(colour < COLOURS && name.chars().count() <= NAME_LIMIT);
                    }
                    Some(FromPage::Say(text)) => assert!(text.chars().count() <= CHAT_LIMIT),
                    Some(FromPage::Move { direction: [x, y], .. }) => assert!(x.hypot(y) < 1.001),
                    Some(FromPage::Ping(_)) | None => {}
                }
            }
        }
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let long = "é".repeat(NAME_LIMIT + 5);
        let join = [&[1, 0], long.as_bytes()].concat();
        let name = "é".repeat(NAME_LIMIT);
        assert_eq!(FromPage::parse(&join), Some(FromPage::Join { colour: 0, name }));
    }

    #[test]
    fn hidden_characters_are_left_out() {
        assert_eq!(text("a\n\u{202e}b\u{7}".as_bytes(), 9), "ab");
        assert_eq!(text(&[0xff, b'x'], 9), "\u{fffd}x");
    }

    #[test]
    fn a_snapshot_fits_one_packet() {
        let players: Vec<_> = (0..121).map(|id| (id, [1600.0, 1000.0])).collect();
        let parts = snapshots(7, &players);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [965, 13]);
        assert_eq!(parts[1][..5], [20, 7, 0, 0, 0]);
        assert_eq!(parts[1][5..], [120, 0, 0, 0, 0, 100, 128, 62]);
        assert_eq!(snapshots(7, &[]).len(), 1);
    }
}
