/* A counterfeit of NVML. What it says stands in a file beside it, whose name is its own with `.state` behind: lines of
   a key, a blank and a value, which may be written anew at any time.

       devices 2                                     how many there are
       0.uuid GPU-…                                  what a device says: uuid, name, utilization (per cent), total and
       0.power 300000                                used (bytes), power and limit (mW), energy (mJ)
       fail.nvmlInit_v2 9                            what a call returns; nothing is said then
       0.fail.nvmlDeviceGetPowerUsage 3              the same, of one device
       0.fail 15                                     the same, of whatever the device is asked
       0.hang.nvmlDeviceGetMemoryInfo 1              the call does not return while this stands there

   What a device has no line for is not supported by it. Declared by NVIDIA's own header, so that a signature that
   differs does not compile. */
#define _GNU_SOURCE
#include <nvml.h>

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST = 512, DEVICES = 16 };

static int started;
static char handles[DEVICES];

static int look(char* value, char const* pattern, va_list arguments) {
    char key[LONGEST], path[4096], line[LONGEST];
    Dl_info self;
    int found = 0;
    vsnprintf(key, sizeof key, pattern, arguments);
    dladdr((void*)&look, &self);
    snprintf(path, sizeof path, "%s.state", self.dli_fname);
    FILE* file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof line, file)) {
        size_t const length = strlen(key);
        line[strcspn(line, "\n")] = 0;
        found = strncmp(line, key, length) == 0 && line[length] == ' ';
        if (found) strcpy(value, line + length + 1);
    }
    if (file) fclose(file);
    return found;
}

static int text(char* value, char const* pattern, ...) {
    va_list arguments;
    va_start(arguments, pattern);
    int const found = look(value, pattern, arguments);
    va_end(arguments);
    return found;
}

static int number(unsigned long long* value, char const* pattern, ...) {
    char found_text[LONGEST];
    va_list arguments;
    va_start(arguments, pattern);
    int const found = look(found_text, pattern, arguments);
    va_end(arguments);
    if (found) *value = strtoull(found_text, NULL, 10);
    return found;
}

/* What was ordered for a call of the library, or of a device. */
static nvmlReturn_t enter(char const* call) {
    unsigned long long code = NVML_SUCCESS, hang;
    while (number(&hang, "hang.%s", call)) usleep(5000);
    number(&code, "fail.%s", call);
    return (nvmlReturn_t)code;
}

static nvmlReturn_t ask(nvmlDevice_t device, char const* call, int* index) {
    unsigned long long code = NVML_SUCCESS, hang;
    if (!started) return NVML_ERROR_UNINITIALIZED;
    *index = (int)((char*)device - handles);
    if (*index < 0 || *index >= DEVICES) return NVML_ERROR_INVALID_ARGUMENT;
    while (number(&hang, "%d.hang.%s", *index, call)) usleep(5000);
    if (!number(&code, "%d.fail", *index)) number(&code, "%d.fail.%s", *index, call);
    return (nvmlReturn_t)code;
}

static nvmlReturn_t say(nvmlDevice_t device, char const* call, char const* key, char* out, unsigned length) {
    int index;
    char value[LONGEST];
    nvmlReturn_t const failed = ask(device, call, &index);
    if (failed) return failed;
    if (!text(value, "%d.%s", index, key)) return NVML_ERROR_NOT_SUPPORTED;
    if (strlen(value) >= length) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, value);
    return NVML_SUCCESS;
}

static nvmlReturn_t tell(nvmlDevice_t device, char const* call, char const* key, unsigned long long* out) {
    int index;
    nvmlReturn_t const failed = ask(device, call, &index);
    if (failed) return failed;
    return number(out, "%d.%s", index, key) ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t tell_small(nvmlDevice_t device, char const* call, char const* key, unsigned* out) {
    unsigned long long value = 0;
    nvmlReturn_t const failed = tell(device, call, key, &value);
    if (!failed) *out = (unsigned)value;
    return failed;
}

nvmlReturn_t nvmlInit_v2(void) {
    nvmlReturn_t const failed = enter("nvmlInit_v2");
    if (!failed) started = 1;
    return failed;
}

char const* nvmlErrorString(nvmlReturn_t code) {
    switch (code) {
        case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
        case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
        case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
        case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
        case NVML_ERROR_UNKNOWN: return "Unknown Error";
        default: return NULL;
    }
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int* count) {
    unsigned long long devices = 0;
    nvmlReturn_t const failed = enter("nvmlDeviceGetCount_v2");
    if (failed) return failed;
    if (!started) return NVML_ERROR_UNINITIALIZED;
    number(&devices, "devices");
    *count = (unsigned)devices;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t* device) {
    unsigned long long devices = 0;
    int same;
    number(&devices, "devices");
    if (index >= devices || index >= DEVICES) return NVML_ERROR_INVALID_ARGUMENT;
    *device = (nvmlDevice_t)(handles + index);
    return ask(*device, "nvmlDeviceGetHandleByIndex_v2", &same);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned int length) {
    return say(device, "nvmlDeviceGetUUID", "uuid", uuid, length);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned int length) {
    return say(device, "nvmlDeviceGetName", "name", name, length);
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* rates) {
    rates->memory = 99;
    return tell_small(device, "nvmlDeviceGetUtilizationRates", "utilization", &rates->gpu);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
    nvmlReturn_t const failed = tell(device, "nvmlDeviceGetMemoryInfo", "total", &memory->total);
    if (failed) return failed;
    memory->used = 0;
    tell(device, "nvmlDeviceGetMemoryInfo", "used", &memory->used);
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int* power) {
    return tell_small(device, "nvmlDeviceGetPowerUsage", "power", power);
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int* limit) {
    return tell_small(device, "nvmlDeviceGetPowerManagementLimit", "limit", limit);
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long* energy) {
    return tell(device, "nvmlDeviceGetTotalEnergyConsumption", "energy", energy);
}
