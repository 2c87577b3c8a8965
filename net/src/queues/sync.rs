//! What threads meet at: the standard library's and crossbeam's. In the [models](crate::tests::shuttle)
//! it is a model checker's, so that they run what is shipped.

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
