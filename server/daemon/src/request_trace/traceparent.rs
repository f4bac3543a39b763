//! The W3C's trace context: <https://www.w3.org/TR/trace-context/>.

use http::{HeaderMap, HeaderName};
use nerite_backend::SpanContext;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of version 00.
const LENGTH: usize = 55;

/// A longer state may be left out.
const LONGEST_STATE: usize = 512;

/// What a caller says of the trace that its call is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    /// The caller's own span.
    pub(super) context: SpanContext,
    /// Whether the caller traces it.
    pub(super) sampled: bool,
}

/// The caller's word, if it gives a valid one. Allocates nothing.
pub(super) fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value.as_bytes()),
        _ => None,
    }
}

/// The trace that the caller says its call is part of.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<u128> {
    parent(headers).map(|parent| parent.context.trace_id)
}

/// The state that goes with it; empty if there is none.
pub(super) fn state(headers: &HeaderMap) -> String {
    let values = headers.get_all(&TRACESTATE).iter().filter_map(|value| value.to_str().ok());
    let state = values.collect::<Vec<_>>().join(",");
    if state.len() <= LONGEST_STATE { state } else { String::new() }
}

fn parse(text: &[u8]) -> Option<Parent> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let [version @ .., b'-'] = known.get(..3)? else { return None };
    // A later version may say more, after another dash.
    match hex(version)? {
        0 if !rest.is_empty() => return None,
        0xff => return None,
        _ if !rest.is_empty() && rest[0] != b'-' => return None,
        _ => {}
    }
    if known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    let trace_id = hex(&known[3..35])?;
    let span_id = u64::try_from(hex(&known[36..52])?).ok()?;
    let flags = hex(&known[53..])?;
    let context = SpanContext { trace_id, span_id };
    (trace_id != 0 && span_id != 0).then_some(Parent { context, sampled: flags & 1 == 1 })
}

/// A number in lower-case digits, as the standard wants them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_valid_parent_is_read(trace_id in 1u128.., span_id in 1u64.., flags in any::<u8>()) {
            let text = format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}");
            let parent = Parent { context: SpanContext { trace_id, span_id }, sampled: flags % 2 == 1 };
            prop_assert_eq!(parse(text.as_bytes()), Some(parent));
            prop_assert_eq!(parse(format!("cc{}-more", &text[2..]).as_bytes()), Some(parent));
        }

        #[test]
        fn whatever_a_client_sends_is_read_or_ignored(text in prop::collection::vec(any::<u8>(), 0..70)) {
            parse(&text);
        }
    }

    #[test]
    fn what_is_no_parent_is_ignored() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(parse(valid.as_bytes()).is_some());
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn two_parents_are_none_and_states_are_one_list() {
        let mut headers = HeaderMap::new();
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        headers.append(&TRACEPARENT, value.parse().unwrap());
        assert!(parent(&headers).is_some_and(|parent| !parent.sampled));
        headers.append(&TRACEPARENT, value.parse().unwrap());
        assert_eq!(parent(&headers), None);
        headers.append(&TRACESTATE, "a=1".parse().unwrap());
        headers.append(&TRACESTATE, "b=2".parse().unwrap());
        assert_eq!(state(&headers), "a=1,b=2");
        headers.append(&TRACESTATE, "c".repeat(600).parse().unwrap());
        assert_eq!(state(&headers), "");
    }
}
