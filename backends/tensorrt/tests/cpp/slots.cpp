// Prints in which slot of its class's table each method is that is used. By the Itanium ABI a pointer to a virtual
// method is one more than the offset in the table.
#include <NvInferRuntime.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

using namespace nvinfer1;
using namespace nvinfer1::apiv;

template <typename Method>
static void print(char const* name, Method method) {
    std::ptrdiff_t pointer;
    std::memcpy(&pointer, &method, sizeof pointer);
    std::printf("%s %td\n", name, (pointer - 1) / static_cast<std::ptrdiff_t>(sizeof(void*)));
}

int main() {
    using Deserialize = ICudaEngine* (VRuntime::*)(void const*, std::size_t) noexcept;
    print("deserialize", static_cast<Deserialize>(&VRuntime::deserializeCudaEngine));
    print("allow_host_code", &VRuntime::setEngineHostCodeAllowed);
    print("create_context", &VCudaEngine::createExecutionContext);
    print("profile_count", &VCudaEngine::getNbOptimizationProfiles);
    print("engine_shape", &VCudaEngine::getTensorShape);
    print("data_type", &VCudaEngine::getTensorDataType);
    print("location", &VCudaEngine::getTensorLocation);
    print("is_shape_tensor", &VCudaEngine::isShapeInferenceIO);
    print("io_mode", &VCudaEngine::getTensorIOMode);
    print("format", &VCudaEngine::getTensorFormat);
    print("profile_shape", &VCudaEngine::getProfileShape);
    print("tensor_count", &VCudaEngine::getNbIOTensors);
    print("tensor_name", &VCudaEngine::getIOTensorName);
    print("profile_values", &VCudaEngine::getProfileTensorValuesV2);
    print("set_profile", &VExecutionContext::setOptimizationProfileAsync);
    print("set_input_shape", &VExecutionContext::setInputShape);
    print("context_shape", &VExecutionContext::getTensorShape);
    print("set_address", &VExecutionContext::setTensorAddress);
    print("infer_shapes", &VExecutionContext::inferShapes);
    print("set_allocator", &VExecutionContext::setOutputAllocator);
    print("enqueue", &VExecutionContext::enqueueV3);
    print("log", &ILogger::log);
#ifndef IS_RTX
    print("reallocate", &IOutputAllocator::reallocateOutput);
#endif
    print("reallocate_async", &IOutputAllocator::reallocateOutputAsync);
    print("notify_shape", &IOutputAllocator::notifyShape);
    std::printf("dims_size %zu\n", sizeof(Dims));
    std::printf("extents_offset %zu\n", offsetof(Dims, d));
    std::printf("most_extents %d\n", static_cast<int>(Dims::MAX_DIMS));
}
