/* Answers each request with its inputs: the output of a slot is the input of that slot. */
#define _GNU_SOURCE
#include <time.h>

#include "triton.h"

static uint64_t now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static Error* copy(Request* request, Response* response, uint32_t index)
{
  Input* input;
  Output* output;
  const char* name;
  const int64_t* shape;
  uint32_t dims, buffers;
  int type, memory = 0;
  int64_t device = 0;
  uint64_t size;
  void* into;
  TRY(TRITONBACKEND_RequestInputByIndex(request, index, &input));
  TRY(TRITONBACKEND_InputProperties(input, NULL, &type, &shape, &dims, &size, &buffers));
  TRY(TRITONBACKEND_RequestOutputName(request, index, &name));
  TRY(TRITONBACKEND_ResponseOutput(response, &output, name, type, shape, dims));
  TRY(TRITONBACKEND_OutputBuffer(output, &into, size, &memory, &device));
  for (uint32_t i = 0; i < buffers; i++) {
    const void* from;
    uint64_t piece;
    TRY(TRITONBACKEND_InputBuffer(input, i, &from, &piece, &memory, &device));
    memcpy(into, from, piece);
    into = (char*)into + piece;
  }
  return NULL;
}

static Error* answer(Request* request, Response* response)
{
  uint32_t count;
  TRY(TRITONBACKEND_RequestOutputCount(request, &count));
  for (uint32_t i = 0; i < count; i++) {
    TRY(copy(request, response, i));
  }
  return NULL;
}

Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count)
{
  uint64_t start = now();
  for (uint32_t i = 0; i < count; i++) {
    Response* response;
    TRITONBACKEND_ResponseNew(&response, requests[i]);
    Error* problem = answer(requests[i], response);
    uint64_t end = now();
    TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], problem == NULL, start, start, end, end);
    TRITONBACKEND_ResponseSend(response, FINAL, problem);
    TRITONSERVER_ErrorDelete(problem);
    TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL);
  }
  uint64_t end = now();
  TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, start, start, end, end);
  return NULL;
}
