/*
 * The smallest useful backend in C: it answers with its input's rows in reverse order.
 *
 *     cc -O2 -shared -fPIC -o libtriton_minimal.so minimal.c
 *
 * Put the library into <backend directory>/minimal/ or into the model's folder, and give the model this config.pbtxt:
 *
 *     backend: "minimal"
 *     max_batch_size: 16
 *     input  [ { name: "INPUT"  data_type: TYPE_FP32 dims: [ 4 ] } ]
 *     output [ { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
 *     dynamic_batching { }
 *
 * The tensors may be of any type but BYTES, whose rows differ in length.
 *
 * A backend is a shared library that exports functions named TRITONBACKEND_*, which the server calls, and calls
 * functions named TRITONBACKEND_* and TRITONSERVER_*, which the server has: they stay undefined in the library, and are
 * found when it is loaded. This file declares those that it needs; Triton's headers tritonbackend.h and tritonserver.h
 * declare all.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- What is needed of the API ----------------------------------------------------------------------------------- */

/* Objects are only ever pointed to. */
typedef struct TRITONSERVER_Error TRITONSERVER_Error;
typedef struct TRITONBACKEND_Backend TRITONBACKEND_Backend;
typedef struct TRITONBACKEND_ModelInstance TRITONBACKEND_ModelInstance;
typedef struct TRITONBACKEND_Request TRITONBACKEND_Request;
typedef struct TRITONBACKEND_Input TRITONBACKEND_Input;
typedef struct TRITONBACKEND_Response TRITONBACKEND_Response;
typedef struct TRITONBACKEND_Output TRITONBACKEND_Output;

enum { API_MAJOR = 1, API_MINOR = 4 }; /* What this file uses exists since then. */

typedef enum { ERROR_INTERNAL = 1, ERROR_INVALID_ARG = 3, ERROR_UNSUPPORTED = 5 } TRITONSERVER_Error_Code;
typedef enum { TYPE_BYTES = 13 } TRITONSERVER_DataType;
typedef enum { MEMORY_CPU, MEMORY_CPU_PINNED, MEMORY_GPU } TRITONSERVER_MemoryType;
typedef enum { LOG_INFO, LOG_WARN, LOG_ERROR, LOG_VERBOSE } TRITONSERVER_LogLevel;

enum { RESPONSE_COMPLETE_FINAL = 1 }; /* No further response follows. */
enum { REQUEST_RELEASE_ALL = 1 };     /* The request is over. */

/* Most functions return null for success, or an error that the caller owns. */
TRITONSERVER_Error *TRITONSERVER_ErrorNew(TRITONSERVER_Error_Code code, const char *message);
void TRITONSERVER_ErrorDelete(TRITONSERVER_Error *error);
const char *TRITONSERVER_ErrorMessage(TRITONSERVER_Error *error);
TRITONSERVER_Error *TRITONSERVER_LogMessage(TRITONSERVER_LogLevel, const char *file, int line, const char *message);

TRITONSERVER_Error *TRITONBACKEND_ApiVersion(uint32_t *major, uint32_t *minor);
TRITONSERVER_Error *TRITONBACKEND_RequestInput(TRITONBACKEND_Request *, const char *name, TRITONBACKEND_Input **);
TRITONSERVER_Error *TRITONBACKEND_RequestRelease(TRITONBACKEND_Request *, uint32_t flags);
TRITONSERVER_Error *TRITONBACKEND_InputProperties(TRITONBACKEND_Input *, const char **name, TRITONSERVER_DataType *,
                                                  const int64_t **shape, uint32_t *rank, uint64_t *byte_size,
                                                  uint32_t *buffer_count);
TRITONSERVER_Error *TRITONBACKEND_InputBuffer(TRITONBACKEND_Input *, uint32_t index, const void **, uint64_t *byte_size,
                                              TRITONSERVER_MemoryType *, int64_t *memory_type_id);
