//! The rules: discs that move in a rectangle and catch sparks.

use std::collections::BTreeMap;

/// Steps in a second.
pub(crate) const TICK_RATE: u32 = 60;
/// Width and height in units.
pub(crate) const ARENA: [f32; 2] = [1600.0, 1000.0];
/// A disc's radius in units.
pub(crate) const RADIUS: f32 = 26.0;
/// Sparks that lie in the arena.
pub(crate) const SPARKS: usize = 14;

/// Units a second; `page/world.js` has the same number, and the next one.
const SPEED: f32 = 460.0;
/// How quickly a disc takes up a new velocity, in 1/s.
const RESPONSE: f32 = 9.0;
/// How near a spark must be to a disc's edge to be caught, in units.
const REACH: f32 = 12.0;
/// Ticks without a word from the page after which a disc coasts to a stop.
const PATIENCE: u32 = TICK_RATE / 2;

/// Everything that moves.
#[derive(Debug)]
pub(crate) struct Game {
    tick: u32,
    players: BTreeMap<u32, Player>,
    sparks: [[f32; 2]; SPARKS],
    random: Random,
}

/// One disc.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Player {
    pub(crate) place: [f32; 2],
    pub(crate) score: u16,
    velocity: [f32; 2],
    steering: Steering,
}

/// What the page last wanted.
#[derive(Debug, Clone, PartialEq)]
enum Steering {
    Nowhere,
    Towards { direction: [f32; 2], number: u16, since: u32 },
}

/// A spark that was caught and lies somewhere else now.
#[derive(Debug, PartialEq)]
pub(crate) struct Catch {
    pub(crate) spark: usize,
    pub(crate) by: u32,
}

impl Game {
    /// An arena without players; the same seed gives the same game.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed | 1);
        let sparks = std::array::from_fn(|_| random.place());
        Self { tick: 0, players: BTreeMap::new(), sparks, random }
    }

    /// Puts a player somewhere; one who is there already stays.
    pub(crate) fn enter(&mut self, id: u32) {
        let place = self.random.place();
        self.players.entry(id).or_insert(Player {
            place,
            score: 0,
            velocity: [0.0; 2],
            steering: Steering::Nowhere,
        });
    }

    pub(crate) fn leave(&mut self, id: u32) {
        self.players.remove(&id);
    }

    /// Takes a direction of length 1 at most, unless a newer one came before it.
    pub(crate) fn steer(&mut self, id: u32, number: u16, direction: [f32; 2]) {
        let since = self.tick;
        if let Some(player) = self.players.get_mut(&id)
            && player.steering.is_older_than(number)
        {
            player.steering = Steering::Towards { direction, number, since };
        }
    }

    /// One step of 1/60 s.
    pub(crate) fn step(&mut self) -> Vec<Catch> {
        self.tick = self.tick.wrapping_add(1);
        for player in self.players.values_mut() {
            player.step(self.tick);
        }
        let catches = self.catches();
        for catch in &catches {
            self.sparks[catch.spark] = self.random.place();
            if let Some(player) = self.players.get_mut(&catch.by) {
                player.score = player.score.saturating_add(1);
            }
        }
        catches
    }

    pub(crate) fn tick(&self) -> u32 {
        self.tick
    }

    pub(crate) fn player(&self, id: u32) -> Option<&Player> {
        self.players.get(&id)
    }

    pub(crate) fn sparks(&self) -> &[[f32; 2]; SPARKS] {
        &self.sparks
    }

    /// Every player's id and place, by id.
    pub(crate) fn places(&self) -> Vec<(u32, [f32; 2])> {
        self.players.iter().map(|(id, player)| (*id, player.place)).collect()
    }

    fn catches(&self) -> Vec<Catch> {
        let caught = |(spark, place): (usize, &[f32; 2])| {
            let near = |player: &Player| distance(player.place, *place) < RADIUS + REACH;
            let by = self.players.iter().find(|(_, player)| near(player));
            by.map(|(id, _)| Catch { spark, by: *id })
        };
        self.sparks.iter().enumerate().filter_map(caught).collect()
    }
}

impl Player {
    fn step(&mut self, tick: u32) {
        let wanted = self.steering.direction(tick);
        let seconds = 1.0 / TICK_RATE as f32;
        let blend = 1.0 - (-RESPONSE * seconds).exp();
        for axis in 0..2 {
            let velocity = &mut self.velocity[axis];
            *velocity += (wanted[axis] * SPEED - *velocity) * blend;
            let place = self.place[axis] + *velocity * seconds;
            self.place[axis] = place.clamp(RADIUS, ARENA[axis] - RADIUS);
            if self.place[axis] != place {
                *velocity = 0.0;
            }
        }
    }
}

