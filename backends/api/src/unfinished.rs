//! Threads that an engine does not give back.
//!
//! An engine may find, deep in code that is not its own, that its caller's thread must not return: what C++ does then is to
//! end the process. It says so with [`lose_thread`]. Whoever calls an engine has left word of what there is to do in that
//! case, and so what waits for the call is answered, and another thread goes on.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crate::BackendError;

/// What a call of an engine leaves to be done if it never returns.
pub trait Unfinished: Any {
    /// The engine does not give the calling thread back, for that reason. Called on that thread, whose stack is kept as it
    /// is: what the call was lent is the engine's for ever. It must not wait for long, as others may have to be told. One
    /// that keeps the thread itself does so by [`lose_thread`], which tells them.
    fn lost(self: Box<Self>, reason: &BackendError);
}

thread_local! {
    /// Of the calls that this thread is in, each with its number, the innermost last.
    static CALLS: RefCell<Vec<(u64, Box<dyn Unfinished>)>> = const { RefCell::new(Vec::new()) };
    /// How many calls this thread has begun.
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

/// Calls an engine; `unfinished` comes back with what the engine returns. A panic goes through.
pub fn call_engine<T: Unfinished, R>(unfinished: Box<T>, engine: impl FnOnce() -> R) -> (Box<T>, R) {
    let call = Call::begin(unfinished);
    let returned = engine();
    (call.end(), returned)
}

/// Never returns to the engine that calls it: for that reason it must not return to its own caller. Whoever has called
/// engines on this thread is told, the last one first.
pub fn lose_thread(reason: &BackendError) -> ! {
    while let Some((_, unfinished)) = CALLS.with_borrow_mut(Vec::pop) {
        // Whatever comes of that, the others are told as well, and nothing unwinds into the engine.
        drop(catch_unwind(AssertUnwindSafe(|| unfinished.lost(reason))));
    }
    loop {
        thread::park();
    }
}

/// A call that this thread is in, by its number: where the interleavings of threads are tested, several share one, and their
/// calls end in another order than they began.
struct Call(u64);

impl Call {
    fn begin(unfinished: Box<dyn Unfinished>) -> Call {
        let number = BEGUN.get();
        BEGUN.set(number + 1);
        CALLS.with_borrow_mut(|calls| calls.push((number, unfinished)));
        Call(number)
    }

    fn end<T: Unfinished>(self) -> Box<T> {
        let unfinished: Box<dyn Any> = self.take().expect("a call ends once, unless its thread is lost");
        unfinished.downcast().expect("it is what the call began with")
    }

    fn take(&self) -> Option<Box<dyn Unfinished>> {
        CALLS.with_borrow_mut(|calls| {
            let place = calls.iter().rposition(|(number, _)| *number == self.0)?;
            Some(calls.remove(place).1)
        })
    }
}

impl Drop for Call {
    /// Where the engine panicked, what it left unfinished is dropped like everything that the panic goes through.
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    struct Told(u32, Sender<(u32, String)>);

    impl Unfinished for Told {
        fn lost(self: Box<Self>, reason: &BackendError) {
            self.1.send((self.0, reason.message.clone())).unwrap();
        }
    }

    #[test]
    fn a_call_that_returns_gives_back_what_it_would_have_left() {
        let (tell, told) = channel();
        let (outer, (inner, returned)) = call_engine(Box::new(Told(1, tell.clone())), || {
            let (inner, returned) = call_engine(Box::new(Told(2, tell)), || 42);
            (inner, returned)
        });
        assert_eq!((outer.0, inner.0, returned), (1, 2, 42));
        drop((outer, inner));
        assert!(told.recv().is_err(), "nobody is told");
    }

    #[test]
    fn who_has_called_a_lost_thread_is_told_the_last_one_first() {
        let (tell, told) = channel();
        thread::spawn(move || {
            call_engine(Box::new(Told(1, tell.clone())), || {
                drop(call_engine(Box::new(Told(2, tell.clone())), || ()));
                call_engine(Box::new(Told(3, tell.clone())), || lose_thread(&BackendError::internal("why")));
            });
        });
        assert_eq!(told.recv().unwrap(), (3, "why".to_owned()));
        assert_eq!(told.recv().unwrap(), (1, "why".to_owned()));
    }

    struct Keeps(Sender<(u32, String)>);

    impl Unfinished for Keeps {
        fn lost(self: Box<Self>, _: &BackendError) {
            self.0.send((0, String::new())).unwrap();
            lose_thread(&BackendError::internal("kept"));
        }
    }

    #[test]
    fn who_keeps_a_lost_thread_does_not_keep_it_from_those_who_called_before() {
        let (tell, told) = channel();
        thread::spawn(move || {
            call_engine(Box::new(Told(1, tell.clone())), || {
                call_engine(Box::new(Keeps(tell.clone())), || lose_thread(&BackendError::internal("why")));
            });
        });
        assert_eq!(told.recv().unwrap(), (0, String::new()));
        assert_eq!(told.recv().unwrap(), (1, "kept".to_owned()));
    }

    #[test]
    fn a_panic_ends_the_calls_that_it_goes_through() {
        let (tell, told) = channel();
        let (outer, panicked) = call_engine(Box::new(Told(1, tell.clone())), || {
            catch_unwind(AssertUnwindSafe(|| {
                call_engine(Box::new(Told(2, tell)), || panic!("the engine"));
            }))
        });
        assert!(panicked.is_err() && outer.0 == 1);
        assert!(told.try_recv().is_err());
    }
}
