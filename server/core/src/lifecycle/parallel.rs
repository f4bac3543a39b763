use std::sync::mpsc::channel;
use std::thread;

use parking_lot::Mutex;

/// Does `work` on every item with at most so many threads, and gives each result to `each`, on this thread, as it comes.
pub(super) fn in_parallel<T: Send, R: Send>(
    threads: usize,
    items: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
    each: impl FnMut(R),
) {
    let threads = threads.clamp(1, items.len().max(1));
    if items.len() <= 1 {
        return items.map(work).for_each(each);
    }
    let items = Mutex::new(items);
    let next = || items.lock().next();
    let (results, finished) = channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let results = results.clone();
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                while let Some(item) = next() {
                    results.send(work(item)).expect("the receiver lives until every thread has ended");
                }
            });
        }
        drop(results);
        finished.into_iter().for_each(each);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_whatever_the_number_of_threads() {
        for threads in [0, 1, 3, 50] {
            let mut results = Vec::new();
            in_parallel(threads, 0..20, |i| i * 2, |result| results.push(result));
            results.sort_unstable();
            assert_eq!(results, (0..20).map(|i| i * 2).collect::<Vec<_>>());
        }
    }
}
