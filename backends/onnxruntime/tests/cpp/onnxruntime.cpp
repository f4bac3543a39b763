// A counterfeit of ONNX Runtime for GPUs: the real library for the processor, which says that it has the providers for
// CUDA and TensorRT, and whose outputs on a device are copied to the counterfeit driver's memory, at addresses that the
// host cannot use. Whatever a real library would not forgive is a violation. The places of its functions come from the
// declaration of the API that the engine itself uses.
#include <cuda.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "slots.h"

namespace {

std::uintptr_t const HIDDEN = std::uintptr_t(1) << 52;

struct Fault {
    int after;
    int words;
};

// What ONNX Runtime says in the cases that the tests make.
char const* const WORDS[] = {
    "something went wrong",
    "Failed to allocate memory for requested buffer of size 1048576",
    "CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; file=cuda_allocator.cc ; expr=cudaMalloc((void**)&p, size);",
    "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; expr=cudaStreamSynchronize(stream);",
    "Failed to load library libonnxruntime_providers_x.so with error: libcublasLt.so.13: cannot open shared object",
};

struct ProviderOptions {
    char const* provider;
    std::map<std::string, std::string> values;
};

struct Binding {
    void* session;
    std::vector<bool> on_device;
};

struct DeviceValue {
    CUdeviceptr address;
    void* session;
};

struct State {
    std::recursive_mutex mutex;
    std::string calls, violations, told, real, driver;
    std::string providers = "TensorrtExecutionProvider CUDAExecutionProvider CPUExecutionProvider";
    std::map<std::string, Fault> faults;
    std::set<ProviderOptions*> provider_options;
    // The devices of sessions and of options for them; those that are on none are not there.
    std::map<void const*, int> options_of, sessions;
    std::map<void const*, int> infos;
    std::map<void*, Binding> bindings;
    std::map<void const*, DeviceValue> values;
};

State& state() {
    static State* all = new State;
    return *all;
}

void* original[SLOTS];
void* table[SLOTS];
char const device_info = 0;

void violation(std::string const& what) { state().violations += what + "\n"; }

template <class Result, class... Arguments>
Result real(int slot, Arguments... arguments) {
    return reinterpret_cast<Result (*)(Arguments...)>(original[slot])(arguments...);
}

void* status(char const* words) { return real<void*, int, char const*>(CreateStatus, 1, words); }

template <class Result = CUresult, class... Arguments>
Result driver(char const* name, Arguments... arguments) {
    static std::map<std::string, void*> libraries;
    auto& library = libraries[state().driver];
    auto const path = state().driver.empty() ? "libcuda.so.1" : state().driver.c_str();
    if (library == nullptr) library = dlopen(path, RTLD_NOW);
    return reinterpret_cast<Result (*)(Arguments...)>(dlsym(library, name))(arguments...);
}

// Notes a call, and gives the fault that was ordered for it.
void* enter(char const* name, std::string const& arguments) {
    auto& all = state();
    all.calls += std::string(name) + "(" + arguments + ")\n";
    auto const fault = all.faults.find(name);
    if (fault == all.faults.end() || fault->second.after-- != 0) return nullptr;
    auto const words = fault->second.words;
    all.faults.erase(fault);
    return status(WORDS[words]);
}

using Lock = std::lock_guard<std::recursive_mutex>;

#define ENTER(...)                                      \
    Lock lock(state().mutex);                           \
    if (auto const fault = enter(__VA_ARGS__)) return fault;

void* get_providers(char*** names, int* count) {
    ENTER("GetAvailableProviders", "");
    std::istringstream list(state().providers);
    std::vector<std::string> each;
    for (std::string name; list >> name;) each.push_back(name);
    *names = static_cast<char**>(std::malloc((each.size() + 1) * sizeof(char*)));
    for (std::size_t i = 0; i < each.size(); ++i) (*names)[i] = strdup(each[i].c_str());
    *count = int(each.size());
    return nullptr;
}

void* release_providers(char** names, int count) {
    for (int i = 0; i < count; ++i) std::free(names[i]);
    std::free(names);
    return nullptr;
}

void* create_options(char const* provider, ProviderOptions** out) {
    Lock lock(state().mutex);
    *out = new ProviderOptions{provider, {}};
    state().provider_options.insert(*out);
    return nullptr;
}

void* update_options(ProviderOptions* options, char const* const* keys, char const* const* values, std::size_t count) {
    ENTER((std::string("Update") + options->provider).c_str(), "");
    options->values = {{"device_id", "0"}};
    for (std::size_t i = 0; i < count; ++i) {
        if (std::string(keys[i]).find("made_up") != std::string::npos) {
            return status(("Unknown provider option: \"" + std::string(keys[i]) + "\"").c_str());
        }
        options->values[keys[i]] = values[i];
    }
    return nullptr;
}

void* append_options(void* session_options, ProviderOptions const* options) {
    std::string text;
    for (auto const& [key, value] : options->values) text += (text.empty() ? "" : " ") + key + "=" + value;
    ENTER((std::string("Append") + options->provider).c_str(), text);
    int const device = std::atoi(options->values.at("device_id").c_str());
    auto const before = state().options_of.find(session_options);
    if (before != state().options_of.end() && before->second != device) violation("a session is to be on two devices");
    state().options_of[session_options] = device;
    return nullptr;
}

void release_options(ProviderOptions* options) {
    Lock lock(state().mutex);
    if (state().provider_options.erase(options) == 0) violation("a provider's options are released that there are not");
    delete options;
}

void* create_cuda(ProviderOptions** out) { return create_options("CUDA", out); }
void* create_tensorrt(ProviderOptions** out) { return create_options("TensorRT", out); }

void release_session_options(void* options) {
    Lock lock(state().mutex);
    state().options_of.erase(options);
    real<void, void*>(ReleaseSessionOptions, options);
}

void* create_session(void* env, char const* path, void const* options, void** out) {
    auto const found = state().options_of.find(options);
    bool const on_device = found != state().options_of.end();
    ENTER("CreateSession", on_device ? "gpu " + std::to_string(found->second) : "cpu");
    auto const failed = real<void*, void*, char const*, void const*, void**>(CreateSession, env, path, options, out);
    if (failed != nullptr || !on_device) return failed;
    state().sessions[*out] = found->second;
    CUcontext context;
    driver("cuDevicePrimaryCtxRetain", &context, found->second);
    return nullptr;
}

void release_session(void* session) {
    Lock lock(state().mutex);
    auto const found = state().sessions.find(session);
    if (found != state().sessions.end()) {
        state().calls += "ReleaseSession(gpu " + std::to_string(found->second) + ")\n";
        for (auto const& [binding, of] : state().bindings) {
            if (of.session == session) violation("a session is released before a binding of it");
        }
        for (auto const& [value, of] : state().values) {
            if (of.session == session) violation("a session is released before a value in its memory");
        }
        driver("cuDevicePrimaryCtxRelease_v2", found->second);
        state().sessions.erase(found);
    }
    real<void, void*>(ReleaseSession, session);
}

void* create_memory_info(char const* name, int kind, int id, int memory, void** out) {
    Lock lock(state().mutex);
    bool const on_device = std::string(name) == "Cuda";
    auto const failed = real<void*, char const*, int, int, int, void**>(
        CreateMemoryInfo, on_device ? "Cpu" : name, kind, on_device ? 0 : id, memory, out);
    if (failed == nullptr && on_device) state().infos[*out] = id;
    return failed;
}

void release_memory_info(void* info) {
    Lock lock(state().mutex);
    state().infos.erase(info);
    real<void, void*>(ReleaseMemoryInfo, info);
}

void* create_binding(void* session, void** out) {
    ENTER("CreateIoBinding", "");
    if (state().sessions.count(session) == 0) violation("a binding of a session that is on no device");
    auto const failed = real<void*, void*, void**>(CreateIoBinding, session, out);
    if (failed == nullptr) state().bindings[*out] = Binding{session, {}};
    return failed;
}

void release_binding(void* binding) {
    Lock lock(state().mutex);
    if (state().bindings.erase(binding) == 0) violation("a binding is released that there is not");
    real<void, void*>(ReleaseIoBinding, binding);
}

void* bind_input(void* binding, char const* name, void const* value) {
    ENTER("BindInput", name);
    if (state().values.count(value)) violation("an input is in a device's memory");
    int const device = state().sessions.at(state().bindings.at(binding).session);
    if (driver<int>("counterfeit_device") != device) violation("an input is bound while another device is current");
    return real<void*, void*, char const*, void const*>(BindInput, binding, name, value);
}

void* bind_output(void* binding, char const* name, void const* info) {
    auto const found = state().infos.find(info);
    bool const on_device = found != state().infos.end();
    ENTER("BindOutputToDevice", std::string(name) + (on_device ? " gpu " + std::to_string(found->second) : " cpu"));
    auto& of = state().bindings.at(binding);
    if (on_device && found->second != state().sessions.at(of.session)) violation("an output on another device");
    of.on_device.push_back(on_device);
    return real<void*, void*, char const*, void const*>(BindOutputToDevice, binding, name, info);
}

void clear_outputs(void* binding) {
    Lock lock(state().mutex);
    state().calls += "ClearBoundOutputs()\n";
    state().bindings.at(binding).on_device.clear();
    real<void, void*>(ClearBoundOutputs, binding);
}

void* run(void* session, void const* options, void const* binding) {
    {
        ENTER("RunWithBinding", "");
    }
    return real<void*, void*, void const*, void const*>(RunWithBinding, session, options, binding);
}

void* plain_run(void* session, void const* options, char const* const* input_names, void const* const* inputs,
                std::size_t input_count, char const* const* output_names, std::size_t output_count, void** outputs) {
    if (state().sessions.count(session)) violation("a session on a device is run with outputs on the host");
    return real<void*>(Run, session, options, input_names, inputs, input_count, output_names, output_count, outputs);
}

// Moves a value's content to the memory of the session's device.
void* move(void*& value, void* session) {
    std::size_t size = 0, rank = 0;
    int type = 0;
    std::int64_t const* shape = nullptr;
    void* data = nullptr;
    real<void*, void const*, std::size_t*>(GetTensorSizeInBytes, value, &size);
    real<void*, void const*, int*, std::int64_t const**, std::size_t*>(GetTensorElementTypeAndShapeDataReference, value,
                                                                      &type, &shape, &rank);
    real<void*, void const*, void**>(GetTensorData, value, &data);
    auto const device = state().sessions.at(session);
    driver("cuCtxSetCurrent", reinterpret_cast<CUcontext>(std::uintptr_t(0x1000 + device)));
    CUdeviceptr address = 0;
    if (driver("cuMemAlloc_v2", &address, size == 0 ? std::size_t(1) : size) != CUDA_SUCCESS) return status(WORDS[1]);
    if (size > 0) std::memcpy(reinterpret_cast<void*>(address), data, size);
    void* info = nullptr;
    real<void*, int, int, void**>(CreateCpuMemoryInfo, 0, 0, &info);
    void* moved = nullptr;
    auto const hidden = reinterpret_cast<void*>(address | HIDDEN);
    auto const failed = real<void*, void const*, void*, std::size_t, std::int64_t const*, std::size_t, int, void**>(
        CreateTensorWithDataAsOrtValue, info, hidden, size, shape, rank, type, &moved);
    real<void, void*>(ReleaseMemoryInfo, info);
    if (failed != nullptr) return failed;
    real<void, void*>(ReleaseValue, value);
    value = moved;
    state().values[value] = DeviceValue{address, session};
    return nullptr;
}

void* bound_values(void const* binding, void* allocator, void*** list, std::size_t* count) {
    ENTER("GetBoundOutputValues", "");
    auto const failed = real<void*, void const*, void*, void***, std::size_t*>(GetBoundOutputValues, binding, allocator,
                                                                              list, count);
    if (failed != nullptr) return failed;
    auto const& of = state().bindings.at(const_cast<void*>(binding));
    if (*count != of.on_device.size()) violation("as many outputs are bound as there are");
    for (std::size_t i = 0; i < *count; ++i) {
        if (!of.on_device[i]) continue;
        if (auto const failed = move((*list)[i], of.session)) return failed;
    }
    return nullptr;
}

void release_value(void* value) {
    Lock lock(state().mutex);
    auto const found = state().values.find(value);
    if (found != state().values.end()) {
        driver<void>("counterfeit_recycle", found->second.address);
        state().values.erase(found);
    }
    real<void, void*>(ReleaseValue, value);
}

void* value_memory(void const* value, void const** info) {
    Lock lock(state().mutex);
    if (state().values.count(value)) {
        *info = &device_info;
        return nullptr;
    }
    return real<void*, void const*, void const**>(GetTensorMemoryInfo, value, info);
}

void device_type(void const* info, int* type) {
    if (info == &device_info) *type = 1;
    else real<void, void const*, int*>(MemoryInfoGetDeviceType, info, type);
}

template <class Function>
void replace(int slot, Function* function) {
    table[slot] = reinterpret_cast<void*>(function);
}

struct Base {
    void const* (*api)(std::uint32_t);
    char const* (*version)();
};

Base const* real_base() {
    auto const named = std::getenv("COUNTERFEIT_OF");
    auto const path = state().real.empty() && named != nullptr ? std::string(named) : state().real;
    static auto const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return nullptr;
    return reinterpret_cast<Base const* (*)()>(dlsym(library, "OrtGetApiBase"))();
}

void const* api(std::uint32_t version) {
    auto const real = real_base()->api(version);
    if (real == nullptr) return nullptr;
    std::memcpy(original, real, sizeof original);
    std::memcpy(table, original, sizeof table);
    replace(GetAvailableProviders, get_providers);
    replace(ReleaseAvailableProviders, release_providers);
    replace(CreateCUDAProviderOptions, create_cuda);
    replace(UpdateCUDAProviderOptions, update_options);
    replace(SessionOptionsAppendExecutionProvider_CUDA_V2, append_options);
    replace(ReleaseCUDAProviderOptions, release_options);
    replace(CreateTensorRTProviderOptions, create_tensorrt);
    replace(UpdateTensorRTProviderOptions, update_options);
    replace(SessionOptionsAppendExecutionProvider_TensorRT_V2, append_options);
    replace(ReleaseTensorRTProviderOptions, release_options);
    replace(ReleaseSessionOptions, release_session_options);
    replace(CreateSession, create_session);
    replace(ReleaseSession, release_session);
    replace(CreateMemoryInfo, create_memory_info);
    replace(ReleaseMemoryInfo, release_memory_info);
    replace(CreateIoBinding, create_binding);
    replace(ReleaseIoBinding, release_binding);
    replace(BindInput, bind_input);
    replace(BindOutputToDevice, bind_output);
    replace(ClearBoundOutputs, clear_outputs);
    replace(RunWithBinding, run);
    replace(Run, plain_run);
    replace(GetBoundOutputValues, bound_values);
    replace(ReleaseValue, release_value);
    replace(GetTensorMemoryInfo, value_memory);
    replace(MemoryInfoGetDeviceType, device_type);
    return table;
}

char const* version() { return real_base()->version(); }

}  // namespace

extern "C" {

void const* OrtGetApiBase() {
    static Base const base = {api, version};
    return &base;
}

// What the tests say and ask.

void counterfeit_real(char const* path) { state().real = path; }

void counterfeit_use(char const* path) {
    Lock lock(state().mutex);
    state().driver = path;
}

void counterfeit_providers(char const* names) {
    Lock lock(state().mutex);
    state().providers = names;
}

// The words are those of that number.
void counterfeit_fail(char const* call, int after, int words, int) {
    Lock lock(state().mutex);
    state().faults[call] = Fault{after, words};
}

// All calls since the last time.
char const* counterfeit_calls() {
    Lock lock(state().mutex);
    state().told = std::move(state().calls);
    state().calls.clear();
    return state().told.c_str();
}

char const* counterfeit_violations() {
    Lock lock(state().mutex);
    state().told = state().violations;
    return state().told.c_str();
}

// How many things there are that somebody has yet to release.
int counterfeit_live() {
    Lock lock(state().mutex);
    auto const& all = state();
    return int(all.provider_options.size() + all.options_of.size() + all.sessions.size() + all.infos.size() +
               all.bindings.size() + all.values.size());
}
}
