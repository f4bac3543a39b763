"""Fails in the way that INPUT0 says, in this process; otherwise gives it back."""

import ctypes
import os
import signal

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = [self.answer(pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()) for request in requests]
        return [response for response in responses if response is not None]

    def answer(self, array):
        way = array.flat[0]
        if way == 1:
            raise ValueError("it was one")
        if way == 2:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("it was two"))
        if way == 3:
            error = pb_utils.TritonError("it was three", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        if way == 4:
            return None
        if way == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if way == 6:
            os._exit(0)
        if way == 7:
            ctypes.string_at(0)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", np.copy(array))])
