//! Synchronisation primitives of the model checker, in place of [`crate::queues::sync`].

use std::collections::VecDeque;
use std::sync::PoisonError;

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8};
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock as ShardedLock};

/// Replaces crossbeam's queue: each operation is atomic.
#[derive(Debug)]
pub(crate) struct SegQueue<T>(Mutex<VecDeque<T>>);

impl<T> SegQueue<T> {
    pub(crate) fn new() -> SegQueue<T> {
        SegQueue(Mutex::new(VecDeque::new()))
    }

    pub(crate) fn push(&self, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
