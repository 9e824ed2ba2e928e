//! Blocks by the thousand, from many threads. Each test that looks at a depot has a depot or a class
//! of its own, above those that tasks have, so that tests may run side by side; those that use all
//! classes run [`alone`].

use std::alloc::Layout;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::{Duration, Instant};

use super::blocks::{Block, Magazine};
use super::class::{Class, LINE};
use super::depot::{self, Depot, FEW};
use super::store::{self, KEPT};
use super::{allocate, chunk, free, thread};

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn class(size: usize) -> Class {
    Class::of(layout(size, LINE)).unwrap()
}

/// Numbers that look random, and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

static CLASSES: RwLock<()> = RwLock::new(());

/// A class whose depot is a test's own.
fn own_class(size: usize) -> (Class, RwLockReadGuard<'static, ()>) {
    let guard = CLASSES.read().unwrap_or_else(PoisonError::into_inner);
    (class(size), guard)
}

/// Runs a test that uses all classes, and brings back all blocks.
fn alone(test: impl FnOnce() + Send + 'static) {
    let _guard = CLASSES.write().unwrap_or_else(PoisonError::into_inner);
    std::thread::spawn(test).join().unwrap();
}

/// Memory in use: all of it has the byte that belongs to it.
struct Used {
    block: NonNull<u8>,
    layout: Layout,
    byte: u8,
}

// SAFETY: nobody else has the memory.
unsafe impl Send for Used {}

impl Used {
    fn new(layout: Layout, byte: u8) -> Used {
        let block = allocate(layout);
        assert_eq!(block.addr().get() % layout.align(), 0, "{layout:?}");
        // SAFETY: the memory was just allocated, and is as long.
        unsafe { block.write_bytes(byte, layout.size()) };
        Used {
            block,
            layout,
            byte,
        }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let (start, len) = (self.block.as_ptr(), self.layout.size());
        // SAFETY: the memory was initialised by `new`.
        let bytes = unsafe { std::slice::from_raw_parts(start, len) };
        assert!(bytes.iter().all(|&byte| byte == self.byte));
        // SAFETY: from `allocate` with this layout.
        unsafe { free(self.block, self.layout) };
    }
}

#[test]
fn memory_of_any_layout_is_aligned_and_nobody_elses() {
    alone(|| {
        let mut numbers = Numbers(1);
        let mut used = Vec::new();
        for step in 0..20_000_usize {
            if used.len() == 500 || (step % 3 == 2 && !used.is_empty()) {
                drop(used.swap_remove(numbers.below(used.len())));
            } else {
                let (size, align) = (1 + numbers.below(8192), 1 << numbers.below(9));
                used.push(Used::new(layout(size, align), step as u8));
            }
        }
    });
}

#[test]
fn every_size_up_to_8192_can_be_allocated_while_all_others_are_in_use() {
    alone(|| {
        let used: Vec<Used> = (1..=8192)
            .map(|size| Used::new(layout(size, LINE), size as u8))
            .collect();
        drop(used);
    });
}

#[test]
fn the_block_that_was_freed_last_is_the_next_one() {
    let class = class(2304);
    let (first, second) = (thread::allocate(class), thread::allocate(class));
    let addresses = [second.as_raw(), first.as_raw()];
    thread::free(class, first);
    thread::free(class, second);
    let again = [(); 2].map(|()| thread::allocate(class));
    assert_eq!(addresses, [again[0].as_raw(), again[1].as_raw()]);
    for block in again {
        thread::free(class, block);
    }
}

