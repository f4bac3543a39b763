//! Pixels as the numbers that a model takes.

use std::array;

/// Where a tensor has its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One plane for each.
    Nchw,
    /// Beside each other in each pixel.
    Nhwc,
}

/// How the numbers of pixels become those of a tensor.
pub(crate) struct Normal {
    layout: Layout,
    /// For each channel of the tensor which it is of red, green and blue, and what its 256 values become.
    channels: [(usize, [f32; 256]); 3],
}

impl Normal {
    /// Of each value, a fraction of 255, the mean is taken and the rest divided by the deviation. `order` says which of
    /// red, green and blue each channel is.
    pub(crate) fn new(layout: Layout, order: [usize; 3], mean: [f32; 3], deviation: [f32; 3]) -> Normal {
        let channels = array::from_fn(|channel| {
            let values = array::from_fn(|value| (value as f32 / 255.0 - mean[channel]) / deviation[channel]);
            (order[channel], values)
        });
        Normal { layout, channels }
    }

    /// Writes the tensor of an image, as bytes, where there is room for exactly it.
    pub(crate) fn write(&self, rgb: &[u8], place: &mut [u8]) {
        let pixels = rgb.chunks_exact(3);
        match self.layout {
            Layout::Nchw => {
                let planes = place.chunks_exact_mut(pixels.len() * size_of::<f32>());
                for (plane, (source, values)) in planes.zip(&self.channels) {
                    for (number, pixel) in plane.chunks_exact_mut(4).zip(pixels.clone()) {
                        number.copy_from_slice(&values[usize::from(pixel[*source])].to_ne_bytes());
                    }
                }
            }
            Layout::Nhwc => {
                for (numbers, pixel) in place.chunks_exact_mut(3 * size_of::<f32>()).zip(pixels) {
                    for (number, (source, values)) in numbers.chunks_exact_mut(4).zip(&self.channels) {
                        number.copy_from_slice(&values[usize::from(pixel[*source])].to_ne_bytes());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIXELS: [u8; 6] = [0, 51, 255, 102, 0, 204];

    fn numbers(layout: Layout, order: [usize; 3], mean: [f32; 3], deviation: [f32; 3]) -> Vec<f32> {
        let mut place = [0; 24];
        Normal::new(layout, order, mean, deviation).write(&PIXELS, &mut place);
        place.as_chunks::<4>().0.iter().map(|number| f32::from_ne_bytes(*number)).collect()
    }

    #[test]
    fn each_channel_is_a_plane_or_beside_the_others() {
        let numbers = |layout| numbers(layout, [0, 1, 2], [0.0; 3], [1.0; 3]);
        assert_eq!(numbers(Layout::Nchw), [0.0, 0.4, 0.2, 0.0, 1.0, 0.8]);
        assert_eq!(numbers(Layout::Nhwc), [0.0, 0.2, 1.0, 0.4, 0.0, 0.8]);
    }

    #[test]
    fn channels_come_in_the_order_that_is_wanted_with_a_mean_and_a_deviation_each() {
        let numbers = numbers(Layout::Nhwc, [2, 1, 0], [0.5, 0.0, 0.2], [0.5, 2.0, 1.0]);
        assert_eq!(numbers, [1.0, 0.1, -0.2, 0.6, 0.0, 0.2]);
    }
}
