use proptest::prelude::*;

use super::DispatchReason::{Delay, Full, Idle, Preferred, Shape, Single};
use super::*;

const DELAY: Duration = Duration::from_millis(10);

fn policy(max_rows: u32, preferred: &[u32], delay: Duration) -> Policy {
    let preferred = if preferred.is_empty() { vec![max_rows] } else { preferred.to_vec() };
    Policy { max_rows, combine: true, preferred, delay }
}

/// Requests of so many rows each, which came together.
fn requests(rows: &[u32], enqueued: Instant) -> Vec<Candidate> {
    rows.iter().map(|&rows| Candidate { rows, like_first: true, enqueued }).collect()
}

fn dispatch(requests: usize, reason: DispatchReason) -> Decision {
    Decision::Dispatch { requests, reason }
}

/// What is decided on requests that came at once, so long after they came.
fn decided(rows: &[u32], policy: &Policy, after: Duration) -> Decision {
    let start = Instant::now();
    let mut decision = decide(requests(rows, start).into_iter(), 1, policy, start + after);
    if let Decision::Wait { until, .. } = &mut decision {
        assert_eq!(*until, start + policy.delay);
    }
    decision
}

#[test]
fn nothing_is_dispatched_without_a_request_or_without_a_free_instance() {
    let (policy, now) = (policy(8, &[], Duration::ZERO), Instant::now());
    assert_eq!(decide([].into_iter(), 1, &policy, now), Decision::Idle);
    assert_eq!(decide(requests(&[1, 1], now).into_iter(), 0, &policy, now), Decision::Idle);
}

#[test]
fn a_free_instance_takes_all_that_fits_and_is_alike() {
    let (policy, now) = (policy(8, &[], Duration::ZERO), Instant::now());
    let table = [
        (&[3, 4, 1, 1][..], 3, Full),
        (&[3, 6, 1], 1, Full),
        (&[1], 1, Idle),
        (&[1, 4], 2, Idle),
        (&[8, 1], 1, Full),
    ];
    for (rows, expected, reason) in table {
        assert_eq!(decided(rows, &policy, Duration::ZERO), dispatch(expected, reason), "{rows:?}");
    }
    let odd = Candidate { rows: 1, like_first: false, enqueued: now };
    let queue = requests(&[1, 1], now).into_iter().chain([odd]).chain(requests(&[1], now));
    assert_eq!(decide(queue, 1, &policy, now), dispatch(2, Shape));
}

#[test]
fn a_model_without_dynamic_batching_takes_one_request_at_a_time_and_never_waits() {
    let policy = Policy { combine: false, ..policy(8, &[4], DELAY) };
    assert_eq!(decided(&[1, 1], &policy, Duration::ZERO), dispatch(1, Single));
}

#[test]
fn the_largest_preferred_size_that_can_be_reached_is_executed_at_once() {
    for delay in [Duration::ZERO, DELAY] {
        let policy = policy(8, &[2, 4], delay);
        for (rows, expected) in [
            (&[1, 1][..], 2),
            (&[1, 1, 1], 2),
            (&[1, 1, 1, 1], 4),
            (&[1; 7], 4),
            (&[3, 1], 2),
            (&[2, 3], 1),
            // No preferred size can be reached: what there was before the largest would have been passed.
            (&[3, 3], 1),
        ] {
            assert_eq!(decided(rows, &policy, Duration::ZERO), dispatch(expected, Preferred), "{rows:?}");
        }
    }
}

#[test]
fn a_batch_of_another_size_waits_for_the_delay_and_is_then_executed_with_all_that_fits() {
    let policy = policy(8, &[4, 6], DELAY);
    let almost = DELAY - Duration::from_nanos(1);
    for after in [Duration::ZERO, almost] {
        assert!(matches!(decided(&[1, 1], &policy, after), Decision::Wait { rows: 4, .. }), "{after:?}");
    }
    assert_eq!(decided(&[1, 1], &policy, DELAY), dispatch(2, Delay));
    assert_eq!(decided(&[1; 7], &policy, DELAY), dispatch(7, Delay), "beyond the preferred size");
    assert_eq!(decided(&[1; 9], &policy, DELAY), dispatch(8, Full), "never beyond the largest batch");
}

