//! Worker pool for `Config::accept`.

use std::sync::Arc;
use std::{io, thread};

use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::SegQueue;

use crate::hub::{AcceptRequest, ConnectionId, HookError};
use crate::queues::Shared;
use crate::{AcceptHook, Config, Decision};

/// Worker threads that run the admission hook outside of the event loop. They end when this is
/// dropped; a thread inside the hook ends when that returns, and is not joined.
#[derive(Debug)]
pub(super) struct AcceptPool {
    requests: Sender<AcceptRequest>,
    /// At most one per submitted request: the loop takes them in each iteration.
    decisions: Arc<DecisionQueue>,
}

type DecisionQueue = SegQueue<(ConnectionId, Result<Decision, HookError>)>;

impl AcceptPool {
    /// Starts the threads, if there is an admission hook.
    pub(super) fn start(config: &Config, shared: &Arc<Shared>) -> io::Result<Option<AcceptPool>> {
        let Some(accept) = &config.accept else { return Ok(None) };
        let threads = config.accept_threads.max(1);
        // The hub has at most this many requests outstanding.
        let (questions, receiver) = bounded(threads);
        let verdicts = Arc::new(DecisionQueue::new());
        for number in 0..threads {
            let (accept, receiver) = (accept.clone(), receiver.clone());
            let (verdicts, shared) = (verdicts.clone(), shared.clone());
            thread::Builder::new()
                .name(format!("net accept {number}"))
                .spawn(move || run_worker(&accept, &receiver, &verdicts, &shared))?;
        }
        Ok(Some(AcceptPool { requests: questions, decisions: verdicts }))
    }

    /// Submits a request; its decision comes from [`AcceptPool::pop_decision`], after a wake-up.
    pub(super) fn submit(&self, question: AcceptRequest) -> Result<(), HookError> {
        self.requests.try_send(question).map_err(|_| HookError::QueueFull)
    }

    /// Returns whether a decision is available.
    pub(super) fn has_decisions(&self) -> bool {
        !self.decisions.is_empty()
    }

    /// Takes a decision.
    pub(super) fn pop_decision(&self) -> Option<(ConnectionId, Result<Decision, HookError>)> {
        self.decisions.pop()
    }
}

/// Runs one worker thread.
fn run_worker(
    accept: &AcceptHook,
    questions: &Receiver<AcceptRequest>,
    verdicts: &DecisionQueue,
    shared: &Shared,
) {
    for question in questions {
        verdicts.push((question.connection, accept.decide(&question.request)));
        shared.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_there_until_it_is_taken() {
        let (questions, _receiver) = bounded(1);
        let clerks = AcceptPool { requests: questions, decisions: Arc::default() };
        assert!(!clerks.has_decisions(), "the loop would not rest");
        clerks.decisions.push((ConnectionId(7), Err(HookError::QueueFull)));
        assert!(clerks.has_decisions());
        assert_eq!(clerks.pop_decision().map(|(id, _)| id), Some(ConnectionId(7)));
        assert!(!clerks.has_decisions() && clerks.pop_decision().is_none());
    }
}
