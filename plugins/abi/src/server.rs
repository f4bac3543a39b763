//! What a server says of its models, and how it is made.

numbers! {
    /// `TRITONSERVER_ModelBatchFlag`: whether requests of a model combine.
    ModelBatchFlags {
        /// `TRITONSERVER_BATCH_UNKNOWN`: they do not.
        UNKNOWN = 1,
        /// `TRITONSERVER_BATCH_FIRST_DIM`: they do, along the first dimension of every tensor.
        FIRST_DIM = 2,
    }
}

numbers! {
    /// `TRITONSERVER_ModelIndexFlag`: which models an index names.
    ModelIndexFlags {
        /// `TRITONSERVER_INDEX_FLAG_READY`: only those that are ready.
        READY = 1,
    }
}

numbers! {
    /// `TRITONSERVER_ModelTxnPropertyFlag`: how many responses a request has.
    ModelTxnPropertyFlags {
        /// `TRITONSERVER_TXN_ONE_TO_ONE`: exactly one.
        ONE_TO_ONE = 1,
        /// `TRITONSERVER_TXN_DECOUPLED`: none, one or many.
        DECOUPLED = 2,
    }
}

numbers! {
    /// `TRITONSERVER_ModelControlMode`: who decides which models are loaded.
    ModelControlMode {
        /// `TRITONSERVER_MODEL_CONTROL_NONE`: what lies there at the start.
        NONE = 0,
        /// `TRITONSERVER_MODEL_CONTROL_POLL`: what lies there, looked at again and again.
        POLL = 1,
        /// `TRITONSERVER_MODEL_CONTROL_EXPLICIT`: whoever asks.
        EXPLICIT = 2,
    }
}

numbers! {
    /// `TRITONSERVER_RateLimitMode`: whether executions wait for resources.
    RateLimitMode {
        /// `TRITONSERVER_RATE_LIMIT_OFF`
        OFF = 0,
        /// `TRITONSERVER_RATE_LIMIT_EXEC_COUNT`: whoever has executed least goes first.
        EXEC_COUNT = 1,
    }
}
