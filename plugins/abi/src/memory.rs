//! Kinds of memory.

numbers! {
    /// `TRITONSERVER_MemoryType`: where a buffer lies. A number beside it, the `memory_type_id`, tells devices apart.
    MemoryType {
        /// `TRITONSERVER_MEMORY_CPU`: ordinary memory.
        CPU = 0,
        /// `TRITONSERVER_MEMORY_CPU_PINNED`: the host's memory, where a device may reach it.
        CPU_PINNED = 1,
        /// `TRITONSERVER_MEMORY_GPU`: a device's memory, which the processor must not read or write.
        GPU = 2,
    }
}
