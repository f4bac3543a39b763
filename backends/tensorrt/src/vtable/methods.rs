use crate::version::Layout;

/// In which slots the methods are that are used. The same over all versions of a layout.
#[derive(Debug)]
pub(crate) struct Methods {
    pub(crate) runtime: RuntimeMethods,
    pub(crate) engine: EngineMethods,
    pub(crate) context: ContextMethods,
}

/// Those of `IRuntime`.
#[derive(Debug)]
pub(crate) struct RuntimeMethods {
    /// `deserializeCudaEngine(void const*, size_t)`
    pub(crate) deserialize: usize,
    /// `setEngineHostCodeAllowed(bool)`
    pub(crate) allow_host_code: usize,
}

/// Those of `ICudaEngine`.
#[derive(Debug)]
pub(crate) struct EngineMethods {
    /// `createExecutionContext(ExecutionContextAllocationStrategy)`
    pub(crate) create_context: usize,
    /// `getNbOptimizationProfiles()`
    pub(crate) profile_count: usize,
    /// `getTensorShape(char const*)`
    pub(crate) shape: usize,
    /// `getTensorDataType(char const*)`
    pub(crate) data_type: usize,
    /// `getTensorLocation(char const*)`
    pub(crate) location: usize,
    /// `isShapeInferenceIO(char const*)`
    pub(crate) is_shape_tensor: usize,
    /// `getTensorIOMode(char const*)`
    pub(crate) io_mode: usize,
    /// `getTensorFormat(char const*)`
    pub(crate) format: usize,
    /// `getProfileShape(char const*, int32_t, OptProfileSelector)`
    pub(crate) profile_shape: usize,
    /// `getNbIOTensors()`
    pub(crate) tensor_count: usize,
    /// `getIOTensorName(int32_t)`
    pub(crate) tensor_name: usize,
    /// `getProfileTensorValuesV2(char const*, int32_t, OptProfileSelector)`, from 10.11 on
    pub(crate) profile_values: usize,
}

/// Those of `IExecutionContext`.
#[derive(Debug)]
pub(crate) struct ContextMethods {
    /// `setOptimizationProfileAsync(int32_t, cudaStream_t)`
    pub(crate) set_profile: usize,
    /// `setInputShape(char const*, Dims const&)`
    pub(crate) set_input_shape: usize,
    /// `getTensorShape(char const*)`
    pub(crate) shape: usize,
    /// `setTensorAddress(char const*, void*)`
    pub(crate) set_address: usize,
    /// `inferShapes(int32_t, char const**)`
    pub(crate) infer_shapes: usize,
    /// `setOutputAllocator(char const*, IOutputAllocator*)`
    pub(crate) set_allocator: usize,
    /// `enqueueV3(cudaStream_t)`
    pub(crate) enqueue: usize,
}

const TEN: Methods = Methods {
    runtime: RuntimeMethods { deserialize: 3, allow_host_code: 21 },
    engine: EngineMethods {
        create_context: 5,
        profile_count: 10,
        shape: 19,
        data_type: 20,
        location: 21,
        is_shape_tensor: 22,
        io_mode: 23,
        format: 26,
        profile_shape: 29,
        tensor_count: 30,
        tensor_name: 31,
        profile_values: 54,
    },
    context: ContextMethods {
        set_profile: 17,
        set_input_shape: 21,
        shape: 22,
        set_address: 24,
        infer_shapes: 28,
        set_allocator: 32,
        enqueue: 37,
    },
};

const ELEVEN: Methods = Methods {
    runtime: RuntimeMethods { deserialize: 3, allow_host_code: 20 },
    engine: EngineMethods {
        create_context: 5,
        profile_count: 8,
        shape: 15,
        data_type: 16,
        location: 17,
        is_shape_tensor: 18,
        io_mode: 19,
        format: 22,
        profile_shape: 25,
        tensor_count: 26,
        tensor_name: 27,
        profile_values: 46,
    },
    context: ContextMethods {
        set_profile: 16,
        set_input_shape: 20,
        shape: 21,
        set_address: 23,
        infer_shapes: 27,
        set_allocator: 31,
        enqueue: 36,
    },
};

impl Methods {
    /// Those of a layout.
    pub(crate) fn of(layout: Layout) -> &'static Methods {
        match layout {
            Layout::Ten => &TEN,
            Layout::Eleven => &ELEVEN,
        }
    }
}
