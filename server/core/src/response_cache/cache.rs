use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use foldhash::quality::RandomState;
use nerite_backend::Response;

use super::entry::Entry;
use super::flights::{Flights, Route, Until};
use super::kept::Kept;
use super::key::{Key, KeyRef};
use super::waiting::Waiting;
use crate::sync::Mutex;

/// So many requests can be looked up at a time without waiting for each other.
const SHARDS: usize = 32;

/// The answers that the server keeps, of all models that want it, in so many bytes and no more. Where there is no room for
/// another, those go that have not been asked for the longest.
pub struct ResponseCache {
    shards: Box<[Mutex<Shard>]>,
    /// Keyed at random: nobody outside can choose requests that have the same hash.
    state: RandomState,
    hasher: Hasher,
    began: Instant,
    size: usize,
    /// How many bytes are kept, or are about to be.
    used: AtomicUsize,
    evictions: AtomicU64,
    owners: AtomicU64,
    names: AtomicU64,
}

type Hasher = fn(&RandomState, &KeyRef<'_>) -> u64;

/// How much of it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many bytes may be kept.
    pub size: usize,
    /// How many bytes are: of requests, answers, and what it takes to find them.
    pub bytes: usize,
    /// How many answers are.
    pub entries: usize,
    /// How many answers had to make room so far.
    pub evictions: u64,
}

/// The part of the cache that has one hash in so many.
#[derive(Default)]
struct Shard {
    kept: Kept<Arc<Entry>>,
    flights: Flights<Arc<Key>, Waiting>,
}

/// What is to be done with a request.
pub(super) enum Look {
    /// Its answer is kept.
    Kept(Arc<Entry>),
    /// The same is under way, in the flight of that number.
    UnderWay(u64),
    /// It is the first: it leads a flight of that number.
    Leads(u64),
    /// Another has its hash, or would keep it waiting for too long: it goes by itself.
    Alone,
}

impl ResponseCache {
    /// A cache of so many bytes.
    pub fn new(size: usize) -> ResponseCache {
        ResponseCache::hashing_with(size, |state, key| state.hash_one(key))
    }

    pub(super) fn hashing_with(size: usize, hasher: Hasher) -> ResponseCache {
        ResponseCache {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            state: RandomState::default(),
            hasher,
            began: Instant::now(),
            size,
            used: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            owners: AtomicU64::new(0),
            names: AtomicU64::new(0),
        }
    }

    /// How much of it is used.
    pub fn usage(&self) -> Usage {
        Usage {
            size: self.size,
            bytes: self.used.load(Relaxed),
            entries: self.shards.iter().map(|shard| shard.lock().kept.len()).sum(),
            evictions: self.evictions.load(Relaxed),
        }
    }

