//! Handles: what plugins are given in the place of pointers to the server's objects.
//!
//! A handle is a number in the guise of a pointer: its object's place in a table and how often that place was used
//! before, with the kind of object, and which part of it is meant. So a handle that was given back already, one of
//! another kind, and a number out of the air are told from one that is good, and lead to an error and not into freed
//! memory. Tables take no lock: each thread adds to a shard of its own.

use std::ptr;
use std::sync::OnceLock;

use nerite_backend::{BackendError, Code};
use sharded_slab::{Config, Entry, Slab};

use crate::misuse;
use crate::pointer::Kept;

/// What kind of object a handle stands for. Never zero, so that no handle is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Error = 1,
    Message,
    Parameter,
    BufferAttributes,
    ResponseAllocator,
    InferenceRequest,
    InferenceResponse,
    Server,
    MetricFamily,
    Metric,
    MetricArgs,
    MemoryManager,
    Backend,
    BackendAttribute,
    Model,
    ModelInstance,
    Request,
    Input,
    State,
    Response,
    Output,
    ResponseFactory,
    ModelInstanceResponseStatistics,
}

/// Objects that plugins hold handles to.
pub(crate) trait Object: Sized + 'static {
    /// The type that the C API has for it.
    type C;
    /// The kind of its handles.
    const KIND: Kind;
    /// Its name in the C API, for errors.
    const NAME: &'static str;
    /// All objects of the type.
    fn table() -> &'static Table<Self>;
}

/// Makes `$object` an object of the C API that plugins know as `$c`.
macro_rules! object {
    ($object:ty, $kind:ident, $name:literal) => {
        impl $crate::handle::Object for $object {
            type C = nerite_plugin_abi::$kind;
            const KIND: $crate::handle::Kind = $crate::handle::Kind::$kind;
            const NAME: &'static str = $name;
            fn table() -> &'static $crate::handle::Table<Self> {
                static TABLE: std::sync::LazyLock<$crate::handle::Table<$object>> =
                    std::sync::LazyLock::new($crate::handle::Table::default);
                &TABLE
            }
        }
    };
}
pub(crate) use object;

/// The bits of a handle, from the lowest: the key in the table, the kind, the part.
pub(crate) struct Layout;

const KIND_BITS: usize = 5;
const PART_BITS: usize = 12;

/// How many parts of an object can be told apart.
pub(crate) const MAX_PARTS: usize = 1 << PART_BITS;

impl Config for Layout {
    const MAX_THREADS: usize = 4096;
    const INITIAL_PAGE_SIZE: usize = 32;
    // 131,040 objects of a kind for each thread that makes them.
    const MAX_PAGES: usize = 12;
    const RESERVED_BITS: usize = KIND_BITS + PART_BITS;
}

const KIND_SHIFT: u32 = usize::BITS - (KIND_BITS + PART_BITS) as u32;
const PART_SHIFT: u32 = usize::BITS - PART_BITS as u32;

/// The objects of a type.
pub(crate) struct Table<T>(Slab<T, Layout>);

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table(Slab::new_with_config())
    }
}

/// An object that a handle stands for; it stays where it is until this is dropped.
pub(crate) type Found<T> = Entry<'static, T, Layout>;

/// Keeps an object until its handle is given back, and returns the handle.
pub(crate) fn export<T: Object>(object: T) -> Result<*mut T::C, BackendError> {
    match T::table().0.insert(object) {
        Some(key) => Ok(encode(key, T::KIND, 0)),
        None => Err(BackendError::new(
            Code::Unavailable,
            format!("more objects of type {} are in use than the server can keep", T::NAME),
        )),
    }
}

/// The object that a handle stands for.
pub(crate) fn find<T: Object>(handle: *mut T::C) -> Result<Found<T>, BackendError> {
    let (key, _) = decode(handle, T::KIND).ok_or_else(|| bad::<T>(handle))?;
    T::table().0.get(key).ok_or_else(|| bad::<T>(handle))
}

/// Takes the object that a handle stands for, which is worth nothing from then on. It waits, busily, for every
/// [`Found`] of the object to be dropped: a thread must not hold one when it takes, nor while it calls a plugin, which
/// may.
pub(crate) fn take<T: Object>(handle: *mut T::C) -> Result<T, BackendError> {
    let (key, _) = decode(handle, T::KIND).ok_or_else(|| bad::<T>(handle))?;
    T::table().0.take(key).ok_or_else(|| bad::<T>(handle))
}

