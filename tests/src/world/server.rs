//! The server's machine, and what its calls cost.

use std::collections::VecDeque;
use std::time::Duration;

use cpu_time::ThreadTime;
use net::hub::{Hub, Output};

use crate::memory;

/// What the calls of the server's machine have cost. A call counts with its drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many there were.
    pub calls: u64,
    /// The processor time of the longest, and its number.
    pub longest: (Duration, u64),
    /// Most bytes that the machine held after one; 0 if nobody [counts](crate::memory).
    pub most_bytes: i64,
}

/// The hub, and what it has said.
#[derive(Debug)]
pub(super) struct Server {
    hub: Hub,
    said: VecDeque<Output>,
    cost: Option<Cost>,
}

impl Server {
    pub(super) fn new(make: impl FnOnce() -> Hub) -> Server {
        Server { hub: memory::within(make), said: VecDeque::with_capacity(4_096), cost: None }
    }

    /// The costs count from now on.
    pub(super) fn measure(&mut self) {
        self.cost = Some(Cost::default());
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost.unwrap_or_default()
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Calls the machine and drains it. Its last output is kept like the others.
    pub(super) fn call<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> T {
        let began = self.cost.is_some().then(ThreadTime::now);
        let result = memory::within(|| {
            let result = act(&mut self.hub);
            loop {
                let output = self.hub.poll_output();
                let is_last = matches!(output, Output::Timeout(_));
                self.said.push_back(output);
                if is_last {
                    return result;
                }
            }
        });
        if let (Some(cost), Some(began)) = (&mut self.cost, began) {
            cost.note(began.elapsed());
        }
        result
    }

    /// What it said first, of what was not looked at.
    pub(super) fn next(&mut self) -> Option<Output> {
        self.said.pop_front()
    }
}

impl Cost {
    fn note(&mut self, time: Duration) {
        self.calls += 1;
        self.longest = self.longest.max((time, self.calls));
        self.most_bytes = self.most_bytes.max(memory::held().unwrap_or(0));
    }
}
