//! What the model's configuration says.

use nerite_plugin::{Config, DataType, Error, Result, TensorConfig};

use crate::lines::Rules;

pub(crate) const PIXELS: &str = "pixels";
pub(crate) const PROBABILITY: &str = "probability";
pub(crate) const SIZE: &str = "size";
pub(crate) const LINES: &str = "lines";
pub(crate) const BOXES: &str = "boxes";

/// Larger lines and more of them than this are nobody's page.
const MOST: usize = 16_384;

/// What a model does.
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    /// How high and wide lines are.
    pub(crate) height: usize,
    pub(crate) min_width: usize,
    pub(crate) max_width: usize,
    pub(crate) max_lines: usize,
    /// Whether requests say in which size boxes are told.
    pub(crate) has_size: bool,
}

impl Settings {
    /// Reads a configuration; fails where this backend does not serve it.
    pub(crate) fn new(config: &Config) -> Result<Settings> {
        if config.max_batch_size() > 0 {
            return Err(Error::invalid_argument(
                "the backend takes one page at a time, which may have any number of lines; set max_batch_size to 0",
            ));
        }
        let inputs = [(PIXELS, DataType::Fp32), (PROBABILITY, DataType::Fp32), (SIZE, DataType::Int64)];
        let [pixels, probability, size] = config.named_inputs(inputs)?;
        let [lines, boxes] = config.named_outputs([(LINES, DataType::Fp32), (BOXES, DataType::Fp32)])?;
        let lacks = |name, tensor: &Option<TensorConfig>| tensor.is_none().then_some(name);
        if let Some(name) = lacks(PIXELS, &pixels).or(lacks(PROBABILITY, &probability)) {
            return Err(Error::invalid_argument(format_args!("the backend needs the input {name:?}")));
        }
        if boxes.is_some_and(|boxes| boxes.dims.len() != 3) {
            return Err(Error::invalid_argument(format_args!("the output {BOXES:?} has dims: [ -1, 4, 2 ]")));
        }
        let height = lines.and_then(|lines| match *lines.dims {
            [-1, 3, height, -1] => usize::try_from(height).ok().filter(|height| (1..=MOST).contains(height)),
            _ => None,
        });
        let height = height.ok_or_else(|| {
            Error::invalid_argument(format_args!(
                "the backend needs the output {LINES:?} with dims: [ -1, 3, height, -1 ], of a height as 48"
            ))
        })?;
        let settings = Settings {
            rules: Rules {
                threshold: config.parsed_parameter("threshold")?.unwrap_or(0.3),
                box_threshold: config.parsed_parameter("box_threshold")?.unwrap_or(0.5),
                unclip_ratio: config.parsed_parameter("unclip_ratio")?.unwrap_or(1.6),
            },
            height,
            min_width: config.parsed_parameter("min_width")?.unwrap_or(320),
            max_width: config.parsed_parameter("max_width")?.unwrap_or(2400),
            max_lines: config.parsed_parameter("max_lines")?.unwrap_or(64),
            has_size: size.is_some(),
        };
        if !(1..=MOST).contains(&settings.max_width) || settings.min_width > settings.max_width {
            return Err(Error::invalid_argument(format_args!(
                "parameters \"min_width\" and \"max_width\" of the model are {} and {}; the one is not above the \
                 other, which is from 1 to {MOST}",
                settings.min_width, settings.max_width
            )));
        }
        Ok(settings)
    }
}
