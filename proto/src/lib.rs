//! The wire contract of `inference.GRPCInferenceService` and its generated code, nothing else.
//!
//! The sources are `proto/grpc_service.proto` and `proto/model_config.proto`; their comments are the
//! documentation of the types here. Every `bytes` field is a [`bytes::Bytes`], so that a decoded tensor
//! shares the buffer of the message it came in. Maps are [`std::collections::HashMap`]s: their order on
//! the wire is not defined.

#![forbid(unsafe_code)]

/// The messages, the service's server and its client.
///
/// The client is generic over its transport: `GrpcInferenceServiceClient::new` takes a tonic `Channel`
/// or any other gRPC service.
#[allow(missing_docs)]
pub mod inference {
    tonic::include_proto!("inference");
}

/// The encoded `google.protobuf.FileDescriptorSet` of both files, imports first, without source
/// information: for server reflection and for dynamic messages.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("inference");
