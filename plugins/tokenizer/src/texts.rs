//! Texts, made into rows of numbers.

use thiserror::Error;
use tokenizers::utils::parallelism;
use tokenizers::{Encoding, PaddingDirection, PaddingParams, PostProcessor, Tokenizer, TruncationParams};

/// Tokens that models are trained to pass over, where the tokenizer's file does not name its own.
const PADS: [&str; 2] = ["[PAD]", "<pad>"];

/// How texts are made into rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many tokens a row has at most; none for what the tokenizer's file says.
    pub(crate) max_length: Option<usize>,
    /// Whether what is longer is cut off, or else refused.
    pub(crate) truncate: bool,
    pub(crate) padding: Padding,
    /// How many bytes a text may have.
    pub(crate) max_text_bytes: usize,
}

/// How long the rows of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// As the longest of them.
    Longest,
    /// As they may be at most.
    MaxLength,
}

/// A tokenizer with its rules.
pub(crate) struct Texts {
    tokenizer: Tokenizer,
    pad: PaddingParams,
    rules: Rules,
}

/// The rows of some texts, each of `width` numbers, one behind the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) count: usize,
    pub(crate) width: usize,
    /// Each token's number in the vocabulary.
    pub(crate) ids: Vec<i64>,
    /// One for a token of the text, zero for padding.
    pub(crate) mask: Vec<i64>,
    /// Which of several texts a token belongs to.
    pub(crate) types: Vec<i64>,
}

/// Why a tokenizer cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TokenizerError {
    #[error("it is no tokenizer's file: {0}")]
    File(#[source] tokenizers::Error),
    #[error(
        "max_length is {max_length}, and the tokenizer adds {added} tokens of its own to each text; make it larger"
    )]
    NoRoom { max_length: usize, added: usize },
    #[error("padding to max_length needs a max_length, which neither the parameters nor the file have")]
    NoLength,
}

/// Why a text cannot be made into a row; `text` is its place in the request.
#[derive(Debug, Error)]
pub(crate) enum TextError {
    #[error("text {text} has {size} bytes, and may have {limit} (the model's parameter max_text_bytes)")]
    TooLarge { text: usize, size: usize, limit: usize },
    #[error("text {text} is not UTF-8 from byte {at} on")]
    NotUtf8 { text: usize, at: usize },
    #[error(
        "text {text} has {tokens} tokens, and may have {limit}; shorten it, or set the model's parameter truncation to \
         true"
    )]
    TooLong { text: usize, tokens: usize, limit: usize },
    #[error("text {text} cannot be tokenized: {reason}")]
    Refused { text: usize, reason: tokenizers::Error },
}

impl Texts {
    /// Reads a tokenizer's file.
    pub(crate) fn new(file: &[u8], rules: Rules) -> Result<Texts, TokenizerError> {
        // The threads of the crate's pool would outlive the plugin; instances are what a model has for parallel work.
        parallelism::set_parallelism(false);
        let mut tokenizer = Tokenizer::from_bytes(file).map_err(TokenizerError::File)?;
        let own = tokenizer.get_truncation().cloned();
        let max_length = rules.max_length.or(own.as_ref().map(|own| own.max_length));
        let added = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        match max_length {
            Some(max_length) if max_length <= added => {
                return Err(TokenizerError::NoRoom { max_length, added });
            }
            None if rules.padding == Padding::MaxLength => return Err(TokenizerError::NoLength),
            _ => {}
        }
        let truncation = max_length.filter(|_| rules.truncate).map(|max_length| TruncationParams {
            max_length,
            stride: 0,
            ..own.unwrap_or_default()
        });
        let pad = tokenizer.get_padding().cloned().unwrap_or_else(|| default_padding(&tokenizer));
        tokenizer.with_truncation(truncation).map_err(TokenizerError::File)?;
        tokenizer.with_padding(None);
        Ok(Texts { tokenizer, pad, rules: Rules { max_length, ..rules } })
    }

    /// The rows of these texts, in their order.
    pub(crate) fn encode<'t>(&self, texts: impl Iterator<Item = &'t [u8]>) -> Result<Rows, TextError> {
        let encodings = texts.enumerate().map(|(place, text)| self.encode_one(place, text));
        let encodings: Vec<Encoding> = encodings.collect::<Result<_, _>>()?;
        let width = match (self.rules.padding, self.rules.max_length) {
            (Padding::MaxLength, Some(max_length)) => max_length,
            _ => encodings.iter().map(Encoding::len).max().unwrap_or(0),
        };
        Ok(Rows {
            count: encodings.len(),
            width,
            ids: self.padded(&encodings, width, Encoding::get_ids, self.pad.pad_id),
            mask: self.padded(&encodings, width, Encoding::get_attention_mask, 0),
            types: self.padded(&encodings, width, Encoding::get_type_ids, self.pad.pad_type_id),
        })
    }

    fn encode_one(&self, place: usize, text: &[u8]) -> Result<Encoding, TextError> {
        let (size, limit) = (text.len(), self.rules.max_text_bytes);
        if size > limit {
            return Err(TextError::TooLarge { text: place, size, limit });
        }
        let text = std::str::from_utf8(text)
            .map_err(|error| TextError::NotUtf8 { text: place, at: error.valid_up_to() })?;
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|reason| TextError::Refused { text: place, reason })?;
        match self.rules.max_length {
            Some(limit) if encoding.len() > limit => {
                Err(TextError::TooLong { text: place, tokens: encoding.len(), limit })
            }
            _ => Ok(encoding),
        }
    }

    /// One number of each token, row by row, with `pad` where a row has no token.
    fn padded(
        &self,
        encodings: &[Encoding],
        width: usize,
        numbers: impl Fn(&Encoding) -> &[u32],
        pad: u32,
    ) -> Vec<i64> {
        let mut all = Vec::with_capacity(encodings.len() * width);
        for encoding in encodings {
            let own = numbers(encoding).iter().copied();
            let missing = std::iter::repeat_n(pad, width.saturating_sub(own.len()));
            match self.pad.direction {
                PaddingDirection::Right => all.extend(own.chain(missing).map(i64::from)),
                PaddingDirection::Left => all.extend(missing.chain(own).map(i64::from)),
            }
        }
        all
    }
}

fn default_padding(tokenizer: &Tokenizer) -> PaddingParams {
    let pad_id = PADS.iter().find_map(|pad| tokenizer.token_to_id(pad));
    PaddingParams { pad_id: pad_id.unwrap_or(0), ..PaddingParams::default() }
}

#[cfg(test)]
mod tests;
