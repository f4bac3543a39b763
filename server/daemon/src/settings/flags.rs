//! Every flag there is: tritonserver's, `config-file`, and the limits.
//!
//! The one table from which the command line, the variables, the file, the defaults and the help are made.

use super::flag::{Flag, Group};
use super::kind::{
    AT_LEAST_ONE, BYTES, COUNT, COUNT_OR_ALL, Kind, MILLISECONDS, NOT_NEGATIVE, PORT, TRACE_LEVELS,
};

use Group::{Backends, Grpc, Http, Limits, Log, Metrics, RateLimit, Repository, Server, Trace};
use Kind::{Bool, Choice, Host, Interval, Name, Number, Path, Pattern, Switch, Text, Verbosity};

/// The flag that names the TOML file; not itself a key of that file.
pub(super) const CONFIG_FILE: &str = "config-file";

/// The flag of that name.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// The flag whose name is most like `name`, which is none.
pub(super) fn nearest(name: &str) -> &'static Flag {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let likeness = |flag: &&Flag| strsim::jaro_winkler(&name, flag.name);
    FLAGS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).expect("the table of flags is not empty")
}

/// The table, in the order of the help.
#[rustfmt::skip]
pub(super) static FLAGS: &[Flag] = &[
    Flag::works("id", "server.id", Text, Server, "The name that ServerMetadata reports").default("triton"),
    Flag::works("exit-timeout-secs", "server.exit_timeout", NOT_NEGATIVE, Server,
        "How long to wait on shutdown for requests in flight, in seconds").default("30"),
    Flag::works(CONFIG_FILE, "config_file", Path, Server,
        "A TOML file of settings, whose keys are the names of these flags"),

    Flag::works("model-repository", "repository.paths", Path, Repository,
        "A directory of models; repeat it to serve several").many(),
    Flag::alias("model-store", "model-repository", Path, Repository, "The same as --model-repository").many(),
    Flag::works("exit-on-error", "repository.exit_on_error", Bool, Repository,
        "Whether to exit with status 1 if a model cannot be loaded at start-up; otherwise the rest is \
         served").default("true"),
    Flag::works("strict-readiness", "repository.strict_readiness", Bool, Repository,
        "Whether the server is ready only once every model is; otherwise as soon as it answers")
        .default("true"),
    Flag::works("disable-auto-complete-config", "repository.strict_config", Switch, Repository,
        "Take config.pbtxt as it is written, and complete nothing from the model"),
    Flag::alias("strict-model-config", "disable-auto-complete-config", Bool, Repository,
        "The same as --disable-auto-complete-config, which wins where both are given").default("false"),
    Flag::works("model-config-name", "repository.config_name", Name, Repository,
        "Read a model's configs/<NAME>.pbtxt, where there is one, instead of its config.pbtxt"),
    Flag::works("model-load-thread-count", "repository.load_threads", AT_LEAST_ONE, Repository,
        "How many models are loaded at a time").default("4"),
    Flag::works("model-load-retry-count", "repository.load_retries", NOT_NEGATIVE, Repository,
        "How many more times to try to load a model that could not be loaded").default("0"),
    Flag::works("model-control-mode", "repository.control_mode", Choice("none|poll|explicit"), Repository,
        "Who decides what is loaded: 'none': all models, once, at start-up; 'poll': the repositories, as what \
         they hold changes; 'explicit': --load-model, and then clients").default("none"),
    Flag::works("load-model", "repository.load_models", Text, Repository,
        "With --model-control-mode=explicit: a model to load at start-up; '*' alone loads all").many(),
    Flag::works("repository-poll-secs", "repository.poll", NOT_NEGATIVE, Repository,
        "With --model-control-mode=poll: how often to look for changes where the file system does not tell of \
         them, in seconds; 0 never looks by itself there").default("15"),
    Flag::works("repository-settle-ms", "repository.settle", MILLISECONDS, Repository,
        "With --model-control-mode=poll: how long nothing of a model's files may have changed before a change is \
         taken up, in milliseconds").default("1000"),
    Flag::works("ready-models", "repository.ready_models", Pattern("NAME[,NAME...]"), Repository,
        "Models that the server's readiness depends on, and on no others; without any, --strict-readiness \
         decides").many(),

    Flag::works("backend-config", "backend_config", Pattern("[BACKEND,]KEY=VALUE"), Backends,
        "A setting of a backend. For onnxruntime: library (the path of libonnxruntime.so), \
         default-max-batch-size, enable-global-threadpool, intra_op_thread_count, \
         inter_op_thread_count. For tensorrt: library (the path of libnvinfer.so), plugins (paths of libraries, \
         between semicolons), version-compatible, coalesce-request-input. For one that is a shared library: whatever it knows. Without a backend: \
         default-max-batch-size").many(),
    Flag::works("backend-directory", "backend_directory", Path, Backends,
        "Where backends are looked for that are shared libraries: each in a folder of its name, as \
         libtriton_<NAME>.so").default("/opt/tritonserver/backends"),

    Flag::works("allow-grpc", "grpc.listener.enabled", Bool, Grpc, "Whether to serve gRPC").default("true"),
    Flag::works("grpc-address", "grpc.listener.host", Host, Grpc,
        "The address to listen on").default("0.0.0.0"),
    Flag::works("grpc-port", "grpc.listener.port", PORT, Grpc,
        "The port to listen on; 0 takes a free one").default("8001"),
    Flag::works("grpc-use-ssl", "tls.enabled", Bool, Grpc, "Whether to serve TLS").default("false"),
    Flag::works("grpc-use-ssl-mutual", "tls.mutual", Bool, Grpc,
        "Whether to serve TLS and to demand a client certificate as well").default("false"),
    Flag::works("grpc-server-cert", "tls.certificate", Path, Grpc,
        "The server's certificate chain, a PEM file"),
    Flag::works("grpc-server-key", "tls.key", Path, Grpc, "The server's private key, a PEM file"),
    Flag::works("grpc-root-cert", "tls.client_roots", Path, Grpc,
        "The authorities whose client certificates are accepted, a PEM file"),
    Flag::works("grpc-infer-response-compression-level",
        "grpc.response_compression", Choice("none|low|medium|high"), Grpc,
        "How hard to compress the answers to inference requests").default("none"),
    Flag::works("grpc-keepalive-time", "grpc.keepalive_time", AT_LEAST_ONE, Grpc,
        "How long a connection is silent before it is pinged, in milliseconds").default("7200000"),
    Flag::works("grpc-keepalive-timeout", "grpc.keepalive_timeout", AT_LEAST_ONE, Grpc,
        "How long to wait for the answer to a ping before the connection is closed, in milliseconds")
        .default("20000"),
    Flag::works("grpc-max-connection-age", "grpc.max_connection_age", MILLISECONDS, Grpc,
        "How old a connection may grow, in milliseconds; 0 or nothing sets no limit"),
    Flag::works("grpc-max-connection-age-grace", "grpc.max_connection_age_grace", MILLISECONDS, Grpc,
        "How long requests in flight may go on over a connection past its age, in milliseconds; 0 or \
         nothing sets no limit"),

    Flag::works("allow-http", "http.enabled", Bool, Http, "Whether to serve HTTP").default("true"),
    Flag::works("http-address", "http.host", Host, Http, "The address to listen on").default("0.0.0.0"),
    Flag::works("http-port", "http.port", PORT, Http,
        "The port to listen on; 0 takes a free one").default("8000"),

    Flag::works("allow-metrics", "metrics.enabled", Bool, Metrics,
        "Whether to serve metrics").default("true"),
    Flag::works("metrics-address", "metrics.host", Host, Metrics,
        "The address to listen on; by default that of --http-address"),
    Flag::works("metrics-port", "metrics.port", PORT, Metrics,
        "The port to listen on; 0 takes a free one").default("8002"),
    Flag::works("metrics-config", "metrics.config", Pattern("KEY=VALUE"), Metrics,
        "counter_latencies, histogram_latencies or summary_latencies, each true or false, or \
         summary_quantiles=QUANTILE:ERROR[,QUANTILE:ERROR...]").many(),
    Flag::works("allow-cpu-metrics", "metrics.cpu", Bool, Metrics,
        "Whether the metrics say how busy the machine is").default("true"),
    Flag::works("allow-gpu-metrics", "metrics.gpu", Bool, Metrics,
        "Whether the metrics say how busy the GPUs are, where there are any").default("true"),
    Flag::works("metrics-interval-ms", "metrics.interval", Interval, Metrics,
        "How often the GPUs are asked for that, in milliseconds").default("2000"),

    Flag::works("rate-limit", "scheduling.rate_limit", Choice("off|execution_count"), RateLimit,
        "Whether executions wait for resources: 'execution_count' lets those go first that have executed \
         the least").default("off"),
    Flag::works("rate-limit-resource", "scheduling.rate_limit_resources", Pattern("NAME:COUNT[:DEVICE]"),
        RateLimit,
        "How much there is of a resource, on each device or on one; where nobody says, it is the most that \
         any instance asks for").many(),

    Flag::works("max-inflight-requests", "limits.inflight_requests", NOT_NEGATIVE, Limits,
        "How many inference requests may be in flight in the whole daemon, from their first byte to their \
         answer; 0 sets no limit").default("65536"),
    Flag::works("max-inflight-bytes", "limits.inflight_bytes", BYTES, Limits,
        "How many bytes the bodies of gRPC calls in flight may have; 0 takes half of the memory that the \
         process may use").default("0"),
    Flag::works("max-connections", "limits.connections", AT_LEAST_ONE, Limits,
        "How many gRPC connections may be open; one more is closed at once").default("65536"),
    Flag::works("max-streams-per-connection", "limits.streams_per_connection", AT_LEAST_ONE, Limits,
        "How many calls one gRPC connection may have in flight").default("4096"),
    Flag::works("default-max-queue-size", "scheduling.default_max_queue_size", NOT_NEGATIVE, Limits,
        "How many requests may wait for a model whose configuration sets no max_queue_size; 0 sets no limit")
        .default("0"),
    Flag::works("instance-stall-secs", "scheduling.stall_secs", NOT_NEGATIVE, Limits,
        "How many seconds an instance may execute before it counts as stalled; 0 sets no limit").default("0"),

    Flag::works("log-verbose", "log.verbosity", Verbosity, Log,
        "How much detail to log: 0 none, 1 debugging, 2 everything").default("0"),
    Flag::works("log-info", "log.info", Bool, Log, "Whether to log information").default("true"),
    Flag::works("log-warning", "log.warning", Bool, Log, "Whether to log warnings").default("true"),
    Flag::works("log-error", "log.error", Bool, Log, "Whether to log errors").default("true"),
    Flag::works("log-format", "log.format", Choice("default|ISO8601|json"), Log,
        "How a line begins: 'default' is LMMDD hh:mm:ss.uuuuuu, 'ISO8601' is YYYY-MM-DDThh:mm:ssZ L; \
         with 'json' it is an object; all in UTC").default("default"),
    Flag::works("log-file", "log.file", Path, Log, "A file to append the log to, instead of standard error"),
    Flag::works("access-log", "access_log.to", Pattern("off|FILE|-"), Log,
        "Where to write a line about each inference request: nowhere, to the end of a file, or to standard \
         error; nobody waits for it: lines for which there is no room are dropped and counted").default("off"),
    Flag::works("access-log-sample", "access_log.sample", AT_LEAST_ONE, Log,
        "One inference request in so many has a line in the access log").default("1"),

    Flag::works("trace-config", "trace.config", Pattern("[MODE,]KEY=VALUE"), Trace,
        "A setting of the request traces: level (OFF, TIMESTAMPS, TENSORS; may be repeated), rate (one request in so \
         many), count (so many and no more; -1 sets no limit), mode (triton or opentelemetry). For triton: file, \
         log-frequency. For opentelemetry: url (of an OTLP receiver over gRPC), resource (KEY=VALUE), \
         bsp_max_queue_size, bsp_schedule_delay (in milliseconds), bsp_max_export_batch_size").many(),
    Flag::works("trace-level", "trace.level", Choice(TRACE_LEVELS), Trace,
        "The older name of --trace-config=level=LEVEL").many(),
    Flag::works("trace-rate", "trace.rate", NOT_NEGATIVE, Trace,
        "The older name of --trace-config=rate=N").default("1000"),
    Flag::works("trace-count", "trace.count", COUNT_OR_ALL, Trace,
        "The older name of --trace-config=count=N").default("-1"),
    Flag::works("trace-file", "trace.file", Path, Trace,
        "The older name of --trace-config=triton,file=PATH"),
    Flag::works("trace-log-frequency", "trace.log_frequency", NOT_NEGATIVE, Trace,
        "The older name of --trace-config=triton,log-frequency=N").default("0"),

    Flag::tunes("buffer-manager-thread-count", NOT_NEGATIVE, "Threads that copy tensors").default("0"),
    Flag::tunes("cache-config", Pattern("CACHE,KEY=VALUE"), "A setting of a response cache").many(),
    Flag::tunes("cache-directory", Path, "Where caches are looked for as shared libraries"),
    Flag::tunes("cuda-memory-pool-byte-size", Pattern("DEVICE:BYTES"), "A pool of GPU memory").many(),
    Flag::tunes("cuda-virtual-address-size", Pattern("DEVICE:BYTES"),
        "Address space of growable state").many(),
    Flag::tunes("enable-peer-access", Bool, "Copies from GPU to GPU").default("true"),
    Flag::tunes("grpc-http2-max-ping-strikes", NOT_NEGATIVE, "Untimely pings that are forgiven").default("2"),
    Flag::tunes("grpc-http2-max-pings-without-data", NOT_NEGATIVE, "Pings in a row").default("2"),
    Flag::tunes("grpc-http2-min-recv-ping-interval-without-data", MILLISECONDS,
        "The pace of a client's pings").default("300000"),
    Flag::tunes("grpc-infer-allocation-pool-size", NOT_NEGATIVE,
        "Request objects kept for reuse").default("8"),
    Flag::tunes("grpc-infer-thread-count", COUNT, "Threads that handle inference requests").default("2"),
    Flag::tunes("grpc-keepalive-permit-without-calls", Bool, "Pings on idle connections").default("false"),
    Flag::tunes("grpc-max-response-pool-size", NOT_NEGATIVE, "Response objects kept for reuse"),
    Flag::tunes("host-policy", Pattern("POLICY,KEY=VALUE"),
        "Processors and memory nodes of an instance").many(),
    Flag::tunes("http-max-input-size", NOT_NEGATIVE,
        "The largest HTTP request, in bytes").default("67108864"),
    Flag::tunes("http-thread-count", COUNT, "Threads that handle HTTP requests").default("8"),
    Flag::tunes("log-frequency", COUNT, "How many traces to write at a time").default("0"),
    Flag::tunes("min-supported-compute-capability", Number, "The oldest GPUs to be used"),
    Flag::tunes("model-load-gpu-limit", Pattern("DEVICE:FRACTION"),
        "GPU memory above which no model is loaded").many(),
    Flag::tunes("pinned-memory-pool-byte-size", COUNT, "A pool of pinned memory").default("268435456"),
    Flag::tunes("response-cache-byte-size", COUNT, "The older name of --cache-config=local,size=BYTES"),
    Flag::tunes("reuse-grpc-port", Bool, "Several servers on one gRPC port").default("false"),
    Flag::tunes("reuse-http-port", Bool, "Several servers on one HTTP port").default("false"),
    Flag::tunes("sagemaker-port", PORT, "The port of the SageMaker endpoint").default("8080"),
    Flag::tunes("sagemaker-safe-port-range", Pattern("PORT-PORT"),
        "Ports that SageMaker lets other endpoints use"),
    Flag::tunes("sagemaker-thread-count", COUNT, "Threads that handle SageMaker requests").default("8"),
    Flag::tunes("vertex-ai-default-model", Text, "The model that Vertex AI asks for"),
    Flag::tunes("vertex-ai-port", PORT, "The port of the Vertex AI endpoint").default("8080"),
    Flag::tunes("vertex-ai-thread-count", COUNT, "Threads that handle Vertex AI requests").default("8"),

    Flag::refused("allow-client-shm", Bool, "Tensors in shared memory", Some("false"),
        "tensors in shared memory are not supported yet"),
    Flag::refused("allow-sagemaker", Bool, "The SageMaker endpoint", Some("false"),
        "there is no SageMaker endpoint yet"),
    Flag::refused("allow-vertex-ai", Bool, "The Vertex AI endpoint", Some("false"),
        "there is no Vertex AI endpoint yet"),
    Flag::refused("grpc-header-forward-pattern", Text, "Headers to hand to the model as parameters", None,
        "headers are not handed to models yet"),
    Flag::refused("grpc-restricted-protocol", Pattern("PROTOCOL[,PROTOCOL...]:KEY=VALUE"),
        "RPCs that demand a header", None,
        "no RPC can be restricted yet, so all of them would be open to everyone").many(),
    Flag::refused("http-header-forward-pattern", Text, "Headers to hand to the model as parameters", None,
        "headers are not handed to models yet"),
    Flag::refused("http-restricted-api", Pattern("API[,API...]:KEY=VALUE"),
        "HTTP endpoints that demand a header", None,
        "no endpoint can be restricted yet, so all of them would be open to everyone").many(),
    Flag::refused("model-namespacing", Bool, "Models of one name in several repositories", Some("false"),
        "names must still be unique over all repositories"),
    Flag::refused("repoagent-directory", Path, "Where repository agents are looked for", None,
        "repository agents, which may decrypt or verify models, are not run yet"),
];
