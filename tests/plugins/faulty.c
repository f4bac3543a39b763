/*
 * A backend that does wrong, for tests of the server that loads it.
 *
 *     cc -O1 -g -shared -fPIC -o libtriton_faulty.so faulty.c
 *
 * Without a fault it answers OUTPUT with the bytes of INPUT. What it does wrong is said by the model's parameter
 * "fault", one of the names in the table below. Parameters beside it, all optional:
 *   after    how many executions of an instance go well before the fault begins (0)
 *   every    only each so-many-th execution thereafter has the fault (1)
 *   seconds  how long something hangs or is late; 0 is for ever (0)
 *
 * Where there is no model yet, the fault is said by the backend's name, after its first underscore. The library's file has
 * to have that name, as libtriton_faulty_initialize_fails.so.
 *
 * Compiled with -DWITHOUT_EXECUTE it lacks the one function that a backend needs, and with -DNEEDS_MORE it needs a
 * function that no server has.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

typedef struct Error Error;
typedef struct Message Message;
typedef struct Backend Backend;
typedef struct Attribute Attribute;
typedef struct Model Model;
typedef struct Instance Instance;
typedef struct Request Request;
typedef struct Input Input;
typedef struct Response Response;
typedef struct Output Output;
typedef struct Factory Factory;

Error *TRITONSERVER_ErrorNew(uint32_t code, const char *message);
void TRITONSERVER_ErrorDelete(Error *);
Error *TRITONSERVER_MessageSerializeToJson(Message *, const char **base, size_t *size);
Error *TRITONSERVER_MessageDelete(Message *);
Error *TRITONBACKEND_BackendName(Backend *, const char **name);
Error *TRITONBACKEND_ModelConfig(Model *, uint32_t version, Message **);
Error *TRITONBACKEND_ModelState(Model *, void **);
Error *TRITONBACKEND_ModelSetState(Model *, void *);
Error *TRITONBACKEND_ModelInstanceModel(Instance *, Model **);
Error *TRITONBACKEND_ModelInstanceState(Instance *, void **);
Error *TRITONBACKEND_ModelInstanceSetState(Instance *, void *);
Error *TRITONBACKEND_RequestInput(Request *, const char *name, Input **);
Error *TRITONBACKEND_RequestInputByIndex(Request *, uint32_t index, Input **);
Error *TRITONBACKEND_RequestRelease(Request *, uint32_t flags);
Error *TRITONBACKEND_InputProperties(Input *, const char **, uint32_t *type, const int64_t **shape, uint32_t *rank,
                                     uint64_t *size, uint32_t *pieces);
Error *TRITONBACKEND_InputBuffer(Input *, uint32_t, const void **, uint64_t *size, uint32_t *memory, int64_t *device);
Error *TRITONBACKEND_ResponseFactoryNew(Factory **, Request *);
Error *TRITONBACKEND_ResponseFactoryDelete(Factory *);
Error *TRITONBACKEND_ResponseFactorySendFlags(Factory *, uint32_t flags);
Error *TRITONBACKEND_ResponseNew(Response **, Request *);
Error *TRITONBACKEND_ResponseNewFromFactory(Response **, Factory *);
Error *TRITONBACKEND_ResponseDelete(Response *);
Error *TRITONBACKEND_ResponseOutput(Response *, Output **, const char *name, uint32_t type, const int64_t *, uint32_t);
Error *TRITONBACKEND_OutputBuffer(Output *, void **, uint64_t size, uint32_t *memory, int64_t *device);
Error *TRITONBACKEND_ResponseSend(Response *, uint32_t flags, Error *);
#ifdef NEEDS_MORE
Error *TRITONBACKEND_FunctionThatNoServerHas(void);
#endif

enum { INTERNAL = 1, UNSUPPORTED = 5 };
enum { FINAL = 1, RELEASE_ALL = 1 };

typedef enum {
    NOTHING,
    /* By the backend's name: */
    INITIALIZE_FAILS,   /* TRITONBACKEND_Initialize returns an error. */
    INITIALIZE_HANGS,   /* TRITONBACKEND_Initialize does not return. */
    INITIALIZE_VERSION, /* TRITONBACKEND_Initialize refuses the server's API version. */
    ATTRIBUTES_FAIL,    /* TRITONBACKEND_GetBackendAttribute returns an error. */
    ATTRIBUTES_HANG,    /* TRITONBACKEND_GetBackendAttribute does not return. */
    FINALIZE_FAILS,     /* TRITONBACKEND_Finalize returns an error. */
    FINALIZE_HANGS,     /* TRITONBACKEND_Finalize does not return. */
    /* By the model's parameter: */
    MODEL_INITIALIZE_FAILS,    /* TRITONBACKEND_ModelInitialize returns an error. */
    MODEL_INITIALIZE_HANGS,    /* TRITONBACKEND_ModelInitialize does not return. */
    MODEL_FINALIZE_FAILS,      /* TRITONBACKEND_ModelFinalize returns an error. */
    MODEL_FINALIZE_HANGS,      /* TRITONBACKEND_ModelFinalize does not return. */
    INSTANCE_INITIALIZE_FAILS, /* TRITONBACKEND_ModelInstanceInitialize returns an error. */
    INSTANCE_INITIALIZE_HANGS, /* TRITONBACKEND_ModelInstanceInitialize does not return. */
    INSTANCE_FINALIZE_FAILS,   /* TRITONBACKEND_ModelInstanceFinalize returns an error. */
    INSTANCE_FINALIZE_HANGS,   /* TRITONBACKEND_ModelInstanceFinalize does not return. */
    READY_FAILS,               /* TRITONBACKEND_ModelInstanceReady returns an error. */
    READY_HANGS,               /* TRITONBACKEND_ModelInstanceReady does not return. */
    EXECUTE_FAILS,             /* TRITONBACKEND_ModelInstanceExecute returns an error; requests stay the server's. */
    EXECUTE_EXITS,             /* TRITONBACKEND_ModelInstanceExecute ends the thread that calls it. */
    EXECUTE_RAISES,            /* TRITONBACKEND_ModelInstanceExecute lets an exception out that is not of C++. */
    EXECUTE_HANGS,             /* TRITONBACKEND_ModelInstanceExecute does not return; nothing is answered. */
    EXECUTE_ODD_ERROR,         /* The error that it returns has a code that does not exist and no message. */
    EXECUTE_FAILS_LATE,        /* It answers and releases all requests, and then returns an error all the same. */
    BATCH_FAILS,               /* Every request of the batch is answered with an error. */
    FIRST_FAILS,               /* The first request of the batch is answered with an error, the others well. */
    NEVER_ANSWERS,             /* Requests are released and not answered. */
    NEVER_RELEASES,            /* Requests are answered and not released. */
    FORGETS,                   /* Requests are neither answered nor released. */
    RELEASES_TWICE,            /* Requests are released twice. */
    ANSWERS_TWICE,             /* After the answer a second response is made and sent. */
    SENDS_TWICE,               /* The same response is sent twice. */
    DELETES_TWICE,             /* A response is deleted twice, before the answer is made. */
    DELETES_SENT,              /* The response is deleted after it was sent. */
    ANSWERS_RELEASED,          /* Requests are released, and then a response to them is made and sent. */
    WRONG_KIND,                /* Handles are passed where one of another kind is expected, before the answer. */
    NULL_HANDLES,              /* Null is passed for handles and for places to write to, before the answer is made. */
    BAD_INDEX,                 /* An input and a piece are asked for that there are not, before the answer is made. */
    DELETED_ERROR,             /* An error of the server's is deleted twice, before the answer is made. */
    OUTPUT_TOO_SMALL,          /* The output has a byte less than its shape says. */
    OUTPUT_TOO_LARGE,          /* The output has four bytes more than its shape says. */
    OUTPUT_HUGE,               /* The output is to have 2^62 bytes. */
    OUTPUT_WITHOUT_BUFFER,     /* The output is made, and no buffer asked for. */
    OUTPUT_TWICE,              /* The output is made twice. */
    OUTPUT_MISSING,            /* The response has no output. */
    OUTPUT_UNKNOWN,            /* The response has an output that the model does not have. */
    OUTPUT_ODD_TYPE,           /* The output is of a type that does not exist. */
    OUTPUT_ODD_SHAPE,          /* The output's shape has an extent below zero. */
    RESPONSE_AFTER_FINAL,      /* By a factory: the answer is final, and a further response follows. */
    FINAL_TWICE,               /* By a factory: after the final answer the end is said again. */
    NO_FINAL,                  /* By a factory: an answer, and the end is never said. */
    FACTORY_DELETED_TWICE,     /* By a factory: an answer, and the factory is deleted twice. */
    ANSWERS_LATE,              /* Another thread answers and releases requests, after the function has returned. */
    THREAD_EXITS,              /* Requests go to another thread, which ends without answering or releasing them. */
    FAULTS,
} Fault;

