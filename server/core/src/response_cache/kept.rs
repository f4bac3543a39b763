use lru::LruCache;

/// What is kept, each under its hash, and when it was last used. Pure: the time is an argument.
pub(super) struct Kept<E>(LruCache<u64, Used<E>>);

struct Used<E> {
    at: u64,
    entry: E,
}

impl<E> Default for Kept<E> {
    fn default() -> Kept<E> {
        Kept(LruCache::unbounded())
    }
}

impl<E> Kept<E> {
    /// What is kept under that hash, which is used now.
    pub(super) fn get(&mut self, hash: u64, now: u64) -> Option<&E> {
        let used = self.0.get_mut(&hash)?;
        used.at = now;
        Some(&used.entry)
    }

    /// Keeps something under that hash; what was there before is given back.
    pub(super) fn put(&mut self, hash: u64, entry: E, now: u64) -> Option<E> {
        self.0.put(hash, Used { at: now, entry }).map(|used| used.entry)
    }

    /// When that was last used which has not been for the longest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.0.peek_lru().map(|(_, used)| used.at)
    }

    /// Takes that out which has not been used for the longest.
    pub(super) fn pop_oldest(&mut self) -> Option<E> {
        self.0.pop_lru().map(|(_, used)| used.entry)
    }

    /// Takes out what is of that kind.
    pub(super) fn take(&mut self, is_of_it: impl Fn(&E) -> bool) -> Vec<E> {
        let hashes: Vec<u64> =
            self.0.iter().filter(|(_, used)| is_of_it(&used.entry)).map(|(hash, _)| *hash).collect();
        hashes.iter().filter_map(|hash| self.0.pop(hash)).map(|used| used.entry).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
