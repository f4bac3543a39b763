//! What ends up in the log, line by line.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::settings::LogFormat;

const QUIET: Log =
    Log { verbosity: 0, info: true, warning: true, error: true, format: LogFormat::Default, file: None };

/// A log in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The control of a log that is in memory, and so needs no outlet.
fn control(log: &Log) -> Arc<LogControl> {
    LogControl::new(log, Outlet::new(tempfile::tempfile().unwrap()))
}

/// What `log` makes of what `write` does.
fn logged(log: &Log, write: impl FnOnce()) -> String {
    logged_by(&control(log), write)
}

fn logged_by(control: &Arc<LogControl>, write: impl FnOnce()) -> String {
    let memory = Memory::default();
    let writer = memory.clone();
    tracing::subscriber::with_default(subscriber(control, move || writer.clone()), write);
    let bytes = memory.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn one_of_each() {
    tracing::error!("an error");
    tracing::warn!("a warning");
    tracing::info!("an information");
    tracing::debug!("a detail");
    tracing::trace!("everything");
    tracing::debug!(target: "hyper", "a detail of a library");
}

#[test]
fn each_severity_can_be_turned_off_by_itself_and_details_are_our_own() {
    let all = ["an error", "a warning", "an information", "a detail", "everything"];
    for (log, expected) in [
        (QUIET, &all[..3]),
        (Log { verbosity: 1, ..QUIET }, &all[..4]),
        (Log { verbosity: 2, ..QUIET }, &all[..]),
        (Log { error: false, ..QUIET }, &all[1..3]),
        (Log { warning: false, info: false, ..QUIET }, &all[..1]),
        (Log { error: false, warning: false, info: false, ..QUIET }, &[]),
        (Log { error: false, warning: false, info: false, verbosity: 1, ..QUIET }, &all[3..4]),
    ] {
        let text = logged(&log, one_of_each);
        let messages: Vec<_> = text.lines().map(|line| line.split_once("] ").unwrap().1).collect();
        assert_eq!(messages, expected, "{log:?}");
    }
}

#[test]
fn a_line_has_severity_time_process_file_and_line_before_the_message_and_its_fields() {
    let pid = std::process::id().to_string();
    let text = logged(&QUIET, || tracing::warn!(model = "m", count = 3, "hello"));
    let words: Vec<_> = text.trim_end().splitn(5, ' ').collect();
    let [date, time, process, place, message] = words[..] else { panic!("{text}") };
    assert!(date.len() == 5 && date.starts_with('W'), "{text}");
    assert!(time.len() == 15 && time.as_bytes()[8] == b'.', "{text}");
    assert_eq!(process, pid);
    assert!(place.starts_with("tests.rs:") && place.ends_with(']'), "{text}");
    assert_eq!(message, "hello model=\"m\" count=3");

    let text = logged(&Log { format: LogFormat::Iso8601, ..QUIET }, || tracing::info!("hello"));
    let words: Vec<_> = text.split(' ').collect();
    assert!(words[0].len() == 20 && words[0].ends_with('Z') && words[1] == "I" && words[2] == pid, "{text}");
}

#[test]
fn what_clients_send_can_neither_forge_a_line_nor_move_the_cursor() {
    let name = "m\nE1124 00:00:00.000000 1 x.rs:1] forged\r\u{1b}[2J";
    let text = logged(&QUIET, || tracing::info!("no model '{name}'\tin sight"));
    assert!(
        text.ends_with("no model 'm\n    E1124 00:00:00.000000 1 x.rs:1] forged\\x0d\\x1b[2J'\tin sight\n"),
        "{text:?}"
    );
}

#[test]
fn the_calendar_is_right_around_leap_days_and_turns_of_years() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_709_164_800, "2024-02-29T00:00:00Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (1_735_689_600, "2025-01-01T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (16_725_225_600, "2500-01-01T00:00:00Z"),
    ] {
        assert_eq!(Utc::at(UNIX_EPOCH + Duration::from_secs(seconds)).iso8601().to_string(), text);
    }
    let moment = Utc::at(UNIX_EPOCH + Duration::from_micros(1_732_421_047_123_456));
    assert_eq!(moment.short().to_string(), "1124 04:04:07.123456");
    assert_eq!(moment.rfc3339().to_string(), "2024-11-24T04:04:07.123456Z");
    assert_eq!(Utc::at(UNIX_EPOCH - Duration::from_secs(1)), Utc::at(UNIX_EPOCH));
}

