//! An allocator that counts, for each thread on its own.

#![allow(unsafe_code, reason = "an allocator cannot be written without; it only passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { taken: 0, live: 0, most: 0 }) };
}

/// Bytes of this thread.
#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Ever allocated.
    taken: usize,
    /// Allocated and not freed; may be negative where another thread allocated.
    live: isize,
    /// The most that was live.
    most: isize,
}

/// What an action allocated.
#[allow(dead_code, reason = "who counts may look at a part of it")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Bytes, whether freed since or not.
    pub(crate) taken: usize,
    /// Bytes that are still held.
    pub(crate) held: isize,
    /// The most bytes that were held at one time.
    pub(crate) most: isize,
}

/// What `action` allocates; what it gives is still held.
pub(crate) fn cost<T>(action: impl FnOnce() -> T) -> (T, Cost) {
    let before = COUNTS.get();
    COUNTS.set(Counts { most: before.live, ..before });
    let result = action();
    let after = COUNTS.get();
    COUNTS.set(Counts { most: before.most.max(after.most), ..after });
    let cost = Cost {
        taken: after.taken - before.taken,
        held: after.live - before.live,
        most: after.most - before.live,
    };
    (result, cost)
}

fn count(taken: usize, change: isize) {
    // A thread that ends may free after its counts are gone.
    _ = COUNTS.try_with(|counts| {
        let Counts { taken: before, live, most } = counts.get();
        let live = live + change;
        counts.set(Counts { taken: before + taken, live, most: most.max(live) });
    });
}

struct Counting;

// SAFETY: each call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, -layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}
