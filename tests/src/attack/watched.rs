//! An attacker under observation: what it did and got is counted, and it can be called off.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use super::{Attacker, Input, Output, Tcp};

/// What was counted so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Connections that it made, those that were refused at once too.
    pub connects: usize,
    /// Datagrams by the address that it sent them from, or that the server sent them to, which
    /// may be anybody's but an honest client's.
    pub traffic: BTreeMap<SocketAddr, Traffic>,
}

/// Bytes of datagrams, without the headers of IP and UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From an address to the server.
    pub sent: usize,
    /// From the server to it.
    pub heard: usize,
}

/// An attacker whose doings are counted, and which can be called off by its [`Observer`].
#[derive(Debug)]
pub struct Watched {
    inner: Box<dyn Attacker>,
    state: Rc<RefCell<State>>,
    open: BTreeSet<Tcp>,
}

/// The observer's end of a [`Watched`].
#[derive(Clone, Debug)]
pub struct Observer(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    called_off: bool,
}

impl Watched {
    /// The attacker to send, and who watches it.
    pub fn new(inner: Box<dyn Attacker>) -> (Box<Watched>, Observer) {
        let state = Rc::<RefCell<State>>::default();
        let watched = Watched { inner, state: state.clone(), open: BTreeSet::new() };
        (Box::new(watched), Observer(state))
    }

    fn count(&mut self, output: &Output) {
        let tally = &mut self.state.borrow_mut().tally;
        match output {
            Output::Connect(tcp, _) => {
                tally.connects += 1;
                self.open.insert(*tcp);
            }
            Output::End(tcp) | Output::Reset(tcp) => _ = self.open.remove(tcp),
            Output::Datagram { source, contents } => {
                tally.traffic.entry(*source).or_default().sent += contents.len();
            }
            Output::Write(..) | Output::Read(..) | Output::Timeout(_) => {}
        }
    }

    fn is_called_off(&self) -> bool {
        self.state.borrow().called_off
    }
}

impl Observer {
    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        self.0.borrow().tally.clone()
    }

    /// From now on the attacker does nothing; its connections are torn down.
    pub fn call_off(&self) {
        self.0.borrow_mut().called_off = true;
    }
}

impl Attacker for Watched {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if let Input::Datagram { destination, contents } = input {
            let tally = &mut self.state.borrow_mut().tally;
            tally.traffic.entry(destination).or_default().heard += contents.len();
        }
        let is_others =
            matches!(input, Input::Datagram { destination, .. } if !self.inner.is_at(destination));
        if !is_others && !self.is_called_off() {
            self.inner.handle_input(now, input);
        }
    }

    fn poll_output(&mut self) -> Output {
        let output = match self.is_called_off() {
            true => self.open.first().map_or(Output::Timeout(None), |tcp| Output::Reset(*tcp)),
            false => self.inner.poll_output(),
        };
        self.count(&output);
        output
    }

    /// It hears for all that are nobody.
    fn is_at(&self, _: SocketAddr) -> bool {
        true
    }

    fn listens(&self) -> bool {
        self.inner.listens()
    }
}
