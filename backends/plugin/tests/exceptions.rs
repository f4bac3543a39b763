//! Exceptions of C++ that plugins let out of their entry points: errors as any others, where they are caught at all.
#![cfg(catches_exceptions)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use nerite_backend::{BackendError, Code};
use support::{CONFIG, Plugged};

/// The plugin's runtime of C++ is shared with others, or its own.
const RUNTIMES: [&[&str]; 2] = [&[], &["-static-libstdc++"]];

/// Throws what the value of a request's input says; by 0 it answers how many exceptions are on their way on this thread.
const THROWING: &str = r#"
#include <stdexcept>
#include <string>
namespace own { struct Thing {}; }
struct Silent : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
static float value_of(Request* request) {
  Input* input;
  const void* data;
  uint64_t size;
  int memory = 0;
  int64_t device = 0;
  TRITONBACKEND_RequestInput(request, "x", &input);
  TRITONBACKEND_InputBuffer(input, 0, &data, &size, &memory, &device);
  return *static_cast<const float*>(data);
}
extern "C" Error* TRITONBACKEND_ModelInstanceExecute(Instance*, Request** requests, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    switch (static_cast<int>(value_of(requests[i]))) {
      case 1: throw std::runtime_error("no luck");
      case 2: throw 7;
      case 3: throw own::Thing();
      case 4: throw Silent();
      case 5: throw std::logic_error(std::string(100000, 'x'));
      case 6:
        try {
          throw std::out_of_range("again");
        } catch (const std::exception&) {
          throw;
        }
    }
    Response* response;
    TRY(TRITONBACKEND_ResponseNew(&response, requests[i]));
    TRY(add_value(response, std::uncaught_exceptions()));
    TRY(TRITONBACKEND_ResponseSend(response, FINAL, NULL));
    TRY(TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL));
  }
  return NULL;
}
"#;

/// What is thrown by each value.
fn thrown() -> [(f32, String); 6] {
    [
        (1.0, "no luck".into()),
        (2.0, "an object of type int".into()),
        (3.0, "an object of type own::Thing".into()),
        (4.0, "an object of type Silent".into()),
        (5.0, format!("{}…", "x".repeat(503))),
        (6.0, "again".into()),
    ]
}

#[track_caller]
fn assert_thrown(error: &BackendError, entry_point: &str, what: &str) {
    let expected = format!("backend 'x' let an exception out of TRITONBACKEND_{entry_point}: {what}");
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.ends_with(&expected), "{}", error.message);
}

#[test]
fn whatever_is_thrown_out_of_an_execution_is_the_answer_and_the_next_execution_knows_nothing_of_it() {
    for flags in RUNTIMES {
        let plugged = Plugged::new().with_cpp("x", THROWING, flags);
        let mut served = plugged.start("x", CONFIG);
        for (value, what) in thrown() {
            for caller in served.execute(&[&[value], &[0.0]]) {
                assert_thrown(&caller.error(), "ModelInstanceExecute", &what);
                caller.assert_over();
            }
            let callers = served.execute(&[&[0.0]]);
            assert_eq!(callers[0].values(), [0.0], "after '{what}' with {flags:?}");
        }
    }
}

#[test]
fn an_exception_after_a_request_was_released_is_the_answer_to_the_others_alone() {
    let plugged = Plugged::new().with_cpp("x", THROWING, &[]);
    let callers = plugged.start("x", CONFIG).execute(&[&[0.0], &[1.0], &[0.0]]);
    assert_eq!(callers[0].values(), [0.0]);
    callers[1..].iter().for_each(|caller| assert_thrown(&caller.error(), "ModelInstanceExecute", "no luck"));
    callers.iter().for_each(|caller| caller.assert_over());
}

/// A plugin that throws where it is called by that name.
fn throwing_out_of(entry_point: &str) -> Plugged {
    let functions = [
        ("Initialize", "Backend*"),
        ("GetBackendAttribute", "Backend*, BackendAttribute*"),
        ("ModelInitialize", "Model*"),
        ("ModelInstanceInitialize", "Instance*"),
        ("ModelInstanceReady", "Instance*"),
        ("ModelInstanceFinalize", "Instance*"),
        ("ModelFinalize", "Model*"),
        ("Finalize", "Backend*"),
    ];
    let text = functions.map(|(name, parameters)| {
        let body =
            if name == entry_point { "throw std::runtime_error(\"no luck\");" } else { "return NULL;" };
        format!("extern \"C\" Error* TRITONBACKEND_{name}({parameters}) {{ {body} }}\n")
    });
    Plugged::new().with_cpp("x", &format!("{THROWING}{}", text.concat()), &[])
}

#[test]
fn an_exception_out_of_an_initialisation_refuses_what_was_to_be_initialised() {
    for entry_point in ["Initialize", "ModelInitialize"] {
        let error = throwing_out_of(entry_point).load("x", CONFIG).err().unwrap();
        assert_thrown(&error, entry_point, "no luck");
    }
    let plugged = throwing_out_of("ModelInstanceInitialize");
    let model = plugged.load("x", CONFIG).unwrap();
    let error = support::instance(&*model, &Default::default()).err().unwrap();
    assert_thrown(&error, "ModelInstanceInitialize", "no luck");
}

#[test]
fn an_exception_where_an_instance_is_asked_says_that_it_is_not_ready() {
    let plugged = throwing_out_of("ModelInstanceReady");
    let mut served = plugged.start("x", CONFIG);
    let error = served.instance.as_mut().unwrap().ready().unwrap().unwrap_err();
    assert_thrown(&error, "ModelInstanceReady", "no luck");
}

#[test]
fn an_exception_where_an_error_has_no_consequence_has_none_either() {
    for entry_point in ["GetBackendAttribute", "ModelInstanceFinalize", "ModelFinalize", "Finalize"] {
        let plugged = throwing_out_of(entry_point);
        let mut served = plugged.start("x", CONFIG);
        assert_eq!(served.execute(&[&[0.0]])[0].values(), [0.0]);
        drop(served);
        drop(plugged);
    }
}
