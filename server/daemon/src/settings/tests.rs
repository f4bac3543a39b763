//! The settings as a user meets them: a command line, variables and a file go in, settings or a sentence come out.

mod mistakes;
mod models;
mod trace;

use std::fs;
use std::net::Ipv4Addr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use nerite_core::rate_limiter::ResourceLimit;

use super::flag::{Group, Standing};
use super::*;

/// Every flag of tritonserver, by the groups of the reference.
const TRITONS: &str = "
    id exit-timeout-secs model-repository exit-on-error strict-readiness disable-auto-complete-config
    model-control-mode repository-poll-secs load-model model-load-thread-count model-load-retry-count
    model-namespacing grpc-address grpc-port grpc-use-ssl grpc-use-ssl-mutual grpc-server-cert
    grpc-server-key grpc-root-cert grpc-infer-response-compression-level grpc-keepalive-time
    grpc-keepalive-timeout grpc-max-connection-age grpc-max-connection-age-grace
    grpc-restricted-protocol http-address http-port http-max-input-size http-restricted-api
    metrics-address metrics-port metrics-interval-ms metrics-config log-verbose log-info log-warning
    log-error log-format log-file rate-limit rate-limit-resource allow-client-shm
    pinned-memory-pool-byte-size cuda-memory-pool-byte-size allow-grpc allow-http allow-metrics
    allow-cpu-metrics allow-gpu-metrics allow-sagemaker allow-vertex-ai buffer-manager-thread-count
    cache-directory cuda-virtual-address-size enable-peer-access grpc-header-forward-pattern
    grpc-http2-max-pings-without-data grpc-http2-min-recv-ping-interval-without-data
    grpc-http2-max-ping-strikes grpc-infer-thread-count grpc-infer-allocation-pool-size
    grpc-max-response-pool-size grpc-keepalive-permit-without-calls host-policy
    http-header-forward-pattern http-thread-count log-frequency min-supported-compute-capability
    model-config-name model-load-gpu-limit model-store repoagent-directory response-cache-byte-size
    reuse-grpc-port reuse-http-port sagemaker-port sagemaker-safe-port-range sagemaker-thread-count
    strict-model-config trace-file trace-level trace-rate trace-count trace-log-frequency vertex-ai-port
    vertex-ai-thread-count vertex-ai-default-model backend-directory backend-config cache-config
    trace-config";

/// The flags that tritonserver does not have.
const OURS: [&str; 11] = [
    "access-log",
    "access-log-sample",
    flags::CONFIG_FILE,
    "default-max-queue-size",
    "instance-stall-secs",
    "max-connections",
    "max-inflight-bytes",
    "max-inflight-requests",
    "max-streams-per-connection",
    "ready-models",
    "repository-settle-ms",
];

/// Parses a command line, split at spaces, and variables `NAME=VALUE`, split at spaces as well.
fn command(line: &str, variables: &str) -> Result<Command, SettingsError> {
    let args = std::iter::once("nerite").chain(line.split_whitespace()).map(OsString::from);
    let env = variables.split_whitespace().map(|variable| {
        let (name, value) = variable.split_once('=').unwrap();
        (OsString::from(name), OsString::from(value))
    });
    parse(args, env.collect::<Vec<_>>())
}

/// The settings of a daemon with the repository `models`.
#[track_caller]
fn served(line: &str, variables: &str) -> Settings {
    match command(&format!("--model-repository=models {line}"), variables) {
        Ok(Command::Serve(settings)) => *settings,
        other => panic!("'{line}' with '{variables}' gave {other:?}"),
    }
}

#[track_caller]
fn checked(line: &str, variables: &str) -> CheckOptions {
    match command(line, variables) {
        Ok(Command::Check(options)) => *options,
        other => panic!("'{line}' with '{variables}' gave {other:?}"),
    }
}

#[track_caller]
fn printed(line: &str) -> String {
    match command(line, "") {
        Ok(Command::Print(text)) => text,
        other => panic!("'{line}' gave {other:?}"),
    }
}

