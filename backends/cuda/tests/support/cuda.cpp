// A counterfeit of the NVIDIA driver. A device's memory is the host's, and what is put on a stream happens when
// somebody waits for it, so that a caller who does not wait finds nothing. An address with the bit HIDDEN means the
// same memory, and faults if the host uses it. Whatever a real driver would not forgive is a violation. Declared by
// NVIDIA's own header, so that a signature that differs does not compile.
#include <cuda.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace {

std::uintptr_t const HIDDEN = std::uintptr_t(1) << 52;

std::uintptr_t revealed(std::uintptr_t address) { return address & ~HIDDEN; }

struct Fault {
    int after;
    CUresult code;
    bool sticky;
};

struct State {
    std::recursive_mutex mutex;
    std::string calls, violations;
    std::map<std::string, Fault> faults;
    CUresult poison = CUDA_SUCCESS;
    int devices = 1;
    std::size_t memory = std::size_t(1) << 40, used = 0;
    bool started = false;
    std::map<int, int> retained;
    std::map<std::uintptr_t, std::size_t> device, host;
    std::map<void*, std::deque<std::function<void()>>> streams;
    // What the work on a stream reads of a device's memory.
    std::map<void*, std::set<std::uintptr_t>> read;
    std::set<void*> events;
    std::map<void*, void*> recorded;
    std::string told;
};

State& state() {
    static State* all = new State;
    return *all;
}

thread_local CUcontext current = nullptr;

void violation(std::string const& what) { state().violations += what + "\n"; }

// Notes a call, and gives the fault that was ordered for it.
CUresult enter(char const* name, std::string const& arguments = "", bool on_device = true) {
    auto& all = state();
    all.calls += std::string(name) + "(" + arguments + ")\n";
    auto const fault = all.faults.find(name);
    if (fault != all.faults.end() && fault->second.after-- == 0) {
        auto const [after, code, sticky] = fault->second;
        all.faults.erase(fault);
        if (sticky) all.poison = code;
        return code;
    }
    if (!all.started) return CUDA_ERROR_NOT_INITIALIZED;
    if (all.poison != CUDA_SUCCESS) return all.poison;
    if (on_device && current == nullptr) {
        violation(std::string(name) + " without a current context");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    return CUDA_SUCCESS;
}

bool within(std::map<std::uintptr_t, std::size_t> const& memory, std::uintptr_t start, std::size_t size) {
    auto after = memory.upper_bound(start);
    if (after == memory.begin()) return false;
    --after;
    return start + size <= after->first + after->second;
}

void run(void* stream) {
    auto& queue = state().streams[stream];
    while (!queue.empty()) {
        auto work = std::move(queue.front());
        queue.pop_front();
        work();
    }
    state().read[stream].clear();
}

using Lock = std::lock_guard<std::recursive_mutex>;

}  // namespace

#define ENTER(...)                                      \
    Lock lock(state().mutex);                           \
    if (auto const fault = enter(__VA_ARGS__)) return fault;

