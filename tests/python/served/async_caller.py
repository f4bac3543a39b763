"""Calls the model of the parameter `target` twice at once, the second time with swapped inputs; answers with the sum of
the first and the difference of the second."""

import asyncio
import json

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.target = json.loads(args["model_config"])["parameters"]["target"]["string_value"]

    async def execute(self, requests):
        return [await self.answer(request) for request in requests]

    async def answer(self, request):
        first, second = (tensor.as_numpy() for tensor in request.inputs())
        calls = [self.call(first, second, "OUTPUT0"), self.call(second, first, "OUTPUT1")]
        responses = await asyncio.gather(*calls)
        for response in responses:
            if response.has_error():
                return pb_utils.InferenceResponse(error=response.error())
        return pb_utils.InferenceResponse([tensor for response in responses for tensor in response.output_tensors()])

    def call(self, first, second, output):
        inputs = [pb_utils.Tensor("INPUT0", first), pb_utils.Tensor("INPUT1", second)]
        call = pb_utils.InferenceRequest(model_name=self.target, requested_output_names=[output], inputs=inputs)
        return call.async_exec()
