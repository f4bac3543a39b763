use std::sync::mpsc::channel;
use std::thread;

use nerite_backend::Cancel;
use parking_lot::Mutex;

/// Does `work` on every item with at most so many threads, and gives each result to `each`, on this thread, as it comes.
/// Once told to `stop`, it begins with no other item.
pub(super) fn in_parallel<T: Send, R: Send>(
    threads: usize,
    items: impl ExactSizeIterator<Item = T> + Send,
    stop: &Cancel,
    work: impl Fn(T) -> R + Sync,
    each: impl FnMut(R),
) {
    let threads = threads.clamp(1, items.len().max(1));
    if items.len() <= 1 {
        return items.take_while(|_| !stop.is_cancelled()).map(work).for_each(each);
    }
    let items = Mutex::new(items);
    let next = || if stop.is_cancelled() { None } else { items.lock().next() };
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
            in_parallel(threads, 0..20, &Cancel::default(), |i| i * 2, |result| results.push(result));
            results.sort_unstable();
            assert_eq!(results, (0..20).map(|i| i * 2).collect::<Vec<_>>());
        }
    }
    #[test]
    fn once_it_is_told_to_stop_it_begins_with_no_other_item() {
        for (threads, items) in [(1, 20), (3, 20), (1, 1)] {
            let (stop, mut results) = (Cancel::default(), Vec::new());
            let work = |i| {
                stop.cancel();
                i
            };
            in_parallel(threads, 0..items, &stop, work, |result| results.push(result));
            assert!((1..=threads).contains(&results.len()), "{results:?}");
            in_parallel(threads, 0..items, &stop, work, |result| results.push(result));
            assert!(results.len() <= threads, "{results:?}");
        }
    }
}
