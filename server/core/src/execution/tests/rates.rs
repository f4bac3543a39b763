//! Instances that wait for their turn by leave of the rate limiter.

use std::sync::Arc;

use nerite_backend::{BackendError, InstanceKind};

use super::{one_by_one, send};
use crate::execution::{Machinery, MachineryOptions};
use crate::mock::{Execution, Fault, Handle, plan, serve_with, until, wait};
use crate::model::{InstanceGroup, LoadPlan, RateLimit, ResourceDemand};
use crate::rate_limiter::{RateLimiter, ResourceLimit};
use crate::version::ModelVersion;

fn limited(limit: u32) -> Arc<Machinery> {
    let limit = ResourceLimit { name: "r".to_owned(), count: limit, device: None };
    let rate_limiter = Some(Arc::new(RateLimiter::new(vec![limit])));
    Arc::new(Machinery::new(MachineryOptions { rate_limiter, ..MachineryOptions::default() }))
}

/// A model with so many instances, each of which needs so much.
fn model(machinery: &Arc<Machinery>, instances: u32, count: u32) -> (Arc<ModelVersion>, Handle) {
    let resources = vec![ResourceDemand { name: "R".to_owned(), count, global: true }];
    let mut plan: LoadPlan = plan(instances);
    plan.instances[0].rate_limit = Some(RateLimit { resources, priority: 1 });
    serve_with(one_by_one(), plan, Arc::clone(machinery))
}

#[test]
fn models_that_share_a_resource_execute_one_after_the_other() {
    let machinery = limited(1);
    let ((one, one_handle), (two, two_handle)) = (model(&machinery, 1, 1), model(&machinery, 1, 1));
    let first = send(&one, "first", 1);
    let execution = one_handle.next();
    let second = send(&two, "second", 1);
    assert!(!two_handle.has_next());
    assert_eq!(two.pending(), 1);
    execution.succeed();
    two_handle.next().succeed();
    assert!([first, second].into_iter().all(|answer| wait(answer).error.is_none()));
    until(|| one.free_instances() + two.free_instances() == 2);
}

#[test]
fn a_resource_bounds_how_many_instances_execute_at_once() {
    let (version, handle) = model(&limited(2), 4, 1);
    let answers: Vec<_> = (0..10).map(|i| send(&version, &i.to_string(), 1)).collect();
    for _ in 0..5 {
        let pair = [handle.next(), handle.next()];
        assert!(!handle.has_next());
        pair.into_iter().for_each(|execution| execution.succeed());
    }
    assert!(answers.into_iter().all(|answer| wait(answer).error.is_none()));
    assert_eq!(handle.most_at_once(), 2);
    until(|| version.free_instances() == 4);
}

#[test]
fn an_instance_whose_work_went_away_gives_its_leave_to_others() {
    let machinery = limited(1);
    let ((one, one_handle), (two, two_handle)) = (model(&machinery, 1, 1), model(&machinery, 1, 1));
    let _first = send(&one, "first", 1);
    let execution = one_handle.next();
    let gone = send(&two, "gone", 1);
    drop(gone);
    let next = send(&one, "next", 1);
    execution.succeed();
    one_handle.next().succeed();
    assert_eq!(wait(next).error, None);
    assert_eq!(two_handle.executions(), 0);
    until(|| one.free_instances() + two.free_instances() == 2);
}

#[test]
fn a_panic_and_the_loss_of_a_thread_give_back_what_the_instance_held() {
    let loss = |execution: Execution| execution.lose_thread(&BackendError::internal("its thread is lost"));
    for end in [Execution::panic, loss] {
        let machinery = limited(1);
        let ((one, one_handle), (two, two_handle)) = (model(&machinery, 1, 1), model(&machinery, 1, 1));
        let lost = send(&one, "lost", 1);
        let execution = one_handle.next();
        let waiting = send(&two, "waiting", 1);
        one_handle.fail_instances(Fault::Panic("again"));
        end(execution);
        two_handle.next().succeed();
        assert!(wait(lost).error.is_some() && wait(waiting).error.is_none());
    }
}

#[test]
fn an_instance_that_was_made_anew_waits_for_its_turn_as_the_one_before() {
    let machinery = limited(1);
    let ((one, one_handle), (two, two_handle)) = (model(&machinery, 1, 1), model(&machinery, 1, 1));
    let made = one_handle.hold_instance();
    let broken = send(&one, "broken", 1);
    one_handle.next().break_down(&BackendError::internal("it broke"));
    assert!(wait(broken).error.is_some());
    let waiting = send(&one, "waiting", 1);
    let holding = send(&two, "holding", 1);
    let holder = two_handle.next();
    drop(made);
    until(|| one.mendings().is_empty());
    assert!(!one_handle.has_next(), "the other has what it needs");
    holder.succeed();
    one_handle.next().succeed();
    assert!([waiting, holding].into_iter().all(|answer| wait(answer).error.is_none()));
    until(|| one.free_instances() + two.free_instances() == 2);
}

#[test]
fn an_instance_that_waits_for_its_turn_keeps_no_free_one_from_being_called() {
    let machinery = limited(1);
    let (other, other_handle) = model(&machinery, 1, 1);
    let _holding = send(&other, "holding", 1);
    let holding = other_handle.next();
    // Two groups: one that needs the resource, which is taken, and one that needs nothing.
    let resources = vec![ResourceDemand { name: "R".to_owned(), count: 1, global: true }];
    let mut plan: LoadPlan = plan(1);
    plan.instances[0].rate_limit = Some(RateLimit { resources, priority: 1 });
    plan.instances.push(InstanceGroup {
        name: "free".to_owned(),
        kind: InstanceKind::Cpu,
        count: 1,
        rate_limit: None,
    });
    let (version, handle) = serve_with(one_by_one(), plan, Arc::clone(&machinery));
    let first = send(&version, "first", 1);
    let execution = handle.next();
    let second = send(&version, "second", 1);
    execution.succeed();
    handle.next().succeed();
    assert!([first, second].into_iter().all(|answer| wait(answer).error.is_none()));
    holding.succeed();
    until(|| version.free_instances() == 2 && other.free_instances() == 1);
}

#[test]
fn what_was_granted_to_a_model_that_is_gone_is_there_for_others() {
    let machinery = limited(1);
    let (one, one_handle) = model(&machinery, 1, 1);
    let first = send(&one, "first", 1);
    let execution = one_handle.next();
    let (gone, _gone_handle) = model(&machinery, 1, 1);
    let waiting = send(&gone, "waiting", 1);
    gone.close();
    assert!(wait(waiting).error.is_some());
    drop(gone);
    execution.succeed();
    assert_eq!(wait(first).error, None);
    let next = send(&one, "next", 1);
    one_handle.next().succeed();
    assert_eq!(wait(next).error, None);
}