static const char *const names[FAULTS] = {
    [NOTHING] = "nothing",
    [INITIALIZE_FAILS] = "initialize_fails",
    [INITIALIZE_HANGS] = "initialize_hangs",
    [INITIALIZE_VERSION] = "initialize_version",
    [ATTRIBUTES_FAIL] = "attributes_fail",
    [ATTRIBUTES_HANG] = "attributes_hang",
    [FINALIZE_FAILS] = "finalize_fails",
    [FINALIZE_HANGS] = "finalize_hangs",
    [MODEL_INITIALIZE_FAILS] = "model_initialize_fails",
    [MODEL_INITIALIZE_HANGS] = "model_initialize_hangs",
    [MODEL_FINALIZE_FAILS] = "model_finalize_fails",
    [MODEL_FINALIZE_HANGS] = "model_finalize_hangs",
    [INSTANCE_INITIALIZE_FAILS] = "instance_initialize_fails",
    [INSTANCE_INITIALIZE_HANGS] = "instance_initialize_hangs",
    [INSTANCE_FINALIZE_FAILS] = "instance_finalize_fails",
    [INSTANCE_FINALIZE_HANGS] = "instance_finalize_hangs",
    [READY_FAILS] = "ready_fails",
    [READY_HANGS] = "ready_hangs",
    [EXECUTE_FAILS] = "execute_fails",
    [EXECUTE_EXITS] = "execute_exits",
    [EXECUTE_RAISES] = "execute_raises",
    [EXECUTE_HANGS] = "execute_hangs",
    [EXECUTE_ODD_ERROR] = "execute_odd_error",
    [EXECUTE_FAILS_LATE] = "execute_fails_late",
    [BATCH_FAILS] = "batch_fails",
    [FIRST_FAILS] = "first_fails",
    [NEVER_ANSWERS] = "never_answers",
    [NEVER_RELEASES] = "never_releases",
    [FORGETS] = "forgets",
    [RELEASES_TWICE] = "releases_twice",
    [ANSWERS_TWICE] = "answers_twice",
    [SENDS_TWICE] = "sends_twice",
    [DELETES_TWICE] = "deletes_twice",
    [DELETES_SENT] = "deletes_sent",
    [ANSWERS_RELEASED] = "answers_released",
    [WRONG_KIND] = "wrong_kind",
    [NULL_HANDLES] = "null_handles",
    [BAD_INDEX] = "bad_index",
    [DELETED_ERROR] = "deleted_error",
    [OUTPUT_TOO_SMALL] = "output_too_small",
    [OUTPUT_TOO_LARGE] = "output_too_large",
    [OUTPUT_HUGE] = "output_huge",
    [OUTPUT_WITHOUT_BUFFER] = "output_without_buffer",
    [OUTPUT_TWICE] = "output_twice",
    [OUTPUT_MISSING] = "output_missing",
    [OUTPUT_UNKNOWN] = "output_unknown",
    [OUTPUT_ODD_TYPE] = "output_odd_type",
    [OUTPUT_ODD_SHAPE] = "output_odd_shape",
    [RESPONSE_AFTER_FINAL] = "response_after_final",
    [FINAL_TWICE] = "final_twice",
    [NO_FINAL] = "no_final",
    [FACTORY_DELETED_TWICE] = "factory_deleted_twice",
    [ANSWERS_LATE] = "answers_late",
    [THREAD_EXITS] = "thread_exits",
};

