// A counterfeit of TensorRT. An engine is a text that says what goes in and comes out:
//
//     plan 10                                   the major version that it was built with
//     in x 0 device data -1,4                   name, element type, place, whether it is a shape tensor, shape
//     out y 0 device data -1,4 add1 x           and what becomes of it: each byte of x and 1
//     out z 0 device data -1,-1 fill s          bytes of 7, in the shape that s says
//     out n 5 device data -1 nonzero x          those bytes of x that are not 0: their number is known in the end
//     out t 3 host shape 2 copy s
//     profile
//     range x 1,4 2,4 8,4                       what the profile takes of x: at least, best, at most
//     values s 1,1 4,4 8,8
//
// Whatever a real TensorRT would not forgive is a violation. Methods that the text has no word for are made by the
// tests from the header (stubs.h) and must not be called.
#include <NvInferRuntime.h>

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Driver {
    int (*launch)(cudaStream_t, void (*)(void*), void*);
    int (*synchronize)(cudaStream_t);
    bool (*owns)(void const*, std::size_t, bool);
    int (*device)();
} driver;

struct State {
    std::recursive_mutex mutex;
    std::string calls, violations, told;
    std::map<std::string, int> faults;
    int version = NV_TENSORRT_VERSION;
    nvinfer1::ILogger* logger = nullptr;
    int live = 0;
};

State& state() {
    static State* all = new State;
    return *all;
}

void violation(std::string const& what) { state().violations += what + "\n"; }

void log_error(std::string const& what) {
    if (state().logger) state().logger->log(nvinfer1::ILogger::Severity::kERROR, what.c_str());
}

// Notes a call; whether it is to fail.
bool enter(std::string const& name, std::string const& arguments = "") {
    state().calls += name + "(" + arguments + ")\n";
    if (!driver.device || driver.device() < 0) violation(name + " without a current context");
    auto const fault = state().faults.find(name);
    if (fault == state().faults.end() || fault->second-- > 0) return false;
    state().faults.erase(fault);
    log_error("injected failure of " + name);
    return true;
}

[[noreturn]] void unexpected(char const* name) {
    std::fprintf(stderr, "the counterfeit TensorRT does not know %s\n", name);
    std::abort();
}

}  // namespace

#include "stubs.h"

using namespace nvinfer1;

namespace {

using Extents = std::vector<int64_t>;

Extents read_extents(std::string const& text) {
    Extents extents;
    std::stringstream parts(text == "-" ? "" : text);
    for (std::string part; std::getline(parts, part, ',');) extents.push_back(std::stoll(part));
    return extents;
}

std::string show(Extents const& extents) {
    std::string text;
    for (auto extent : extents) text += (text.empty() ? "" : ",") + std::to_string(extent);
    return text;
}

Dims to_dims(Extents const& extents) {
    Dims dims{};
    dims.nbDims = int32_t(extents.size());
    std::copy(extents.begin(), extents.end(), dims.d);
    return dims;
}

Extents of_dims(Dims const& dims) { return Extents(dims.d, dims.d + dims.nbDims); }

std::size_t const sizes[] = {4, 2, 1, 4, 1, 1, 1, 2, 8, 1, 1, 1};

struct Tensor {
    std::string name;
    int type;
    bool input, host, shape_tensor;
    Extents shape;
    std::string rule, source;

    std::size_t bytes(Extents const& shape) const {
        std::size_t size = sizes[type];
        for (auto extent : shape) size *= std::size_t(extent);
        return size;
    }
};

struct Range {
    Extents of[3];
};

struct Profile {
    std::map<std::string, Range> shapes, values;
};

struct Plan {
    int major = 0;
    int format = 0;
    std::vector<Tensor> tensors;
    std::vector<Profile> profiles;

    explicit Plan(std::string const& text) {
        std::stringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            std::stringstream words(line);
            std::string what;
            words >> what;
            if (what == "plan") words >> major;
            if (what == "format") words >> format;
            if (what == "profile") profiles.emplace_back();
            if (what == "in" || what == "out") {
                Tensor tensor;
                std::string place, kind, shape;
                words >> tensor.name >> tensor.type >> place >> kind >> shape >> tensor.rule >> tensor.source;
                tensor.input = what == "in";
                tensor.host = place == "host";
                tensor.shape_tensor = kind == "shape";
                tensor.shape = read_extents(shape);
                tensors.push_back(tensor);
            }
            if (what == "range" || what == "values") {
                std::string name, word;
                words >> name;
                auto& range = (what == "range" ? profiles.back().shapes : profiles.back().values)[name];
                for (auto& bound : range.of) words >> word, bound = read_extents(word);
            }
        }
        if (profiles.empty()) profiles.emplace_back();
    }

