//! The entry points that a plugin exports: their names and types. Only [`MODEL_INSTANCE_EXECUTE`] is required; of the
//! five functions that concern batching there are all or none.
//!
//! A null pointer is success; an error that is returned is the caller's to delete.

use core::ffi::{CStr, c_void};

use crate::{Backend, BackendAttribute, Batcher, Error, Model, ModelInstance, Request};

/// Called once, when the library is loaded.
pub const INITIALIZE: &CStr = c"TRITONBACKEND_Initialize";
/// Called once, before the library is unloaded.
pub const FINALIZE: &CStr = c"TRITONBACKEND_Finalize";
/// Called when the server wants to know what the plugin prefers, any number of times.
pub const GET_BACKEND_ATTRIBUTE: &CStr = c"TRITONBACKEND_GetBackendAttribute";
/// Called once for each version of a model that is loaded; an error refuses the model.
pub const MODEL_INITIALIZE: &CStr = c"TRITONBACKEND_ModelInitialize";
/// Called once for each model, after its instances are finalised.
pub const MODEL_FINALIZE: &CStr = c"TRITONBACKEND_ModelFinalize";
/// Called once for each instance of a model.
pub const MODEL_INSTANCE_INITIALIZE: &CStr = c"TRITONBACKEND_ModelInstanceInitialize";
/// Called once for each instance, when it executes no longer.
pub const MODEL_INSTANCE_FINALIZE: &CStr = c"TRITONBACKEND_ModelInstanceFinalize";
/// Called with each batch. Success hands the requests over to the plugin; after an error they are the server's.
pub const MODEL_INSTANCE_EXECUTE: &CStr = c"TRITONBACKEND_ModelInstanceExecute";
/// Called when the server wants to know whether an instance can execute; an error says that it cannot.
pub const MODEL_INSTANCE_READY: &CStr = c"TRITONBACKEND_ModelInstanceReady";
/// Called once for each model that batches by the plugin's rules.
pub const MODEL_BATCHER_INITIALIZE: &CStr = c"TRITONBACKEND_ModelBatcherInitialize";
/// Called once for each batcher that was made.
pub const MODEL_BATCHER_FINALIZE: &CStr = c"TRITONBACKEND_ModelBatcherFinalize";
/// Called when a batch is begun.
pub const MODEL_BATCH_INITIALIZE: &CStr = c"TRITONBACKEND_ModelBatchInitialize";
/// Called with each request that might join the batch.
pub const MODEL_BATCH_INCLUDE_REQUEST: &CStr = c"TRITONBACKEND_ModelBatchIncludeRequest";
/// Called when the batch is formed.
pub const MODEL_BATCH_FINALIZE: &CStr = c"TRITONBACKEND_ModelBatchFinalize";

/// The type of [`INITIALIZE`] and [`FINALIZE`].
pub type BackendFn = unsafe extern "C" fn(backend: *mut Backend) -> *mut Error;

/// The type of [`GET_BACKEND_ATTRIBUTE`]. The attributes are filled in through calls of the API; an error leaves all as
/// they were.
pub type GetBackendAttributeFn =
    unsafe extern "C" fn(backend: *mut Backend, attributes: *mut BackendAttribute) -> *mut Error;

/// The type of [`MODEL_INITIALIZE`] and [`MODEL_FINALIZE`].
pub type ModelFn = unsafe extern "C" fn(model: *mut Model) -> *mut Error;

/// The type of [`MODEL_INSTANCE_INITIALIZE`], [`MODEL_INSTANCE_FINALIZE`] and [`MODEL_INSTANCE_READY`].
pub type ModelInstanceFn = unsafe extern "C" fn(instance: *mut ModelInstance) -> *mut Error;

/// The type of [`MODEL_INSTANCE_EXECUTE`]. The array is the caller's, and over when the function returns; what it
/// points to is not.
pub type ModelInstanceExecuteFn = unsafe extern "C" fn(
    instance: *mut ModelInstance,
    requests: *mut *mut Request,
    request_count: u32,
) -> *mut Error;

/// The type of [`MODEL_BATCHER_INITIALIZE`].
pub type ModelBatcherInitializeFn =
    unsafe extern "C" fn(batcher: *mut *mut Batcher, model: *mut Model) -> *mut Error;

/// The type of [`MODEL_BATCHER_FINALIZE`].
pub type ModelBatcherFinalizeFn = unsafe extern "C" fn(batcher: *mut Batcher) -> *mut Error;

/// The type of [`MODEL_BATCH_INITIALIZE`]. What is stored at `userp` accompanies the batch.
pub type ModelBatchInitializeFn =
    unsafe extern "C" fn(batcher: *const Batcher, userp: *mut *mut c_void) -> *mut Error;

/// The type of [`MODEL_BATCH_INCLUDE_REQUEST`]. `userp` is what [`MODEL_BATCH_INITIALIZE`] stored.
pub type ModelBatchIncludeRequestFn =
    unsafe extern "C" fn(request: *mut Request, userp: *mut c_void, should_include: *mut bool) -> *mut Error;

/// The type of [`MODEL_BATCH_FINALIZE`].
pub type ModelBatchFinalizeFn = unsafe extern "C" fn(userp: *mut c_void) -> *mut Error;
