//! How an image comes to the size that a model takes.

use crate::decode::{CHANNELS, Image};

/// How images are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// To one size, whatever shape they have.
    Stretch { width: u32, height: u32 },
    /// So that the shorter side has that length; then the middle is cut out.
    Crop { width: u32, height: u32, shorter_side: u32 },
    /// So that the shorter side has at least that length, as far as the longer may have at most that one; nothing is
    /// cut out. Both are multiples of a number.
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

/// Of which places in a row a place of the result is the mean, and how much of each.
struct Taps {
    first: usize,
    weights: Vec<f32>,
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
    (begin * back, f64::from(target) * back)
}

/// The multiple that is nearest, from one to what is allowed.
fn rounded(side: f64, max_side: u32, multiple: u32) -> u32 {
    let most = (max_side / multiple).max(1);
    // Saturates, and is bounded then.
    let times = (side / f64::from(multiple)).round() as u32;
    times.clamp(1, most) * multiple
}

/// Resizes as Pillow's BILINEAR does: each pixel is a mean of all that it covers, of what is nearer the more.
pub(crate) fn resize(image: &Image, plan: Plan) -> Image {
    let Plan { part: [left, top, part_width, part_height], width, height } = plan;
    let columns = taps(left, part_width, image.width, width);
    let rows = taps(top, part_height, image.height, height);
    let stride = image.width as usize * CHANNELS;
    let mut rgb = Vec::with_capacity(width as usize * height as usize * CHANNELS);
    // First down, where many values are added at a time, and of the few rows that are left across.
    let mut sums = vec![0.0; stride];
    for row in rows {
        sums.fill(0.0);
        let sources = image.rgb.get(row.first * stride..).unwrap_or_default().chunks_exact(stride);
        for (source, weight) in sources.zip(row.weights) {
            for (sum, &value) in sums.iter_mut().zip(source) {
                *sum += weight * f32::from(value);
            }
        }
        rgb.extend(columns.iter().flat_map(|column| column.mean(&sums)));
    }
    Image { width, height, rgb }
}

/// What each place of a side of the result is made of, which is so much of a side of the image.
fn taps(begin: f64, length: f64, source: u32, target: u32) -> Vec<Taps> {
    let scale = length / f64::from(target);
    let reach = scale.max(1.0);
    let at = |place: u32| {
        let center = begin + (f64::from(place) + 0.5) * scale;
        // Saturates at the image's first place.
        let first = (center - reach + 0.5) as u32;
        let end = ((center + reach + 0.5) as u32).clamp(first + 1, source.max(first + 1));
        let weight = |place: u32| (1.0 - ((f64::from(place) + 0.5 - center) / reach).abs()).max(0.0);
        let total: f64 = (first..end).map(weight).sum();
        let weights = (first..end).map(|place| (weight(place) / total) as f32).collect();
        Taps { first: first as usize, weights }
    };
    (0..target).map(at).collect()
}

impl Taps {
    /// The mean of pixels of a row, rounded.
    fn mean(&self, row: &[f32]) -> [u8; CHANNELS] {
        let mut mean = [0.0; CHANNELS];
        let pixels = row.get(self.first * CHANNELS..).unwrap_or_default().chunks_exact(CHANNELS);
        for (pixel, weight) in pixels.zip(&self.weights) {
            for (mean, value) in mean.iter_mut().zip(pixel) {
                *mean += weight * value;
            }
        }
        mean.map(|mean| (mean + 0.5) as u8)
    }
}

#[cfg(test)]
mod tests;
