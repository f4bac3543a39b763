"""Says itself what it takes and gives: twice INPUT0."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(configuration):
        configuration.add_input({"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [4]})
        configuration.add_output({"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [4]})
        configuration.set_max_batch_size(4)
        configuration.set_dynamic_batching()
        return configuration

    def execute(self, requests):
        arrays = [pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", 2 * array)]) for array in arrays]
