//! The threads on which the application is asked who may become a peer.

use std::sync::Arc;
use std::{io, thread};

use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::SegQueue;

use crate::hub::{ConnectionId, NoVerdict, Question};
use crate::queues::Shared;
use crate::{Accept, Config, Verdict};

/// Asks the application, away from the loop. The threads end when this is dropped; one that
/// waits for the application ends when that is done, and nobody waits for it.
#[derive(Debug)]
pub(super) struct Clerks {
    questions: Sender<Question>,
    /// At most one for each question that was asked: the loop takes them in each turn.
    verdicts: Arc<Verdicts>,
}

type Verdicts = SegQueue<(ConnectionId, Result<Verdict, NoVerdict>)>;

impl Clerks {
    /// Starts the threads, if the application wants to be asked.
    pub(super) fn start(config: &Config, shared: &Arc<Shared>) -> io::Result<Option<Clerks>> {
        let Some(accept) = &config.accept else { return Ok(None) };
        let threads = config.accept_threads.max(1);
        // The hub asks about so many at a time.
        let (questions, receiver) = bounded(threads);
        let verdicts = Arc::new(Verdicts::new());
        for number in 0..threads {
            let (accept, receiver) = (accept.clone(), receiver.clone());
            let (verdicts, shared) = (verdicts.clone(), shared.clone());
            thread::Builder::new()
                .name(format!("net accept {number}"))
                .spawn(move || work(&accept, &receiver, &verdicts, &shared))?;
        }
        Ok(Some(Clerks { questions, verdicts }))
    }

    /// Asks; the verdict comes by [`Clerks::next`], after a wake-up.
    pub(super) fn ask(&self, question: Question) -> Result<(), NoVerdict> {
        self.questions.try_send(question).map_err(|_| NoVerdict::Busy)
    }

    /// Whether a verdict has come.
    pub(super) fn has_verdicts(&self) -> bool {
        !self.verdicts.is_empty()
    }

    /// A verdict that has come.
    pub(super) fn next(&self) -> Option<(ConnectionId, Result<Verdict, NoVerdict>)> {
        self.verdicts.pop()
    }
}

/// What each thread does.
fn work(accept: &Accept, questions: &Receiver<Question>, verdicts: &Verdicts, shared: &Shared) {
    for question in questions {
        verdicts.push((question.connection, accept.ask(&question.request)));
        shared.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_there_until_it_is_taken() {
        let (questions, _receiver) = bounded(1);
        let clerks = Clerks { questions, verdicts: Arc::default() };
        assert!(!clerks.has_verdicts(), "the loop would not rest");
        clerks.verdicts.push((ConnectionId(7), Err(NoVerdict::Busy)));
        assert!(clerks.has_verdicts());
        assert_eq!(clerks.next().map(|(id, _)| id), Some(ConnectionId(7)));
        assert!(!clerks.has_verdicts() && clerks.next().is_none());
    }
}