TRITONSERVER_Error *TRITONBACKEND_ResponseNew(TRITONBACKEND_Response **, TRITONBACKEND_Request *);
TRITONSERVER_Error *TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response *, TRITONBACKEND_Output **, const char *name,
                                                 TRITONSERVER_DataType, const int64_t *shape, uint32_t rank);
TRITONSERVER_Error *TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output *, void **, uint64_t byte_size,
                                               TRITONSERVER_MemoryType *, int64_t *memory_type_id);
TRITONSERVER_Error *TRITONBACKEND_ResponseSend(TRITONBACKEND_Response *, uint32_t flags, TRITONSERVER_Error *error);
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportStatistics(TRITONBACKEND_ModelInstance *, TRITONBACKEND_Request *,
                                                                bool success, uint64_t exec_start,
                                                                uint64_t compute_start, uint64_t compute_end,
                                                                uint64_t exec_end);
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportBatchStatistics(TRITONBACKEND_ModelInstance *, uint64_t batch_size,
                                                                     uint64_t exec_start, uint64_t compute_start,
                                                                     uint64_t compute_end, uint64_t exec_end);

/* ---- One request ------------------------------------------------------------------------------------------------- */

/* Leaves the function with the error of a call that failed. */
#define TRY(CALL)                                                                                   \
    do {                                                                                            \
        TRITONSERVER_Error *failed = (CALL);                                                        \
        if (failed != NULL) return failed;                                                          \
    } while (0)

/* Says that a call failed, where nobody is left to be told. */
static void complain(TRITONSERVER_Error *error) {
    if (error == NULL) return;
    const char *message = TRITONSERVER_ErrorMessage(error);
    TRITONSERVER_Error *unsaid = TRITONSERVER_LogMessage(LOG_ERROR, __FILE__, __LINE__, message);
    if (unsaid != NULL) TRITONSERVER_ErrorDelete(unsaid);
    TRITONSERVER_ErrorDelete(error);
}

/* Nanoseconds of the steady clock, as statistics have them. */
static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Puts an input's contents, which may lie in several pieces, into one place of byte_size bytes. */
static TRITONSERVER_Error *gather(TRITONBACKEND_Input *input, uint32_t pieces, char *place, uint64_t byte_size) {
    uint64_t filled = 0;
    for (uint32_t i = 0; i < pieces; i++) {
        const void *piece = NULL;
        uint64_t size = 0;
        TRITONSERVER_MemoryType memory = MEMORY_CPU; /* What is preferred; returned is what it is. */
        int64_t device = 0;
        TRY(TRITONBACKEND_InputBuffer(input, i, &piece, &size, &memory, &device));
        if (memory == MEMORY_GPU) return TRITONSERVER_ErrorNew(ERROR_UNSUPPORTED, "INPUT lies in a GPU's memory");
        if (size > byte_size - filled) return TRITONSERVER_ErrorNew(ERROR_INTERNAL, "INPUT is larger than it says");
        if (size > 0) memcpy(place + filled, piece, size);
        filled += size;
    }
    return filled == byte_size ? NULL : TRITONSERVER_ErrorNew(ERROR_INTERNAL, "INPUT is smaller than it says");
}

/* Swaps rows of so many bytes from both ends. */
static TRITONSERVER_Error *reverse(char *rows, uint64_t count, uint64_t row_size) {
    if (count < 2 || row_size == 0) return NULL;
    char *spare = malloc(row_size);
    if (spare == NULL) return TRITONSERVER_ErrorNew(ERROR_INTERNAL, "there is no memory for a row");
    for (uint64_t low = 0, high = count - 1; low < high; low++, high--) {
        memcpy(spare, rows + low * row_size, row_size);
        memcpy(rows + low * row_size, rows + high * row_size, row_size);
        memcpy(rows + high * row_size, spare, row_size);
    }
    free(spare);
    return NULL;
}

