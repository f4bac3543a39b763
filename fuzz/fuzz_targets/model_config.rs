//! Whatever stands in a `config.pbtxt`, reading it ends, and an error names a place in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nerite_model_config::parse_model_config;

fuzz_target!(|text: &[u8]| {
    if let Err(error) = parse_model_config(text.to_vec(), "config.pbtxt") {
        assert!(error.to_string().starts_with("config.pbtxt"), "{error}");
    }
});
