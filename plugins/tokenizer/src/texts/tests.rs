use super::*;

/// Words in lower case between [CLS] and [SEP], cut off after five tokens.
const FILE: &str = r###"{
    "version": "1.0",
    "truncation": { "direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 2 },
    "padding": null,
    "added_tokens": [
        { "id": 7, "special": true, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false,
          "normalized": false }
    ],
    "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                    "lowercase": true },
    "pre_tokenizer": { "type": "BertPreTokenizer" },
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [ { "SpecialToken": { "id": "[CLS]", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
                    { "SpecialToken": { "id": "[SEP]", "type_id": 0 } } ],
        "pair": [ { "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } } ],
        "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": [ 1 ], "tokens": [ "[CLS]" ] },
                            "[SEP]": { "id": "[SEP]", "ids": [ 2 ], "tokens": [ "[SEP]" ] } }
    },
    "decoder": null,
    "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
               "max_input_chars_per_word": 100,
               "vocab": { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "the": 3, "cat": 4, "##s": 5, "sat": 6, "[PAD]": 7 } }
}"###;

const RULES: Rules =
    Rules { max_length: None, truncate: true, padding: Padding::Longest, max_text_bytes: 40 };

fn encode(rules: Rules, texts: &[&[u8]]) -> Result<Rows, TextError> {
    Texts::new(FILE.as_bytes(), rules).expect("a tokenizer").encode(texts.iter().copied())
}

#[track_caller]
fn refused<T>(result: Result<T, impl std::fmt::Display>, expected: &str) {
    let told = result.map(drop).map_err(|error| error.to_string()).expect_err(expected);
    assert!(told.contains(expected), "{told}");
}

#[test]
fn rows_are_padded_to_the_longest_text_of_the_request() {
    let rows = encode(RULES, &[b"The cats", b"sat", b""]).unwrap();
    assert_eq!((rows.count, rows.width), (3, 5));
    assert_eq!(rows.ids, [1, 3, 4, 5, 2, 1, 6, 2, 7, 7, 1, 2, 7, 7, 7]);
    assert_eq!(rows.mask, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0]);
    assert_eq!(rows.types, [0; 15]);
}

#[test]
fn rows_are_padded_to_the_largest_length_where_the_rules_say_so() {
    let rules = Rules { max_length: Some(4), padding: Padding::MaxLength, ..RULES };
    let rows = encode(rules, &[b"sat"]).unwrap();
    assert_eq!((rows.width, &rows.ids[..]), (4, &[1, 6, 2, 7][..]));
}

#[test]
fn rows_are_padded_in_front_where_the_file_says_so() {
    let padding = r#""padding": { "strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": null,
                                  "pad_id": 9, "pad_type_id": 3, "pad_token": "?" }"#;
    let texts = Texts::new(FILE.replace(r#""padding": null"#, padding).as_bytes(), RULES).unwrap();
    let rows = texts.encode([&b"sat"[..], b"the cat"].into_iter()).unwrap();
    assert_eq!(rows.ids, [9, 1, 6, 2, 1, 3, 4, 2]);
    assert_eq!(rows.mask, [0, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(rows.types, [3, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_parameter_comes_before_what_the_file_says_of_the_length() {
    assert_eq!(encode(RULES, &[b"the cat sat the cat"]).unwrap().ids, [1, 3, 4, 6, 2]);
    let rules = Rules { max_length: Some(6), ..RULES };
    assert_eq!(encode(rules, &[b"the cat sat the cat"]).unwrap().ids, [1, 3, 4, 6, 3, 2]);
}

#[test]
fn a_text_that_is_too_long_is_refused_where_it_is_not_to_be_cut_off() {
    let rules = Rules { truncate: false, ..RULES };
    assert_eq!(encode(rules, &[b"the cat sat"]).unwrap().width, 5);
    refused(encode(rules, &[b"the", b"the cat sat the cat"]), "text 1 has 7 tokens, and may have 5");
}

#[test]
fn a_text_that_is_not_utf8_or_too_large_is_refused() {
    refused(encode(RULES, &[b"the", b"cat \xff"]), "text 1 is not UTF-8 from byte 4 on");
    refused(encode(RULES, &[&[b'a'; 41]]), "text 0 has 41 bytes, and may have 40");
}

#[test]
fn without_texts_there_are_no_rows() {
    let rows = encode(RULES, &[]).unwrap();
    assert_eq!((rows.count, rows.width, rows.ids), (0, 0, vec![]));
}

#[test]
fn a_tokenizer_that_cannot_be_used_is_refused_with_a_reason() {
    let with = |rules| Texts::new(FILE.as_bytes(), rules);
    refused(Texts::new(b"{}", RULES), "no tokenizer's file");
    refused(with(Rules { max_length: Some(2), ..RULES }), "the tokenizer adds 2 tokens");
    refused(with(Rules { max_length: Some(0), ..RULES }), "max_length is 0");
    let own = r#"{ "direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 2 }"#;
    let endless = FILE.replace(own, "null");
    let rules = Rules { padding: Padding::MaxLength, ..RULES };
    refused(Texts::new(endless.as_bytes(), rules), "needs a max_length");
}
