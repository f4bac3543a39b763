//! How plugins are loaded, initialised and finalised.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::sync::Arc;

use nerite_backend::{Code, Configuration, DType};
use support::{Account, CONFIG, Plugged, instance};

/// A plugin that writes down, in `steps` beside its library, what it is called with.
const TELLING: &str = r#"
#include <stdio.h>
static char path[4096];
static Error* step(const char* what) {
  FILE* file = fopen(path, "a");
  fprintf(file, "%s\n", what);
  fclose(file);
  return NULL;
}
Error* TRITONBACKEND_Initialize(Backend* backend) {
  int type = 7;
  const char* place;
  TRY(TRITONBACKEND_BackendArtifacts(backend, &type, &place));
  EXPECT(type == 0);
  snprintf(path, sizeof path, "%s/steps", place);
  return step("initialize");
}
Error* TRITONBACKEND_Finalize(Backend* backend) { return step("finalize"); }
Error* TRITONBACKEND_ModelInitialize(Model* model) { step("model"); MODEL }
Error* TRITONBACKEND_ModelFinalize(Model* model) { return step("model ends"); }
Error* TRITONBACKEND_ModelInstanceInitialize(Instance* instance) { step("instance"); INSTANCE }
Error* TRITONBACKEND_ModelInstanceFinalize(Instance* instance) { return step("instance ends"); }
Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count) { return NULL; }
"#;

fn telling(model: &str, instance: &str) -> Plugged {
    let text =
        TELLING.replace("MODEL }", &format!("{model} }}")).replace("INSTANCE }", &format!("{instance} }}"));
    Plugged::new().with_text("x", &text, &[])
}

