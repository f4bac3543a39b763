//! How long a connection lives: until it ends, is told to go, or is too old.

use std::hash::{BuildHasher, RandomState};
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::task::coop::unconstrained;

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
/// `farewell` tells the peer to go and says whether it is worth waiting until it has, and `quiet` returns when it has
/// been waited for long enough: some peers never go.
pub(super) async fn drive<C: Future>(
    mut connection: Pin<&mut C>,
    farewell: impl FnOnce(Pin<&mut C>) -> bool,
    quiet: impl Future<Output = ()>,
    mut orders: Orders,
    age: Age,
) -> Option<C::Output> {
    let leave = {
        // A peer that sends and sends uses up what the task may do at a time, every time. Orders do not count towards that.
        let mut leave = pin!(Aside::new(unconstrained(leave(&mut orders, age.limit))));
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
    let mut cut = pin!(Aside::new(unconstrained(cut(&mut orders, grace, quiet))));
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

async fn cut(orders: &mut Orders, grace: Option<Duration>, quiet: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = orders.cut() => {}
        () = after(grace) => {}
        () = quiet => {}
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
    use tokio::task::coop::consume_budget;

    use super::*;
    use crate::net::endpoint::Endpoint;

    #[tokio::test]
    async fn a_connection_that_is_never_done_with_its_peer_hears_its_orders() {
        let (endpoint, orders) = Endpoint::new(([127, 0, 0, 1], 0).into());
        let (told, mut farewell) = tokio::sync::mpsc::unbounded_channel();
        let connection = tokio::spawn(async move {
            let flooded = async {
                loop {
                    consume_budget().await;
                }
            };
            let farewell = |_: Pin<&mut _>| told.send(()).is_ok();
            drive(pin!(flooded), farewell, std::future::pending(), orders, Age::default()).await
        });
        tokio::task::yield_now().await;
        endpoint.drain();
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, farewell.recv())
            .await
            .expect("the order to drain was not heard")
            .unwrap();
        endpoint.cut();
        let end = tokio::time::timeout(limit, connection).await.expect("the order to cut was not heard");
        assert_eq!(end.unwrap(), None::<()>);
    }

    #[test]
    fn ages_are_spread_by_a_tenth_and_the_longest_does_not_overflow() {
        let second = Duration::from_secs(1);
        let ages: Vec<Duration> = (0..200).map(|_| spread(second)).collect();
        assert!(ages.iter().all(|age| *age >= second * 9 / 10 && *age <= second * 11 / 10), "{ages:?}");
        assert!(ages.iter().any(|age| *age < second) && ages.iter().any(|age| *age > second), "{ages:?}");
        assert_eq!(spread(Duration::MAX), Duration::MAX);
    }
}
