"""Counts from 0 to COUNT, a response each, from a thread that goes on after the model was left; if COUNT is negative, to
minus COUNT and then to an error."""

import threading

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.threads = []

    def execute(self, requests):
        for request in requests:
            count = pb_utils.get_input_tensor_by_name(request, "COUNT").as_numpy().item()
            thread = threading.Thread(target=self.respond, args=(request.get_response_sender(), count))
            thread.start()
            self.threads.append(thread)

    def respond(self, sender, count):
        for number in range(abs(count)):
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("NUMBER", np.array([number], np.int32))]))
        if count < 0:
            sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError("below zero")))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def finalize(self):
        for thread in self.threads:
            thread.join()