fn steps(plugged: &Plugged) -> Vec<String> {
    let text = fs::read_to_string(plugged.library("x").with_file_name("steps")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_library_is_initialised_once_and_a_model_is_finalised_after_its_instances() {
    let plugged = telling("return NULL;", "return NULL;");
    let first = plugged.start("x", CONFIG);
    let second = plugged.start("x", CONFIG);
    let other = instance(&*second.model, &Arc::new(Account::default())).unwrap();
    // The model's last holder is an instance of it.
    drop((first, second));
    let begun = ["initialize", "model", "instance", "model", "instance", "instance"];
    let ended = ["instance ends", "model ends", "instance ends"];
    assert_eq!(steps(&plugged), [&begun[..], &ended].concat());
    drop(other);
    assert_eq!(steps(&plugged)[9..], ["instance ends", "model ends"]);
}

#[test]
fn what_fails_to_initialise_is_told_as_the_plugin_says_and_finalised_if_it_keeps_something() {
    let error = r#"return TRITONSERVER_ErrorNew(NOT_FOUND, "no weights");"#;
    for (state, ends) in [("", &[][..]), ("TRITONBACKEND_ModelSetState(model, model);", &["model ends"])] {
        let plugged = telling(&format!("{state} {error}"), "return NULL;");
        let failed = plugged.load("x", CONFIG).err().unwrap();
        assert_eq!((failed.code, failed.message.as_str()), (Code::NotFound, "no weights"));
        assert_eq!(steps(&plugged)[2..], *ends);
    }
    for (state, ends) in [
        ("", &["model ends"][..]),
        ("TRITONBACKEND_ModelInstanceSetState(instance, instance);", &["instance ends", "model ends"]),
    ] {
        let plugged = telling("return NULL;", &format!("{state} {error}"));
        let model = plugged.load("x", CONFIG).unwrap();
        let failed = instance(&*model, &Arc::new(Account::default())).err().unwrap();
        assert_eq!((failed.code, failed.message.as_str()), (Code::NotFound, "no weights"));
        drop(model);
        assert_eq!(steps(&plugged)[3..], *ends);
    }
}

#[test]
fn a_library_whose_initialisation_failed_may_be_tried_again() {
    let text = r#"
        static int tries;
        Error* TRITONBACKEND_Initialize(Backend* backend) {
          uint32_t major, minor;
          TRY(TRITONBACKEND_ApiVersion(&major, &minor));
          EXPECT(major == 1 && minor == 19);
          return tries++ == 0 ? TRITONSERVER_ErrorNew(UNSUPPORTED, "this API is too old") : NULL;
        }
        Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count) { return NULL; }"#;
    let plugged = Plugged::new().with_text("x", text, &[]);
    let failed = plugged.load("x", CONFIG).err().unwrap();
    assert_eq!(failed.code, Code::Unsupported);
    assert!(failed.message.ends_with("failed to initialise: this API is too old"), "{}", failed.message);
    assert!(failed.message.contains("libtriton_x.so"), "{}", failed.message);
    assert!(plugged.load("x", CONFIG).is_ok());
}

#[test]
fn a_plugin_completes_the_configuration_while_its_model_is_initialised_and_not_later() {
    let set = r#"
        Message* message;
        const char* json = "{\"name\": \"m\", \"max_batch_size\": 4, "
          "\"input\": [{\"name\": \"x\", \"data_type\": \"TYPE_INT64\", \"dims\": [2]}], "
          "\"output\": [{\"name\": \"y\", \"data_type\": \"TYPE_STRING\", \"dims\": [1]}]}";
        TRY(TRITONSERVER_MessageNewFromSerializedJson(&message, json, strlen(json)));"#;
    let model = format!(
        "bool may; TRY(TRITONBACKEND_ModelAutoCompleteConfig(model, &may)); EXPECT(may);
         {set}
         FAILS(UNSUPPORTED, TRITONBACKEND_ModelSetConfig(model, 2, message));
         TRY(TRITONBACKEND_ModelSetConfig(model, 1, message));
         TRY(TRITONSERVER_MessageDelete(message));
         TRY(TRITONBACKEND_ModelConfig(model, 1, &message));
         const char* back; size_t size;
         TRY(TRITONSERVER_MessageSerializeToJson(message, &back, &size));
         EXPECT(size == strlen(json) && memcmp(back, json, size) == 0);
         return TRITONSERVER_MessageDelete(message);"
    );
    let instance_body = format!(
        "Model* model; TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
         {set}
         FAILS(UNSUPPORTED, TRITONBACKEND_ModelSetConfig(model, 1, message));
         return TRITONSERVER_MessageDelete(message);"
    );
    let plugged = telling(&model, &instance_body);
    let model = plugged.load("x", r#"{"name": "m"}"#).unwrap();
    let declaration = model.declaration();
    let Configuration::Completed(json) = &declaration.configuration else { panic!("{declaration:?}") };
    assert!(json.contains("TYPE_INT64"));
    assert_eq!(declaration.inputs[0].dtype, DType::I64);
    assert_eq!(*declaration.inputs[0].shape, [-1, 2]);
    instance(&*model, &Arc::new(Account::default())).unwrap();
}

#[test]
fn everything_that_a_model_and_an_instance_are_told_is_there() {
    let model = r#"
        const char *name, *place, *json;
        uint64_t version;
        size_t size;
        int type;
        Backend* backend;
        Server* server;
        Message* message;
        void* state;
        TRY(TRITONBACKEND_ModelName(model, &name));
        TRY(TRITONBACKEND_ModelVersion(model, &version));
        TRY(TRITONBACKEND_ModelRepository(model, &type, &place));
        TRY(TRITONBACKEND_ModelServer(model, &server));
        TRY(TRITONBACKEND_ModelBackend(model, &backend));
        EXPECT(strcmp(name, "m") == 0 && version == 1 && type == 0 && place[0] == '/' && server != NULL);
        TRY(TRITONBACKEND_BackendName(backend, &name));
        EXPECT(strcmp(name, "x") == 0);
        TRY(TRITONBACKEND_BackendConfig(backend, &message));
        TRY(TRITONSERVER_MessageSerializeToJson(message, &json, &size));
        EXPECT(strncmp(json, "{\"cmdline\":{", 12) == 0);
        TRY(TRITONBACKEND_ModelState(model, &state));
        EXPECT(state == NULL);
        TRY(TRITONBACKEND_ModelSetState(model, &type));
        TRY(TRITONBACKEND_ModelState(model, &state));
        EXPECT(state == &type);
        MemoryManager* manager;
        TRY(TRITONBACKEND_BackendMemoryManager(backend, &manager));
        TRY(TRITONBACKEND_MemoryManagerAllocate(manager, &state, 1, 0, 100));
        memset(state, 1, 100);
        return TRITONBACKEND_MemoryManagerFree(manager, state, 1, 0);"#;
    let instance_body = r#"
        const char *name, *json;
        size_t size;
        int kind;
        int32_t device;
        Message* message;
        TRY(TRITONBACKEND_ModelInstanceName(instance, &name));
        TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
        TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &device));
        EXPECT(strcmp(name, "m_0_0") == 0 && kind == 1 && device == 0);
        TRY(TRITONBACKEND_ModelInstanceHostPolicy(instance, &message));
        TRY(TRITONSERVER_MessageSerializeToJson(message, &json, &size));
        EXPECT(size == 10 && memcmp(json, "{\"cpu\":{}}", size) == 0);
        return NULL;"#;
    let plugged = telling(model, instance_body);
    drop(plugged.start("x", CONFIG));
}

