use png::{BitDepth, Encoder};

use super::*;

const LIMIT: usize = 100;

/// A PNG of two pixels beside each other.
fn png(color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 2, 1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
        encoder.set_trns(vec![9, 255]);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    file
}

#[test]
fn every_kind_of_png_becomes_red_green_and_blue() {
    let (eight, sixteen) = (BitDepth::Eight, BitDepth::Sixteen);
    for (color, depth, data, expected) in [
        (ColorType::Rgb, eight, &[1, 2, 3, 4, 5, 6][..], [1, 2, 3, 4, 5, 6]),
        (ColorType::Rgba, eight, &[1, 2, 3, 9, 4, 5, 6, 0], [1, 2, 3, 4, 5, 6]),
        (ColorType::Grayscale, eight, &[1, 2], [1, 1, 1, 2, 2, 2]),
        (ColorType::GrayscaleAlpha, eight, &[1, 9, 2, 0], [1, 1, 1, 2, 2, 2]),
        (ColorType::Grayscale, sixteen, &[1, 200, 2, 7], [1, 1, 1, 2, 2, 2]),
        (ColorType::Grayscale, BitDepth::One, &[0b0100_0000], [0, 0, 0, 255, 255, 255]),
        (ColorType::Indexed, eight, &[0, 1], [1, 2, 3, 4, 5, 6]),
    ] {
        let image = decode(&png(color, depth, data), LIMIT).unwrap();
        assert_eq!(image, Image { width: 2, height: 1, rgb: expected.to_vec() }, "{color:?} {depth:?}");
    }
}

#[track_caller]
fn refused(file: &[u8], expected: &str) {
    let told = decode(file, LIMIT).map(drop).map_err(|error| error.to_string()).expect_err(expected);
    assert!(told.contains(expected), "{told}");
}

#[test]
fn what_is_no_image_is_refused() {
    refused(b"", "neither JPEG nor PNG");
    refused(b"GIF89a", "neither JPEG nor PNG");
    refused(JPEG_BEGINS, "not a sound JPEG");
    refused(PNG_BEGINS, "not a sound PNG");
    let whole = png(ColorType::Rgb, BitDepth::Eight, &[1, 2, 3, 4, 5, 6]);
    refused(&whole[..whole.len() - 20], "not a sound PNG");
}

#[test]
fn an_image_that_announces_more_pixels_than_are_allowed_is_refused() {
    let announcing = |width, height| {
        let mut file = Vec::new();
        let encoder = Encoder::new(&mut file, width, height);
        drop(encoder.write_header().unwrap());
        file
    };
    refused(&announcing(101, 1), "it has 101 by 1 pixels, and may have 100");
    refused(&announcing(60_000, 60_000), "it has 60000 by 60000 pixels");
    refused(&announcing(1, 65_536), "a side may have 65535");
    refused(&announcing(2_147_483_647, 2_147_483_647), "a side may have 65535");
}
