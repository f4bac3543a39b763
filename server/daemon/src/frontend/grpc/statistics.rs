use std::sync::Arc;

use nerite_core::ModelVersion;
use nerite_core::statistics::{BatchStatistics, Timed};
use nerite_proto::inference::{
    InferBatchStatistics, InferStatistics, ModelStatistics, ModelStatisticsRequest, ModelStatisticsResponse,
    StatisticDuration,
};
use tonic::Status;

use super::status;

use super::version;
use crate::serving::Serving;

pub(super) fn statistics(
    serving: &Serving,
    request: &ModelStatisticsRequest,
) -> Result<ModelStatisticsResponse, Status> {
    let number = version::parse(&request.version)?;
    let versions = if request.name.is_empty() {
        serving.registry.ready()
    } else {
        of_model(serving, &request.name, number)?
    };
    Ok(ModelStatisticsResponse { model_stats: versions.iter().map(|version| of_version(version)).collect() })
}

fn of_model(serving: &Serving, name: &str, number: Option<u64>) -> Result<Vec<Arc<ModelVersion>>, Status> {
    let ready = serving.registry.entry(name).map(|entry| entry.ready.clone()).unwrap_or_default();
    if ready.is_empty() {
        return Err(status::invalid(format!("requested model '{name}' is not available")));
    }
    let versions: Vec<_> = match number {
        None => ready.into_values().collect(),
        Some(number) => ready.get(&number).cloned().into_iter().collect(),
    };
    if versions.is_empty() {
        return Err(status::invalid(format!("requested model version is not available for model '{name}'")));
    }
    Ok(versions)
}

fn of_version(version: &ModelVersion) -> ModelStatistics {
    let statistics = version.statistics();
    ModelStatistics {
        name: version.spec.name.clone(),
        version: version.version.to_string(),
        last_inference: statistics.last_inference_ms(),
        inference_count: statistics.inferences(),
        execution_count: statistics.executions(),
        inference_stats: Some(InferStatistics {
            success: timed(&statistics.success),
            fail: timed(&statistics.failure),
            queue: timed(&statistics.queue),
            compute_input: timed(&statistics.compute_input),
            compute_infer: timed(&statistics.compute_infer),
            compute_output: timed(&statistics.compute_output),
            cache_hit: timed(&statistics.cache_hit),
            cache_miss: timed(&statistics.cache_miss),
        }),
        batch_stats: statistics.batches().iter().map(|(&rows, batch)| of_batch(rows, batch)).collect(),
        ..Default::default()
    }
}

fn timed(timed: &Timed) -> Option<StatisticDuration> {
    Some(StatisticDuration { count: timed.count(), ns: timed.nanos() })
}

fn of_batch(rows: u32, batch: &BatchStatistics) -> InferBatchStatistics {
    let duration = |ns| Some(StatisticDuration { count: batch.executions, ns });
    InferBatchStatistics {
        batch_size: u64::from(rows),
        compute_input: duration(batch.input_nanos),
        compute_infer: duration(batch.infer_nanos),
        compute_output: duration(batch.output_nanos),
    }
}
