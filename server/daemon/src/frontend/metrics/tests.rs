use std::sync::Arc;

use super::*;

fn lines(serving: &Serving, format: Format) -> String {
    String::from_utf8(serving.metrics.render(serving, format)).unwrap()
}

#[test]
fn what_is_in_flight_is_a_gauge_that_returns_to_zero() {
    let serving = Serving::new("test".into(), Arc::default(), Arc::default());
    let holds = |wanted: [&str; 2]| {
        let text = lines(&serving, Format::Text);
        assert!(text.contains("# TYPE nerite_inflight_bytes gauge\n"), "{text}");
        assert!(wanted.iter().all(|line| text.lines().any(|found| found == *line)), "{wanted:?}: {text}");
    };
    let share = serving.inflight.request().unwrap();
    share.add(7).unwrap();
    holds(["nerite_inflight_requests 1", "nerite_inflight_bytes 7"]);
    drop(share);
    holds(["nerite_inflight_requests 0", "nerite_inflight_bytes 0"]);
}

#[test]
fn series_have_the_same_names_in_both_formats() {
    let serving = Serving::new("test".into(), Arc::default(), Arc::default());
    let names = |text: &str| -> Vec<String> {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        series.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let (text, open) = (lines(&serving, Format::Text), lines(&serving, Format::OpenMetrics));
    assert_eq!(names(&text), names(&open));
    assert!(open.ends_with("\n# EOF\n") && !text.contains("# EOF"));
    assert!(text.contains("# TYPE nerite_model_loads_total counter\n"), "{text}");
    assert!(open.contains("# TYPE nerite_model_loads counter\n"), "{open}");
    assert!(open.contains("# TYPE nerite_memory_given_back_bytes counter\n"), "{open}");
    assert!(open.contains("# UNIT process_cpu_seconds seconds\n"), "{open}");
}

#[test]
fn bounds_are_written_as_what_they_are() {
    for (written, bound) in SECONDS.iter().zip(BOUNDS) {
        assert_eq!(written.parse::<f64>().unwrap(), bound as f64 / 1e9);
    }
    for (written, place) in FIRST_RESPONSE {
        assert_eq!(written.parse::<u64>().unwrap() * 1_000_000, BOUNDS[place]);
    }
    assert!(BATCH_SIZES.iter().all(|(written, bound)| *written == bound.to_string()));
}