#[test]
fn a_library_that_cannot_be_used_is_told_with_what_to_do() {
    let execute =
        "Error* TRITONBACKEND_ModelInstanceExecute(Instance* i, Request** r, uint32_t n) { return NULL; }";
    let missing = r#"void TRITONSERVER_OfTheFuture(void);
        Error* TRITONBACKEND_Initialize(Backend* backend) { TRITONSERVER_OfTheFuture(); return NULL; }"#;
    let plugged = Plugged::new()
        .with_text("other", "int nothing;", &[])
        .with_text("hidden", execute, &["-fvisibility=hidden"])
        .with_text("future", &format!("{missing}{execute}"), &[])
        .with_text("whole", execute, &[]);
    let whole = fs::read(plugged.library("whole")).unwrap();
    fs::write(plugged.library("half"), &whole[..whole.len() / 2]).unwrap();
    fs::create_dir(plugged.library("folder")).unwrap();
    for (name, said, remedy) in [
        ("missing", "unable to find backend library for backend 'missing'", "--backend-directory"),
        ("other", "has no function TRITONBACKEND_ModelInstanceExecute", "build it"),
        ("hidden", "has no function TRITONBACKEND_ModelInstanceExecute", "visible"),
        ("future", "undefined symbol: TRITONSERVER_OfTheFuture", "an older release"),
        ("half", "is truncated or damaged", "copy or build it again"),
        ("folder", "is a directory", "put the library's file there"),
    ] {
        let error = plugged.load(name, CONFIG).err().unwrap().message;
        assert!(error.contains(said) && error.contains(remedy), "{name}: {error}");
        assert!(error.contains(&format!("libtriton_{name}.so")), "{name}: {error}");
    }
    assert!(plugged.load("whole", CONFIG).is_ok());
}

/// A plugin whose executions fail, and whose instances end only when another has begun.
const LINGERING: &str = r#"
#include <pthread.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int begun;
Error* TRITONBACKEND_GetBackendAttribute(Backend* backend, BackendAttribute* attribute) {
  return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attribute, true);
}
Error* TRITONBACKEND_ModelInstanceInitialize(Instance* instance) {
  pthread_mutex_lock(&lock);
  begun++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return NULL;
}
Error* TRITONBACKEND_ModelInstanceFinalize(Instance* instance) {
  pthread_mutex_lock(&lock);
  while (begun < 2) {
    pthread_cond_wait(&changed, &lock);
  }
  pthread_mutex_unlock(&lock);
  return NULL;
}
Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, uint32_t count) {
  return TRITONSERVER_ErrorNew(INTERNAL, "broken");
}
"#;

#[test]
fn an_instance_that_cannot_execute_any_more_ends_while_another_is_made_in_its_place() {
    let plugged = Plugged::new().with_text("x", LINGERING, &[]);
    let mut served = plugged.start("x", CONFIG);
    assert_eq!(served.execute(&[&[1.0]])[0].error().message, "broken");
    // This would wait for ever if it waited for the end.
    served.instance.take().unwrap().give_way();
    served.instance = Some(instance(&*served.model, &served.account).unwrap());
}

#[test]
fn an_instance_that_says_that_it_can_execute_after_all_has_ended_when_its_model_goes() {
    let text = TELLING
        .replace("MODEL }", "return NULL; }")
        .replace("INSTANCE }", "return NULL; }")
        .replace("count) { return NULL; }", r#"count) { return TRITONSERVER_ErrorNew(INTERNAL, "broken"); }"#)
        .replace(r#"return step("instance ends");"#, r#"usleep(50000); return step("instance ends");"#);
    let more = r#"
        #include <unistd.h>
        Error* TRITONBACKEND_GetBackendAttribute(Backend* backend, BackendAttribute* attribute) {
          return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attribute, true);
        }
        Error* TRITONBACKEND_ModelInstanceReady(Instance* instance) { return NULL; }
        "#;
    let plugged = Plugged::new().with_text("x", &format!("{more}{text}"), &[]);
    let mut served = plugged.start("x", CONFIG);
    assert_eq!(served.execute(&[&[1.0]])[0].error().message, "broken");
    assert_eq!(served.instance.as_mut().unwrap().ready(), Some(Ok(())));
    drop(served);
    assert_eq!(steps(&plugged)[3..], ["instance ends", "model ends"]);
}

#[test]
fn no_memory_is_lost_or_used_that_is_not_there() {
    support::watched("no_memory_is_lost_or_used_that_is_not_there");
}