/* Writes the response's output; says how many rows it has. What the server returns stays its own: nothing is freed. */
static TRITONSERVER_Error *fill(TRITONBACKEND_Response *response, TRITONBACKEND_Request *request, uint64_t *row_count) {
    TRITONBACKEND_Input *input = NULL;
    TRY(TRITONBACKEND_RequestInput(request, "INPUT", &input));
    const char *name;
    TRITONSERVER_DataType type;
    const int64_t *shape;
    uint32_t rank, pieces;
    uint64_t byte_size;
    TRY(TRITONBACKEND_InputProperties(input, &name, &type, &shape, &rank, &byte_size, &pieces));
    if (type == TYPE_BYTES) return TRITONSERVER_ErrorNew(ERROR_UNSUPPORTED, "rows of type BYTES differ in length");
    uint64_t rows = rank > 0 && shape[0] > 0 ? (uint64_t)shape[0] : 1;
    *row_count = rows;
    if (byte_size % rows != 0) return TRITONSERVER_ErrorNew(ERROR_INVALID_ARG, "INPUT does not consist of whole rows");

    TRITONBACKEND_Output *output = NULL;
    TRY(TRITONBACKEND_ResponseOutput(response, &output, "OUTPUT", type, shape, rank));
    void *place = NULL;
    TRITONSERVER_MemoryType memory = MEMORY_CPU;
    int64_t device = 0;
    TRY(TRITONBACKEND_OutputBuffer(output, &place, byte_size, &memory, &device));
    if (memory == MEMORY_GPU) return TRITONSERVER_ErrorNew(ERROR_UNSUPPORTED, "OUTPUT is wanted in a GPU's memory");
    TRY(gather(input, pieces, place, byte_size));
    return reverse(place, rows, byte_size / rows);
}

/*
 * Answers a request, with one response: what goes wrong is sent to the client in its place. Sending hands the response
 * over to the server; the error that is sent stays ours. Returns how many rows the request had.
 */
static uint64_t answer(TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request *request) {
    uint64_t begin = now(), rows = 1;
    TRITONBACKEND_Response *response = NULL;
    TRITONSERVER_Error *error = TRITONBACKEND_ResponseNew(&response, request);
    if (error == NULL) {
        error = fill(response, request, &rows);
        complain(TRITONBACKEND_ResponseSend(response, RESPONSE_COMPLETE_FINAL, error));
    }
    /* Before the request is released. The times between which it was computed are all of its time here. */
    uint64_t end = now();
    complain(TRITONBACKEND_ModelInstanceReportStatistics(instance, request, error == NULL, begin, begin, end, end));
    if (error != NULL) TRITONSERVER_ErrorDelete(error);
    return rows;
}

/* ---- What the server calls --------------------------------------------------------------------------------------- */

/* Once, when the library is loaded. Optional, as are all functions but the last. */
TRITONSERVER_Error *TRITONBACKEND_Initialize(TRITONBACKEND_Backend *backend) {
    (void)backend;
    uint32_t major = 0, minor = 0;
    TRY(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major != API_MAJOR || minor < API_MINOR)
        return TRITONSERVER_ErrorNew(ERROR_UNSUPPORTED, "the server's backend API does not suit this backend");
    return NULL;
}

/*
 * With each batch, one at a time for an instance. After success the requests are this library's: each has to be
 * answered and released, once. After an error they are still the server's, so none may be returned once a request has
 * been answered.
 *
 * A backend whose models keep something would also export TRITONBACKEND_ModelInitialize, TRITONBACKEND_ModelFinalize
 * and the same of ModelInstance, and keep it with TRITONBACKEND_ModelSetState; TRITONBACKEND_ModelConfig gives the
 * configuration as JSON.
 */
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests, const uint32_t request_count) {
    uint64_t begin = now(), rows = 0;
    for (uint32_t i = 0; i < request_count; i++) {
        rows += answer(instance, requests[i]);
        complain(TRITONBACKEND_RequestRelease(requests[i], REQUEST_RELEASE_ALL));
    }
    uint64_t end = now();
    complain(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, rows, begin, begin, end, end));
    return NULL;
}
