/* The functions of Triton's backend C API that the plugins of these tests call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Error Error;
typedef struct Message Message;
typedef struct Backend Backend;
typedef struct BackendAttribute BackendAttribute;
typedef struct MemoryManager MemoryManager;
typedef struct Model Model;
typedef struct Instance Instance;
typedef struct Request Request;
typedef struct Input Input;
typedef struct Response Response;
typedef struct Output Output;
typedef struct Factory Factory;
typedef struct State State;
typedef struct BufferAttributes BufferAttributes;
typedef struct Server Server;
typedef struct Trace Trace;

enum { UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED };
enum { FINAL = 1, RELEASE_ALL = 1, RESCHEDULE = 2 };

Error* TRITONSERVER_ErrorNew(int code, const char* message);
void TRITONSERVER_ErrorDelete(Error*);
int TRITONSERVER_ErrorCode(Error*);
const char* TRITONSERVER_ErrorMessage(Error*);
Error* TRITONSERVER_MessageNewFromSerializedJson(Message**, const char* base, size_t size);
Error* TRITONSERVER_MessageSerializeToJson(Message*, const char** base, size_t* size);
Error* TRITONSERVER_MessageDelete(Message*);
Error* TRITONSERVER_BufferAttributesByteSize(BufferAttributes*, size_t*);

Error* TRITONBACKEND_ApiVersion(uint32_t* major, uint32_t* minor);
Error* TRITONBACKEND_BackendName(Backend*, const char**);
Error* TRITONBACKEND_BackendConfig(Backend*, Message**);
Error* TRITONBACKEND_BackendArtifacts(Backend*, int*, const char**);
Error* TRITONBACKEND_BackendMemoryManager(Backend*, MemoryManager**);
Error* TRITONBACKEND_BackendState(Backend*, void**);
Error* TRITONBACKEND_BackendSetState(Backend*, void*);
Error* TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(BackendAttribute*, bool);
Error* TRITONBACKEND_MemoryManagerAllocate(MemoryManager*, void**, int type, int64_t id, uint64_t size);
Error* TRITONBACKEND_MemoryManagerFree(MemoryManager*, void*, int type, int64_t id);
Error* TRITONBACKEND_ModelName(Model*, const char**);
Error* TRITONBACKEND_ModelVersion(Model*, uint64_t*);
Error* TRITONBACKEND_ModelRepository(Model*, int*, const char**);
Error* TRITONBACKEND_ModelConfig(Model*, uint32_t version, Message**);
Error* TRITONBACKEND_ModelAutoCompleteConfig(Model*, bool*);
Error* TRITONBACKEND_ModelSetConfig(Model*, uint32_t version, Message*);
Error* TRITONBACKEND_ModelServer(Model*, Server**);
Error* TRITONBACKEND_ModelBackend(Model*, Backend**);
Error* TRITONBACKEND_ModelState(Model*, void**);
Error* TRITONBACKEND_ModelSetState(Model*, void*);
Error* TRITONBACKEND_ModelInstanceName(Instance*, const char**);
Error* TRITONBACKEND_ModelInstanceKind(Instance*, int*);
Error* TRITONBACKEND_ModelInstanceDeviceId(Instance*, int32_t*);
Error* TRITONBACKEND_ModelInstanceHostPolicy(Instance*, Message**);
Error* TRITONBACKEND_ModelInstanceModel(Instance*, Model**);
Error* TRITONBACKEND_ModelInstanceState(Instance*, void**);
Error* TRITONBACKEND_ModelInstanceSetState(Instance*, void*);
Error* TRITONBACKEND_ModelInstanceReportStatistics(
    Instance*, Request*, bool success, uint64_t, uint64_t, uint64_t, uint64_t);
Error* TRITONBACKEND_ModelInstanceReportBatchStatistics(
    Instance*, uint64_t batch_size, uint64_t, uint64_t, uint64_t, uint64_t);
Error* TRITONBACKEND_RequestId(Request*, const char**);
Error* TRITONBACKEND_RequestCorrelationId(Request*, uint64_t*);
Error* TRITONBACKEND_RequestCorrelationIdString(Request*, const char**);
Error* TRITONBACKEND_RequestFlags(Request*, uint32_t*);
Error* TRITONBACKEND_RequestIsCancelled(Request*, bool*);
Error* TRITONBACKEND_InferenceRequestTimeoutMicroseconds(Request*, uint64_t*);
Error* TRITONBACKEND_RequestParameterCount(Request*, uint32_t*);
Error* TRITONBACKEND_RequestParameter(Request*, uint32_t, const char**, int*, const void**);
Error* TRITONBACKEND_RequestInputCount(Request*, uint32_t*);
Error* TRITONBACKEND_RequestInputName(Request*, uint32_t, const char**);
Error* TRITONBACKEND_RequestInput(Request*, const char*, Input**);
Error* TRITONBACKEND_RequestInputByIndex(Request*, uint32_t, Input**);
Error* TRITONBACKEND_RequestOutputCount(Request*, uint32_t*);
Error* TRITONBACKEND_RequestOutputName(Request*, uint32_t, const char**);
Error* TRITONBACKEND_RequestRelease(Request*, uint32_t flags);
Error* TRITONBACKEND_InputProperties(
    Input*, const char**, int*, const int64_t**, uint32_t*, uint64_t*, uint32_t*);
Error* TRITONBACKEND_InputBuffer(Input*, uint32_t, const void**, uint64_t*, int*, int64_t*);
Error* TRITONBACKEND_InputBufferAttributes(Input*, uint32_t, const void**, BufferAttributes**);
Error* TRITONBACKEND_ResponseNew(Response**, Request*);
Error* TRITONBACKEND_ResponseNewFromFactory(Response**, Factory*);
Error* TRITONBACKEND_ResponseDelete(Response*);
Error* TRITONBACKEND_ResponseSetStringParameter(Response*, const char*, const char*);
Error* TRITONBACKEND_ResponseSetIntParameter(Response*, const char*, int64_t);
Error* TRITONBACKEND_ResponseOutput(Response*, Output**, const char*, int, const int64_t*, uint32_t);
Error* TRITONBACKEND_ResponseSend(Response*, uint32_t flags, Error*);
Error* TRITONBACKEND_OutputBuffer(Output*, void**, uint64_t, int*, int64_t*);
Error* TRITONBACKEND_OutputBufferAttributes(Output*, BufferAttributes**);
Error* TRITONBACKEND_StateNew(State**, Request*, const char*, int, const int64_t*, uint32_t);
Error* TRITONBACKEND_StateUpdate(State*);
Error* TRITONBACKEND_StateBuffer(State*, void**, uint64_t, int*, int64_t*);
Error* TRITONBACKEND_StateBufferAttributes(State*, BufferAttributes**);
Error* TRITONBACKEND_ResponseFactoryNew(Factory**, Request*);
Error* TRITONBACKEND_ResponseFactoryDelete(Factory*);
Error* TRITONBACKEND_ResponseFactorySendFlags(Factory*, uint32_t);
Error* TRITONBACKEND_ResponseFactoryIsCancelled(Factory*, bool*);

/* Returns from the function with the error of a call that fails. */
#define TRY(call)               \
  do {                          \
    Error* failed_ = (call);    \
    if (failed_ != NULL) {      \
      return failed_;           \
    }                           \
  } while (0)