#[track_caller]
fn error(line: &str, variables: &str) -> String {
    match command(line, variables) {
        Err(error) => error.to_string(),
        other => panic!("'{line}' with '{variables}' gave {other:?}"),
    }
}

#[track_caller]
fn warnings(line: &str, variables: &str) -> Vec<String> {
    served(line, variables).warnings.iter().map(ToString::to_string).collect()
}

/// A folder with a settings file, and the flag that names it.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nerite.toml");
    fs::write(&path, text).unwrap();
    let flag = format!("--config-file={}", path.display());
    (dir, flag)
}

#[test]
fn every_flag_of_tritonserver_is_known_and_none_twice() {
    for name in TRITONS.split_whitespace() {
        assert!(flags::find(name).is_some(), "{name}");
    }
    let mut known: Vec<_> = flags::FLAGS.iter().map(|flag| flag.name).collect();
    assert!(OURS.iter().all(|name| known.contains(name)), "{OURS:?}");
    assert_eq!(known.len(), TRITONS.split_whitespace().count() + OURS.len());
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), flags::FLAGS.len());
}

#[test]
fn without_settings_the_defaults_are_tritons() {
    let settings = served("", "");
    assert_eq!(settings.server, Server { id: "triton".into(), exit_timeout: Duration::from_secs(30) });
    assert_eq!(settings.repository.paths, [Path::new("models")]);
    assert!(settings.repository.exit_on_error && settings.repository.strict_readiness);
    assert!(!settings.repository.strict_config);
    assert_eq!(settings.repository.config_name, None);
    assert_eq!(settings.repository.load_threads.get(), 4);
    let anywhere = |port| Listener { enabled: true, host: Host::Ip(Ipv4Addr::UNSPECIFIED.into()), port };
    assert_eq!(settings.grpc.listener, anywhere(8001));
    assert_eq!(settings.http, anywhere(8000));
    assert_eq!(settings.metrics, anywhere(8002));
    assert_eq!(settings.grpc.tls, None);
    assert_eq!(settings.grpc.response_compression, Compression::None);
    assert_eq!(settings.grpc.keepalive_time, Duration::from_secs(7200));
    assert_eq!(settings.grpc.keepalive_timeout, Duration::from_secs(20));
    assert_eq!((settings.grpc.max_connection_age, settings.grpc.max_connection_age_grace), (None, None));
    let log =
        Log { verbosity: 0, info: true, warning: true, error: true, format: LogFormat::Default, file: None };
    assert_eq!(settings.log, log);
    let sample = NonZeroU32::MIN;
    assert_eq!(settings.access_log, AccessLog { to: AccessLogTo::Off, sample });
    assert_eq!(settings.backends.onnxruntime, OnnxRuntime::default());
    assert_eq!(settings.backends.onnxruntime.default_max_batch_size, 4);
    assert!(settings.warnings.is_empty());
}

#[test]
fn without_settings_the_daemon_is_limited_but_for_its_queues_and_executions() {
    let settings = served("", "");
    let limits = Limits {
        inflight_requests: NonZeroUsize::new(65_536),
        inflight_bytes: None,
        connections: NonZeroUsize::new(65_536).unwrap(),
        streams_per_connection: NonZeroU32::new(4_096).unwrap(),
    };
    assert_eq!(settings.limits, limits);
    assert_eq!(served("--max-inflight-requests=0", "").limits.inflight_requests, None);
    assert_eq!(
        served("--max-inflight-bytes=1099511627776", "").limits.inflight_bytes,
        NonZeroUsize::new(1 << 40)
    );
    let scheduling = Scheduling {
        default_max_queue_size: 0,
        rate_limit: RateLimit::default(),
        hold: None,
        backlog_hold: None,
        stall: None,
    };
    assert_eq!(settings.scheduling, scheduling);
    let stalling = served("--instance-stall-secs=30", "").scheduling;
    assert_eq!(stalling, Scheduling { stall: Some(Duration::from_secs(30)), ..scheduling });
}