    /// A place for the answers of a version, as it is loaded this time.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        Lease { cache: Arc::clone(self), owner: self.owners.fetch_add(1, Relaxed) }
    }

    /// A name for something that waits.
    pub(super) fn name(&self) -> u64 {
        self.names.fetch_add(1, Relaxed)
    }

    pub(super) fn hash(&self, key: &KeyRef<'_>) -> u64 {
        (self.hasher)(&self.state, key)
    }

    /// The answer to a request with that key.
    pub(super) fn find(&self, hash: u64, key: &KeyRef<'_>, now: Instant) -> Option<Arc<Entry>> {
        let entry = self.shard(hash).lock().kept.get(hash, self.tick(now)).map(Arc::clone)?;
        // Compared without the lock: it may be long.
        entry.answers(key).then_some(entry)
    }

    /// What is to be done with a request that was not found and may wait until then.
    pub(super) fn look(&self, route: Route, key: &Arc<Key>, until: Until) -> Look {
        let now = self.tick(Instant::now());
        let mut shard = self.shard(route.hash).lock();
        // An answer is kept before its flight is over: under one lock, one of the two is seen. There is hardly ever
        // something to be compared here, since the request was not found just now.
        if let Some(entry) = shard.kept.get(route.hash, now)
            && entry.answers(&key.view())
        {
            return Look::Kept(Arc::clone(entry));
        }
        let Some(flight) = shard.flights.get(route) else {
            return Look::Leads(shard.flights.lead(route, Arc::clone(key), until));
        };
        let (number, other, suits) = (flight.number, Arc::clone(&flight.key), flight.suits(until));
        drop(shard);
        if suits && other.view() == key.view() { Look::UnderWay(number) } else { Look::Alone }
    }

    /// Has a request wait for that flight, under that name; it is given back if that is over, or suits it no more.
    pub(super) fn join(&self, number: u64, name: u64, waiting: Waiting) -> Result<(), Box<Waiting>> {
        let (route, name) = (waiting.route, (waiting.until, name));
        let joined = self.shard(route.hash).lock().flights.join(route, number, name, waiting);
        joined.map_err(Box::new)
    }

    /// Takes a request out that does not want to wait any more.
    pub(super) fn leave(&self, route: Route, number: u64, name: (Until, u64)) {
        let left = self.shard(route.hash).lock().flights.leave(route, number, name);
        drop(left);
    }

    /// Ends a flight: those that waited.
    pub(super) fn land(&self, route: Route, number: u64) -> Vec<Waiting> {
        self.shard(route.hash).lock().flights.land(route, number)
    }

    /// Has one of those that wait lead the flight.
    pub(super) fn pass_on(&self, route: Route, number: u64) {
        let mut next = self.shard(route.hash).lock().flights.next(route, number);
        while let Some(waiting) = next {
            waiting.lead(number);
            next = self.shard(route.hash).lock().flights.handed(route, number);
        }
    }

    /// Keeps a copy of an answer, if there can be room for it.
    pub(super) fn keep(&self, hash: u64, key: &Key, response: &Response) -> Option<Arc<Entry>> {
        let weight = Entry::weight_of(key, response)?;
        // Before the copy, so that no more is there at any time.
        if !self.reserve(weight) {
            return None;
        }
        let entry = Arc::new(Entry::copied(key, response, weight));
        let now = self.tick(Instant::now());
        let replaced = self.shard(hash).lock().kept.put(hash, Arc::clone(&entry), now);
        self.release(replaced);
        Some(entry)
    }

    /// Sets bytes aside, for which others may have to go.
    fn reserve(&self, weight: usize) -> bool {
        if weight > self.size {
            return false;
        }
        loop {
            let room = |used: usize| used.checked_add(weight).filter(|used| *used <= self.size);
            if self.used.fetch_update(Relaxed, Relaxed, room).is_ok() {
                return true;
            }
            // Nothing is left to go where others are about to fill all of it.
            if !self.evict() {
                return false;
            }
        }
    }

    /// Lets that go which has not been asked for the longest.
    fn evict(&self) -> bool {
        let ages = self.shards.iter().filter_map(|shard| Some((shard.lock().kept.oldest()?, shard)));
        let Some((_, shard)) = ages.min_by_key(|(at, _)| *at) else { return false };
        let oldest = shard.lock().kept.pop_oldest();
        self.evictions.fetch_add(u64::from(oldest.is_some()), Relaxed);
        self.release(oldest);
        true
    }

    fn release(&self, entries: impl IntoIterator<Item = Arc<Entry>>) {
        for entry in entries {
            let weight = entry.weight();
            drop(entry);
            self.used.fetch_sub(weight, Relaxed);
        }
    }

    /// Forgets the answers of a version that is gone.
    pub(super) fn forget(&self, owner: u64) {
        for shard in &self.shards {
            let gone = shard.lock().kept.take(|entry| entry.owner() == owner);
            self.release(gone);
        }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // Other bits than those that its tables go by.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    fn tick(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_nanos() as u64
    }

    /// How many requests are under way for which others may wait.
    #[cfg(test)]
    pub(crate) fn flights(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().flights.len()).sum()
    }
}

/// The place of a loaded version's answers in the cache. They go with it.
pub(crate) struct Lease {
    pub(super) cache: Arc<ResponseCache>,
    pub(super) owner: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.cache.forget(self.owner);
    }
}
