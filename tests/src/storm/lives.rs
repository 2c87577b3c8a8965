//! The grammar of events: invariants I1 and I2.

use std::collections::BTreeMap;

use net::PeerId;

use super::violation::Invariant;

/// What the application has seen of each id.
#[derive(Debug, Default)]
pub(super) struct Lives {
    lives: BTreeMap<PeerId, Life>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    Closed,
}

type Wrong = (Invariant, String);

impl Lives {
    pub(super) fn open(&mut self, id: PeerId) -> Result<(), Wrong> {
        let next = PeerId::from(self.lives.len() as u64);
        if id != next {
            return Err((Invariant::Ids, format!("{id} opened, {next} is the next id")));
        }
        self.lives.insert(id, Life::Open);
        Ok(())
    }

    pub(super) fn received(&self, id: PeerId) -> Result<(), Wrong> {
        match self.lives.get(&id) {
            Some(Life::Open) => Ok(()),
            life => Err((Invariant::Grammar, format!("a message of {id}, which is {life:?}"))),
        }
    }

    pub(super) fn closed(&mut self, id: PeerId) -> Result<(), Wrong> {
        match self.lives.get_mut(&id) {
            Some(life @ Life::Open) => {
                *life = Life::Closed;
                Ok(())
            }
            life => Err((Invariant::Grammar, format!("{id} closed, which is {life:?}"))),
        }
    }

    /// Ids that have opened.
    pub(super) fn opened(&self) -> u64 {
        self.lives.len() as u64
    }

    pub(super) fn is_open(&self, id: PeerId) -> bool {
        self.lives.get(&id) == Some(&Life::Open)
    }

    /// Who is open.
    pub(super) fn all_open(&self) -> impl Iterator<Item = PeerId> {
        self.lives.iter().filter(|(_, life)| **life == Life::Open).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_open_received_closed() {
        let id = |number: u64| PeerId::from(number);
        let mut lives = Lives::default();
        assert!(lives.received(id(0)).is_err() && lives.closed(id(0)).is_err());
        assert!(lives.open(id(1)).is_err(), "ids count up");
        assert!(lives.open(id(0)).is_ok() && lives.received(id(0)).is_ok());
        assert!(lives.open(id(0)).is_err() && lives.closed(id(0)).is_ok());
        assert!(lives.received(id(0)).is_err() && lives.closed(id(0)).is_err());
        assert!(lives.open(id(0)).is_err(), "none is used again");
    }
}
