use crate::text::{MAX_TEXT_SIZE, Problem, parse_model_config};

#[test]
fn an_error_names_file_line_column_field_and_what_was_expected() {
    let table = [
        // Where a field should begin.
        (";", "1:1: expected a field name, found ';'"),
        ("name: \"a\";;", "1:11: expected a field name, found ';'"),
        ("input { } }", "1:11: expected a field name, found '}'"),
        ("input { name: \"a\"", "1:18: input[0]: expected a field name or '}', found the end of the file"),
        ("input: < name: \"a\" }", "1:20: input[0]: expected a field name or '>', found '}'"),
        ("[ext.field]: 1", "1:1: expected a field name, found '['"),
        // What follows a field's name.
        ("name \"m\"", "1:6: name: expected ':', found \"m\""),
        ("input { dims [1] }", "1:14: input[0].dims: expected ':', found '['"),
        ("dynamic_batching: 1", "1:19: dynamic_batching: expected '{' or '<', found '1'"),
        ("dynamic_batching", "1:17: dynamic_batching: expected '{' or '<', found the end of the file"),
        // Lists.
        ("input { dims: [1, 2,] }", "1:21: input[0].dims[2]: expected an integer, found ']'"),
        ("input { dims: [1 2] }", "1:18: input[0].dims[0]: expected ',' or ']', found '2'"),
        ("input [ { } { } ]", "1:13: input[0]: expected ',' or ']', found '{'"),
        ("name: [\"a\"]", "1:7: name: expected a string in quotes, found '['"),
        // Values.
        ("name: m", "1:7: name: expected a string in quotes, found 'm'"),
        ("max_batch_size: \"8\"", "1:17: max_batch_size: expected an integer, found \"8\""),
        ("max_batch_size: 1.5", "1:17: max_batch_size: expected an integer, found '1.5'"),
        (
            "max_batch_size: -2147483649",
            "1:17: max_batch_size: expected an integer from -2147483648 to 2147483647, found -2147483649",
        ),
        (
            "dynamic_batching { priority_levels: -1 }",
            "1:37: dynamic_batching.priority_levels: expected an integer that is not negative, found '-'",
        ),
        ("max_batch_size: 08", "1:17: max_batch_size: expected octal digits after the leading 0, found '08'"),
        ("max_batch_size: 0xg", "1:17: max_batch_size: expected hexadecimal digits after 0x, found '0xg'"),
        (
            "max_batch_size: 8name: \"m\"",
            "1:17: max_batch_size: expected a number that ends before the next name or number, found '8name'",
        ),
        ("input { optional: TRUE }", "1:19: input[0].optional: expected true or false, found 'TRUE'"),
        (
            "input { format: NCHW }",
            "1:17: input[0].format: expected one of FORMAT_NONE, FORMAT_NHWC, FORMAT_NCHW, found 'NCHW'",
        ),
        (
            "sequence_batching { direct { minimum_slot_utilization: 010 } }",
            "1:56: sequence_batching.direct.minimum_slot_utilization: expected a decimal number, found '010'",
        ),
        // Strings.
        ("name: \"abc", "1:7: name: expected a string that ends with \", found the end of the file"),
        ("name: 'abc\n'", "1:7: name: expected a string that ends with ', found the end of the line"),
        ("name: \"a\\q\"", "1:9: name: expected a known escape sequence, found '\\q'"),
        ("name: \"a\" \"\\u12\"", "1:12: name: expected 4 hexadecimal digits, found '\\u12'"),
        ("name: \"\\400\"", "1:8: name: expected an octal escape up to \\377, found '\\400'"),
        ("name: \"\\xff\"", "1:7: name: expected a string that is valid UTF-8, found \"\\xff\""),
        // Fields that are there already.
        (
            "name: \"a\"\nname: \"b\"",
            "2:1: name: expected it once, found it again: Non-repeated field \"name\" is specified multiple times.",
        ),
        (
            "dynamic_batching { }\nsequence_batching { }",
            "2:1: sequence_batching: expected one of the oneof's members, found two: Field \"sequence_batching\" is \
             specified along with field \"dynamic_batching\", another member of oneof \"scheduling_choice\".",
        ),
        // Unknown fields.
        (
            "inputs [ ]",
            "1:1: expected a field of ModelConfig, found 'inputs'; the nearest known field is 'input'",
        ),
        (
            "output { label_file: \"a\" }",
            "1:10: output[0]: expected a field of ModelOutput, found 'label_file'; the nearest known field is \
             'label_filename'",
        ),
        // Counting.
        ("# é\n\tname: \"é\" é", "2:12: name: expected a field or a value, found the character 'é'"),
        (
            "input [ { name: \"a\" },\r\n  { name: 5 } ]",
            "2:11: input[1].name: expected a string in quotes, found '5'",
        ),
        (
            "parameters { key: \"a\" value { } }\nparameters { key: \"b\" value { string_value: 1 } }",
            "2:45: parameters[1].value.string_value: expected a string in quotes, found '1'",
        ),
        ("name: \"\u{1}\" \u{1}", "1:11: name: expected a field or a value, found the character '\\u{1}'"),
    ];
    for (text, expected) in table {
        let error = parse_model_config(text, "m/config.pbtxt").expect_err(text);
        assert_eq!(error.to_string(), format!("m/config.pbtxt:{expected}"), "{text}");
    }
}

#[test]
fn a_text_that_is_not_utf_8_is_said_to_be_none() {
    for (text, expected) in [
        (&b"\xff\xfen\0a\0m\0e\0"[..], "1:1: expected a text that is saved as UTF-8, found the byte 0xff"),
        (b"name: \xe9", "1:7: name: expected a text that is saved as UTF-8, found the byte 0xe9"),
    ] {
        let error = parse_model_config(text, "m/config.pbtxt").unwrap_err();
        assert_eq!(error.to_string(), format!("m/config.pbtxt:{expected}"));
    }
}

#[test]
fn the_parts_of_an_error_can_be_told_apart() {
    let error = parse_model_config("input {\n  nam: 'a'\n}", "config.pbtxt").unwrap_err();
    assert_eq!((error.file.as_str(), error.line, error.column), ("config.pbtxt", 2, 3));
    assert_eq!(error.field, "input[0]");
    assert!(matches!(*error.problem, Problem::UnknownField { nearest, .. } if nearest == "name"));
}

#[test]
fn a_text_over_the_limit_is_refused_unread() {
    let text = vec![b' '; MAX_TEXT_SIZE + 1];
    let error = parse_model_config(&text, "big").unwrap_err();
    assert_eq!(error.to_string(), "big:1:1: expected at most 4194304 bytes, found 4194305 bytes");
    assert!(parse_model_config(&text[1..], "big").is_ok());
}

#[test]
fn messages_cannot_be_nested_deeper_than_the_contract_nests_them() {
    let error = parse_model_config("input {".repeat(100_000), "deep").unwrap_err();
    assert_eq!((error.line, error.column), (1, 8));
}
