//! Kinds of processes: everything about a process that is the same for all that are spawned by
//! the same line of code with the same type and name.
//!
//! A kind is interned once, under a lock; a process only carries its number. Threads that spawn
//! keep a small direct-mapped cache from the addresses of the type's [`Meta`] and of the spawn
//! site to that number, so that spawning takes no lock in the steady state. Addresses are only
//! a hint there: the same pair always means the same kind, while one kind may be found under
//! several pairs (the compiler may emit a constant more than once).
//!
//! The number of kinds is bounded. Processes past the bound share one kind for each type, which
//! metrics show with the attribute `otel.metric.overflow`.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::name::{NameList, path_of, short_name_of};
use crate::record::ProcessType;
use crate::record::outcome::error_type_of;

/// What the compiler knows about a process before it is spawned.
#[derive(Debug)]
pub struct Meta {
    process_type: ProcessType,
    /// Functions instead of names, because naming a type is not yet possible in a constant.
    future_type: fn() -> &'static str,
    output_type: fn() -> &'static str,
}

impl Meta {
    /// The facts about a future or function `F` that returns `T`.
    pub const fn of<F: ?Sized, T: ?Sized>(process_type: ProcessType) -> Meta {
        Meta {
            process_type,
            future_type: std::any::type_name::<F>,
            output_type: std::any::type_name::<T>,
        }
    }
}

/// One kind of process.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its number, counted from zero in each recorder.
    pub index: u32,
    /// What kind of work it is.
    pub process_type: ProcessType,
    /// The short name: the value of the attribute `name`, and the name of its spans.
    pub name: &'static str,
    /// The path of the function: the value of `code.function.name`.
    pub path: &'static str,
    /// The type of the error, if the output is a `Result`.
    pub error_type: Option<&'static str>,
    /// Where it is spawned; unknown for the kinds that stand for all that exceed the bound.
    pub site: Option<&'static Location<'static>>,
    /// Whether its spans are listed.
    pub traced: bool,
}

/// What a process carries of its kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct KindRef {
    pub(super) index: u32,
    pub(super) traced: bool,
    pub(super) process_type: ProcessType,
    pub(super) name: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    process_type: ProcessType,
    name: &'static str,
    path: &'static str,
    output: &'static str,
    site: Option<&'static Location<'static>>,
}

/// The kinds of one recorder.
#[derive(Debug)]
pub(super) struct Kinds {
    /// Tells the entries of this recorder in the threads' caches from those of others.
    /// Changes with the lists of names.
    generation: AtomicU64,
    limit: usize,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    tasks: NameList,
    blocking: NameList,
    by_identity: HashMap<Identity, KindRef>,
    kinds: Vec<Arc<Kind>>,
}

impl Kinds {
    pub(super) fn new(limit: usize, tasks: NameList, blocking: NameList) -> Kinds {
        Kinds {
            generation: AtomicU64::new(new_generation()),
            limit,
            known: RwLock::new(Known {
                tasks,
                blocking,
                by_identity: HashMap::new(),
                kinds: Vec::new(),
            }),
        }
    }

