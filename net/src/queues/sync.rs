//! Synchronisation primitives of the standard library and crossbeam, replaced by shuttle's in the
//! [models](crate::tests::shuttle), so that they check the shipped code.

#[cfg(not(all(test, feature = "models")))]
pub(crate) use crate::queues::sync::real::*;
#[cfg(all(test, feature = "models"))]
pub(crate) use crate::tests::shuttle::sync::*;

#[cfg(not(all(test, feature = "models")))]
mod real {
    pub(crate) use std::sync::atomic::AtomicBool;
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

    pub(crate) use crossbeam::queue::SegQueue;
    pub(crate) use crossbeam::sync::ShardedLock;
}
