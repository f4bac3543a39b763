//! Kinds of instances.

numbers! {
    /// `TRITONSERVER_InstanceGroupKind`: where the instances of a group run.
    InstanceGroupKind {
        /// `TRITONSERVER_INSTANCEGROUPKIND_AUTO`: not decided.
        AUTO = 0,
        /// `TRITONSERVER_INSTANCEGROUPKIND_CPU`
        CPU = 1,
        /// `TRITONSERVER_INSTANCEGROUPKIND_GPU`
        GPU = 2,
        /// `TRITONSERVER_INSTANCEGROUPKIND_MODEL`: the model or its backend decides.
        MODEL = 3,
    }
}