#[test]
fn the_delay_counts_from_the_oldest_request_of_the_batch() {
    let policy = policy(8, &[], DELAY);
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    // A later request of a higher priority goes first.
    let queue = [at(5), at(0)].map(|enqueued| Candidate { rows: 1, like_first: true, enqueued });
    assert_eq!(decide(queue.into_iter(), 1, &policy, at(6)), Decision::Wait { until: at(10), rows: 8 });
    assert_eq!(decide(queue.into_iter(), 1, &policy, at(10)), dispatch(2, Delay));
}

#[test]
fn a_batch_that_cannot_grow_does_not_wait() {
    let policy = policy(8, &[7], DELAY);
    let table =
        [(&[4, 5][..], 1, Preferred), (&[7], 1, Preferred), (&[8], 1, Full), (&[4, 4, 1], 1, Preferred)];
    for (rows, expected, reason) in table {
        assert_eq!(decided(rows, &policy, Duration::ZERO), dispatch(expected, reason), "{rows:?}");
    }
    let now = Instant::now();
    let odd = Candidate { rows: 1, like_first: false, enqueued: now };
    let queue = requests(&[1, 1], now).into_iter().chain([odd]);
    assert_eq!(decide(queue, 1, &policy, now), dispatch(2, Shape));
}

#[test]
fn a_delay_longer_than_time_itself_is_no_reason_to_panic() {
    let policy = policy(8, &[], Duration::MAX);
    assert_eq!(
        decide(requests(&[1], Instant::now()).into_iter(), 1, &policy, Instant::now()),
        Decision::Idle
    );
}

proptest! {
    #[test]
    fn without_a_delay_a_batch_is_the_longest_prefix_that_fits_or_ends_at_a_preferred_size(
        queue in prop::collection::vec((1u32..5, any::<bool>()), 1..20),
        max_rows in 4u32..16,
        preferred in prop::collection::btree_set(1u32..16, 0..3),
    ) {
        let now = Instant::now();
        let candidates: Vec<Candidate> = queue.iter().enumerate()
            .map(|(i, &(rows, alike))| Candidate { rows, like_first: i == 0 || alike, enqueued: now }).collect();
        let preferred: Vec<u32> = preferred.into_iter().filter(|&size| size <= max_rows).collect();
        let policy = policy(max_rows, &preferred, Duration::ZERO);
        let Decision::Dispatch { requests: count, reason } = decide(candidates.iter().copied(), 1, &policy, now) else {
            return Err(TestCaseError::fail("a request and a free instance are there"));
        };
        let rows = |count: usize| candidates[..count].iter().map(|c| c.rows).sum::<u32>();
        let fits = |count: usize| rows(count) <= max_rows && candidates[..count].iter().all(|c| c.like_first);
        prop_assert!(fits(count));
        let longest = (1..=candidates.len()).take_while(|&count| fits(count)).last().unwrap();
        let reachable: Vec<usize> = (1..=longest).filter(|&count| preferred.contains(&rows(count))).collect();
        match reachable.last() {
            Some(&largest) => {
                prop_assert_eq!(count, largest);
                prop_assert_eq!(reason, if rows(count) == max_rows { Full } else { Preferred });
            }
            None => {
                prop_assert!(reason != Idle || count == candidates.len());
                let most = preferred.last().copied().unwrap_or(max_rows);
                let within = (1..=longest).take_while(|&count| count == 1 || rows(count) <= most).last().unwrap();
                prop_assert_eq!(count, within);
            }
        }
    }

    #[test]
    fn with_a_delay_nothing_waits_for_longer_than_that(
        queue in prop::collection::vec((1u32..5, 0u64..40), 1..20), max_rows in 4u32..16, now in 0u64..60
    ) {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let candidates = queue.iter().map(|&(rows, ms)| Candidate { rows, like_first: true, enqueued: at(ms) });
        let policy = policy(max_rows, &[max_rows], DELAY);
        if let Decision::Wait { until, rows } = decide(candidates, 1, &policy, at(now)) {
            prop_assert!(until > at(now));
            prop_assert!(rows > queue.iter().map(|(rows, _)| rows).sum::<u32>());
            prop_assert!(queue.iter().all(|&(_, ms)| until <= at(ms) + DELAY));
        }
    }
}