#[test]
fn a_thread_that_goes_back_and_forth_over_a_boundary_does_not_ask_the_depot() {
    let (class, _guard) = own_class(2560);
    let (at_the_boundary, wait) = mpsc::channel();
    let (go, wait_to_go) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut blocks: Vec<Block> = (0..=class.magazine())
            .map(|_| thread::allocate(class))
            .collect();
        at_the_boundary.send(()).unwrap();
        wait_to_go.recv().unwrap();
        // One more and one less than the magazine had, again and again.
        for _ in 0..10 {
            for block in blocks.drain(..2) {
                thread::free(class, block);
            }
            blocks.extend([(); 2].map(|()| thread::allocate(class)));
        }
        at_the_boundary.send(()).unwrap();
        for block in blocks {
            thread::free(class, block);
        }
    });
    wait.recv().unwrap();
    let depot = depot::lock(class);
    go.send(()).unwrap();
    let done = wait.recv_timeout(Duration::from_secs(10));
    drop(depot);
    thread.join().unwrap();
    assert_eq!(done, Ok(()), "it waited for the depot");
}

/// What is not in the chunks of a class is in stock: nobody has a block any more.
fn assert_all_back(class: Class) {
    let depot = depot::lock(class);
    assert_eq!(depot.out(), depot.in_stock(class));
}

#[test]
fn a_thread_that_ends_brings_its_blocks_back() {
    let (class, _guard) = own_class(2816);
    std::thread::spawn(move || {
        let blocks: Vec<Block> = (0..100).map(|_| thread::allocate(class)).collect();
        for block in blocks {
            thread::free(class, block);
        }
        let depot = depot::lock(class);
        assert!(depot.out() > depot.in_stock(class), "the thread has none");
    })
    .join()
    .unwrap();
    assert_all_back(class);
}

/// What a thread-local does whose thread ends.
struct AtTheEnd(Class);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let blocks: Vec<Block> = (0..50).map(|_| thread::allocate(self.0)).collect();
        for block in blocks {
            thread::free(self.0, block);
        }
    }
}

