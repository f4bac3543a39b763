//! Traces of requests.

use super::*;

fn trace(line: &str, variables: &str) -> Trace {
    served(line, variables).trace
}

const TIMESTAMPS: TraceLevel = TraceLevel { timestamps: true, tensors: false };

#[test]
fn without_settings_nothing_is_traced() {
    let defaults = Trace {
        mode: TraceMode::Triton,
        level: TraceLevel::OFF,
        rate: 1000,
        count: None,
        file: None,
        log_frequency: 0,
        otlp: Otlp::default(),
    };
    assert_eq!(trace("", ""), defaults);
    // What other programs are told is nobody's business here.
    assert_eq!(trace("", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/v1/traces"), defaults);
}

#[test]
fn tritons_example_is_understood_in_the_new_and_in_the_older_words() {
    let new = "--trace-config triton,file=/tmp/trace.json --trace-config triton,log-frequency=50 \
               --trace-config rate=100 --trace-config level=TIMESTAMPS --trace-config count=100";
    let older = "--trace-file=/tmp/trace.json --trace-rate=100 --trace-level=TIMESTAMPS \
                 --trace-log-frequency=50 --trace-count=100";
    assert_eq!(trace(new, ""), trace(older, ""));
    let expected = Trace {
        level: TIMESTAMPS,
        rate: 100,
        count: Some(100),
        file: Some("/tmp/trace.json".into()),
        log_frequency: 50,
        ..trace("", "")
    };
    assert_eq!(trace(new, ""), expected);
    let both = format!("{older} --trace-config=rate=3 --trace-config=count=-1");
    assert_eq!(trace(&both, ""), Trace { rate: 3, count: None, ..expected });
}

#[test]
fn levels_add_up_and_off_is_off() {
    let file = "--trace-file=f";
    let level = |line: &str| trace(&format!("{file} {line}"), "").level;
    let both = TraceLevel { timestamps: true, tensors: true };
    assert_eq!(level("--trace-config=level=tensors --trace-level=MIN"), both);
    assert_eq!(level("--trace-config=level=TIMESTAMPS --trace-config=level=TENSORS"), both);
    assert_eq!(level("--trace-config=level=max"), TIMESTAMPS);
    assert_eq!(level("--trace-config=level=TIMESTAMPS --trace-level=OFF"), TraceLevel::OFF);
}

#[test]
fn a_receiver_is_named_by_flags_or_by_the_variables_that_every_program_knows() {
    let line = "--trace-config=mode=opentelemetry --trace-config=level=TIMESTAMPS";
    let by_flags = trace(
        &format!(
            "{line} --trace-config=opentelemetry,url=collector:4317 \
             --trace-config=opentelemetry,resource=service.name=mine --trace-config=opentelemetry,resource=a=b=c \
             --trace-config=opentelemetry,bsp_max_queue_size=10 --trace-config=opentelemetry,bsp_schedule_delay=0 \
             --trace-config=opentelemetry,bsp_max_export_batch_size=5"
        ),
        "",
    );
    let resource = [("a", "b=c"), ("service.name", "mine")].map(|(key, value)| (key.into(), value.into()));
    let mut otlp = by_flags.otlp;
    otlp.resource.sort();
    let expected = Otlp {
        url: "http://collector:4317".into(),
        resource: resource.into(),
        max_queue_size: NonZeroUsize::new(10).unwrap(),
        schedule_delay: Duration::ZERO,
        max_export_batch_size: NonZeroUsize::new(5).unwrap(),
    };
    assert_eq!(otlp, expected);
    let by_variables = trace(
        line,
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317/ OTEL_SERVICE_NAME=mine OTEL_RESOURCE_ATTRIBUTES=a=b=c \
         OTEL_BSP_MAX_QUEUE_SIZE=10 OTEL_BSP_SCHEDULE_DELAY=0 OTEL_BSP_MAX_EXPORT_BATCH_SIZE=5",
    );
    otlp = by_variables.otlp;
    otlp.resource.sort();
    assert_eq!(otlp, expected);
    let both = trace(
        &format!("{line} --trace-config=opentelemetry,url=https://other:1"),
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317",
    );
    assert_eq!(both.otlp.url, "https://other:1");
}

#[test]
fn a_setting_that_makes_no_sense_is_refused_with_a_reason() {
    for (setting, reason) in [
        ("rate", "expected MODE,KEY=VALUE or KEY=VALUE, found 'rate'"),
        ("level=", "expected MODE,KEY=VALUE or KEY=VALUE, found 'level='"),
        ("jaeger,url=x", "expected triton or opentelemetry as MODE, found 'jaeger,url=x'"),
        ("speed=1", "the form without a mode has no setting 'speed'; it has level, rate, count, mode"),
        ("triton,url=x", "the trace mode triton has no setting 'url'; it has file, log-frequency"),
        ("opentelemetry,file=x", "the trace mode opentelemetry has no setting 'file'; it has url, resource,"),
        ("rate=-1", "expected a whole number from 0 to 2147483647 for 'rate', found '-1'"),
        ("count=-2", "expected a whole number from -1 to 2147483647 for 'count', found '-2'"),
        ("level=all", "expected one of OFF, FALSE, TIMESTAMPS, TRUE, ON, MIN, MAX, TENSORS for 'level'"),
        ("mode=zipkin", "expected one of triton, opentelemetry for 'mode', found 'zipkin'"),
        ("opentelemetry,url=http://c:4318/v1/traces", "expected the URL of an OTLP receiver over gRPC"),
        ("opentelemetry,url=ftp://c", "expected the URL of an OTLP receiver over gRPC"),
        ("opentelemetry,resource=name", "expected KEY=VALUE, found 'name'"),
        ("opentelemetry,bsp_max_queue_size=0", "expected a whole number from 1 to 2147483647"),
    ] {
        let error = error(&format!("--model-repository=models --trace-config={setting}"), "");
        assert!(error.starts_with("--trace-config: ") && error.contains(reason), "{setting}: {error}");
    }
    let tensors =
        error("--model-repository=models --trace-config=mode=opentelemetry --trace-config=level=TENSORS", "");
    assert_eq!(tensors, "--trace-config is refused: only the trace mode triton has the level TENSORS");
    let telemetry = "OTEL_EXPORTER_OTLP_ENDPOINT=http://c/v1/traces";
    let error = error("--model-repository=models --trace-config=mode=opentelemetry", telemetry);
    assert!(error.starts_with("variable OTEL_EXPORTER_OTLP_ENDPOINT: expected the URL"), "{error}");
}

#[test]
fn whoever_traces_into_no_file_is_warned() {
    let reason = "nothing is traced: --trace-config=triton,file=PATH does not say where to write traces";
    assert_eq!(warnings("--trace-level=TIMESTAMPS", ""), [reason]);
    assert!(warnings("--trace-level=TIMESTAMPS --trace-file=f", "").is_empty());
    assert!(warnings("--trace-level=TIMESTAMPS --trace-config=mode=opentelemetry", "").is_empty());
}