#define TEXT_OF(line) #line
#define TEXT(line) TEXT_OF(line)
#define HERE(what) __FILE__ ":" TEXT(__LINE__) ": " what

/* Returns an error from the function unless the condition holds. */
#define EXPECT(condition)                                           \
  do {                                                              \
    if (!(condition)) {                                             \
      return TRITONSERVER_ErrorNew(INTERNAL, HERE(#condition));     \
    }                                                               \
  } while (0)

/* The code of an error, which it deletes; -1 for none. */
static int code_of(Error* problem)
{
  int code = problem == NULL ? -1 : TRITONSERVER_ErrorCode(problem);
  TRITONSERVER_ErrorDelete(problem);
  return code;
}

/* Returns an error from the function unless the call fails with that code. */
#define FAILS(code, call) EXPECT(code_of(call) == (code))

/* Adds an output `y` of one value. */
static Error* add_value(Response* response, float value)
{
  Output* output;
  void* buffer;
  int memory = 0;
  int64_t device = 0, one = 1;
  TRY(TRITONBACKEND_ResponseOutput(response, &output, "y", 11, &one, 1));
  TRY(TRITONBACKEND_OutputBuffer(output, &buffer, sizeof value, &memory, &device));
  memcpy(buffer, &value, sizeof value);
  return NULL;
}