thread_local! {
    static EARLY: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

#[test]
fn destructors_of_thread_locals_allocate_and_free_before_and_after_the_thread_closed_its_shelves() {
    let (class, _guard) = own_class(3072);
    std::thread::spawn(move || {
        EARLY.set(Some(AtTheEnd(class)));
        thread::free(class, thread::allocate(class));
        LATE.set(Some(AtTheEnd(class)));
    })
    .join()
    .unwrap();
    assert_all_back(class);
}

#[test]
fn a_million_blocks_that_another_thread_frees_need_no_more_memory_than_are_on_the_way() {
    const BATCH: usize = 100;
    let (class, _guard) = own_class(3328);
    let (sender, receiver) = mpsc::sync_channel::<Vec<Block>>(2);
    let consumer = std::thread::spawn(move || {
        for block in receiver.into_iter().flatten() {
            thread::free(class, block);
        }
    });
    for _ in 0..1_000_000 / BATCH {
        let batch = (0..BATCH).map(|_| thread::allocate(class)).collect();
        sender.send(batch).unwrap();
    }
    drop(sender);
    consumer.join().unwrap();
    // Four batches on the way, a stock, shelves: each block may lie in another chunk at worst, but
    // no worse than the few that are tolerated.
    let chunks = depot::lock(class).chunks();
    assert!(
        chunks <= FEW + 4 * BATCH / chunk::capacity(class),
        "{chunks}"
    );
}

#[test]
fn after_a_burst_the_chunks_are_given_back_in_whatever_order_blocks_are_freed() {
    const BURST: usize = 102_400;
    let class = class(64);
    for seed in 1..4 {
        let mut depot = Depot::new();
        let mut blocks: Vec<Block> = (0..BURST).map(|_| depot.take_one(class)).collect();
        let peak = depot.chunks();
        assert_eq!(peak, BURST.div_ceil(chunk::capacity(class)));
        Numbers(seed).shuffle(&mut blocks);
        let mut blocks = blocks.into_iter();
        while blocks.len() > 0 {
            let magazine = Magazine::fill(class, || blocks.next().unwrap());
            depot.put(class, magazine);
        }
        assert!(depot.chunks() <= FEW, "{} of {peak}", depot.chunks());
        assert_eq!(depot.out(), depot.in_stock(class));
        depot.unstock(class);
        assert_eq!(depot.chunks(), 0);
        assert!(store::lock().len() <= KEPT);
    }
}

#[test]
fn a_load_that_comes_back_before_long_finds_its_blocks_in_stock() {
    let class = class(256);
    let mut depot = Depot::new();
    let mut round = || {
        let magazines: Vec<Magazine> = (0..16).map(|_| depot.take(class)).collect();
        for magazine in magazines {
            depot.put(class, magazine);
        }
        (depot.out(), depot.in_stock(class), depot.chunks())
    };
    let first = round();
    assert_eq!(first.0, 16 * class.magazine());
    assert_eq!(first.1, first.0, "all are in stock");
    assert_eq!(round(), first);
    depot.unstock(class);
}

#[test]
fn a_depot_gives_no_block_out_twice_and_counts_right_in_any_history() {
    for seed in 1..20 {
        let class = class(64 << (seed % 7));
        let mut numbers = Numbers(seed as u64);
        let mut depot = Depot::new();
        let (mut blocks, mut addresses) = (Vec::new(), BTreeSet::new());
        for _ in 0..500 {
            match numbers.below(4) {
                0 => {
                    let mut magazine = depot.take(class).into_blocks();
                    blocks.extend(std::iter::from_fn(|| magazine.pop()));
                }
                1 if blocks.len() >= class.magazine() => {
                    numbers.shuffle(&mut blocks);
                    let magazine = Magazine::fill(class, || blocks.pop().unwrap());
                    depot.put(class, magazine);
                }
                2 => blocks.push(depot.take_one(class)),
                _ => {
                    if let Some(block) = blocks.pop() {
                        depot.put_one(class, block);
                    }
                }
            }
            addresses.clear();
            addresses.extend(blocks.iter().map(|block| block.as_raw().addr()));
            assert_eq!(addresses.len(), blocks.len(), "a block was given out twice");
            assert_eq!(depot.out(), blocks.len() + depot.in_stock(class));
        }
        for block in blocks {
            depot.put_one(class, block);
        }
        depot.unstock(class);
        assert_eq!((depot.out(), depot.chunks()), (0, 0));
    }
}

#[test]
fn threads_that_free_what_others_allocated_never_see_each_others_memory() {
    let layout = layout(3500, 8);
    let shared = Mutex::new(Vec::<Used>::new());
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            let shared = &shared;
            scope.spawn(move || {
                let mut numbers = Numbers(seed);
                for step in 0..2_000_usize {
                    let used = Used::new(layout, step as u8 ^ (seed as u8) << 6);
                    let mut shared = shared.lock().unwrap();
                    shared.push(used);
                    let other = numbers.below(shared.len());
                    let other = shared.swap_remove(other);
                    let another = if shared.len() > 60 {
                        shared.pop()
                    } else {
                        None
                    };
                    drop(shared);
                    drop((other, another));
                    if step % 3 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
}

/// Takes and returns so many blocks that the depot is asked.
fn exercise(class: Class, blocks: &mut [Option<Block>]) {
    for block in &mut *blocks {
        *block = Some(thread::allocate(class));
    }
    for block in blocks.iter_mut().filter_map(Option::take) {
        thread::free(class, block);
    }
}

#[test]
fn a_child_that_is_forked_off_while_another_thread_has_the_lock_can_allocate() {
    let class = class(3840);
    let stop = AtomicBool::new(false);
    let hung = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exercise(class, &mut [const { None }; 100]);
            }
        });
        exercise(class, &mut [const { None }; 100]);
        let hung = (0..100).any(|_| child_hangs(class));
        stop.store(true, Ordering::Relaxed);
        hung
    });
    assert!(!hung, "a child waits for a lock that nobody has");
}

fn child_hangs(class: Class) -> bool {
    // SAFETY: the child allocates and exits, no more.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        exercise(class, &mut [const { None }; 100]);
        // SAFETY: nothing is to be run at the exit of the child.
        unsafe { libc::_exit(0) };
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG) } == 0 {
        if Instant::now() > deadline {
            // SAFETY: the child is not waited for yet, so the number is its own.
            unsafe { libc::kill(child, libc::SIGKILL) };
            return true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    false
}