    Tensor const* find(std::string const& name) const {
        for (auto const& tensor : tensors)
            if (tensor.name == name) return &tensor;
        violation("a tensor is asked for that there is not: " + name);
        return nullptr;
    }
};

struct Runtime;
struct Engine;

// A method of a worker, by the lock.
using Lock = std::lock_guard<std::recursive_mutex>;
#define LOCK Lock lock(state().mutex)

struct Context : StubVExecutionContext {
    Engine& engine;
    Plan const& plan;
    int profile = 0;
    std::map<std::string, Extents> shapes;
    std::map<std::string, void*> addresses;
    std::map<std::string, IOutputAllocator*> allocators;

    explicit Context(Engine& engine);
    ~Context() override;

    bool setOptimizationProfileAsync(int32_t index, cudaStream_t) noexcept override {
        LOCK;
        if (enter("setOptimizationProfileAsync", std::to_string(index))) return false;
        if (index < 0 || std::size_t(index) >= plan.profiles.size()) return false;
        profile = index;
        shapes.clear();
        return true;
    }

    bool setInputShape(char const* name, Dims const& dims) noexcept override {
        LOCK;
        auto const shape = of_dims(dims);
        if (enter("setInputShape", std::string(name) + " " + show(shape))) return false;
        auto const& ranges = plan.profiles[profile].shapes;
        if (auto const range = ranges.find(name); range != ranges.end()) {
            for (std::size_t i = 0; i < shape.size(); ++i) {
                if (shape[i] < range->second.of[0][i] || shape[i] > range->second.of[2][i]) {
                    log_error("shape out of the profile's range");
                    return false;
                }
            }
        }
        shapes[name] = shape;
        return true;
    }

    bool setTensorAddress(char const* name, void* address) noexcept override {
        LOCK;
        auto const what = address == nullptr ? "nothing" : plan.find(name)->host ? "host" : "device";
        if (enter("setTensorAddress", std::string(name) + " " + what)) return false;
        if (reinterpret_cast<std::uintptr_t>(address) % 256 != 0) violation("memory that is not aligned");
        addresses[name] = address;
        return true;
    }

    bool setOutputAllocator(char const* name, IOutputAllocator* allocator) noexcept override {
        LOCK;
        if (enter("setOutputAllocator", name)) return false;
        auto const info = allocator->getInterfaceInfo();
        if (std::string(info.kind) != "IOutputAllocator" || info.major != 1) violation("an allocator of another kind");
        if (allocator->getAPILanguage() != APILanguage::kCPP) violation("an allocator of another language");
        allocators[name] = allocator;
        return true;
    }

    Extents values(Tensor const& tensor) const {
        auto const address = addresses.find(tensor.name);
        if (address == addresses.end() || address->second == nullptr) return {};
        if (!driver.owns(address->second, tensor.bytes(shape_of(tensor)), false)) {
            violation("values of " + tensor.name + " are not in pinned memory");
            return {};
        }
        Extents values;
        for (int64_t i = 0; i < shape_of(tensor)[0]; ++i) {
            values.push_back(tensor.type == 8 ? static_cast<int64_t*>(address->second)[i]
                                              : static_cast<int32_t*>(address->second)[i]);
        }
        return values;
    }

    Extents shape_of(Tensor const& tensor) const {
        if (tensor.input || tensor.rule.empty()) {
            auto const set = shapes.find(tensor.name);
            return set == shapes.end() ? tensor.shape : set->second;
        }
        auto const& source = *plan.find(tensor.source);
        if (tensor.rule == "fill") {
            auto const extents = values(source);
            return extents.empty() ? tensor.shape : extents;
        }
        return tensor.rule == "nonzero" ? Extents{-1} : shape_of(source);
    }

    Dims getTensorShape(char const* name) const noexcept override {
        LOCK;
        enter("context.getTensorShape", name);
        auto const tensor = plan.find(name);
        return tensor ? to_dims(shape_of(*tensor)) : Dims{-1, {}};
    }

    int32_t inferShapes(int32_t count, char const** names) noexcept override {
        LOCK;
        if (enter("inferShapes")) return -1;
        if (count != 0 || names != nullptr) violation("names are asked for");
        for (auto const& tensor : plan.tensors) {
            if (tensor.input && tensor.shape_tensor && values(tensor).empty()) return 1;
            for (auto extent : shape_of(tensor))
                if (tensor.input && extent < 0) return 1;
        }
        for (auto const& tensor : plan.tensors)
            if (!tensor.input && tensor.host && addresses[tensor.name]) write(tensor);
        return 0;
    }

