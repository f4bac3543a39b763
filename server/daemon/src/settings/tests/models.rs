//! Which models are served, and when they are loaded.

use super::*;

fn repository(line: &str, variables: &str) -> Repository {
    served(line, variables).repository
}

#[test]
fn without_settings_all_models_are_loaded_once_at_start_up() {
    let Repository { control_mode, poll, settle, load_models, load_retries, ready_models, .. } =
        repository("", "");
    assert_eq!((control_mode, load_retries), (ControlMode::None, 0));
    assert_eq!((poll, settle), (Duration::from_secs(15), Duration::from_secs(1)));
    assert!(load_models.is_empty() && ready_models.is_empty());
}

#[test]
fn the_control_mode_is_one_of_three_in_any_case() {
    for (text, mode) in [
        ("none", ControlMode::None),
        ("Poll", ControlMode::Poll),
        ("POLL", ControlMode::Poll),
        ("explicit", ControlMode::Explicit),
    ] {
        assert_eq!(repository(&format!("--model-control-mode={text}"), "").control_mode, mode, "{text}");
    }
}

#[test]
fn polling_has_a_pace_and_a_time_to_settle_which_may_both_be_nothing() {
    let of = |line: &str, variables: &str| {
        let settings = served(&format!("--model-control-mode=poll {line}"), variables);
        assert!(settings.warnings.is_empty());
        (settings.repository.poll, settings.repository.settle)
    };
    let (poll, settle) = (Duration::from_secs(5), Duration::from_millis(20));
    assert_eq!(of("--repository-poll-secs=5 --repository-settle-ms=20", ""), (poll, settle));
    assert_eq!(of("", "NERITE_REPOSITORY_POLL_SECS=5 NERITE_REPOSITORY_SETTLE_MS=20"), (poll, settle));
    let (_dir, config) = file("repository-poll-secs = 5\nrepository_settle_ms = 20");
    assert_eq!(of(&config, ""), (poll, settle));
    let nothing = (Duration::ZERO, Duration::ZERO);
    assert_eq!(of("--repository-poll-secs=0 --repository-settle-ms=0", ""), nothing);
}

#[test]
fn models_are_named_one_by_one_or_all_at_once() {
    let of = |line: &str, variables: &str| {
        repository(&format!("--model-control-mode=explicit {line}"), variables).load_models
    };
    assert_eq!(of("", ""), [""; 0]);
    assert_eq!(of("--load-model=a --load-model b --load-model=a", ""), ["a", "b"]);
    assert_eq!(of("", "NERITE_LOAD_MODEL=a;b;b"), ["a", "b"]);
    let (_dir, config) = file("load-model = ['a', 'b']");
    assert_eq!(of(&config, ""), ["a", "b"]);
    for all in ["--load-model=*", "--load-model=* --load-model=*"] {
        assert_eq!(of(all, ""), ["*"], "{all}");
    }
}

#[test]
fn models_that_readiness_depends_on_are_lists_that_may_be_repeated() {
    let (_dir, config) = file("ready-models = [' a , b', 'c']");
    for (line, variables) in [
        ("--ready-models=a,b --ready-models=c", ""),
        ("--ready-models=a,b,c,a --ready-models=b", ""),
        ("", "NERITE_READY_MODELS=a,b;c"),
        (config.as_str(), ""),
    ] {
        assert_eq!(repository(line, variables).ready_models, ["a", "b", "c"], "{line} {variables}");
    }
}

#[test]
fn check_loads_everything_whatever_the_control_mode() {
    let (_dir, config) = file("model-control-mode = 'explicit'\nload-model = ['a', '*']\nready-models = 'a'");
    let variables = "NERITE_MODEL_CONTROL_MODE=poll NERITE_REPOSITORY_POLL_SECS=1 NERITE_LOAD_MODEL=a";
    for (line, variables) in
        [(config.as_str(), ""), ("", variables), ("", "NERITE_REPOSITORY_SETTLE_MS=1 NERITE_LOAD_MODEL=*")]
    {
        let options = checked(&format!("check models {line}"), variables);
        assert_eq!(options.repository.paths, [Path::new("models")]);
        assert!(options.warnings.is_empty());
    }
}
