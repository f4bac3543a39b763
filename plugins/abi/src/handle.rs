//! Objects that one side owns and the other holds a pointer to.

use core::marker::{PhantomData, PhantomPinned};

macro_rules! handles {
    ($($(#[$meta:meta])* $name:ident;)*) => {
        $(
            $(#[$meta])*
            ///
            /// Opaque: neither made nor read here, only pointed to.
            #[repr(C)]
            pub struct $name {
                data: [u8; 0],
                /// What is behind the pointer may be of any thread and at any address, as its owner says.
                marker: PhantomData<(*mut u8, PhantomPinned)>,
            }
        )*
    };
}

handles! {
    /// `TRITONSERVER_Error`: why a call failed. Null is success. Whoever is returned one owns it and deletes it.
    Error;
    /// `TRITONSERVER_Message`: a JSON document.
    Message;
    /// `TRITONSERVER_Parameter`: a name with a value, of one of the kinds of [`ParameterType`](crate::ParameterType).
    Parameter;
    /// `TRITONSERVER_BufferAttributes`: where a buffer lies and how large it is.
    BufferAttributes;
    /// `TRITONSERVER_ResponseAllocator`: callbacks that give memory for the outputs of a request made in the process.
    ResponseAllocator;
    /// `TRITONSERVER_InferenceRequest`: a request that a plugin makes of another model.
    InferenceRequest;
    /// `TRITONSERVER_InferenceResponse`: the answer to such a request.
    InferenceResponse;
    /// `TRITONSERVER_InferenceTrace`: the trace of a request.
    InferenceTrace;
    /// `TRITONSERVER_Server`: the server that a model is served by.
    Server;
    /// `TRITONSERVER_ServerOptions`: what a server is made with.
    ServerOptions;
    /// `TRITONSERVER_Metrics`: all metrics at one moment.
    Metrics;
    /// `TRITONSERVER_MetricFamily`: metrics of one name, kind and description.
    MetricFamily;
    /// `TRITONSERVER_Metric`: one series of a family, told apart by its labels.
    Metric;
    /// `TRITONSERVER_MetricArgs`: what a metric of some kinds needs besides, as a histogram its buckets.
    MetricArgs;

    /// `TRITONBACKEND_MemoryManager`: gives memory of a wanted kind.
    MemoryManager;
    /// `TRITONBACKEND_Backend`: a loaded plugin.
    Backend;
    /// `TRITONBACKEND_BackendAttribute`: what a plugin says of itself when asked.
    BackendAttribute;
    /// `TRITONBACKEND_Model`: one version of a model of a plugin.
    Model;
    /// `TRITONBACKEND_ModelInstance`: what executes a model, one batch after another.
    ModelInstance;
    /// `TRITONBACKEND_ModelInstanceResponseStatistics`: when one response of several was made.
    ModelInstanceResponseStatistics;
    /// `TRITONBACKEND_Batcher`: what a plugin's own rules of batching keep for a model; the plugin makes it.
    Batcher;
    /// `TRITONBACKEND_Request`: one request of a batch.
    Request;
    /// `TRITONBACKEND_Input`: an input of a request.
    Input;
    /// `TRITONBACKEND_State`: a state of a sequence, as a request leaves it.
    State;
    /// `TRITONBACKEND_ResponseFactory`: makes responses to a request, also after the request was released.
    ResponseFactory;
    /// `TRITONBACKEND_Response`: a response on its way.
    Response;
    /// `TRITONBACKEND_Output`: an output of a response.
    Output;
}