#[test]
fn what_is_written_can_be_changed_while_it_is_written() {
    let control = control(&QUIET);
    let text = logged_by(&control, || {
        one_of_each();
        control.change(|levels| (levels.info, levels.error, levels.verbosity) = (false, false, 2));
        one_of_each();
        control.change(|levels| (levels.warning, levels.verbosity) = (false, 0));
        one_of_each();
        control.change(|levels| (levels.error, levels.format) = (true, LogFormat::Iso8601));
        one_of_each();
    });
    let lines: Vec<_> = text.lines().collect();
    let messages: Vec<_> = lines.iter().map(|line| line.split_once("] ").unwrap().1).collect();
    let after = ["a warning", "a detail", "everything", "an error"];
    assert_eq!(messages, [&["an error", "a warning", "an information"][..], &after].concat());
    assert!(lines[0].starts_with('E') && lines[6].starts_with("20"), "{text}");
}

#[test]
fn a_file_that_cannot_be_opened_is_named_with_the_flag_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = open("log-file", folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("--log-file: cannot open ") && error.contains(folder.path().to_str().unwrap()));
}

#[test]
fn a_file_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, "before\n").unwrap();
    let outlet = Outlet::new(open("log-file", &path).unwrap());
    let control = LogControl::new(&QUIET, Arc::clone(&outlet));
    tracing::subscriber::with_default(subscriber(&control, Lines(outlet)), || tracing::info!("after"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("before\n") && text.ends_with("] after\n"), "{text}");
}

#[track_caller]
fn parsed(text: &str) -> serde_json::Value {
    assert_eq!(text.find('\n'), Some(text.len() - 1), "one line: {text:?}");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const JSON: Log = Log { format: LogFormat::Json, ..QUIET };

#[test]
fn a_line_of_json_has_time_severity_place_process_message_and_fields() {
    let error: &(dyn std::error::Error + 'static) = &io::Error::other("why\n");
    let line = parsed(&logged(&JSON, || {
        tracing::warn!(model = "m", count = 3, ratio = 0.5, none = f64::NAN, good = true, error, "hello");
    }));
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"hello".into()));
    assert_eq!((&line["target"], &line["file"]), (&"nerite::logging::tests".into(), &"tests.rs".into()));
    assert!(line["line"].as_u64().is_some_and(|line| line > 0));
    assert_eq!(line["pid"], std::process::id());
    let fields = serde_json::json!({
        "model": "m", "count": 3, "ratio": 0.5, "none": "NaN", "good": true, "error": "why\n"
    });
    assert_eq!(line["fields"], fields);

    let line = parsed(&logged(&JSON, || tracing::info!("no fields")));
    assert_eq!((&line["message"], line.get("fields")), (&"no fields".into(), None));
    let line = parsed(&logged(&JSON, || tracing::info!(a = 1)));
    assert_eq!((&line["message"], &line["fields"]["a"]), (&"".into(), &1.into()));
}

proptest! {
    #[test]
    fn a_line_of_json_is_always_one_object_whatever_is_logged(
        message: String, text: String, number: f64, large: i128, small: i64, bytes: Vec<u8>
    ) {
        let line = parsed(&logged(&JSON, || {
            tracing::error!(text, number, large, small, debug = ?text, bytes = &bytes[..], "{message}");
        }));
        prop_assert_eq!(line["message"].as_str(), Some(message.as_str()));
        prop_assert_eq!(line["fields"]["text"].as_str(), Some(text.as_str()));
        prop_assert_eq!(line["fields"]["debug"].as_str().unwrap(), format!("{text:?}"));
        prop_assert_eq!(line["fields"]["small"].as_i64(), Some(small));
    }

    #[test]
    fn a_line_of_text_has_no_character_that_moves_the_cursor(message: String) {
        let text = logged(&QUIET, || tracing::error!("{message}"));
        prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
        prop_assert!(text.lines().skip(1).all(|line| line.starts_with("    ")), "{text:?}");
    }
}

#[test]
fn a_plugins_line_says_where_in_the_plugins_source_it_comes_from() {
    let write = || {
        let file = "/src/python/python_be.cc";
        tracing::event!(target: nerite_plugin_host::LOG_TARGET, tracing::Level::WARN, log.file = file, log.line = 71_u32, "{}", "two\nlines");
    };
    let text = logged(&QUIET, write);
    assert!(text.starts_with('W') && text.ends_with(" python_be.cc:71] two\n    lines\n"), "{text}");
    let json = logged(&Log { format: LogFormat::Json, ..QUIET }, write);
    assert!(json.contains(r#""file":"python_be.cc","line":71,"#), "{json}");
    assert!(json.ends_with("\"message\":\"two\\nlines\"}\n"), "{json}");
}