#[test]
fn resources_are_counted_by_name_and_device_and_the_least_of_two_counts() {
    let resource = |name: &str, count, device| ResourceLimit { name: name.into(), count, device };
    let line = "--rate-limit=EXECUTION_COUNT --rate-limit-resource=R1:10 --rate-limit-resource R2:5:0 \
                --rate-limit-resource=r2:8:1 --rate-limit-resource=r1:4 --rate-limit-resource=R2:9:1";
    let resources = vec![resource("r1", 4, None), resource("r2", 5, Some(0)), resource("r2", 8, Some(1))];
    let rate_limit = RateLimit { enabled: true, resources };
    assert_eq!(served(line, "").scheduling.rate_limit, rate_limit);
    assert_eq!(checked(&format!("check models {line}"), "").scheduling.rate_limit, rate_limit);
    let variables =
        "NERITE_RATE_LIMIT=execution_count NERITE_RATE_LIMIT_RESOURCE=R1:4;R2:5:0;R2:8:1 TRITONSERVER_X=1";
    assert_eq!(served("", variables).scheduling.rate_limit, rate_limit);
    let (_dir, config) =
        file("rate-limit = 'execution_count'\nrate-limit-resource = ['R1:4', 'R2:5:0', 'R2:8:1']");
    assert_eq!(served(&config, "").scheduling.rate_limit, rate_limit);
}

#[test]
fn tritons_variables_hold_executions_back() {
    let held = served("", "TRITONSERVER_DELAY_SCHEDULER=12 TRITONSERVER_BACKLOG_DELAY_SCHEDULER=0");
    assert_eq!((held.scheduling.hold, held.scheduling.backlog_hold), (NonZeroUsize::new(12), None));
    let held = served("", "TRITONSERVER_BACKLOG_DELAY_SCHEDULER=3");
    assert_eq!((held.scheduling.hold, held.scheduling.backlog_hold), (None, NonZeroUsize::new(3)));
    assert!(held.warnings.is_empty());
    for nothing in ["TRITONSERVER_DELAY_SCHEDULER=0", "TRITONSERVER_DELAY_SCHEDULER=soon"] {
        assert_eq!(served("", nothing), served("", ""), "{nothing}");
    }
}

/// A value other than the default of every working flag that makes sense alone.
const SAMPLES: &str = "
    id=other exit-timeout-secs=7 exit-on-error=false strict-readiness=false disable-auto-complete-config=true
    strict-model-config=true model-config-name=small model-load-thread-count=2 allow-grpc=false
    backend-config=default-max-batch-size=0 grpc-address=::1 grpc-port=9001 grpc-keepalive-time=5
    grpc-infer-response-compression-level=high grpc-keepalive-timeout=5 grpc-max-connection-age=5
    grpc-max-connection-age-grace=5 allow-http=false http-address=localhost http-port=9000 allow-metrics=false
    metrics-address=127.0.0.1 metrics-port=9002 log-verbose=1 log-info=false log-warning=false log-error=false
    log-format=ISO8601 log-file=log trace-config=rate=7 trace-level=TIMESTAMPS trace-rate=5 trace-count=5
    trace-file=log trace-log-frequency=5 rate-limit=execution_count default-max-queue-size=5 max-inflight-requests=5
    max-inflight-bytes=5 max-connections=5 max-streams-per-connection=5 instance-stall-secs=5
    model-control-mode=explicit model-load-retry-count=3 ready-models=a,b metrics-config=summary_latencies=true
    allow-cpu-metrics=false allow-gpu-metrics=false metrics-interval-ms=0.5e3 access-log=requests.log
    access-log-sample=5 backend-directory=backends cache-config=local,size=5
    response-cache-byte-size=5";

