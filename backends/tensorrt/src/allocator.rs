//! Memory for outputs whose size only the run itself can tell: an object with a table of its own that TensorRT calls.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use nerite_backend::{BackendError, Shape};
use nerite_cuda::{Device, DeviceBuffer, StreamHandle};

use crate::interface::{InterfaceInfo, language, leave};
use crate::version::Product;
use crate::vtable::{Dims, Slot};

/// An `IOutputAllocator` for one output, with the memory that it gave.
pub(crate) struct OutputAllocator(NonNull<Inner>);

#[repr(C)]
struct Inner {
    table: *const Slot,
    state: UnsafeCell<State>,
}

struct State {
    memory: DeviceBuffer,
    shape: Option<Shape>,
    failure: Option<BackendError>,
}

type Allocate = unsafe extern "C" fn(*mut Inner, *const c_char, *mut c_void, u64, u64) -> *mut c_void;
type AllocateAsync =
    unsafe extern "C" fn(*mut Inner, *const c_char, *mut c_void, u64, u64, StreamHandle) -> *mut c_void;
type NotifyShape = unsafe extern "C" fn(*mut Inner, *const c_char, *const Dims);

/// What every table begins with: the methods of `IVersionedInterface`.
#[repr(C)]
struct Versioned {
    language: unsafe extern "C" fn(*const Inner) -> i32,
    info: unsafe extern "C" fn(*const Inner) -> InterfaceInfo,
    destructors: [unsafe extern "C" fn(*mut Inner); 2],
}

/// As in TensorRT, which still has a method of older versions.
#[repr(C)]
struct Table {
    versioned: Versioned,
    allocate: Allocate,
    allocate_async: AllocateAsync,
    notify_shape: NotifyShape,
}

/// As in TensorRT for RTX.
#[repr(C)]
struct RtxTable {
    versioned: Versioned,
    allocate_async: AllocateAsync,
    notify_shape: NotifyShape,
}

const VERSIONED: Versioned = Versioned { language, info, destructors: [leave; 2] };
static TABLE: Table = Table { versioned: VERSIONED, allocate, allocate_async, notify_shape };
static RTX_TABLE: RtxTable = RtxTable { versioned: VERSIONED, allocate_async, notify_shape };

// SAFETY: it belongs to no thread, and who has it alone sees to it that TensorRT calls it during a run only.
unsafe impl Send for OutputAllocator {}

impl OutputAllocator {
    /// One for an output on that device, without memory yet, to be called by that product.
    pub(crate) fn new(device: &Arc<Device>, product: Product) -> OutputAllocator {
        let table = match product {
            Product::TensorRt => (&raw const TABLE).cast(),
            Product::Rtx => (&raw const RTX_TABLE).cast(),
        };
        let state = State { memory: DeviceBuffer::new(device), shape: None, failure: None };
        let inner = Box::new(Inner { table, state: UnsafeCell::new(state) });
        OutputAllocator(NonNull::from(Box::leak(inner)))
    }

    /// For TensorRT, which may call it during a run.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    /// Forgets what the last run gave, but for its memory.
    pub(crate) fn begin(&mut self) {
        let state = self.state();
        (state.shape, state.failure) = (None, None);
    }

    /// What the run gave, once TensorRT has taken it on: the output's shape, if it said one, and the memory.
    pub(crate) fn result(&mut self) -> Result<(Option<Shape>, &DeviceBuffer), BackendError> {
        let state = self.state();
        match state.failure.take() {
            Some(error) => Err(error),
            None => Ok((state.shape.clone(), &state.memory)),
        }
    }

    fn state(&mut self) -> &mut State {
        // SAFETY: TensorRT calls during a run only, in which nobody else looks; and the reference is exclusive.
        unsafe { &mut *self.0.as_ref().state.get() }
    }
}

impl Drop for OutputAllocator {
    fn drop(&mut self) {
        // SAFETY: made of a box by `new`, and given back once; the contexts that know it are gone.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// `reallocateOutput`, which `reallocateOutputAsync` is called in the place of.
unsafe extern "C" fn allocate(
    this: *mut Inner,
    _name: *const c_char,
    _current: *mut c_void,
    size: u64,
    _alignment: u64,
) -> *mut c_void {
    // A panic must not unwind into TensorRT.
    let allocated = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: TensorRT calls with the pointer that it was given, during a run, on one thread at a time.
        let state = unsafe { &mut *(*this).state.get() };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match state.memory.reserve(size) {
            Ok(()) => state.memory.address(),
            Err(error) => {
                state.failure.get_or_insert(error);
                0
            }
        }
    }));
    allocated.map_or(null_mut(), |address| address as *mut c_void)
}

/// `reallocateOutputAsync`
unsafe extern "C" fn allocate_async(
    this: *mut Inner,
    name: *const c_char,
    current: *mut c_void,
    size: u64,
    alignment: u64,
    _stream: StreamHandle,
) -> *mut c_void {
    // SAFETY: the same contract.
    unsafe { allocate(this, name, current, size, alignment) }
}

/// `notifyShape`
unsafe extern "C" fn notify_shape(this: *mut Inner, _name: *const c_char, dims: *const Dims) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as in `allocate`; the dims are a reference that lives as long as the call.
        unsafe {
            let state = &mut *(*this).state.get();
            state.shape = dims.as_ref().and_then(Dims::extents).map(Shape::new);
        }
    }));
}

unsafe extern "C" fn info(_this: *const Inner) -> InterfaceInfo {
    InterfaceInfo { kind: c"IOutputAllocator".as_ptr(), major: 1, minor: 0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::mem::offset_of;

    use super::*;

    /// In which slots the three methods are; those of TensorRT for RTX have no first.
    pub(crate) fn slots(product: Product) -> (Option<usize>, usize, usize) {
        let slot = |offset: usize| offset / size_of::<Slot>();
        match product {
            Product::TensorRt => (
                Some(slot(offset_of!(Table, allocate))),
                slot(offset_of!(Table, allocate_async)),
                slot(offset_of!(Table, notify_shape)),
            ),
            Product::Rtx => {
                (None, slot(offset_of!(RtxTable, allocate_async)), slot(offset_of!(RtxTable, notify_shape)))
            }
        }
    }
}