typedef struct {
    Fault fault;
    long after, every, seconds;
} Plan;

typedef struct {
    Plan plan;
    long executions;
} State;

/* ---- Helpers ----------------------------------------------------------------------------------------------------- */

#define TRY(CALL)                                                                                   \
    do {                                                                                            \
        Error *failed = (CALL);                                                                     \
        if (failed != NULL) return failed;                                                          \
    } while (0)

/* What a call of a fault returns is of no interest, but it is ours to delete. */
static void whatever(Error *error) {
    if (error != NULL) TRITONSERVER_ErrorDelete(error);
}

static Error *failure(Fault fault) {
    char message[64];
    snprintf(message, sizeof message, "faulty: %s", names[fault]);
    return TRITONSERVER_ErrorNew(INTERNAL, message);
}

static void hang(long seconds) {
    if (seconds > 0)
        sleep((unsigned)seconds);
    else
        for (;;) pause();
}

/* The fault of that name, if there is one. */
static Fault fault_of(const char *name, size_t size) {
    for (int fault = 0; fault < FAULTS; fault++)
        if (strlen(names[fault]) == size && memcmp(names[fault], name, size) == 0) return (Fault)fault;
    return NOTHING;
}

/* The fault that the backend's name says. */
static Fault fault_of_backend(Backend *backend) {
    const char *name = NULL;
    whatever(TRITONBACKEND_BackendName(backend, &name));
    const char *fault = name == NULL ? NULL : strchr(name, '_');
    return fault == NULL ? NOTHING : fault_of(fault + 1, strlen(fault + 1));
}

