//! How long a connection lives: until it ends, is told to go, or is too old.

use std::hash::{BuildHasher, RandomState};
use std::pin::{Pin, pin};
use std::time::Duration;

use super::aside::Aside;
use super::endpoint::Orders;

/// How old a connection may grow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Age {
    /// When it is told to go; `None` never.
    pub(super) limit: Option<Duration>,
    /// How much later it is cut; `None` never.
    pub(super) grace: Option<Duration>,
}

/// What a connection's task was told to do.
enum Leave {
    Ordered,
    TooOld,
}

/// Drives `connection` to its end, of which `None` says that it was cut.
///
/// `farewell` tells the peer to go and says whether it is worth waiting until it has.
pub(super) async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    farewell: impl FnOnce(Pin<&mut C>) -> bool,
    mut orders: Orders,
    age: Age,
) -> Option<C::Output> {
    let leave = {
        let mut leave = pin!(Aside::new(leave(&mut orders, age.limit)));
        // The connection comes first: it is nearly always the one that woke the task.
        tokio::select! {
            biased;
            output = connection.as_mut() => return Some(output),
            leave = leave.as_mut() => leave,
        }
    };
    if !farewell(connection.as_mut()) {
        return None;
    }
    let grace = match leave {
        Leave::Ordered => None,
        Leave::TooOld => age.grace,
    };
    let mut cut = pin!(Aside::new(cut(&mut orders, grace)));
    tokio::select! {
        biased;
        output = connection => Some(output),
        () = cut.as_mut() => None,
    }
}

async fn leave(orders: &mut Orders, age: Option<Duration>) -> Leave {
    tokio::select! {
        biased;
        () = orders.drain() => Leave::Ordered,
        () = after(age.map(spread)) => Leave::TooOld,
    }
}

async fn cut(orders: &mut Orders, grace: Option<Duration>) {
    tokio::select! {
        biased;
        () = orders.cut() => {}
        () = after(grace) => {}
    }
}

async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// A tenth more or less, by chance, so that clients that came together do not come back together.
fn spread(limit: Duration) -> Duration {
    // The keys of a RandomState differ from one to the next, which is chance enough.
    let tenths = (RandomState::new().hash_one(0) % 1001) as f64 / 1000.0;
    limit.checked_mul(2).map_or(limit, |_| limit.mul_f64(0.9 + 0.2 * tenths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_spread_by_a_tenth_and_the_longest_does_not_overflow() {
        let second = Duration::from_secs(1);
        let ages: Vec<Duration> = (0..200).map(|_| spread(second)).collect();
        assert!(ages.iter().all(|age| *age >= second * 9 / 10 && *age <= second * 11 / 10), "{ages:?}");
        assert!(ages.iter().any(|age| *age < second) && ages.iter().any(|age| *age > second), "{ages:?}");
        assert_eq!(spread(Duration::MAX), Duration::MAX);
    }
}
