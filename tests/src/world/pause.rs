//! The server's process is stopped for a while: what comes meanwhile waits in its system, and
//! all its timers are late.

use std::time::{Duration, Instant};

use net::hub::Input as HubInput;

use super::{Parcel, World};
use crate::world::raid::Blow;

/// What a system keeps of datagrams that nobody reads: `net.core.rmem_default` with the
/// overhead of small ones.
const DATAGRAMS: usize = 256;

/// A server that stands still.
#[derive(Debug)]
pub(super) struct Pause {
    until: Instant,
    kept: Vec<Parcel>,
    datagrams: usize,
}

impl Pause {
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    fn keep(&mut self, parcel: Parcel) {
        if let Parcel::DatagramUp { .. } = parcel {
            self.datagrams += 1;
            if self.datagrams > DATAGRAMS {
                return;
            }
        }
        self.kept.push(parcel);
    }
}

impl World {
    /// Stops the server for so long. Meanwhile its application must not call it.
    pub fn pause(&mut self, time: Duration) {
        let until = self.now + time;
        match &mut self.pause {
            Some(pause) => pause.until = pause.until.max(until),
            None => self.pause = Some(Pause { until, kept: Vec::new(), datagrams: 0 }),
        }
    }

    /// Whether the server stands still.
    pub fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// What is for the server waits while it stands still; gives back what does not.
    pub(super) fn keep_for_later(&mut self, parcel: Parcel) -> Option<Parcel> {
        match &mut self.pause {
            Some(pause) if is_for_server(&parcel) => {
                pause.keep(parcel);
                None
            }
            _ => Some(parcel),
        }
    }

    /// The server's time goes on, unless it stands still. One that wakes up first sees what has
    /// come, then what time it is.
    pub(super) fn wake_server(&mut self) {
        let now = self.now;
        if let Some(pause) = self.pause.take_if(|pause| pause.until <= now) {
            pause.kept.into_iter().for_each(|parcel| self.deliver(parcel));
        }
        if self.pause.is_none() {
            self.server.call(|hub| hub.handle_input(now, HubInput::Timeout));
        }
    }
}

fn is_for_server(parcel: &Parcel) -> bool {
    match parcel {
        Parcel::Up(..)
        | Parcel::UpEnd(_)
        | Parcel::Verdict(..)
        | Parcel::DatagramUp { .. }
        | Parcel::Unblock(_) => true,
        Parcel::Down(..) | Parcel::DownEnd(_) | Parcel::DatagramDown { .. } => false,
        Parcel::Blow(_, blow) => {
            matches!(blow, Blow::Connect(..) | Blow::Up(..) | Blow::UpEnd(_))
        }
    }
}