/* The text of a model's parameter, in the JSON of its configuration; null where it is not there. */
static const char *parameter(const char *json, const char *name, size_t *size) {
    char key[32];
    snprintf(key, sizeof key, "\"%s\"", name);
    const char *at = strstr(json, "\"parameters\"");
    if (at == NULL || (at = strstr(at, key)) == NULL || (at = strstr(at, "\"string_value\"")) == NULL) return NULL;
    if ((at = strchr(at + strlen("\"string_value\""), '"')) == NULL) return NULL;
    const char *end = strchr(++at, '"');
    if (end == NULL) return NULL;
    *size = (size_t)(end - at);
    return at;
}

static long number(const char *json, const char *name, long otherwise) {
    size_t size;
    const char *text = parameter(json, name, &size);
    return text == NULL ? otherwise : strtol(text, NULL, 10);
}

static Error *read_plan(Model *model, Plan *plan) {
    Message *message = NULL;
    const char *base;
    size_t size;
    TRY(TRITONBACKEND_ModelConfig(model, 1, &message));
    TRY(TRITONSERVER_MessageSerializeToJson(message, &base, &size));
    char *json = strndup(base, size);
    whatever(TRITONSERVER_MessageDelete(message));
    const char *fault = parameter(json, "fault", &size);
    plan->fault = fault == NULL ? NOTHING : fault_of(fault, size);
    bool unknown = fault != NULL && plan->fault == NOTHING && strncmp(fault, "nothing", size) != 0;
    plan->after = number(json, "after", 0);
    plan->every = number(json, "every", 1);
    plan->seconds = number(json, "seconds", 0);
    if (plan->every < 1) plan->every = 1;
    free(json);
    return unknown ? TRITONSERVER_ErrorNew(UNSUPPORTED, "faulty: no fault has that name") : NULL;
}

/* ---- Responses --------------------------------------------------------------------------------------------------- */