impl Steering {
    fn direction(&self, tick: u32) -> [f32; 2] {
        match *self {
            Self::Towards { direction, since, .. } if tick.wrapping_sub(since) <= PATIENCE => {
                direction
            }
            _ => [0.0; 2],
        }
    }

    // The numbers wrap; half of them count as newer.
    fn is_older_than(&self, next: u16) -> bool {
        match *self {
            Self::Nowhere => true,
            Self::Towards { number, .. } => next.wrapping_sub(number).cast_signed() > 0,
        }
    }
}

fn distance([ax, ay]: [f32; 2], [bx, by]: [f32; 2]) -> f32 {
    (ax - bx).hypot(ay - by)
}

/// An xorshift generator: enough for where sparks fall.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn place(&mut self) -> [f32; 2] {
        ARENA.map(|size| {
            let margin = RADIUS * 2.0;
            margin + self.fraction() * (size - 2.0 * margin)
        })
    }

    fn fraction(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game_with(id: u32) -> Game {
        let mut game = Game::new(1);
        game.enter(id);
        game
    }

    fn place(game: &Game, id: u32) -> [f32; 2] {
        game.player(id).expect("entered").place
    }

    #[test]
    fn a_steered_disc_moves_and_stops_when_the_page_falls_silent() {
        let mut game = game_with(0);
        let start = place(&game, 0);
        let away = if start[0] < 800.0 { 1.0 } else { -1.0 };
        game.steer(0, 0, [away, 0.0]);
        (0..PATIENCE).for_each(|_| drop(game.step()));
        let moved = place(&game, 0);
        assert!((moved[0] - start[0]).abs() > 100.0 && moved[1] == start[1], "{start:?} {moved:?}");
        (0..120).for_each(|_| drop(game.step()));
        let rest = place(&game, 0);
        game.step();
        assert!(distance(rest, place(&game, 0)) < 0.01);
    }

    #[test]
    fn nobody_is_faster_than_the_speed_or_leaves_the_arena() {
        let mut game = game_with(0);
        for number in 0..2000 {
            let before = place(&game, 0);
            game.steer(0, number, [0.6, -0.8]);
            game.step();
            let after = place(&game, 0);
            assert!(distance(before, after) <= SPEED / TICK_RATE as f32 + 0.01);
            assert!((0..2).all(|axis| (RADIUS..=ARENA[axis] - RADIUS).contains(&after[axis])));
        }
        assert_eq!(place(&game, 0), [ARENA[0] - RADIUS, RADIUS]);
    }

    #[test]
    fn an_older_direction_is_ignored_also_across_the_wrap() {
        let mut game = game_with(0);
        game.steer(0, u16::MAX, [1.0, 0.0]);
        game.steer(0, 0, [0.0, 1.0]);
        game.steer(0, u16::MAX, [1.0, 0.0]);
        let steering = &game.player(0).expect("entered").steering;
        assert_eq!(*steering, Steering::Towards { direction: [0.0, 1.0], number: 0, since: 0 });
    }

    #[test]
    fn a_spark_gives_a_point_and_moves() {
        let mut game = game_with(7);
        let spark = place(&game, 7);
        game.sparks = [[0.0; 2]; SPARKS];
        game.sparks[3] = spark;
        assert_eq!(game.step(), [Catch { spark: 3, by: 7 }]);
        assert_ne!(game.sparks[3], spark);
        assert_eq!(game.player(7).map(|player| player.score), Some(1));
    }

    #[test]
    fn strangers_cannot_steer_and_the_gone_are_gone() {
        let mut game = game_with(0);
        game.steer(9, 0, [1.0, 0.0]);
        game.leave(0);
        game.leave(9);
        assert_eq!(game.places(), []);
    }

    #[test]
    fn the_page_moves_its_disc_by_the_same_rules() {
        let world = include_str!("../page/world.js");
        for (name, value) in [("SPEED", SPEED), ("RESPONSE", RESPONSE), ("RADIUS", RADIUS)] {
            assert!(world.contains(&format!("const {name} = {value};")), "{name}");
        }
    }

    #[test]
    fn entering_twice_changes_nothing() {
        let mut game = game_with(0);
        let before = game.player(0).cloned();
        game.enter(0);
        assert_eq!(game.player(0).cloned(), before);
    }
}
