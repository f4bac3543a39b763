//! What a client can find out without knowing the contract: reflection and health.

use nerite_tests::daemon::Daemon;
use nerite_tests::models::Repository;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const INFERENCE: &str = "inference.GRPCInferenceService";

/// The answer to one question.
async fn reflect(daemon: &Daemon, question: MessageRequest) -> anyhow::Result<Option<MessageResponse>> {
    let mut client = ServerReflectionClient::new(daemon.connect().await?);
    let asked = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut answers = client.server_reflection_info(tokio_stream::once(asked)).await?.into_inner();
    Ok(answers.message().await?.and_then(|answer| answer.message_response))
}

#[tokio::test]
async fn reflection_lists_the_services() -> anyhow::Result<()> {
    let repository = Repository::empty()?;
    let daemon = Daemon::start(repository.path())?;
    let answer = reflect(&daemon, MessageRequest::ListServices(String::new())).await?;
    let Some(MessageResponse::ListServicesResponse(services)) = answer else {
        anyhow::bail!("{answer:?}");
    };
    let names: Vec<&str> = services.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&INFERENCE) && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    Ok(())
}

#[tokio::test]
async fn reflection_gives_the_contract_of_a_service() -> anyhow::Result<()> {
    let repository = Repository::empty()?;
    let daemon = Daemon::start(repository.path())?;
    let answer = reflect(&daemon, MessageRequest::FileContainingSymbol(INFERENCE.to_owned())).await?;
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer else {
        anyhow::bail!("{answer:?}");
    };
    let all = files.file_descriptor_proto.concat();
    assert!(all.windows(10).any(|window| window == b"ModelInfer"));
    Ok(())
}

#[tokio::test]
async fn health_is_serving_once_the_daemon_is_ready() -> anyhow::Result<()> {
    let repository = Repository::empty()?;
    let daemon = Daemon::start(repository.path())?;
    let mut client = HealthClient::new(daemon.connect().await?);
    for service in ["", INFERENCE] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(client.check(asked).await?.into_inner().status(), ServingStatus::Serving, "'{service}'");
    }
    let unknown = HealthCheckRequest { service: "no.such.Service".to_owned() };
    assert_eq!(client.check(unknown).await.unwrap_err().code(), Code::NotFound);
    Ok(())
}