/* Writes OUTPUT as the fault wants it, which without one is INPUT. */
static Error *fill(Response *response, Request *request, Fault fault) {
    Input *input = NULL;
    const int64_t *shape;
    uint32_t type, rank, pieces;
    uint64_t size;
    TRY(TRITONBACKEND_RequestInput(request, "INPUT", &input));
    TRY(TRITONBACKEND_InputProperties(input, NULL, &type, &shape, &rank, &size, &pieces));
    if (fault == OUTPUT_MISSING) return NULL;

    int64_t odd_shape[1] = {-1};
    const char *name = fault == OUTPUT_UNKNOWN ? "SOMETHING_ELSE" : "OUTPUT";
    if (fault == OUTPUT_ODD_TYPE) type = 999;
    if (fault == OUTPUT_ODD_SHAPE) shape = odd_shape, rank = 1;
    Output *output = NULL;
    TRY(TRITONBACKEND_ResponseOutput(response, &output, name, type, shape, rank));
    if (fault == OUTPUT_TWICE) TRY(TRITONBACKEND_ResponseOutput(response, &output, name, type, shape, rank));
    if (fault == OUTPUT_WITHOUT_BUFFER) return NULL;

    uint64_t room = size;
    if (fault == OUTPUT_TOO_SMALL && size > 0) room = size - 1;
    if (fault == OUTPUT_TOO_LARGE) room = size + 4;
    if (fault == OUTPUT_HUGE) room = UINT64_C(1) << 62;
    void *place = NULL;
    uint32_t memory = 0;
    int64_t device = 0;
    TRY(TRITONBACKEND_OutputBuffer(output, &place, room, &memory, &device));
    char *to = place;
    uint64_t left = room < size ? room : size;
    if (room > size && fault != OUTPUT_HUGE) memset(to + size, 0, room - size);
    for (uint32_t i = 0; i < pieces; i++) {
        const void *piece = NULL;
        uint64_t piece_size = 0;
        TRY(TRITONBACKEND_InputBuffer(input, i, &piece, &piece_size, &memory, &device));
        if (piece_size > left) piece_size = left;
        if (piece_size > 0) memcpy(to, piece, piece_size);
        to += piece_size, left -= piece_size;
    }
    return NULL;
}

static void answer_with(Request *request, Fault fault, Error *error) {
    Response *response = NULL;
    whatever(TRITONBACKEND_ResponseNew(&response, request));
    if (response == NULL) return whatever(error);
    if (error == NULL) error = fill(response, request, fault);
    whatever(TRITONBACKEND_ResponseSend(response, FINAL, error));
    if (fault == SENDS_TWICE) whatever(TRITONBACKEND_ResponseSend(response, FINAL, NULL));
    if (fault == DELETES_SENT) whatever(TRITONBACKEND_ResponseDelete(response));
    whatever(error);
}

static void answer(Request *request, Fault fault) { answer_with(request, fault, NULL); }

static void release(Request *request) { whatever(TRITONBACKEND_RequestRelease(request, RELEASE_ALL)); }

/* Answers by a factory, as decoupled models do. */
static void answer_by_factory(Request *request, Fault fault) {
    Factory *factory = NULL;
    Response *response = NULL;
    whatever(TRITONBACKEND_ResponseFactoryNew(&factory, request));
    whatever(TRITONBACKEND_ResponseNewFromFactory(&response, factory));
    whatever(fill(response, request, NOTHING));
    whatever(TRITONBACKEND_ResponseSend(response, fault == NO_FINAL ? 0 : FINAL, NULL));
    if (fault == RESPONSE_AFTER_FINAL) {
        response = NULL;
        whatever(TRITONBACKEND_ResponseNewFromFactory(&response, factory));
        if (response != NULL) {
            whatever(fill(response, request, NOTHING));
            whatever(TRITONBACKEND_ResponseSend(response, 0, NULL));
        }
    }
    if (fault == FINAL_TWICE) whatever(TRITONBACKEND_ResponseFactorySendFlags(factory, FINAL));
    whatever(TRITONBACKEND_ResponseFactoryDelete(factory));
    if (fault == FACTORY_DELETED_TWICE) whatever(TRITONBACKEND_ResponseFactoryDelete(factory));
}

/* ---- Misuse that goes before an ordinary answer ------------------------------------------------------------------ */

