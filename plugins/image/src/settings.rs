//! What the model's configuration says.

use nerite_plugin::{Config, DataType, Error, Result, TensorConfig};

use crate::normal::{Layout, Normal};
use crate::resize::Policy;

pub(crate) const IMAGE: &str = "image";
pub(crate) const PIXELS: &str = "pixels";
pub(crate) const SIZE: &str = "size";

const MAX_PIXELS: usize = 50_000_000;
const MAX_SIDE: u32 = 2048;
/// Larger tensors than these sides make are nobody's input.
const LARGEST_SIDE: u32 = 16_384;

/// What a model does.
pub(crate) struct Settings {
    pub(crate) max_pixels: usize,
    pub(crate) policy: Policy,
    pub(crate) layout: Layout,
    pub(crate) normal: Normal,
    /// Whether the model batches: then each image is a row, and otherwise there is one.
    pub(crate) batches: bool,
}

impl Settings {
    /// Reads a configuration; fails where this backend does not serve it.
    pub(crate) fn new(config: &Config) -> Result<Settings> {
        let [image] = config.named_inputs([(IMAGE, DataType::Bytes)])?;
        if image.is_none_or(|image| image.dims != [1]) {
            return Err(Error::invalid_argument(format_args!(
                "it needs the input {IMAGE:?} with dims: [ 1 ]"
            )));
        }
        let [pixels, size] = config.named_outputs([(PIXELS, DataType::Fp32), (SIZE, DataType::Int64)])?;
        let pixels =
            pixels.ok_or_else(|| Error::invalid_argument(format_args!("it needs the output {PIXELS:?}")))?;
        if size.is_some_and(|size| size.dims != [2]) {
            return Err(Error::invalid_argument(format_args!("its output {SIZE:?} has dims: [ 2 ]")));
        }
        let layout = choice(config, "layout", &[("NCHW", Layout::Nchw), ("NHWC", Layout::Nhwc)])?;
        let order = choice(config, "channels", &[("RGB", [0, 1, 2]), ("BGR", [2, 1, 0])])?;
        let (mean, deviation) = (three(config, "mean", 0.0)?, three(config, "std", 1.0)?);
        if deviation.contains(&0.0) {
            return Err(Error::invalid_argument(
                "parameter \"std\" of the model has a zero, by which nothing is divided",
            ));
        }
        Ok(Settings {
            max_pixels: config.parsed_parameter("max_pixels")?.unwrap_or(MAX_PIXELS),
            policy: policy(config, &pixels, layout)?,
            layout,
            normal: Normal::new(layout, order, mean, deviation),
            batches: config.max_batch_size() > 0,
        })
    }
}

/// How images are resized: what the output's dims and the parameters say together.
fn policy(config: &Config, pixels: &TensorConfig, layout: Layout) -> Result<Policy> {
    let (height, width) = match (layout, pixels.dims.as_slice()) {
        (Layout::Nchw, &[3, height, width]) | (Layout::Nhwc, &[height, width, 3]) => (height, width),
        (_, dims) => {
            return Err(Error::invalid_argument(format_args!(
                "its output {PIXELS:?} has dims: [ 3, height, width ], or [ height, width, 3 ] with the layout NHWC, \
                 and not {dims:?}"
            )));
        }
    };
    if (height, width) == (-1, -1) {
        return limit(config);
    }
    let side = |side: i64| u32::try_from(side).ok().filter(|side| (1..=LARGEST_SIDE).contains(side));
    let (Some(height), Some(width)) = (side(height), side(width)) else {
        return Err(Error::invalid_argument(format_args!(
            "the sides of its output {PIXELS:?} are both -1 or both from 1 to {LARGEST_SIDE}"
        )));
    };
    if !choice(config, "resize", &[("stretch", false), ("crop", true)])? {
        return Ok(Policy::Stretch { width, height });
    }
    let shorter_side = config.parsed_parameter("shorter_side")?.unwrap_or(width.max(height));
    if shorter_side < width.max(height) {
        return Err(Error::invalid_argument(format_args!(
            "parameter \"shorter_side\" of the model is {shorter_side}, which is less than what is cut out"
        )));
    }
    Ok(Policy::Crop { width, height, shorter_side })
}

fn limit(config: &Config) -> Result<Policy> {
    let max_side = config.parsed_parameter("max_side")?.unwrap_or(MAX_SIDE);
    let min_side = config.parsed_parameter("min_side")?.unwrap_or(1);
    let multiple = config.parsed_parameter("multiple_of")?.unwrap_or(1);
    if multiple < 1 || max_side < multiple || max_side < min_side || max_side > LARGEST_SIDE {
        return Err(Error::invalid_argument(format_args!(
            "images are to have sides from {min_side} to {max_side} that are multiples of {multiple}; the largest may \
             be {LARGEST_SIDE}, and not less than the others"
        )));
    }
    Ok(Policy::Limit { min_side, max_side, multiple })
}

/// The parameter of that name, which is one of these words; the first unless it is set.
fn choice<T: Copy>(config: &Config, name: &str, choices: &[(&str, T)]) -> Result<T> {
    let wanted = config.parameter(name);
    let found = choices.iter().find(|(word, _)| wanted.is_none_or(|wanted| wanted == *word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let wanted = wanted.unwrap_or_default();
        Error::invalid_argument(format_args!(
            "parameter {name:?} of the model is {wanted:?}, and not one of {}",
            words.join(", ")
        ))
    })
}

/// The parameter of that name: a number, or one for each channel.
fn three(config: &Config, name: &str, default: f32) -> Result<[f32; 3]> {
    let Some(text) = config.parameter(name) else {
        return Ok([default; 3]);
    };
    let numbers: Option<Vec<f32>> = text.split(',').map(finite).collect();
    match numbers.as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[first, second, third]) => Ok([first, second, third]),
        _ => Err(Error::invalid_argument(format_args!(
            "parameter {name:?} of the model is {text:?}, and neither a number nor three with commas between"
        ))),
    }
}

fn finite(text: &str) -> Option<f32> {
    text.trim().parse().ok().filter(|number: &f32| number.is_finite())
}
