//! Models of the threads.

pub(crate) mod shuttle;