static void misuse(Request *request, Fault fault) {
    Response *response = NULL;
    Input *input = NULL;
    const void *piece = NULL;
    uint64_t size = 0;
    uint32_t memory = 0;
    int64_t device = 0;
    whatever(TRITONBACKEND_ResponseNew(&response, request));
    whatever(TRITONBACKEND_RequestInput(request, "INPUT", &input));
    switch (fault) {
    case DELETES_TWICE:
        whatever(TRITONBACKEND_ResponseDelete(response));
        break;
    case WRONG_KIND:
        whatever(TRITONBACKEND_RequestRelease((Request *)response, RELEASE_ALL));
        whatever(TRITONBACKEND_ResponseSend((Response *)request, FINAL, NULL));
        whatever(TRITONBACKEND_InputBuffer((Input *)response, 0, &piece, &size, &memory, &device));
        whatever(TRITONBACKEND_ResponseFactoryDelete((Factory *)request));
        break;
    case NULL_HANDLES:
        whatever(TRITONBACKEND_ResponseSend(NULL, FINAL, NULL));
        whatever(TRITONBACKEND_ResponseDelete(NULL));
        whatever(TRITONBACKEND_RequestRelease(NULL, RELEASE_ALL));
        whatever(TRITONBACKEND_RequestInput(request, NULL, &input));
        whatever(TRITONBACKEND_ResponseNew(NULL, request));
        whatever(TRITONBACKEND_ResponseOutput(response, NULL, "OUTPUT", 11, NULL, 1));
        break;
    case BAD_INDEX:
        whatever(TRITONBACKEND_RequestInputByIndex(request, 99, &input));
        whatever(TRITONBACKEND_RequestInput(request, "INPUT", &input));
        whatever(TRITONBACKEND_InputBuffer(input, 99, &piece, &size, &memory, &device));
        break;
    case DELETED_ERROR: {
        Error *error = TRITONSERVER_ErrorNew(INTERNAL, "deleted twice");
        TRITONSERVER_ErrorDelete(error);
        TRITONSERVER_ErrorDelete(error);
        break;
    }
    default:
        break;
    }
    whatever(TRITONBACKEND_ResponseDelete(response));
    answer(request, NOTHING);
    release(request);
}

/* ---- Other threads ----------------------------------------------------------------------------------------------- */

typedef struct {
    Request *request;
    Plan plan;
} Late;

static void *late(void *argument) {
    Late work = *(Late *)argument;
    free(argument);
    if (work.plan.fault == THREAD_EXITS) return NULL;
    sleep(work.plan.seconds > 0 ? (unsigned)work.plan.seconds : 1);
    answer(work.request, NOTHING);
    release(work.request);
    return NULL;
}

static void answer_late(Request *request, Plan plan) {
    Late *work = malloc(sizeof *work);
    *work = (Late){request, plan};
    pthread_t thread;
    pthread_create(&thread, NULL, late, work);
    pthread_detach(thread);
}

/* ---- One request ------------------------------------------------------------------------------------------------- */

static void serve(Request *request, Plan plan, uint32_t index) {
    switch (plan.fault) {
    case BATCH_FAILS:
        answer_with(request, NOTHING, failure(BATCH_FAILS));
        return release(request);
    case FIRST_FAILS:
        answer_with(request, NOTHING, index == 0 ? failure(FIRST_FAILS) : NULL);
        return release(request);
    case NEVER_ANSWERS:
        return release(request);
    case NEVER_RELEASES:
        return answer(request, NOTHING);
    case FORGETS:
        return;
    case RELEASES_TWICE:
        answer(request, NOTHING);
        release(request);
        return release(request);
    case ANSWERS_TWICE:
        answer(request, NOTHING);
        answer(request, NOTHING);
        return release(request);
    case ANSWERS_RELEASED:
        release(request);
        return answer(request, NOTHING);
    case DELETES_TWICE:
    case WRONG_KIND:
    case NULL_HANDLES:
    case BAD_INDEX:
    case DELETED_ERROR:
        return misuse(request, plan.fault);
    case RESPONSE_AFTER_FINAL:
    case FINAL_TWICE:
    case NO_FINAL:
    case FACTORY_DELETED_TWICE:
        answer_by_factory(request, plan.fault);
        return release(request);
    case ANSWERS_LATE:
    case THREAD_EXITS:
        return answer_late(request, plan);
    default:
        answer(request, plan.fault);
        return release(request);
    }
}

/* ---- What the server calls --------------------------------------------------------------------------------------- */

Error *TRITONBACKEND_Initialize(Backend *backend) {
#ifdef NEEDS_MORE
    whatever(TRITONBACKEND_FunctionThatNoServerHas());
#endif
    Fault fault = fault_of_backend(backend);
    if (fault == INITIALIZE_HANGS) hang(0);
    if (fault == INITIALIZE_VERSION) return TRITONSERVER_ErrorNew(UNSUPPORTED, "faulty: the server's API is too old");
    return fault == INITIALIZE_FAILS ? failure(fault) : NULL;
}