    /// The kind of a process. Takes no lock when the thread has spawned one of this kind before
    /// and it has no name of its own.
    #[inline]
    pub(super) fn find(
        &self,
        meta: &'static Meta,
        name: Option<&str>,
        site: &'static Location<'static>,
    ) -> KindRef {
        match name {
            None => self.find_cached(meta, site),
            Some(name) => self.find_named(meta, name, site),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Kind>> {
        self.known.read().kinds.clone()
    }

    pub(super) fn get(&self, index: u32) -> Option<Arc<Kind>> {
        self.known.read().kinds.get(index as usize).cloned()
    }

    /// Changes which processes of this type get spans.
    pub(super) fn set_names(&self, process_type: ProcessType, names: NameList) {
        let mut known = self.known.write();
        match process_type {
            ProcessType::Task | ProcessType::Future => known.tasks = names,
            ProcessType::Blocking => known.blocking = names,
        }
        known.list_anew();
        // Relaxed: a thread that still finds the old generation finds its old entries.
        self.generation.store(new_generation(), Ordering::Relaxed);
    }

    fn find_cached(&self, meta: &'static Meta, site: &'static Location<'static>) -> KindRef {
        let key = (
            // Relaxed: see `set_names`.
            self.generation.load(Ordering::Relaxed),
            ptr::from_ref(meta).addr(),
            ptr::from_ref(site).addr(),
        );
        CACHE.with(|cache| {
            let entry = &cache[slot_of(key.1, key.2)];
            match entry.get() {
                Some((cached, kind)) if cached == key => kind,
                _ => {
                    let kind = self.intern(Identity::of(meta, site));
                    entry.set(Some((key, kind)));
                    kind
                }
            }
        })
    }

    #[cold]
    fn find_named(
        &self,
        meta: &'static Meta,
        name: &str,
        site: &'static Location<'static>,
    ) -> KindRef {
        match keep_name(name) {
            Some(name) => self.intern(Identity {
                name,
                ..Identity::of(meta, site)
            }),
            None => self.intern(Identity::overflow(meta.process_type)),
        }
    }

    #[cold]
    fn intern(&self, identity: Identity) -> KindRef {
        if let Some(&kind) = self.known.read().by_identity.get(&identity) {
            return kind;
        }
        let mut known = self.known.write();
        if let Some(&kind) = known.by_identity.get(&identity) {
            return kind;
        }
        if known.kinds.len() >= self.limit && !identity.is_overflow() {
            drop(known);
            return self.intern(Identity::overflow(identity.process_type));
        }
        self.add(&mut known, identity)
    }

    fn add(&self, known: &mut Known, identity: Identity) -> KindRef {
        let kind = KindRef {
            index: known.kinds.len() as u32,
            traced: known.lists(&identity),
            process_type: identity.process_type,
            name: identity.name,
        };
        known.kinds.push(Arc::new(Kind {
            index: kind.index,
            process_type: identity.process_type,
            name: identity.name,
            path: identity.path,
            error_type: error_type_of(identity.output),
            site: identity.site,
            traced: kind.traced,
        }));
        known.by_identity.insert(identity, kind);
        kind
    }
}

/// Never the same number twice, over all recorders.
fn new_generation() -> u64 {
    static GENERATIONS: AtomicU64 = AtomicU64::new(1);
    // Relaxed: only uniqueness is asked for.
    GENERATIONS.fetch_add(1, Ordering::Relaxed)
}

impl Known {
    fn lists(&self, identity: &Identity) -> bool {
        let list = match identity.process_type {
            ProcessType::Task | ProcessType::Future => &self.tasks,
            ProcessType::Blocking => &self.blocking,
        };
        list.lists(identity.name, identity.path)
    }

    /// Looks all kinds up again, in lists that have changed.
    fn list_anew(&mut self) {
        let identities: Vec<Identity> = self.by_identity.keys().copied().collect();
        for identity in identities {
            let traced = self.lists(&identity);
            if let Some(kind) = self.by_identity.get_mut(&identity) {
                kind.traced = traced;
                let place = &mut self.kinds[kind.index as usize];
                if place.traced != traced {
                    *place = Arc::new(Kind {
                        traced,
                        ..Kind::clone(place)
                    });
                }
            }
        }
    }
}

impl Kind {
    /// Whether this stands for all the processes that exceeded the bound on names.
    pub fn is_overflow(&self) -> bool {
        self.site.is_none()
    }
}

impl Identity {
    fn of(meta: &Meta, site: &'static Location<'static>) -> Identity {
        let path = path_of((meta.future_type)());
        Identity {
            process_type: meta.process_type,
            name: short_name_of(path),
            path,
            output: (meta.output_type)(),
            site: Some(site),
        }
    }

    fn overflow(process_type: ProcessType) -> Identity {
        Identity {
            process_type,
            name: "",
            path: "",
            output: "",
            site: None,
        }
    }

    fn is_overflow(&self) -> bool {
        self.site.is_none()
    }
}

const CACHE_SLOTS: usize = 128;
type CacheKey = (u64, usize, usize);
type CacheEntry = Cell<Option<(CacheKey, KindRef)>>;

thread_local! {
    static CACHE: [CacheEntry; CACHE_SLOTS] = const { [const { Cell::new(None) }; CACHE_SLOTS] };
}

/// Spreads addresses over the slots: statics lie a few words apart, so their low bits differ.
fn slot_of(meta: usize, site: usize) -> usize {
    let mixed = (meta ^ site.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize);
    mixed >> (usize::BITS - CACHE_SLOTS.ilog2())
}

/// How many names given at run time are kept in one process, over all recorders.
const KEPT_NAMES: usize = 4_000;

/// How many characters of such a name are kept.
const KEPT_OF_NAME: usize = 256;

/// Keeps the beginning of a name for ever, once. `None` when too many are kept already.
fn keep_name(name: &str) -> Option<&'static str> {
    let end = name.char_indices().nth(KEPT_OF_NAME);
    let name = end.map_or(name, |(end, _)| &name[..end]);
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock();
    let names = names.get_or_insert_default();
    if let Some(kept) = names.get(name) {
        return Some(kept);
    }
    if names.len() >= KEPT_NAMES {
        return None;
    }
    let kept: &'static str = name.to_owned().leak();
    names.insert(kept);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: Meta = Meta::of::<u8, Result<u8, String>>(ProcessType::Task);

    fn kinds(limit: usize, tasks: &str) -> Kinds {
        Kinds::new(limit, NameList::parse(tasks), NameList::none())
    }

    #[test]
    fn the_same_line_and_type_is_the_same_kind_on_every_thread() {
        let kinds = kinds(10, "*");
        let site = Location::caller();
        let here = kinds.find(&TASK, None, site).index;
        let there =
            std::thread::scope(|scope| scope.spawn(|| kinds.find(&TASK, None, site).index).join());
        assert_eq!(here, there.unwrap());
        assert_eq!(kinds.all().len(), 1);
        assert_eq!(kinds.all()[0].error_type, Some("alloc::string::String"));
    }

    #[test]
    fn two_recorders_do_not_share_their_numbers() {
        let (first, second) = (kinds(10, "*"), kinds(10, ""));
        let site = Location::caller();
        assert!(first.find(&TASK, None, site).traced);
        assert!(!second.find(&TASK, None, site).traced);
    }

    #[test]
    fn a_given_name_makes_a_kind_of_its_own() {
        let kinds = kinds(10, "load");
        let site = Location::caller();
        let plain = kinds.find(&TASK, None, site);
        let named = kinds.find(&TASK, Some("load"), site);
        assert_ne!(plain.index, named.index);
        assert!(named.traced && !plain.traced);
        assert_eq!(kinds.find(&TASK, Some("load"), site).index, named.index);
    }

    #[test]
    fn lists_that_change_hold_for_kinds_that_are_known() {
        let kinds = kinds(10, "other");
        let site = Location::caller();
        let before = kinds.find(&TASK, None, site);
        assert!(!before.traced);
        kinds.set_names(ProcessType::Task, NameList::all());
        let after = kinds.find(&TASK, None, site);
        assert_eq!(after.index, before.index);
        assert!(after.traced && kinds.all()[0].traced);
        kinds.set_names(ProcessType::Blocking, NameList::none());
        assert!(kinds.find(&TASK, None, site).traced);
    }

    #[test]
    fn past_the_limit_all_names_share_the_overflow() {
        let kinds = kinds(2, "*");
        let site = Location::caller();
        let indexes: Vec<u32> = ["a", "b", "c", "d", "a"]
            .iter()
            .map(|name| kinds.find(&TASK, Some(name), site).index)
            .collect();
        assert_eq!(indexes, [0, 1, 2, 2, 0]);
        assert!(kinds.all()[2].is_overflow());
    }
}
