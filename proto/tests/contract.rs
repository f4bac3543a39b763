//! What the rest of the workspace relies on in the generated code and the descriptor set.
//!
//! That names and numbers are Triton's is checked against its own client in tests/python/test_contract.py.

use std::collections::BTreeSet;

use bytes::Bytes;
use nerite_proto::{FILE_DESCRIPTOR_SET, inference};
use prost::Message;
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build script wrote it")
}

#[test]
fn the_service_has_its_20_calls_and_only_the_stream_streams() {
    let service = pool().get_service_by_name("inference.GRPCInferenceService").unwrap();
    let names: BTreeSet<String> = service.methods().map(|method| method.name().to_owned()).collect();
    let expected = [
        "CudaSharedMemoryRegister",
        "CudaSharedMemoryStatus",
        "CudaSharedMemoryUnregister",
        "LogSettings",
        "ModelConfig",
        "ModelInfer",
        "ModelMetadata",
        "ModelReady",
        "ModelStatistics",
        "ModelStreamInfer",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "ServerLive",
        "ServerMetadata",
        "ServerReady",
        "SystemSharedMemoryRegister",
        "SystemSharedMemoryStatus",
        "SystemSharedMemoryUnregister",
        "TraceSetting",
    ];
    assert_eq!(names, expected.map(String::from).into());
    for method in service.methods() {
        let streams = method.name() == "ModelStreamInfer";
        assert_eq!(method.is_client_streaming(), streams, "{}", method.name());
        assert_eq!(method.is_server_streaming(), streams, "{}", method.name());
    }
}

#[test]
fn the_generated_server_keeps_the_services_own_spelling() {
    use inference::grpc_inference_service_server::SERVICE_NAME;
    assert_eq!(SERVICE_NAME, "inference.GRPCInferenceService");
}

#[test]
fn the_descriptor_set_is_complete_and_carries_no_source_information() {
    let pool = pool();
    assert_eq!(
        pool.files().map(|file| file.name().to_owned()).collect::<Vec<_>>(),
        ["model_config.proto", "grpc_service.proto"]
    );
    for file in pool.files() {
        assert!(file.file_descriptor_proto().source_code_info.is_none(), "{}", file.name());
    }
}

#[test]
fn every_bytes_field_is_a_bytes_value() {
    // Each line compiles only if the field has this type; the list below shows that none is missing.
    let _: Vec<Bytes> = inference::InferTensorContents::default().bytes_contents;
    let _: Vec<Bytes> = inference::ModelInferRequest::default().raw_input_contents;
    let _: Vec<Bytes> = inference::ModelInferResponse::default().raw_output_contents;
    let _: Bytes = inference::CudaSharedMemoryRegisterRequest::default().raw_handle;
    let _ = inference::model_repository_parameter::ParameterChoice::BytesParam(Bytes::new());

    let pool = pool();
    let fields: BTreeSet<String> = pool
        .all_messages()
        .flat_map(|message: MessageDescriptor| message.fields().collect::<Vec<_>>())
        .filter(|field| field.kind() == Kind::Bytes)
        .map(|field| field.full_name().to_owned())
        .collect();
    let expected = [
        "inference.CudaSharedMemoryRegisterRequest.raw_handle",
        "inference.InferTensorContents.bytes_contents",
        "inference.ModelInferRequest.raw_input_contents",
        "inference.ModelInferResponse.raw_output_contents",
        "inference.ModelRepositoryParameter.bytes_param",
    ];
    assert_eq!(fields, expected.map(String::from).into());
}

#[test]
fn a_decoded_tensor_lies_in_the_buffer_of_its_message() {
    let request = inference::ModelInferRequest {
        model_name: "m".into(),
        raw_input_contents: vec![Bytes::from(vec![7; 4096])],
        ..Default::default()
    };
    let wire = Bytes::from(request.encode_to_vec());
    let decoded = inference::ModelInferRequest::decode(wire.clone()).unwrap();
    assert_eq!(decoded, request);
    assert!(wire.as_ptr_range().contains(&decoded.raw_input_contents[0].as_ptr()));
}
