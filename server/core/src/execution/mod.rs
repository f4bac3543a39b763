//! How requests reach an engine: a queue and free instances under one short lock, a pure decision, a pool of threads.

mod account;
mod bringer;
mod call;
mod clock;
mod decide;
mod dispatch;
mod executor;
mod expiries;
mod health;
mod inline;
mod likeness;
mod machinery;
mod mend;
mod order;
mod pace;
mod pool;
mod queue;
mod relay;
mod remains;
mod responses;
mod room;
mod scheduler;
mod sequence;
mod stall;
mod state;
#[cfg(test)]
mod tests;
mod wait;
mod ward;

pub(crate) use bringer::Bringer;
pub use call::Answer;
pub(crate) use call::{Call, Ledger, Open, open};
#[cfg(test)]
pub(crate) use clock::{Alarm, Clock};
pub use decide::DispatchReason;
pub(crate) use dispatch::Dispatch;
pub(crate) use executor::Executor;
pub(crate) use expiries::Expiries;
pub(crate) use machinery::Errand;
#[cfg(all(test, feature = "shuttle"))]
pub(crate) use machinery::Threads;
pub use machinery::{Machinery, MachineryOptions, Network};
pub(crate) use order::ResponseOrder;
pub(crate) use pool::{Job, Pool};
pub(crate) use queue::{Placed, Ticket};
pub(crate) use relay::{Recipient, Relay};
pub(crate) use remains::OnGone;
pub use responses::Responses;
pub(crate) use responses::open_for_many;
pub use room::Room;
pub(crate) use scheduler::Scheduler;
pub(crate) use sequence::{initial_states, supply};
pub use stall::Stall;
pub use state::Activity;
pub(crate) use wait::{Asker, LatePlace};
pub use ward::Mending;