extern "C" {

CUresult cuInit(unsigned int) {
    Lock lock(state().mutex);
    state().started = true;
    if (auto const fault = enter("cuInit", "", false)) return fault;
    return state().devices == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
    ENTER("cuDeviceGetCount", "", false);
    *count = state().devices;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    ENTER("cuDeviceGet", std::to_string(ordinal), false);
    *device = ordinal;
    return ordinal < state().devices ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetName(char* name, int length, CUdevice) {
    ENTER("cuDeviceGetName", "", false);
    std::strncpy(name, "Counterfeit GPU", length);
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, char const** name) {
    switch (error) {
        case CUDA_ERROR_OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
        case CUDA_ERROR_NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
        case CUDA_ERROR_ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
        case CUDA_ERROR_DEVICE_UNAVAILABLE: *name = "CUDA_ERROR_DEVICE_UNAVAILABLE"; break;
        case CUDA_ERROR_INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; break;
        default: *name = nullptr; return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    ENTER("cuDevicePrimaryCtxRetain", std::to_string(device), false);
    ++state().retained[device];
    *context = reinterpret_cast<CUcontext>(std::uintptr_t(0x1000 + device));
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
    Lock lock(state().mutex);
    auto const fault = enter("cuDevicePrimaryCtxRelease", std::to_string(device), false);
    if (--state().retained[device] < 0) violation("a context is released once too often");
    // What was wrong with a context goes with it.
    if (state().retained[device] == 0) state().poison = CUDA_SUCCESS;
    return fault;
}

CUresult cuCtxSetCurrent(CUcontext context) {
    Lock lock(state().mutex);
    int const device = int(reinterpret_cast<std::uintptr_t>(context)) - 0x1000;
    if (state().retained[device] <= 0) violation("a context that is not retained becomes current");
    current = context;
    if (auto const fault = state().faults.find("cuCtxSetCurrent"); fault != state().faults.end()) {
        return enter("cuCtxSetCurrent", "", false);
    }
    return state().poison;
}

CUresult cuMemAlloc(CUdeviceptr* pointer, size_t size) {
    ENTER("cuMemAlloc", std::to_string(size));
    if (state().used + size > state().memory) return CUDA_ERROR_OUT_OF_MEMORY;
    state().used += size;
    auto const address = reinterpret_cast<std::uintptr_t>(std::aligned_alloc(4096, (size + 4095) / 4096 * 4096));
    state().device[address] = size;
    *pointer = address;
    return CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr pointer) {
    Lock lock(state().mutex);
    auto const fault = enter("cuMemFree");
    auto const found = state().device.find(revealed(pointer));
    if (found == state().device.end()) {
        violation("memory is freed that a device does not have");
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (auto const& [stream, queue] : state().streams) {
        if (!queue.empty()) violation("a device's memory is freed while a stream has work");
    }
    state().used -= found->second;
    state().device.erase(found);
    std::free(reinterpret_cast<void*>(revealed(pointer)));
    return fault;
}

CUresult cuMemHostAlloc(void** pointer, size_t size, unsigned int) {
    ENTER("cuMemHostAlloc", std::to_string(size));
    *pointer = std::aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    std::memset(*pointer, 0xee, size);
    state().host[reinterpret_cast<std::uintptr_t>(*pointer)] = size;
    return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void* pointer) {
    Lock lock(state().mutex);
    auto const fault = enter("cuMemFreeHost");
    if (state().host.erase(reinterpret_cast<std::uintptr_t>(pointer)) == 0) {
        violation("pinned memory is freed that there is not");
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (auto const& [stream, queue] : state().streams) {
        if (!queue.empty()) violation("pinned memory is freed while a stream has work");
    }
    std::free(pointer);
    return fault;
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, void const* from, size_t size, CUstream stream) {
    ENTER("cuMemcpyHtoDAsync", std::to_string(size));
    to = revealed(to);
    auto const start = reinterpret_cast<std::uintptr_t>(from);
    state().streams.at(stream).push_back([=] {
        bool const good = within(state().device, to, size) && within(state().host, start, size);
        if (good) std::memcpy(reinterpret_cast<void*>(to), from, size);
        else violation("a copy to the device leaves its buffers");
    });
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t size, CUstream stream) {
    ENTER("cuMemcpyDtoHAsync", std::to_string(size));
    from = revealed(from);
    state().read[stream].insert(from);
    auto const start = reinterpret_cast<std::uintptr_t>(to);
    state().streams.at(stream).push_back([=] {
        bool const good = within(state().device, from, size) && within(state().host, start, size);
        if (good) std::memcpy(to, reinterpret_cast<void*>(from), size);
        else violation("a copy from the device leaves its buffers");
    });
    return CUDA_SUCCESS;
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* argument) {
    ENTER("cuLaunchHostFunc");
    state().streams.at(stream).push_back([=] { function(argument); });
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream* stream, unsigned int flags) {
    ENTER("cuStreamCreate", std::to_string(flags));
    *stream = reinterpret_cast<CUstream>(std::malloc(8));
    state().streams[*stream];
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
    Lock lock(state().mutex);
    auto const fault = enter("cuStreamSynchronize");
    if (state().streams.count(stream) == 0) violation("a stream is waited for that there is not");
    run(stream);
    return fault;
}

CUresult cuStreamDestroy(CUstream stream) {
    Lock lock(state().mutex);
    auto const fault = enter("cuStreamDestroy");
    if (state().streams.count(stream) && !state().streams[stream].empty()) violation("a stream goes that has work");
    if (state().streams.erase(stream) == 0) violation("a stream is destroyed that there is not");
    std::free(stream);
    return fault;
}

CUresult cuEventCreate(CUevent* event, unsigned int flags) {
    ENTER("cuEventCreate", std::to_string(flags));
    *event = reinterpret_cast<CUevent>(std::malloc(8));
    state().events.insert(*event);
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
    ENTER("cuEventRecord");
    state().recorded[event] = stream;
    return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event) {
    Lock lock(state().mutex);
    auto const fault = enter("cuEventSynchronize");
    if (state().recorded.count(event)) run(state().recorded[event]);
    return fault;
}

CUresult cuEventDestroy(CUevent event) {
    Lock lock(state().mutex);
    auto const fault = enter("cuEventDestroy");
    if (state().events.erase(event) == 0) violation("an event is destroyed that there is not");
    std::free(event);
    return fault;
}

// What the tests, and the counterfeit of TensorRT, say and ask.

void counterfeit_fail(char const* call, int after, int code, int sticky) {
    Lock lock(state().mutex);
    state().faults[call] = Fault{after, CUresult(code), sticky != 0};
}

void counterfeit_limits(int devices, size_t memory) {
    Lock lock(state().mutex);
    state().devices = devices;
    state().memory = memory;
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
    int retained = 0;
    for (auto const& [device, count] : all.retained) retained += count;
    return int(all.device.size() + all.host.size() + all.streams.size() + all.events.size()) + retained;
}

// What an engine does that has an allocator of its own: it may use the memory again at once, for which nothing on a
// device has to end but what reads it.
void counterfeit_recycle(CUdeviceptr pointer) {
    Lock lock(state().mutex);
    for (auto const& [stream, read] : state().read) {
        if (read.count(pointer)) violation("a device's memory is used again while it is read");
    }
    state().used -= state().device.at(pointer);
    state().device.erase(pointer);
    std::free(reinterpret_cast<void*>(pointer));
}

bool counterfeit_owns(void const* pointer, size_t size, bool on_device) {
    Lock lock(state().mutex);
    return within(on_device ? state().device : state().host, reinterpret_cast<std::uintptr_t>(pointer), size);
}

// The number of the thread's current device; -1 if it has none.
int counterfeit_device() {
    return current == nullptr ? -1 : int(reinterpret_cast<std::uintptr_t>(current)) - 0x1000;
}
}
