//! Protobuf's text format, in every spelling that the field's own (C++) parser accepts, with errors that say where.

mod error;
mod lexer;
mod parser;
mod quoted;
mod scalar;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::LazyLock;

use nerite_proto::inference::ModelConfig;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

pub use error::{ParseError, Problem};

use error::Fault;
use parser::Parser;

/// The largest text that is read, in bytes; parsed, a text takes up to thirty times its size.
pub const MAX_TEXT_SIZE: usize = 4 << 20;

/// The description of `inference.ModelConfig`; decoded when the first text is parsed, because a daemon without models
/// should not pay for it.
pub(crate) static MODEL_CONFIG: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    DescriptorPool::decode(nerite_proto::FILE_DESCRIPTOR_SET)
        .ok()
        .and_then(|pool| pool.get_message_by_name("inference.ModelConfig"))
        .expect("the contract's own description holds inference.ModelConfig")
});

/// Parses a model configuration in protobuf's text format. `file` is the name that errors give. Comments need not be
/// UTF-8, strings must.
pub fn parse_model_config(text: impl AsRef<[u8]>, file: &str) -> Result<ModelConfig, ParseError> {
    let text = text.as_ref();
    if text.len() > MAX_TEXT_SIZE {
        let fault =
            Fault::unexpected(0, format!("at most {MAX_TEXT_SIZE} bytes"), format!("{} bytes", text.len()));
        return Err(fault.locate(file, text, String::new()));
    }
    let mut message = DynamicMessage::new(MODEL_CONFIG.clone());
    let mut parser = Parser::new(text);
    parser.parse(&mut message).map_err(|fault| fault.locate(file, text, parser.field_path()))?;
    Ok(message.transcode_to().expect("the description and the generated type are of the same contract"))
}
