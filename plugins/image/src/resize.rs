//! How an image comes to the size that a model takes.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ImageBufferError, ResizeAlg, ResizeError, ResizeOptions, Resizer};
use thiserror::Error;

use crate::decode::Image;

/// How images are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// To one size, whatever shape they have.
    Stretch { width: u32, height: u32 },
    /// So that the shorter side has that length; then the middle is cut out.
    Crop { width: u32, height: u32, shorter_side: u32 },
    /// So that the shorter side has at least that length, as far as the longer may have at most that one; nothing is cut
    /// out. Both are multiples of a number.
    Limit { min_side: u32, max_side: u32, multiple: u32 },
}

/// What becomes of an image: which part of it, and of which size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Left, top, width and height in pixels of the image.
    pub(crate) part: [f64; 4],
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// An image could not be resized.
#[derive(Debug, Error)]
pub(crate) enum ScaleError {
    #[error("it cannot be resized: {0}")]
    Resize(#[from] ResizeError),
    #[error("it is smaller than it says: {0}")]
    Buffer(#[from] ImageBufferError),
}

impl Policy {
    /// What becomes of an image of that size.
    pub(crate) fn plan(self, width: u32, height: u32) -> Plan {
        let all = [0.0, 0.0, f64::from(width), f64::from(height)];
        match self {
            Policy::Stretch { width, height } => Plan { part: all, width, height },
            Policy::Crop { width: target_width, height: target_height, shorter_side } => {
                let scale = f64::from(shorter_side) / f64::from(width.min(height));
                let (left, part_width) = middle(width, scale, target_width);
                let (top, part_height) = middle(height, scale, target_height);
                let part = [left, top, part_width, part_height];
                Plan { part, width: target_width, height: target_height }
            }
            Policy::Limit { min_side, max_side, multiple } => {
                let (shorter, longer) = (f64::from(width.min(height)), f64::from(width.max(height)));
                let scale = (f64::from(min_side) / shorter).max(1.0).min(f64::from(max_side) / longer);
                let side = |side| rounded(f64::from(side) * scale, max_side, multiple);
                Plan { part: all, width: side(width), height: side(height) }
            }
        }
    }
}

/// Where the middle that is cut out begins and how long it is, in pixels of the image, of a side that is scaled first.
fn middle(side: u32, scale: f64, target: u32) -> (f64, f64) {
    let scaled = (f64::from(side) * scale).round().max(f64::from(target));
    let begin = ((scaled - f64::from(target)) / 2.0).floor();
    let back = f64::from(side) / scaled;
    let (begin, length) = (begin * back, f64::from(target) * back);
    // Rounding must not bring it beyond the image.
    if begin + length <= f64::from(side) {
        (begin, length)
    } else {
        (begin, (f64::from(side) - begin).next_down())
    }
}

/// The multiple that is nearest, from one to what is allowed.
fn rounded(side: f64, max_side: u32, multiple: u32) -> u32 {
    let most = (max_side / multiple).max(1);
    // Saturates, and is bounded then.
    let times = (side / f64::from(multiple)).round() as u32;
    times.clamp(1, most) * multiple
}

/// Resizes as Pillow's BILINEAR does: each pixel is a mean of all that it covers.
pub(crate) fn resize(image: &Image, plan: Plan) -> Result<Image, ScaleError> {
    let Plan { part: [left, top, part_width, part_height], width, height } = plan;
    let source = TypedImageRef::<U8x3>::from_buffer(image.width, image.height, &image.rgb)?;
    let mut rgb = vec![0; width as usize * height as usize * 3];
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut rgb)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        left,
        top,
        part_width,
        part_height,
    );
    Resizer::new().resize_typed(&source, &mut target, &options)?;
    Ok(Image { width, height, rgb })
}

#[cfg(test)]
mod tests;
