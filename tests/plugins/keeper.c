/* Keeps sums of a sequence's INPUTs in two ways: OWN in memory of its own, by the row that the sequence has, and KEPT as
 * a state that the server keeps. A model with iterative sequences has a request executed until KEPT is INPUT or more. */
#include "../../backends/plugin/tests/plugins/triton.h"

enum { FP32 = 11, ROWS = 64 };

static float own[ROWS];
static const int64_t SHAPE[] = {1, 1};

static Error* read_input(Request* request, const char* name, void* into, uint64_t size)
{
  Input* input;
  const void* from;
  uint64_t bytes;
  int memory;
  int64_t device;
  TRY(TRITONBACKEND_RequestInput(request, name, &input));
  TRY(TRITONBACKEND_InputBuffer(input, 0, &from, &bytes, &memory, &device));
  EXPECT(bytes == size);
  memcpy(into, from, size);
  return NULL;
}

static Error* keep(Request* request, float sum)
{
  State* state;
  BufferAttributes* attributes;
  void *buffer, *again;
  size_t size;
  int memory = 0;
  int64_t device = 0;
  FAILS(INVALID_ARG, TRITONBACKEND_StateNew(&state, request, "NO", FP32, SHAPE, 2));
  FAILS(INVALID_ARG, TRITONBACKEND_StateNew(&state, request, "OWN", FP32, SHAPE, 2));
  TRY(TRITONBACKEND_StateNew(&state, request, "SUM_OUT", FP32, SHAPE, 2));
  FAILS(UNAVAILABLE, TRITONBACKEND_StateBufferAttributes(state, &attributes));
  FAILS(INVALID_ARG, TRITONBACKEND_StateUpdate(state));
  TRY(TRITONBACKEND_StateBuffer(state, &buffer, sizeof sum, &memory, &device));
  TRY(TRITONBACKEND_StateBuffer(state, &again, sizeof sum, &memory, &device));
  EXPECT(buffer == again);
  TRY(TRITONBACKEND_StateBufferAttributes(state, &attributes));
  TRY(TRITONSERVER_BufferAttributesByteSize(attributes, &size));
  EXPECT(size == sizeof sum);
  memcpy(buffer, &sum, sizeof sum);
  return TRITONBACKEND_StateUpdate(state);
}

static Error* add(Response* response, const char* name, float value)
{
  Output* output;
  void* buffer;
  int memory = 0;
  int64_t device = 0;
  TRY(TRITONBACKEND_ResponseOutput(response, &output, name, FP32, SHAPE, 2));
  TRY(TRITONBACKEND_OutputBuffer(output, &buffer, sizeof value, &memory, &device));
  memcpy(buffer, &value, sizeof value);
  return NULL;
}

static Error* compute(Request* request, uint32_t row, float* input, float* sum)
{
  float start;
  int32_t ready;
  uint32_t outputs;
  TRY(read_input(request, "INPUT", input, sizeof *input));
  TRY(read_input(request, "START", &start, sizeof start));
  TRY(read_input(request, "READY", &ready, sizeof ready));
  TRY(read_input(request, "SUM_IN", sum, sizeof *sum));
  TRY(TRITONBACKEND_RequestOutputCount(request, &outputs));
  EXPECT(outputs == 2 && row < ROWS);
  if (!ready) {
    /* What a row without a request leaves is forgotten. */
    return keep(request, 1000);
  }
  own[row] = (start != 0 ? 0 : own[row]) + *input;
  *sum += *input;
  return keep(request, *sum);
}

Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count)
{
  (void)instance;
  for (uint32_t row = 0; row < count; row++) {
    float input = 0, sum = 0;
    Response* response;
    Error* problem = compute(requests[row], row, &input, &sum);
    /* INPUT is negative where it says how far to go. */
    if (problem == NULL && input < 0 && sum > 5 * input) {
      problem = TRITONBACKEND_RequestRelease(requests[row], RESCHEDULE);
      if (problem == NULL) {
        continue;
      }
    }
    TRITONBACKEND_ResponseNew(&response, requests[row]);
    if (problem == NULL) {
      problem = add(response, "OWN", own[row]);
    }
    if (problem == NULL) {
      problem = add(response, "KEPT", sum);
    }
    TRITONBACKEND_ResponseSend(response, FINAL, problem);
    TRITONSERVER_ErrorDelete(problem);
    TRITONBACKEND_RequestRelease(requests[row], RELEASE_ALL);
  }
  return NULL;
}