/// Gives up the object that a handle stands for; null stands for none, as in C.
pub(crate) fn delete<T: Object>(handle: *mut T::C) -> Result<(), BackendError> {
    if handle.is_null() { Ok(()) } else { take::<T>(handle).map(drop) }
}

/// A handle to a part of the object that `whole` stands for. It is good for as long as that is.
pub(crate) fn part<T: Object, P>(whole: *mut T::C, kind: Kind, part: usize) -> Option<*mut P> {
    let (key, _) = decode(whole, T::KIND)?;
    (part < MAX_PARTS).then(|| encode(key, kind, part))
}

/// The object that a handle of a part leads to, and which part it is.
pub(crate) fn find_part<T: Object, P>(handle: *mut P, kind: Kind) -> Result<(Found<T>, usize), BackendError> {
    let (key, part) = decode(handle, kind).ok_or_else(|| bad::<T>(handle))?;
    Ok((T::table().0.get(key).ok_or_else(|| bad::<T>(handle))?, part))
}

/// A handle whose object is given up with it.
pub(crate) struct Owned<T: Object>(Kept<T::C>);

impl<T: Object> Owned<T> {
    /// Keeps the object for as long as this is kept.
    pub(crate) fn export(object: T) -> Result<Owned<T>, BackendError> {
        Ok(Owned(Kept(export(object)?)))
    }

    /// The handle of what is in `place`, which is made if nothing is.
    pub(crate) fn kept_in(
        place: &OnceLock<Owned<T>>,
        make: impl FnOnce() -> T,
    ) -> Result<*mut T::C, BackendError> {
        if let Some(owned) = place.get() {
            return Ok(owned.handle());
        }
        let made = Owned::export(make())?;
        // Where another was faster, this one is given up.
        Ok(place.get_or_init(|| made).handle())
    }

    /// The handle.
    pub(crate) fn handle(&self) -> *mut T::C {
        self.0.0
    }
}

impl<T: Object> Drop for Owned<T> {
    fn drop(&mut self) {
        drop(take::<T>(self.handle()));
    }
}

fn encode<C>(key: usize, kind: Kind, part: usize) -> *mut C {
    ptr::without_provenance_mut(key | (kind as usize) << KIND_SHIFT | part << PART_SHIFT)
}

fn decode<C>(handle: *mut C, kind: Kind) -> Option<(usize, usize)> {
    let bits = handle.addr();
    let of_kind = (bits >> KIND_SHIFT) & ((1 << KIND_BITS) - 1) == kind as usize;
    of_kind.then_some((bits & ((1 << KIND_SHIFT) - 1), bits >> PART_SHIFT))
}

fn bad<T: Object>(handle: *mut impl Sized) -> BackendError {
    let name = T::NAME;
    let error = BackendError::invalid(if handle.is_null() {
        format!("{name} is NULL")
    } else {
        format!(
            "{:p} is no {name} that is in use: it was released, deleted or sent already, or never was one",
            handle.cast_const()
        )
    });
    misuse::note(None, name, &error);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Message(&'static str);

    object!(Message, Message, "TRITONSERVER_Message");

    #[test]
    fn a_handle_that_was_given_back_is_told_from_one_that_is_good() {
        let first = export(Message("first")).unwrap();
        assert!(!first.is_null());
        assert_eq!(find::<Message>(first).unwrap().0, "first");
        assert_eq!(take::<Message>(first).unwrap().0, "first");
        let second = export(Message("second")).unwrap();
        for _ in 0..2 {
            assert!(find::<Message>(first).is_err() && take::<Message>(first).is_err());
        }
        assert_eq!(take::<Message>(second).unwrap().0, "second");
    }

    #[test]
    fn a_handle_of_another_kind_a_number_and_null_are_no_handles() {
        let whole = export(Message("whole")).unwrap();
        let input: *mut nerite_plugin_abi::Message = part::<Message, _>(whole, Kind::Input, 7).unwrap();
        assert_eq!(find_part::<Message, _>(input, Kind::Input).unwrap().1, 7);
        assert!(find::<Message>(input).is_err());
        assert!(part::<Message, u8>(whole, Kind::Input, MAX_PARTS).is_none());
        assert!(find::<Message>(ptr::without_provenance_mut(usize::MAX)).is_err());
        let null = find::<Message>(ptr::null_mut()).err().unwrap();
        assert_eq!(null.message, "TRITONSERVER_Message is NULL");
        drop(take::<Message>(whole));
        assert!(find_part::<Message, _>(input, Kind::Input).is_err());
    }
}
