//! The floor under every server: nothing is computed.

use std::sync::Arc;

use nerite_proto::inference::{ModelInferRequest, ModelInferResponse};
use tonic::Status;

use super::Infer;

/// Answers every request with the same message.
#[derive(Clone)]
pub struct Echo {
    answer: Arc<ModelInferResponse>,
}

impl Echo {
    /// One that answers with that.
    pub fn new(answer: ModelInferResponse) -> Echo {
        Echo { answer: Arc::new(answer) }
    }
}

impl Infer for Echo {
    fn infer(&self, _: &ModelInferRequest) -> Result<ModelInferResponse, Status> {
        Ok(ModelInferResponse::clone(&self.answer))
    }
}
