//! Counts the bytes that one part of a program holds, whoever frees them.
//!
//! A program that wants it has `static GLOBAL: Allocator<System> = Allocator::system();` as its
//! `#[global_allocator]` and calls [`count`] first; in others [`held`] is `None`.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

pub use tracking_allocator::Allocator;
use tracking_allocator::{
    AllocationGroupId, AllocationGroupToken, AllocationRegistry, AllocationTracker,
};

/// More than there are threads that count. A thread beyond shares the bytes of another.
const GROUPS: usize = 1_024;

static HELD: [AtomicI64; GROUPS] = [const { AtomicI64::new(0) }; GROUPS];
static COUNTING: OnceLock<()> = OnceLock::new();

thread_local! {
    /// Held while [`within`] works.
    static TOKEN: RefCell<Option<AllocationGroupToken>> = const { RefCell::new(None) };
    static GROUP: Cell<usize> = const { Cell::new(0) };
}

/// From now on bytes are counted; may be called more than once.
pub fn count() {
    COUNTING.get_or_init(|| {
        AllocationRegistry::set_global_tracker(Tracker).expect("it is set once");
        AllocationRegistry::enable_tracking();
    });
}

/// Does this; what it allocates counts, until it is freed.
pub fn within<T>(act: impl FnOnce() -> T) -> T {
    if COUNTING.get().is_none() {
        return act();
    }
    TOKEN.with_borrow_mut(|token| {
        let token = token.get_or_insert_with(|| {
            let token = AllocationGroupToken::register().expect("there are enough");
            GROUP.set(token.id().as_usize().get());
            token
        });
        let _guard = token.enter();
        act()
    })
}

/// Bytes that were allocated on this thread [`within`] and are not freed; `None` if nobody
/// counts.
pub fn held() -> Option<i64> {
    COUNTING.get().map(|()| HELD[GROUP.get() % GROUPS].load(Ordering::Relaxed))
}

struct Tracker;

impl Tracker {
    /// Everything outside belongs to the first group.
    fn add(group: &AllocationGroupId, size: i64) {
        let group = group.as_usize().get();
        if group > 1 {
            HELD[group % GROUPS].fetch_add(size, Ordering::Relaxed);
        }
    }
}

impl AllocationTracker for Tracker {
    fn allocated(&self, _: usize, size: usize, _: usize, group: AllocationGroupId) {
        Tracker::add(&group, size as i64);
    }

    fn deallocated(
        &self,
        _: usize,
        size: usize,
        _: usize,
        source: AllocationGroupId,
        _: AllocationGroupId,
    ) {
        Tracker::add(&source, -(size as i64));
    }
}
