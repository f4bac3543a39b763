//! What is kept, and for how long.

use bytes::Bytes;
use nerite_backend::{Response, Tensor};
use proptest::prelude::*;
use smallvec::smallvec;

use super::super::cache::ResponseCache;
use super::super::entry::Entry;
use super::super::key::{Key, KeyRef};
use super::*;

/// A request and its answer, of so many bytes each.
fn pair(name: u64, input: usize, output: usize) -> (Key, Response) {
    let mut bytes = name.to_le_bytes().to_vec();
    bytes.resize(8 + input, 1);
    let key = KeyRef::of(name % 3, &of(&bytes)).shared();
    let data = Bytes::from(vec![name as u8; output]);
    let tensor = Tensor::new(DType::U8, Shape::new(&[1, output as i64]), data);
    (key, Response::complete(smallvec![(0, tensor)]))
}

#[derive(Clone, Debug)]
enum Step {
    Keep { name: u64, input: usize, output: usize },
    Find { name: u64, input: usize },
    Forget { owner: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let input = prop_oneof![Just(0usize), Just(300)];
    let output = prop_oneof![4 => 0usize..2_000, 1 => 0usize..30_000];
    let step = prop_oneof![
        5 => (0u64..12, input.clone(), output).prop_map(|(name, input, output)| Step::Keep { name, input, output }),
        4 => (0u64..12, input).prop_map(|(name, input)| Step::Find { name, input }),
        1 => (0u64..3).prop_map(|owner| Step::Forget { owner }),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn never_more_is_kept_than_there_is_room_for_and_what_was_used_last_stays(
        size in 0usize..20_000, steps in steps()
    ) {
        let cache = ResponseCache::new(size);
        let mut leases: Vec<_> = Vec::new();
        let cache = Arc::new(cache);
        (0..3).for_each(|_| leases.push(Some(cache.lease())));
        // The names and sizes of what is kept, the longest unused first.
        let mut model: Vec<((u64, usize), usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Keep { name, input, output } => {
                    let (key, response) = pair(name, input, output);
                    let weight = Entry::weight_of(&key, &response).expect("it is whole");
                    prop_assert!(weight >= input + output, "all of it counts");
                    let kept = cache.keep(cache.hash(&key.view()), &key, &response);
                    prop_assert_eq!(kept.is_some(), weight <= size);
                    if kept.is_none() {
                        continue;
                    }
                    // Room is made before what it replaces is gone.
                    while model.iter().map(|(_, weight)| weight).sum::<usize>() + weight > size {
                        model.remove(0);
                    }
                    model.retain(|(known, _)| *known != (name, input));
                    model.push(((name, input), weight));
                }
                Step::Find { name, input } => {
                    let (key, _) = pair(name, input, 0);
                    let found = cache.find(cache.hash(&key.view()), &key.view(), Instant::now());
                    let place = model.iter().position(|(known, _)| *known == (name, input));
                    prop_assert_eq!(found.is_some(), place.is_some());
                    if let (Some(place), Some(entry)) = (place, found) {
                        let used = model.remove(place);
                        prop_assert_eq!(entry.weight(), used.1);
                        let response = entry.answered().response();
                        prop_assert!(content(&response).iter().all(|byte| *byte == name as u8));
                        model.push(used);
                    }
                }
                Step::Forget { owner } => {
                    if let Some(lease) = leases[owner as usize].take() {
                        drop(lease);
                        model.retain(|((name, _), _)| name % 3 != owner);
                    }
                }
            }
            let usage = cache.usage();
            prop_assert!(usage.bytes <= size);
            prop_assert_eq!(usage.bytes, model.iter().map(|(_, weight)| weight).sum::<usize>());
            prop_assert_eq!(usage.entries, model.len());
        }
    }
}

#[test]
fn threads_that_keep_answers_at_a_time_never_keep_more_than_there_is_room_for() {
    let cache = ResponseCache::new(50_000);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let cache = &cache;
            scope.spawn(move || {
                for number in 0..500u64 {
                    let (key, response) = pair(thread * 1_000 + number, 0, (number as usize * 37) % 9_000);
                    cache.keep(cache.hash(&key.view()), &key, &response);
                    assert!(cache.usage().bytes <= 50_000);
                }
            });
        }
    });
    let usage = cache.usage();
    assert!(usage.entries > 0 && usage.evictions > 0);
    (0..3).for_each(|owner| cache.forget(owner));
    assert_eq!((cache.usage().bytes, cache.usage().entries), (0, 0), "every byte is accounted for");
}