#[test]
fn every_working_flag_changes_the_settings_from_every_source() {
    let base = served("", "");
    for sample in SAMPLES.split_whitespace() {
        let (name, value) = sample.split_once('=').unwrap();
        let by_flag = served(&format!("--{name}={value}"), "");
        assert_ne!(base, by_flag, "{sample}");
        if name != "disable-auto-complete-config" {
            assert_eq!(by_flag, served(&format!("--{name} {value}"), ""), "{sample}");
        }
        let variable = name.replace('-', "_").to_uppercase();
        assert_eq!(by_flag, served("", &format!("NERITE_{variable}={value}")), "{sample}");
        for key in [name.to_owned(), name.replace('-', "_")] {
            let (_dir, config) = file(&format!("{key} = '{value}'"));
            assert_eq!(by_flag, served(&config, ""), "{key}");
        }
    }
}

#[test]
fn every_working_flag_has_a_sample_or_a_test_of_its_own() {
    let own = ["config-file", "model-repository", "model-store", "grpc-use-ssl"];
    let models = ["load-model", "repository-poll-secs", "repository-settle-ms"];
    let rate_limit = ["rate-limit-resource"];
    let tls = ["grpc-use-ssl-mutual", "grpc-server-cert", "grpc-server-key", "grpc-root-cert"];
    for flag in flags::FLAGS.iter().filter(|flag| !matches!(flag.group, Group::Tuning | Group::NotYet)) {
        let sampled = SAMPLES.split_whitespace().any(|sample| sample.split('=').next() == Some(flag.name));
        let tested = [own.as_slice(), &models, &tls, &rate_limit].concat().contains(&flag.name);
        assert!(sampled || tested, "{}", flag.name);
    }
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let (_dir, config) = file("grpc-port = 1\nhttp_port = 2\nmetrics-port = 3");
    let settings = served(&format!("{config} --grpc-port=11"), "NERITE_GRPC_PORT=12 NERITE_HTTP_PORT=13");
    let ports = [settings.grpc.listener.port, settings.http.port, settings.metrics.port];
    assert_eq!(ports, [11, 13, 3]);
}

#[test]
fn repeated_values_accumulate_in_a_source_and_replace_those_of_lower_ones() {
    let (_dir, config) = file("model-repository = ['a', 'b']\nmodel-store = 'c'");
    let paths = |line: &str, variables: &str| match command(line, variables) {
        Ok(Command::Serve(settings)) => settings.repository.paths,
        other => panic!("{other:?}"),
    };
    let mut in_file = paths(&config, "");
    in_file.sort();
    assert_eq!(in_file, ["a", "b", "c"].map(PathBuf::from));
    assert_eq!(paths(&config, "NERITE_MODEL_REPOSITORY=d;e"), ["d", "e"].map(PathBuf::from));
    let flags = format!("{config} --model-repository f --model-repository=g --model-repository=f");
    assert_eq!(paths(&flags, "NERITE_MODEL_REPOSITORY=d;e"), ["f", "g"].map(PathBuf::from));
    assert_eq!(paths("--model-store=h", ""), [PathBuf::from("h")]);
}

#[test]
fn the_last_of_a_flag_that_does_not_accumulate_counts() {
    assert_eq!(served("--grpc-port=1 --grpc-port=2", "").grpc.listener.port, 2);
}

#[test]
fn booleans_are_spelled_as_in_triton() {
    for (text, value) in [("true", true), ("True", true), ("TRUE", true), ("1", true), ("on", true)]
        .into_iter()
        .chain([("false", false), ("False", false), ("0", false), ("off", false)])
    {
        assert_eq!(served(&format!("--exit-on-error={text}"), "").repository.exit_on_error, value, "{text}");
        assert_eq!(
            served("", &format!("NERITE_EXIT_ON_ERROR={text}")).repository.exit_on_error,
            value,
            "{text}"
        );
    }
    let (_dir, config) = file("exit-on-error = false\nlog-verbose = true\nallow-http = 0");
    let settings = served(&config, "");
    assert!(!settings.repository.exit_on_error && !settings.http.enabled);
    assert_eq!(settings.log.verbosity, 1);
}

