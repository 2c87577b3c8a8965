//! Tests of the data path against models of other stacks.

mod fragmentation;
mod usrsctp;