Error *TRITONBACKEND_Finalize(Backend *backend) {
    Fault fault = fault_of_backend(backend);
    if (fault == FINALIZE_HANGS) hang(0);
    return fault == FINALIZE_FAILS ? failure(fault) : NULL;
}

Error *TRITONBACKEND_GetBackendAttribute(Backend *backend, Attribute *attributes) {
    (void)attributes;
    Fault fault = fault_of_backend(backend);
    if (fault == ATTRIBUTES_HANG) hang(0);
    return fault == ATTRIBUTES_FAIL ? failure(fault) : NULL;
}

Error *TRITONBACKEND_ModelInitialize(Model *model) {
    Plan plan;
    TRY(read_plan(model, &plan));
    if (plan.fault == MODEL_INITIALIZE_HANGS) hang(plan.seconds);
    if (plan.fault == MODEL_INITIALIZE_FAILS) return failure(plan.fault);
    State *state = malloc(sizeof *state);
    *state = (State){plan, 0};
    return TRITONBACKEND_ModelSetState(model, state);
}

Error *TRITONBACKEND_ModelFinalize(Model *model) {
    void *state = NULL;
    TRY(TRITONBACKEND_ModelState(model, &state));
    if (state == NULL) return NULL;
    Plan plan = ((State *)state)->plan;
    free(state);
    if (plan.fault == MODEL_FINALIZE_HANGS) hang(plan.seconds);
    return plan.fault == MODEL_FINALIZE_FAILS ? failure(plan.fault) : NULL;
}

Error *TRITONBACKEND_ModelInstanceInitialize(Instance *instance) {
    Model *model = NULL;
    void *of_model = NULL;
    TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    TRY(TRITONBACKEND_ModelState(model, &of_model));
    Plan plan = ((State *)of_model)->plan;
    if (plan.fault == INSTANCE_INITIALIZE_HANGS) hang(plan.seconds);
    if (plan.fault == INSTANCE_INITIALIZE_FAILS) return failure(plan.fault);
    State *state = malloc(sizeof *state);
    *state = (State){plan, 0};
    return TRITONBACKEND_ModelInstanceSetState(instance, state);
}

Error *TRITONBACKEND_ModelInstanceFinalize(Instance *instance) {
    void *state = NULL;
    TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    if (state == NULL) return NULL;
    Plan plan = ((State *)state)->plan;
    free(state);
    if (plan.fault == INSTANCE_FINALIZE_HANGS) hang(plan.seconds);
    return plan.fault == INSTANCE_FINALIZE_FAILS ? failure(plan.fault) : NULL;
}

Error *TRITONBACKEND_ModelInstanceReady(Instance *instance) {
    void *state = NULL;
    TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    const State *own = state;
    if (own->executions < own->plan.after) return NULL;
    if (own->plan.fault == READY_HANGS) hang(own->plan.seconds);
    return own->plan.fault == READY_FAILS ? failure(READY_FAILS) : NULL;
}

#ifndef WITHOUT_EXECUTE
/* Unwinds the stack as another language would. It is not let go of. */
static void raise_exception(void) {
    struct _Unwind_Exception *exception = calloc(1, sizeof *exception);
    if (exception == NULL) return;
    memcpy(&exception->exception_class, "MOZ\0TEST", sizeof exception->exception_class);
    _Unwind_RaiseException(exception);
}

Error *TRITONBACKEND_ModelInstanceExecute(Instance *instance, Request **requests, const uint32_t request_count) {
    void *state = NULL;
    TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    State *own = state;
    Plan plan = own->plan;
    long beyond = ++own->executions - plan.after;
    if (beyond <= 0 || beyond % plan.every != 0) plan.fault = NOTHING;

    if (plan.fault == EXECUTE_EXITS) pthread_exit(NULL);
    if (plan.fault == EXECUTE_RAISES) raise_exception();
    if (plan.fault == EXECUTE_HANGS) hang(plan.seconds);
    if (plan.fault == EXECUTE_FAILS) return failure(plan.fault);
    if (plan.fault == EXECUTE_ODD_ERROR) return TRITONSERVER_ErrorNew(999, NULL);
    for (uint32_t i = 0; i < request_count; i++) serve(requests[i], plan, i);
    return plan.fault == EXECUTE_FAILS_LATE ? failure(plan.fault) : NULL;
}
#endif