    // What a run, or the inference of shapes, does for an output.
    void write(Tensor const& tensor) {
        auto const shape = shape_of(tensor);
        auto const size = tensor.bytes(shape);
        auto const to = static_cast<unsigned char*>(addresses[tensor.name]);
        auto const& source = *plan.find(tensor.source);
        auto const from = static_cast<unsigned char*>(addresses[source.name]);
        if (!driver.owns(to, size, !tensor.host)) return violation("output " + tensor.name + " is not where it says");
        if (tensor.rule != "fill" && !driver.owns(from, size, !source.host))
            return violation("input " + source.name + " is not where it says");
        for (std::size_t i = 0; i < size; ++i) to[i] = tensor.rule == "fill" ? 7 : tensor.rule == "add1" ? from[i] + 1 : from[i];
    }

    // Asks for memory when the number of bytes is known.
    bool write_nonzero(Tensor const& tensor, cudaStream_t stream) {
        driver.synchronize(stream);
        auto const& source = *plan.find(tensor.source);
        auto const from = static_cast<unsigned char*>(addresses[source.name]);
        std::vector<unsigned char> found;
        for (std::size_t i = 0; i < source.bytes(shape_of(source)); ++i)
            if (from[i] != 0) found.push_back(from[i]);
        auto const allocator = allocators[tensor.name];
        auto const size = found.empty() ? 1 : found.size();
        auto const to = allocator->reallocateOutputAsync(tensor.name.c_str(), nullptr, size, 256, stream);
        if (to == nullptr) {
            log_error("no memory for output " + tensor.name);
            return false;
        }
        if (!driver.owns(to, size, true)) violation("an allocator gives what is not a device's");
        std::memcpy(to, found.data(), found.size());
        allocator->notifyShape(tensor.name.c_str(), to_dims({int64_t(found.size())}));
        return true;
    }

    bool enqueueV3(cudaStream_t stream) noexcept override {
        LOCK;
        if (enter("enqueueV3")) return false;
        for (auto const& tensor : plan.tensors) {
            if (addresses[tensor.name] == nullptr && allocators[tensor.name] == nullptr) {
                log_error("no address for " + tensor.name);
                return false;
            }
        }
        for (auto const& tensor : plan.tensors) {
            if (tensor.input) continue;
            if (tensor.rule == "nonzero") {
                if (!write_nonzero(tensor, stream)) return false;
                continue;
            }
            auto work = new std::function<void()>([this, &tensor] { write(tensor); });
            driver.launch(stream, [](void* work) {
                auto const function = static_cast<std::function<void()>*>(work);
                (*function)();
                delete function;
            }, work);
        }
        return true;
    }
};

struct Engine : StubVCudaEngine {
    Runtime& runtime;
    Plan plan;
    int contexts = 0;

    Engine(Runtime& runtime, std::string const& text);
    ~Engine() override;

    IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy) noexcept override;
    int32_t getNbOptimizationProfiles() const noexcept override { return int32_t(plan.profiles.size()); }
    int32_t getNbIOTensors() const noexcept override { return int32_t(plan.tensors.size()); }
    char const* getIOTensorName(int32_t index) const noexcept override { return plan.tensors[index].name.c_str(); }
    Dims getTensorShape(char const* name) const noexcept override { return to_dims(plan.find(name)->shape); }
    DataType getTensorDataType(char const* name) const noexcept override { return DataType(plan.find(name)->type); }
    TensorLocation getTensorLocation(char const* name) const noexcept override {
        return plan.find(name)->host ? TensorLocation::kHOST : TensorLocation::kDEVICE;
    }
    bool isShapeInferenceIO(char const* name) const noexcept override { return plan.find(name)->shape_tensor; }
    TensorIOMode getTensorIOMode(char const* name) const noexcept override {
        return plan.find(name)->input ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
    }
    TensorFormat getTensorFormat(char const*) const noexcept override { return TensorFormat(plan.format); }
    Dims getProfileShape(char const* name, int32_t index, OptProfileSelector select) const noexcept override {
        auto const& shapes = plan.profiles[index].shapes;
        auto const range = shapes.find(name);
        return range == shapes.end() ? Dims{-1, {}} : to_dims(range->second.of[int(select)]);
    }
    int64_t const* getProfileTensorValuesV2(
        char const* name, int32_t index, OptProfileSelector select) const noexcept override {
        auto const& values = plan.profiles[index].values;
        auto const range = values.find(name);
        return range == values.end() ? nullptr : range->second.of[int(select)].data();
    }
};

