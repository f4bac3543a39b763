// Builds a small engine with a real TensorRT for RTX, which needs no device for that, and writes it to a file:
// `engine LIBRARY FILE`. The model gives its input back doubled.
#include <NvInfer.h>

#include <dlfcn.h>

#include <cstdio>
#include <memory>

using namespace nvinfer1;

struct Logger : ILogger {
    void log(Severity severity, char const* message) noexcept override {
        if (severity <= Severity::kWARNING) std::fprintf(stderr, "%s\n", message);
    }
} logger;

int main(int, char** arguments) {
    auto const library = dlopen(arguments[1], RTLD_NOW);
    if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
    auto const create = reinterpret_cast<void* (*)(void*, int32_t)>(dlsym(library, "createInferBuilder_INTERNAL"));
    if (create == nullptr) return std::fprintf(stderr, "it has no builder\n"), 1;
    std::unique_ptr<IBuilder> builder(static_cast<IBuilder*>(create(&logger, NV_TENSORRT_VERSION)));
    if (!builder) return std::fprintf(stderr, "no builder was made\n"), 1;
    std::unique_ptr<INetworkDefinition> network(builder->createNetworkV2(0));
    auto const x = network->addInput("x", DataType::kFLOAT, Dims{2, {-1, 4}});
    auto const sum = network->addElementWise(*x, *x, ElementWiseOperation::kSUM);
    sum->getOutput(0)->setName("y");
    network->markOutput(*sum->getOutput(0));
    std::unique_ptr<IBuilderConfig> config(builder->createBuilderConfig());
    auto const profile = builder->createOptimizationProfile();
    profile->setDimensions("x", OptProfileSelector::kMIN, Dims{2, {1, 4}});
    profile->setDimensions("x", OptProfileSelector::kOPT, Dims{2, {4, 4}});
    profile->setDimensions("x", OptProfileSelector::kMAX, Dims{2, {16, 4}});
    config->addOptimizationProfile(profile);
    std::unique_ptr<IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
    if (!plan) return std::fprintf(stderr, "no engine was built\n"), 1;
    auto const file = std::fopen(arguments[2], "wb");
    std::fwrite(plan->data(), 1, plan->size(), file);
    return std::fclose(file);
}
