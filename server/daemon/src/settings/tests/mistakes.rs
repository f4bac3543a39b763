//! What is refused, what is warned of, and in which words.

use super::*;

#[test]
fn tls_files_without_tls_are_warned_of() {
    assert_eq!(
        warnings("--grpc-server-cert=c", "NERITE_GRPC_SERVER_KEY=k"),
        [
            "--grpc-server-cert has no effect unless --grpc-use-ssl is true",
            "variable NERITE_GRPC_SERVER_KEY has no effect unless --grpc-use-ssl is true",
        ]
    );
    let roots = warnings("--grpc-use-ssl=1 --grpc-server-cert=c --grpc-server-key=k --grpc-root-cert=r", "");
    assert_eq!(roots, ["--grpc-root-cert has no effect unless --grpc-use-ssl-mutual is true"]);
}

#[test]
fn resources_without_the_rate_limiter_are_warned_of() {
    let ignored = "has no effect unless --rate-limit is execution_count";
    assert_eq!(warnings("--rate-limit-resource=R:1:0", ""), [format!("--rate-limit-resource {ignored}")]);
    assert_eq!(
        warnings("--rate-limit=off", "NERITE_RATE_LIMIT_RESOURCE=R:1"),
        [format!("variable NERITE_RATE_LIMIT_RESOURCE {ignored}")]
    );
    assert!(warnings("--rate-limit-resource=R:1:0 --rate-limit=execution_count", "").is_empty());
}

#[test]
fn settings_of_polling_in_another_mode_are_warned_of() {
    let ignored = "has no effect unless --model-control-mode is poll";
    assert_eq!(
        warnings("--repository-poll-secs=15 --model-control-mode=explicit", "NERITE_REPOSITORY_SETTLE_MS=1"),
        [
            format!("--repository-poll-secs {ignored}"),
            format!("variable NERITE_REPOSITORY_SETTLE_MS {ignored}")
        ]
    );
    assert!(warnings("--model-control-mode=poll --repository-poll-secs=1", "").is_empty());
}

#[test]
fn quantiles_without_summaries_are_warned_of() {
    let sentence = "--metrics-config has no effect unless --metrics-config=summary_latencies is true";
    assert_eq!(warnings("--metrics-config=summary_quantiles=0.5:0.1", ""), [sentence]);
}

#[test]
fn flags_that_only_tune_are_accepted_with_a_warning_from_every_source() {
    for flag in flags::FLAGS.iter().filter(|flag| matches!(flag.standing, Standing::Tunes)) {
        let value = flag.default.unwrap_or("1");
        let (name, variable) = (flag.name, flag.variable());
        assert_eq!(warnings(&format!("--{name}={value}"), ""), [format!("--{name} has no effect yet")]);
        assert_eq!(
            warnings("", &format!("{variable}={value}")),
            [format!("variable {variable} has no effect yet")]
        );
    }
    let (dir, config) = file("http_thread_count = 3");
    let path = dir.path().join("nerite.toml");
    assert_eq!(
        warnings(&config, ""),
        [format!("key 'http_thread_count' of {} has no effect yet", path.display())]
    );
}

#[test]
fn flags_that_must_not_be_ignored_stop_the_daemon_unless_they_ask_for_what_happens_anyway() {
    for (line, sentence) in [
        (
            "--grpc-restricted-protocol=health:k=v",
            "--grpc-restricted-protocol is refused: no RPC can be restricted yet",
        ),
        (
            "--http-restricted-api=health:k=v",
            "--http-restricted-api is refused: no endpoint can be restricted yet",
        ),
        ("--model-namespacing=true", "--model-namespacing is refused: names must"),
        (
            "--cache-directory=/caches",
            "--cache-directory is refused: caches are not loaded as shared libraries",
        ),
        ("--repoagent-directory=/agents", "--repoagent-directory is refused: repository agents"),
        ("--allow-client-shm=true", "--allow-client-shm is refused: tensors in shared memory"),
        ("--allow-sagemaker=1", "--allow-sagemaker is refused"),
        ("--allow-vertex-ai=on", "--allow-vertex-ai is refused"),
        ("--grpc-header-forward-pattern=.*", "--grpc-header-forward-pattern is refused: headers"),
        ("--http-header-forward-pattern=.*", "--http-header-forward-pattern is refused: headers"),
    ] {
        let error = error(&format!("--model-repository=models {line}"), "");
        assert!(error.starts_with(sentence), "{line}: {error}");
    }
    for harmless in ["model-namespacing=False", "allow-client-shm=0"] {
        assert!(warnings(&format!("--{harmless}"), "").is_empty(), "{harmless}");
    }
    let (_dir, config) = file("allow-client-shm = true");
    served(&format!("{config} --allow-client-shm=false"), "");
    let error = error("--model-repository=models", "NERITE_MODEL_NAMESPACING=true");
    assert!(error.starts_with("variable NERITE_MODEL_NAMESPACING is refused: "), "{error}");
}

