//! Images, out of JPEG and PNG.

use std::io::Cursor;

use png::{ColorType, Transformations};
use thiserror::Error;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// How wide and how high an image may be: JPEG has no more, and longer ones are not photographs.
const MAX_SIDE: usize = 65_535;
pub(crate) const CHANNELS: usize = 3;
const JPEG_BEGINS: &[u8] = &[0xff, 0xd8, 0xff];
const PNG_BEGINS: &[u8] = b"\x89PNG\r\n\x1a\n";

/// An image: red, green and blue of each pixel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
}

/// Why bytes are not an image.
#[derive(Debug, Error)]
pub(crate) enum DecodeError {
    #[error("it is neither JPEG nor PNG")]
    Unknown,
    #[error("it has {width} by {height} pixels, and may have {limit} (the model's parameter max_pixels)")]
    TooManyPixels { width: usize, height: usize, limit: usize },
    #[error("it has {width} by {height} pixels, and a side may have {MAX_SIDE}")]
    TooLong { width: usize, height: usize },
    #[error("it is not a sound JPEG: {0}")]
    Jpeg(#[from] DecodeErrors),
    #[error("it is not a sound PNG: {0}")]
    Png(#[from] png::DecodingError),
}

/// Decodes an image of at most so many pixels; what it announces is looked at before memory is taken for it.
///
/// Transparency is left out, and so is what the file says of orientation and colour profile.
pub(crate) fn decode(file: &[u8], max_pixels: usize) -> Result<Image, DecodeError> {
    if file.starts_with(JPEG_BEGINS) {
        decode_jpeg(file, max_pixels)
    } else if file.starts_with(PNG_BEGINS) {
        decode_png(file, max_pixels)
    } else {
        Err(DecodeError::Unknown)
    }
}

fn decode_jpeg(file: &[u8], max_pixels: usize) -> Result<Image, DecodeError> {
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        // What is cut off would be grey otherwise.
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().ok_or(DecodeErrors::ZeroError)?;
    let (width, height) = allowed(width, height, max_pixels)?;
    Ok(Image { width, height, rgb: decoder.decode()? })
}

fn decode_png(file: &[u8], max_pixels: usize) -> Result<Image, DecodeError> {
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let (width, height) = decoder.read_header_info()?.size();
    let (width, height) = allowed(width as usize, height as usize, max_pixels)?;
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or(png::DecodingError::LimitsExceeded)?];
    let frame = reader.next_frame(&mut pixels)?;
    pixels.truncate(frame.buffer_size());
    Ok(Image { width, height, rgb: only_rgb(pixels, frame.color_type) })
}

/// An image's extents, where memory may be taken for it.
fn allowed(width: usize, height: usize, max_pixels: usize) -> Result<(u32, u32), DecodeError> {
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(DecodeError::TooLong { width, height });
    }
    if width * height > max_pixels {
        return Err(DecodeError::TooManyPixels { width, height, limit: max_pixels });
    }
    Ok((width as u32, height as u32))
}

fn only_rgb(pixels: Vec<u8>, color: ColorType) -> Vec<u8> {
    let grey = |size| pixels.chunks_exact(size).flat_map(|pixel| [pixel[0]; CHANNELS]).collect();
    match color {
        ColorType::Grayscale => grey(1),
        ColorType::GrayscaleAlpha => grey(2),
        ColorType::Rgba => pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        // A palette is expanded into this.
        ColorType::Rgb | ColorType::Indexed => pixels,
    }
}

#[cfg(test)]
mod tests;
