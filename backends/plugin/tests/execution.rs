//! Plugins in C that are given requests.

mod support;

use support::{CONFIG, Plugged};

#[test]
fn every_request_of_a_batch_is_answered_released_and_accounted_for() {
    let plugged = Plugged::new().with("identity", "identity", &[]);
    let mut served = plugged.start("identity", CONFIG);
    let callers = served.execute(&[&[1.0, 2.0], &[], &[3.0]]);
    for (caller, expected) in callers.iter().zip([&[1.0, 2.0][..], &[], &[3.0]]) {
        assert_eq!(caller.values(), expected);
        assert!(caller.responses.lock().unwrap()[0].last);
        assert!(matches!(caller.reports.lock().unwrap()[..], [Ok(())]));
        caller.assert_over();
    }
    assert_eq!(*served.account.0.lock().unwrap(), [3]);
}
