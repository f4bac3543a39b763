"""INPUT0 + INPUT1 and INPUT0 - INPUT1, row by row, and how many requests were executed together."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request, len(requests)) for request in requests]

    def answer(self, request, together):
        first, second = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("INPUT0", "INPUT1"))
        outputs = {
            "OUTPUT0": first + second,
            "OUTPUT1": first - second,
            "TOGETHER": np.full((len(first), 1), together, np.int32),
        }
        wanted = request.requested_output_names()
        tensors = [pb_utils.Tensor(name, array) for name, array in outputs.items() if name in wanted]
        return pb_utils.InferenceResponse(output_tensors=tensors)
