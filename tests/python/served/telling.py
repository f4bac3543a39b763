"""Logs, counts in metrics of its own, and answers with all that it knows of a request, as JSON."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        family = pb_utils.MetricFamily(
            name="telling_requests_total", description="What was told", kind=pb_utils.MetricFamily.COUNTER
        )
        self.told = family.Metric(labels={"model": args["model_name"], "version": args["model_version"]})
        gauge = pb_utils.MetricFamily(name="telling_last", description="The last", kind=pb_utils.MetricFamily.GAUGE)
        self.last = gauge.Metric(labels={"model": args["model_name"]})
        self.families = [family, gauge]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        text = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy().item().decode()
        logger = pb_utils.Logger
        logger.log_info(f"told at info: {text}")
        logger.log_warn(f"told at warning: {text}")
        logger.log_error(f"told at error: {text}")
        logger.log_verbose(f"told at verbose: {text}")
        self.told.increment(1)
        self.last.set(len(text))
        known = {
            "id": request.request_id(),
            "correlation": request.correlation_id(),
            "flags": request.flags(),
            "timeout": request.timeout(),
            "outputs": list(request.requested_output_names()),
            "parameters": json.loads(request.parameters()),
            "counted": self.told.value(),
        }
        array = np.array([json.dumps(known)], np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", array)])
