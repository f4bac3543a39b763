use std::sync::Arc;

use nerite_proto::inference::grpc_inference_service_server::GrpcInferenceService;
use nerite_proto::inference::*;
use tonic::{Request, Response, Status, Streaming};

use super::{log_settings, metadata, parameters, repository, statistics, status, trace_setting, version};
use crate::serving::Serving;

/// `inference.GRPCInferenceService` over the registry.
pub(super) struct InferenceService(pub(super) Arc<Serving>);

impl InferenceService {
    fn serving(&self) -> Result<&Serving, Status> {
        if self.0.is_exiting() { Err(status::exiting()) } else { Ok(&self.0) }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl GrpcInferenceService for InferenceService {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        self.serving()?;
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        let ready = self.serving()?.is_ready();
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let request = request.into_inner();
        let number = version::parse(&request.version)?;
        let found = self.serving()?.registry.lookup(&request.name, number);
        let ready = found.is_ok_and(|version| version.is_sound());
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(metadata::server(self.serving()?)))
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        metadata::model(self.serving()?, &name, &version).map(Response::new)
    }

    /// Never called: the router gives these calls to `infer::call`, past tonic.
    async fn model_infer(&self, _: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        Err(Status::internal("ModelInfer is answered by infer::call, to which the router gives it"))
    }

    type ModelStreamInferStream = tokio_stream::Empty<Result<ModelStreamInferResponse, Status>>;

    /// Never called: the router gives these calls to `stream::call`, past tonic.
    async fn model_stream_infer(
        &self,
        _: Request<Streaming<ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        Err(Status::internal("ModelStreamInfer is answered by stream::call, to which the router gives it"))
    }

    async fn model_config(&self, request: Request<ModelConfigRequest>) -> Answer<ModelConfigResponse> {
        let ModelConfigRequest { name, version } = request.into_inner();
        metadata::config(self.serving()?, &name, &version).map(Response::new)
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Answer<ModelStatisticsResponse> {
        statistics::statistics(self.serving()?, request.get_ref()).map(Response::new)
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Answer<RepositoryIndexResponse> {
        repository::index(self.serving()?, request.get_ref()).await.map(Response::new)
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Answer<RepositoryModelLoadResponse> {
        repository::load(self.serving()?, request.into_inner()).await.map(Response::new)
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Answer<RepositoryModelUnloadResponse> {
        repository::unload(self.serving()?, request.into_inner()).await.map(Response::new)
    }

    async fn system_shared_memory_status(
        &self,
        _: Request<SystemSharedMemoryStatusRequest>,
    ) -> Answer<SystemSharedMemoryStatusResponse> {
        Err(parameters::shared_memory_disabled())
    }

    async fn system_shared_memory_register(
        &self,
        _: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Answer<SystemSharedMemoryRegisterResponse> {
        Err(parameters::shared_memory_disabled())
    }

    async fn system_shared_memory_unregister(
        &self,
        _: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Answer<SystemSharedMemoryUnregisterResponse> {
        Err(parameters::shared_memory_disabled())
    }

    async fn cuda_shared_memory_status(
        &self,
        _: Request<CudaSharedMemoryStatusRequest>,
    ) -> Answer<CudaSharedMemoryStatusResponse> {
        Err(parameters::shared_memory_disabled())
    }

    async fn cuda_shared_memory_register(
        &self,
        _: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Answer<CudaSharedMemoryRegisterResponse> {
        Err(parameters::shared_memory_disabled())
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Answer<CudaSharedMemoryUnregisterResponse> {
        Err(parameters::shared_memory_disabled())
    }

    async fn trace_setting(&self, request: Request<TraceSettingRequest>) -> Answer<TraceSettingResponse> {
        trace_setting::settings(self.serving()?, request.get_ref()).map(Response::new)
    }

    async fn log_settings(&self, request: Request<LogSettingsRequest>) -> Answer<LogSettingsResponse> {
        log_settings::settings(self.serving()?, request.get_ref()).map(Response::new)
    }
}
