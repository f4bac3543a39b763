//! What the model's parameters say.

use nerite_plugin::{Config, Error, Result};

use crate::texts::{Padding, Rules};

const FILE: &str = "tokenizer.json";
const MAX_TEXT_BYTES: usize = 1 << 20;

/// The parameters of a model.
pub(crate) struct Settings {
    /// The tokenizer's file.
    pub(crate) file: String,
    pub(crate) rules: Rules,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Result<Settings> {
        let padding = match config.parameter("padding") {
            None | Some("longest") => Padding::Longest,
            Some("max_length") => Padding::MaxLength,
            Some(other) => {
                return Err(Error::invalid_argument(format_args!(
                    "parameter \"padding\" of the model is {other:?}, and not \"longest\" or \"max_length\""
                )));
            }
        };
        let rules = Rules {
            max_length: config.parsed_parameter("max_length")?,
            truncate: config.parsed_parameter("truncation")?.unwrap_or(true),
            padding,
            max_text_bytes: config.parsed_parameter("max_text_bytes")?.unwrap_or(MAX_TEXT_BYTES),
        };
        Ok(Settings { file: config.parameter("tokenizer").unwrap_or(FILE).to_owned(), rules })
    }
}
