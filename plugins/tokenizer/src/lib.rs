//! A backend that makes of texts the numbers that a language model takes, by a `tokenizer.json` of Hugging Face's
//! `tokenizers`.
//!
//! Input: `text`, BYTES `[1]` where the model batches, otherwise `[n]`: UTF-8. Outputs, as many of them as the
//! configuration has: `input_ids`, `attention_mask`, `token_type_ids`, INT64 `[-1]`, otherwise `[-1, -1]`: a row for
//! each text, all rows of a request of one length.
//!
//! Parameters of the model, all optional:
//! - `tokenizer`: the file, in the version's folder or the model's (`tokenizer.json`).
//! - `max_length`: how many tokens a text may have, those included that the tokenizer adds (what the file says).
//! - `truncation`: whether what is longer is cut off (`true`) or an error (`false`). `true` where there is a length.
//! - `padding`: to the longest text of the request (`longest`, the default) or always to the length (`max_length`).
//! - `max_text_bytes`: how long a text may be in bytes (1,048,576); a token takes some hundred bytes for a moment.

mod settings;
mod texts;

use std::sync::Arc;

use nerite_plugin::{
    Batch, Config, DataType, Error, Instance, InstanceContext, Model, ModelContext, Request, Response,
    Result, TensorConfig,
};

use crate::settings::Settings;
use crate::texts::{Rows, Texts};

const TEXT: &str = "text";
const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const TOKEN_TYPE_IDS: &str = "token_type_ids";

/// A model: a tokenizer with its settings.
struct TokenizerModel {
    texts: Texts,
}

impl Model for TokenizerModel {
    type Instance = Encoder;

    fn load(context: &ModelContext<'_>) -> Result<TokenizerModel> {
        check(context.config())?;
        let settings = Settings::new(context.config())?;
        let path = context.file(&settings.file)?;
        let texts = Texts::new(&std::fs::read(&path)?, settings.rules).map_err(|error| {
            Error::invalid_argument(format_args!("{} cannot be used: {error}", path.display()))
        })?;
        Ok(TokenizerModel { texts })
    }

    fn instance(self: &Arc<TokenizerModel>, _: &InstanceContext<'_>) -> Result<Encoder> {
        Ok(Encoder { model: Arc::clone(self) })
    }
}

/// Refuses a configuration that this backend does not serve.
fn check(config: &Config) -> Result<()> {
    let [text] = config.named_inputs([(TEXT, DataType::Bytes)])?;
    let outputs = [INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS].map(|name| (name, DataType::Int64));
    let outputs = config.named_outputs(outputs)?;
    let (text_dims, row_dims) = if config.max_batch_size() > 0 { ("[ 1 ]", 1) } else { ("[ -1 ]", 2) };
    let fits = |text: &TensorConfig| text.dims.len() == 1 && (row_dims == 2 || text.dims == [1]);
    if text.as_ref().is_none_or(|text| !fits(text)) {
        return Err(Error::invalid_argument(format_args!(
            "the tokenizer needs the input {TEXT:?} with dims: {text_dims}"
        )));
    }
    match outputs.iter().flatten().find(|output| output.dims.len() != row_dims) {
        Some(output) => Err(Error::invalid_argument(format_args!(
            "the tokenizer's output {:?} has {row_dims} dims, the last of which is best -1",
            output.name
        ))),
        None => Ok(()),
    }
}

/// An instance.
struct Encoder {
    model: Arc<TokenizerModel>,
}

impl Instance for Encoder {
    fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        batch.respond_each(|request, response| self.model.encode(request, response));
        Ok(())
    }
}

impl TokenizerModel {
    fn encode(&self, request: &Request, response: &mut Response<'_>) -> Result<()> {
        let texts = request.input(TEXT)?.byte_elements()?;
        let rows = self.texts.encode(texts.iter()).map_err(Error::invalid_argument)?;
        let shape = [rows.count, rows.width].map(|extent| i64::try_from(extent).unwrap_or(i64::MAX));
        for wanted in request.requested_outputs() {
            let wanted = wanted?;
            response.output_of(wanted, &shape, column(&rows, wanted)?)?;
        }
        Ok(())
    }
}

fn column<'a>(rows: &'a Rows, output: &str) -> Result<&'a [i64]> {
    match output {
        INPUT_IDS => Ok(&rows.ids),
        ATTENTION_MASK => Ok(&rows.mask),
        TOKEN_TYPE_IDS => Ok(&rows.types),
        _ => Err(Error::invalid_argument(format_args!("the tokenizer has no output {output:?}"))),
    }
}

nerite_plugin::export!(TokenizerModel);
