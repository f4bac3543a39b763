//! What is said of a backend.

numbers! {
    /// `TRITONBACKEND_ArtifactType`: how a plugin is given the files of a model or of itself.
    ArtifactType {
        /// `TRITONBACKEND_ARTIFACT_FILESYSTEM`: as the path of a directory.
        FILESYSTEM = 0,
    }
}

numbers! {
    /// `TRITONBACKEND_ExecutionPolicy`: when an instance may be given its next batch.
    ExecutionPolicy {
        /// `TRITONBACKEND_EXECUTION_BLOCKING`: when it has returned from the one before.
        BLOCKING = 0,
        /// `TRITONBACKEND_EXECUTION_DEVICE_BLOCKING`: when all instances of its device have returned.
        DEVICE_BLOCKING = 1,
    }
}