struct Runtime : StubVRuntime {
    int engines = 0;
    bool host_code = false;

    Runtime() { ++state().live; }
    ~Runtime() override {
        LOCK;
        enter("~Runtime");
        if (engines != 0) violation("a runtime goes before its engines");
        --state().live;
    }

    void setEngineHostCodeAllowed(bool allowed) noexcept override {
        LOCK;
        enter("setEngineHostCodeAllowed", allowed ? "true" : "false");
        host_code = allowed;
    }

    ICudaEngine* deserializeCudaEngine(void const* blob, std::size_t size) noexcept override;
    using StubVRuntime::deserializeCudaEngine;
};

// What callers see: a table with a destructor, and a pointer to the worker.
template <typename Interface, typename Worker>
struct Face : Interface {
    explicit Face(Worker* worker) { this->mImpl = worker; }
    ~Face() noexcept override { delete this->mImpl; }
};

Context::Context(Engine& engine) : engine(engine), plan(engine.plan) { ++engine.contexts, ++state().live; }

Context::~Context() {
    LOCK;
    enter("~Context");
    --engine.contexts, --state().live;
}

Engine::Engine(Runtime& runtime, std::string const& text) : runtime(runtime), plan(text) {
    ++runtime.engines, ++state().live;
}

Engine::~Engine() {
    LOCK;
    enter("~Engine");
    if (contexts != 0) violation("an engine goes before its contexts");
    --runtime.engines, --state().live;
}

IExecutionContext* Engine::createExecutionContext(ExecutionContextAllocationStrategy strategy) noexcept {
    LOCK;
    if (enter("createExecutionContext", std::to_string(int(strategy)))) return nullptr;
    return new Face<IExecutionContext, Context>(new Context(*this));
}

ICudaEngine* Runtime::deserializeCudaEngine(void const* blob, std::size_t size) noexcept {
    LOCK;
    if (enter("deserializeCudaEngine", std::to_string(size))) return nullptr;
    std::string const text(static_cast<char const*>(blob), size);
    if (Plan(text).major != state().version / 10000) {
        log_error("The engine plan file is not compatible with this version of TensorRT");
        return nullptr;
    }
    return new Face<ICudaEngine, Engine>(new Engine(*this, text));
}

}  // namespace

extern "C" {

int32_t getInferLibVersion() noexcept { return state().version; }

void counterfeit_use(char const* path);

void* createInferRuntime_INTERNAL(void* logger, int32_t version) noexcept {
    LOCK;
    // Where no test says which, as in a daemon, it is the driver that was loaded before.
    if (!driver.device) counterfeit_use("libcuda.so.1");
    state().logger = static_cast<ILogger*>(logger);
    if (version != state().version) violation("a runtime of another version is asked for");
    if (enter("createInferRuntime")) return reinterpret_cast<void*>(0x228);
    state().logger->log(ILogger::Severity::kINFO, "a counterfeit");
#if NV_TENSORRT_MAJOR != 10
    auto const info = state().logger->getInterfaceInfo();
    if (std::string(info.kind) != "ILogger" || info.major != 1 || info.minor != 0) violation("a logger of another kind");
    if (state().logger->getAPILanguage() != APILanguage::kCPP) violation("a logger of another language");
#endif
    return new Face<IRuntime, Runtime>(new Runtime);
}

bool initLibNvInferPlugins(void* logger, char const* name) {
    LOCK;
    state().calls += "initLibNvInferPlugins()\n";
    return logger != nullptr && *name == 0;
}

void counterfeit_use(char const* path) {
    auto const library = dlopen(path, RTLD_NOW);
    auto const find = [=](auto& function, char const* name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    };
    find(driver.launch, "cuLaunchHostFunc");
    find(driver.synchronize, "cuStreamSynchronize");
    find(driver.owns, "counterfeit_owns");
    find(driver.device, "counterfeit_device");
}

void counterfeit_version(int version) { state().version = version; }

void counterfeit_fail(char const* call, int after, int, int) {
    LOCK;
    state().faults[call] = after;
}

char const* counterfeit_calls() {
    LOCK;
    state().told = std::move(state().calls);
    state().calls.clear();
    return state().told.c_str();
}

char const* counterfeit_violations() {
    LOCK;
    state().told = state().violations;
    return state().told.c_str();
}

int counterfeit_live() {
    LOCK;
    return state().live;
}
}