#[test]
fn disabling_auto_completion_takes_a_value_or_none_and_wins_over_its_older_name() {
    for (line, strict) in [
        ("--disable-auto-complete-config", true),
        ("--disable-auto-complete-config=false", false),
        ("--strict-model-config=true", true),
        ("--strict-model-config=false --disable-auto-complete-config", true),
        ("--disable-auto-complete-config --strict-model-config=false", true),
    ] {
        assert_eq!(served(line, "").repository.strict_config, strict, "{line}");
    }
}

#[test]
fn backend_settings_go_to_their_backend_and_the_particular_wins_over_the_general() {
    let settings = served(
        "--backend-config=onnxruntime,library=/a,b=c.so --backend-config onnxruntime,enable-global-threadpool=1 \
         --backend-config=onnxruntime,intra_op_thread_count=3 --backend-config=onnxruntime,inter_op_thread_count=0 \
         --backend-config=onnxruntime,default-max-batch-size=8 --backend-config=default-max-batch-size=0 \
         --backend-config=tensorrt,version-compatible=true --backend-config=tensorrt,plugins=a.so;b.so \
         --backend-config=tensorrt,library=trt.so --backend-config=tensorrt,coalesce-request-input=true \
         --backend-config=python,shm-default-byte-size=1,2=3 --backend-directory=backends",
        "",
    );
    let onnxruntime = OnnxRuntime {
        library: Some(PathBuf::from("/a,b=c.so")),
        default_max_batch_size: 8,
        global_thread_pool: Some(true),
        intra_op_threads: std::num::NonZeroU16::new(3),
        inter_op_threads: None,
    };
    assert_eq!(settings.backends.onnxruntime, onnxruntime);
    let tensorrt = TensorRt {
        library: Some(PathBuf::from("trt.so")),
        plugins: vec![PathBuf::from("a.so"), PathBuf::from("b.so")],
        version_compatible: true,
    };
    assert_eq!(settings.backends.tensorrt, tensorrt);
    let told = |backend: Option<&str>, key: &str, value: &str| BackendSetting {
        backend: backend.map(str::to_owned),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let plugins =
        [told(None, "default-max-batch-size", "0"), told(Some("python"), "shm-default-byte-size", "1,2=3")];
    assert_eq!(settings.backends.plugins, plugins);
    assert_eq!(settings.backends.directory, PathBuf::from("backends"));
    assert!(settings.warnings.is_empty());
    let general = served("", "NERITE_BACKEND_CONFIG=default-max-batch-size=0");
    assert_eq!(general.backends.onnxruntime.default_max_batch_size, 0);
    assert_eq!(general.backends.directory, PathBuf::from("/opt/tritonserver/backends"));
}

#[test]
fn tls_takes_its_files_and_mutual_tls_takes_tls_with_it() {
    let files = "--grpc-server-cert=c --grpc-server-key=k";
    let tls = |roots: Option<&str>| {
        Some(Tls { certificate: "c".into(), key: "k".into(), client_roots: roots.map(PathBuf::from) })
    };
    assert_eq!(served(&format!("--grpc-use-ssl=true {files}"), "").grpc.tls, tls(None));
    let mutual = format!("--grpc-use-ssl-mutual=true --grpc-root-cert=r {files}");
    assert_eq!(served(&mutual, "").grpc.tls, tls(Some("r")));
    assert_eq!(served(&format!("--grpc-use-ssl=false {mutual}"), "").grpc.tls, tls(Some("r")));
}

#[test]
fn metrics_listen_where_http_does_unless_told_otherwise() {
    let local = Host::Ip(Ipv4Addr::LOCALHOST.into());
    assert_eq!(served("--http-address=127.0.0.1", "").metrics.host, local);
    assert_eq!(served("--metrics-address=127.0.0.1", "").metrics.host, local);
    assert_ne!(served("--metrics-address=127.0.0.1", "").http.host, local);
}

#[test]
fn port_0_may_be_given_to_all_and_a_listener_that_is_off_collides_with_none() {
    served("--grpc-port=0 --http-port=0 --metrics-port=0", "");
    served("--grpc-port=8000 --allow-http=false", "");
    served("--grpc-port=8000 --grpc-address=127.0.0.1 --http-address=127.0.0.2", "");
}

#[test]
fn check_takes_directories_and_what_decides_about_loading_from_every_source() {
    let options = checked(
        "--disable-auto-complete-config check a b --model-config-name=small --model-store=c",
        "NERITE_BACKEND_CONFIG=onnxruntime,library=x NERITE_GRPC_PORT=1 NERITE_RATE_LIMIT=execution_count",
    );
    let mut paths = options.repository.paths.clone();
    paths.sort();
    assert_eq!(paths, ["a", "b", "c"].map(PathBuf::from));
    assert!(options.repository.strict_config);
    assert_eq!(options.repository.config_name.as_deref(), Some("small"));
    assert_eq!(options.backends.onnxruntime.library, Some(PathBuf::from("x")));
    assert_eq!(checked("check", "NERITE_MODEL_REPOSITORY=a").repository.paths, [PathBuf::from("a")]);
}

#[test]
fn the_help_lists_every_flag_with_its_default_and_the_short_help_those_that_work() {
    let (long, short) = (printed("--help"), printed("-h"));
    for flag in flags::FLAGS {
        let line = format!("--{}", flag.name);
        let listed = |help: &str| help.split_whitespace().any(|word| word.split('[').next() == Some(&line));
        assert!(listed(&long), "{line}");
        assert_eq!(listed(&short), !matches!(flag.group, Group::Tuning | Group::NotYet), "{line}");
    }
    for text in ["nerite check DIR...", "[default: 8001]", "NERITE_GRPC_PORT", "Model repository:"] {
        assert!(long.contains(text), "{text}");
    }
    assert!(printed("check --help").contains("--model-config-name"));
    let health = printed("health --help");
    assert!(health.contains("--http-port") && !health.contains("--grpc-port"), "{health}");
    assert_eq!(printed("--version"), format!("nerite {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn metrics_are_chosen_as_in_triton() {
    let read = |line: &str| served(line, "").metrics_config;
    assert_eq!(read(""), MetricsConfig::default());
    let all = "--metrics-config counter_latencies=false --metrics-config=histogram_latencies=true \
               --metrics-config=summary_latencies=true --metrics-config=summary_quantiles=0.99:0.001,0.5:0.05,0.5:0.1";
    let expected = MetricsConfig {
        counters: false,
        histograms: true,
        summaries: true,
        quantiles: vec![0.5, 0.99],
        ..MetricsConfig::default()
    };
    assert_eq!(read(all), expected);
    assert!(
        read("--metrics-config=counter_latencies=false --metrics-config=counter_latencies=true").counters
    );
    assert!(!read("--allow-cpu-metrics=false").cpu);
    assert!(!read("--allow-gpu-metrics=false").gpu);
    assert_eq!(read("").interval, Duration::from_secs(2));
    assert_eq!(read("--metrics-interval-ms=1.5").interval, Duration::from_micros(1_500));
}

#[test]
fn the_access_log_goes_to_a_file_of_any_name_but_two() {
    for (value, to) in [
        ("off", AccessLogTo::Off),
        ("-", AccessLogTo::StandardError),
        ("./off", AccessLogTo::File("./off".into())),
        ("/var/log/access.log", AccessLogTo::File("/var/log/access.log".into())),
    ] {
        assert_eq!(served(&format!("--access-log={value}"), "").access_log.to, to);
    }
}

#[test]
fn every_format_of_the_log_is_set_by_its_name() {
    for format in LogFormat::ALL {
        assert_eq!(served(&format!("--log-format={}", format.name()), "").log.format, format);
    }
}