#[test]
fn mistakes_on_the_command_line_are_named_with_what_was_expected() {
    for (line, sentence) in [
        ("--grpc-prt=1", "unknown flag --grpc-prt; the nearest known flag is --grpc-port"),
        ("--grpc_port=1", "unknown flag --grpc_port; the nearest known flag is --grpc-port"),
        (
            "--modle-repository a",
            "unknown flag --modle-repository; the nearest known flag is --model-repository",
        ),
        (
            "--model-repositories=a",
            "unknown flag --model-repositories; the nearest known flag is --model-repository",
        ),
        (
            "serve",
            "unexpected argument 'serve'; besides flags there are only 'nerite check DIR...' and 'nerite health'",
        ),
        (
            "chek models",
            "unexpected argument 'chek'; besides flags there are only 'nerite check DIR...' and 'nerite health'",
        ),
        (
            "--disable-auto-complete-config true",
            "unexpected argument 'true'; besides flags there are only 'nerite check DIR...' and 'nerite health'",
        ),
        ("--grpc-port", "--grpc-port needs a value: a whole number from 0 to 65535"),
        ("--exit-on-error --grpc-port=1", "--exit-on-error needs a value: true or false"),
        ("--exit-on-error=yes", "--exit-on-error: expected true or false, found 'yes'"),
        ("--grpc-port=65536", "--grpc-port: expected a whole number from 0 to 65535, found '65536'"),
        ("--grpc-port -1", "--grpc-port: expected a whole number from 0 to 65535, found '-1'"),
        (
            "--exit-timeout-secs=-1",
            "--exit-timeout-secs: expected a whole number from 0 to 2147483647, found '-1'",
        ),
        (
            "--model-load-thread-count=0",
            "--model-load-thread-count: expected a whole number from 1 to 2147483647, found '0'",
        ),
        (
            "--grpc-keepalive-time=1.5",
            "--grpc-keepalive-time: expected a whole number from 1 to 2147483647, found '1.5'",
        ),
        (
            "--http-address=0.0.0.0:8000",
            "--http-address: expected an IP address or a host name, found '0.0.0.0:8000'",
        ),
        (
            "--model-config-name=a/b",
            "--model-config-name: expected a file's name without its directory, found 'a/b'",
        ),
        ("--model-repository=", "--model-repository: expected a path, found ''"),
        ("--log-format=xml", "--log-format: expected one of default, ISO8601, json, found 'xml'"),
        (
            "--model-control-mode=manual",
            "--model-control-mode: expected one of none, poll, explicit, found 'manual'",
        ),
        (
            "--model-load-retry-count=-1",
            "--model-load-retry-count: expected a whole number from 0 to 2147483647, found '-1'",
        ),
        (
            "--repository-settle-ms=1s",
            "--repository-settle-ms: expected a whole number from 0 to 2147483647, found '1s'",
        ),
        ("--load-model=", "--load-model: expected some text, found ''"),
        (
            "--metrics-interval-ms=often",
            "--metrics-interval-ms: expected a number from 1 to 2147483647, found 'often'",
        ),
        (
            "--metrics-interval-ms=0",
            "--metrics-interval-ms: expected a number from 1 to 2147483647, found '0'",
        ),
        (
            "--min-supported-compute-capability=new",
            "--min-supported-compute-capability: expected a number, found 'new'",
        ),
        ("--rate-limit=on", "--rate-limit: expected one of off, execution_count, found 'on'"),
        ("--max-connections=0", "--max-connections: expected a whole number from 1 to 2147483647, found '0'"),
        (
            "--max-streams-per-connection=0",
            "--max-streams-per-connection: expected a whole number from 1 to 2147483647, found '0'",
        ),
        (
            "--max-inflight-requests=-1",
            "--max-inflight-requests: expected a whole number from 0 to 2147483647, found '-1'",
        ),
        (
            "--max-inflight-bytes=1GB",
            "--max-inflight-bytes: expected a whole number from 0 to 9223372036854775807, found '1GB'",
        ),
        ("--help=x", "unexpected value 'x' for '--help' found; no more were expected"),
        ("", "--model-repository must be specified"),
        ("check", "'nerite check' needs the directory of a model repository"),
        (
            "check models --grpc-port=1",
            "--grpc-port has no meaning for 'nerite check', which only loads models",
        ),
        (
            "--grpc-port=1 check models",
            "--grpc-port has no meaning for 'nerite check', which only loads models",
        ),
        (
            "health --model-repository=models",
            "--model-repository has no meaning for 'nerite health', which only asks the HTTP port",
        ),
        (
            "health now",
            "unexpected argument 'now'; besides flags there are only 'nerite check DIR...' and 'nerite health'",
        ),
        (
            "check models --model-confg-name=x",
            "unknown flag --model-confg-name; the nearest known flag is --model-config-name",
        ),
    ] {
        assert_eq!(error(line, ""), sentence, "{line}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (line, sentence) in [
        ("--grpc-use-ssl=true", "--grpc-use-ssl needs --grpc-server-cert as well"),
        ("--grpc-use-ssl=true --grpc-server-cert=c", "--grpc-use-ssl needs --grpc-server-key as well"),
        (
            "--grpc-use-ssl-mutual=true --grpc-server-cert=c --grpc-server-key=k",
            "--grpc-use-ssl-mutual needs --grpc-root-cert as well",
        ),
        ("--load-model=a", "--load-model needs --model-control-mode=explicit as well"),
        (
            "--load-model=* --model-control-mode=poll",
            "--load-model needs --model-control-mode=explicit as well",
        ),
        (
            "--load-model=a --load-model=* --model-control-mode=explicit",
            "--load-model: '*' stands for every model and must stand alone",
        ),
        ("--ready-models=a,,b", "--ready-models: expected NAME[,NAME...], found 'a,,b'"),
        ("--ready-models=a --ready-models=,", "--ready-models: expected NAME[,NAME...], found ','"),
        ("--grpc-port=8000", "gRPC and HTTP would listen on the same address and port, 0.0.0.0:8000"),
        ("--metrics-port=8001", "gRPC and metrics would listen on the same address and port, 0.0.0.0:8001"),
        (
            "--backend-config=onnxruntime",
            "--backend-config: expected BACKEND,KEY=VALUE or KEY=VALUE, found 'onnxruntime'",
        ),
        (
            "--metrics-config=counter_latencies",
            "--metrics-config: expected KEY=VALUE, found 'counter_latencies'",
        ),
        (
            "--metrics-config=a,counter_latencies=true",
            "--metrics-config: expected KEY=VALUE, found 'a,counter_latencies=true'",
        ),
        (
            "--metrics-config=summary_latency=true",
            "--metrics-config: the metrics have no setting 'summary_latency'; they have counter_latencies, \
             histogram_latencies, summary_latencies, summary_quantiles",
        ),
        (
            "--metrics-config=summary_latencies=yes",
            "--metrics-config: expected true or false for 'summary_latencies', found 'yes'",
        ),
        (
            "--metrics-config=summary_quantiles=0.5",
            "--metrics-config: expected QUANTILE:ERROR[,QUANTILE:ERROR...], all from 0 to 1, for 'summary_quantiles', \
             found '0.5'",
        ),
        (
            "--metrics-config=summary_quantiles=0.5:0.1,1.5:0.1",
            "--metrics-config: expected QUANTILE:ERROR[,QUANTILE:ERROR...], all from 0 to 1, for 'summary_quantiles', \
             found '0.5:0.1,1.5:0.1'",
        ),
        ("--backend-config=,a=b", "--backend-config: expected BACKEND,KEY=VALUE or KEY=VALUE, found ',a=b'"),
        (
            "--backend-config=onnxruntime,libary=x",
            "--backend-config: onnxruntime has no setting 'libary'; it has library, default-max-batch-size, \
             enable-global-threadpool, intra_op_thread_count, inter_op_thread_count",
        ),
        (
            "--backend-config=tensorrt,libary=x",
            "--backend-config: tensorrt has no setting 'libary'; it has library, plugins, version-compatible, \
             coalesce-request-input",
        ),
        (
            "--backend-config=onnxruntime,intra_op_thread_count=-1",
            "--backend-config: expected a whole number from 0 to 1024 for 'intra_op_thread_count', found '-1'",
        ),
        (
            "--rate-limit-resource=R",
            "--rate-limit-resource: expected NAME:COUNT or NAME:COUNT:DEVICE, found 'R'",
        ),
        (
            "--rate-limit-resource=:1",
            "--rate-limit-resource: expected NAME:COUNT or NAME:COUNT:DEVICE, found ':1'",
        ),
        (
            "--rate-limit-resource=R:1:0:1",
            "--rate-limit-resource: expected NAME:COUNT or NAME:COUNT:DEVICE, found 'R:1:0:1'",
        ),
        (
            "--rate-limit-resource=R:0",
            "--rate-limit-resource: expected a whole number from 1 to 4294967295 for COUNT in 'R:0', found '0'",
        ),
        (
            "--rate-limit-resource=R:4294967296",
            "--rate-limit-resource: expected a whole number from 1 to 4294967295 for COUNT in 'R:4294967296', \
             found '4294967296'",
        ),
        (
            "--rate-limit-resource=R:1:-1",
            "--rate-limit-resource: expected a whole number from 0 to 4294967295 for DEVICE in 'R:1:-1', \
             found '-1'",
        ),
        (
            "--backend-config=max-batch=1",
            "--backend-config: the form without a backend has no setting 'max-batch'; it has default-max-batch-size",
        ),
    ] {
        assert_eq!(error(&format!("--model-repository=models {line}"), ""), sentence, "{line}");
    }
    assert_eq!(
        error("--model-repository=models", "NERITE_GRPC_USE_SSL=true"),
        "variable NERITE_GRPC_USE_SSL needs --grpc-server-cert as well"
    );
    assert_eq!(
        error("--model-repository=models --model-control-mode=none", "NERITE_LOAD_MODEL=a"),
        "variable NERITE_LOAD_MODEL needs --model-control-mode=explicit as well"
    );
}

#[test]
fn mistakes_in_variables_name_the_variable() {
    for (variables, sentence) in [
        (
            "NERITE_GRPC_PRT=1",
            "unknown variable NERITE_GRPC_PRT; the nearest known variable is NERITE_GRPC_PORT",
        ),
        (
            "NERITE_grpc_port=1",
            "unknown variable NERITE_grpc_port; the nearest known variable is NERITE_GRPC_PORT",
        ),
        (
            "NERITE_GRPC_PORT=x",
            "variable NERITE_GRPC_PORT: expected a whole number from 0 to 65535, found 'x'",
        ),
    ] {
        assert_eq!(error("--model-repository=models --grpc-port=1", variables), sentence);
    }
    served("", "GRPC_PORT=x XNERITE_FOO=1 NERITE=1");
}

#[test]
fn variables_that_kubernetes_sets_for_services_named_like_the_daemon_are_not_settings() {
    for service in ["NERITE", "NERITE_GRPC", "NERITE_METRICS_2"] {
        let links = [
            format!("{service}_SERVICE_HOST=10.0.0.1"),
            format!("{service}_SERVICE_PORT=8001"),
            format!("{service}_SERVICE_PORT_HTTP_METRICS=8002"),
            format!("{service}_PORT=tcp://10.0.0.1:8001"),
            format!("{service}_PORT_8001_TCP=tcp://10.0.0.1:8001"),
            format!("{service}_PORT_8001_TCP_PROTO=tcp"),
            format!("{service}_PORT_8001_TCP_PORT=8001"),
            format!("{service}_PORT_8001_TCP_ADDR=10.0.0.1"),
            format!("{service}_PORT_53_UDP=udp://10.0.0.1:53"),
        ];
        assert_eq!(served("", &links.join(" ")), served("", ""), "{service}");
    }
    for (variable, nearest) in
        [("NERITE_PORT=8001", "NERITE_"), ("NERITE_GRPC_PORT_8001=1", "NERITE_GRPC_PORT")]
    {
        let error = error("--model-repository=models", variable);
        assert!(error.contains("unknown variable") && error.contains(nearest), "{error}");
    }
}

#[test]
fn variables_of_the_scripts_are_not_settings() {
    assert_eq!(served("", "NERITE_PYTHON=python3 NERITE_BINARY=nerite NERITE_BENCH_TOOLS=x"), served("", ""));
}

#[test]
fn mistakes_in_the_file_name_the_file_and_the_key() {
    for (text, sentence) in [
        ("grpc-prt = 1", "FILE: unknown key 'grpc-prt'; the nearest known key is 'grpc-port'"),
        ("[grpc]\nport = 1", "FILE: unknown key 'grpc'; the nearest known key is 'grpc-port'"),
        (
            "grpc-port = true",
            "key 'grpc-port' of FILE: expected a whole number from 0 to 65535, found 'true'",
        ),
        (
            "grpc_port = [1]",
            "key 'grpc_port' of FILE: expected a whole number from 0 to 65535, found 'a list'",
        ),
        ("[id]\nx = 1", "key 'id' of FILE: expected some text, found 'a table'"),
        ("config-file = 'x'", "FILE: a file of settings cannot name another with 'config-file'"),
    ] {
        let (dir, config) = file(text);
        let path = dir.path().join("nerite.toml").display().to_string();
        let error = error(&format!("--model-repository=models {config}"), "");
        assert_eq!(error.replace(&path, "FILE"), sentence, "{text}");
    }
    let (_dir, config) = file("grpc-port = 1\nhttp-port =");
    let syntax = error(&config, "");
    assert!(syntax.contains("nerite.toml: ") && syntax.contains("line 2"), "{syntax}");
    let missing = error("", "NERITE_CONFIG_FILE=/nowhere/nerite.toml");
    assert!(
        missing.starts_with("variable NERITE_CONFIG_FILE: cannot read /nowhere/nerite.toml: "),
        "{missing}"
    );
}

#[cfg(unix)]
#[test]
fn what_is_not_utf_8_is_refused_by_name() {
    use std::os::unix::ffi::OsStringExt as _;
    let bad = OsString::from_vec(vec![0xff]);
    let args = ["nerite", "--model-repository=models"].map(OsString::from);
    let of_variable = parse(args, [(OsString::from("NERITE_ID"), bad.clone())]).unwrap_err();
    assert_eq!(of_variable.to_string(), "variable NERITE_ID is not UTF-8");
    let of_argument = parse(["nerite".into(), "--id".into(), bad], []).unwrap_err();
    assert_eq!(of_argument.to_string(), "an argument is not UTF-8");
}

#[test]
fn a_cache_that_there_is_not_is_refused_and_a_size_of_nothing_keeps_nothing() {
    for (line, expected) in [
        ("--cache-config=redis,host=localhost", "--cache-config is refused: the only cache is 'local'"),
        (
            "--cache-config=local,size=5 --cache-config=redis,port=6379",
            "--cache-config is refused: the only cache",
        ),
        ("--cache-config=local,ttl=5", "--cache-config: the cache 'local' has no setting 'ttl'; it has size"),
        ("--cache-config=local,size=lots", "--cache-config: expected"),
        ("--cache-config=local,size=-1", "--cache-config: expected"),
        (
            "--cache-config=local",
            "--cache-config: expected CACHE,KEY=VALUE, for instance local,size=1048576, found 'local'",
        ),
        (
            "--cache-config=local,size=5 --response-cache-byte-size=5",
            "--response-cache-byte-size is refused: it and --cache-config are incompatible flags",
        ),
        ("--response-cache-byte-size=lots", "--response-cache-byte-size: expected"),
    ] {
        let error = error(&format!("--model-repository=models {line}"), "");
        assert!(error.starts_with(expected), "{line}: {error}");
    }
    for line in ["", "--cache-config=local,size=0", "--response-cache-byte-size=0"] {
        assert_eq!(served(line, "").response_cache, None, "{line}");
    }
    let last = served("--cache-config=local,size=5 --cache-config=local,size=7", "").response_cache;
    assert_eq!(last.map(NonZeroUsize::get), Some(7));
}
