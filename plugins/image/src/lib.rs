//! A backend that decodes images and makes of them the tensors that a vision model takes.
//!
//! Input: `image`, BYTES `[1]`: a JPEG or PNG file. Outputs: `pixels`, FP32, and, where the configuration has it,
//! `size`, INT64 `[2]`: height and width of the image as it was sent. The size of `pixels` is what its `dims` say:
//!
//! - `[ 3, height, width ]`: each image is resized to that. The parameter `resize` says how: `stretch` (the default),
//!   or `crop`, which scales the shorter side to `shorter_side` and cuts out the middle.
//! - `[ 3, -1, -1 ]`: images keep their shape, and their size unless a side is shorter than `min_side` (1) or longer
//!   than `max_side` (2048, which comes first); both become multiples of `multiple_of` (1). The images of a request
//!   have to come out in one size.
//!
//! Other parameters, all optional:
//! - `layout`: `NCHW` (the default), or `NHWC`, whose dims end with the 3.
//! - `channels`: `RGB` (the default) or `BGR`.
//! - `mean`, `std`: a number, or three for the channels as they come. Of each value, a fraction of 255, the mean (0) is
//!   taken, and what is left divided by the deviation (1).
//! - `max_pixels`: how many pixels an image may have (50,000,000); what has more is refused before it is decoded.
//!
//! Transparency is left out; orientation and colour profile, which a file may name, are not applied.

mod decode;
mod normal;
mod resize;
mod settings;

use std::sync::Arc;

use nerite_plugin::{
    Batch, DataType, Error, Instance, InstanceContext, Model, ModelContext, Request, Response, Result,
};

use crate::decode::{Image, decode};
use crate::normal::Layout;
use crate::resize::resize;
use crate::settings::{IMAGE, PIXELS, SIZE, Settings};

/// A model: how images become tensors.
struct ImageModel {
    settings: Settings,
}

impl Model for ImageModel {
    type Instance = Decoder;

    fn load(context: &ModelContext<'_>) -> Result<ImageModel> {
        let settings = Settings::new(context.config()).map_err(|error| {
            Error::invalid_argument(format_args!(
                "the image backend does not serve this configuration: {error}"
            ))
        })?;
        Ok(ImageModel { settings })
    }

    fn instance(self: &Arc<ImageModel>, _: &InstanceContext<'_>) -> Result<Decoder> {
        Ok(Decoder { model: Arc::clone(self) })
    }
}

/// An instance.
struct Decoder {
    model: Arc<ImageModel>,
}

impl Instance for Decoder {
    fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        batch.respond_each(|request, response| self.model.answer(request, response));
        Ok(())
    }
}

/// The images of a request, all of one size.
struct Images {
    images: Vec<Image>,
    width: u32,
    height: u32,
    /// Height and width of each as it was sent.
    sizes: Vec<i64>,
}

impl ImageModel {
    fn answer(&self, request: &Request, response: &mut Response<'_>) -> Result<()> {
        let images = self.images(request)?;
        for wanted in request.requested_outputs() {
            match wanted? {
                PIXELS => self.write(&images, response)?,
                SIZE => response.output_of(SIZE, &self.shape(&images, &[2]), &images.sizes)?,
                other => {
                    return Err(Error::invalid_argument(format_args!(
                        "the image backend has no output {other:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Decodes one after another, so that only one is in memory as large as it was sent.
    fn images(&self, request: &Request) -> Result<Images> {
        let files = request.input(IMAGE)?.byte_elements()?;
        let mut images =
            Images { images: Vec::with_capacity(files.len()), width: 0, height: 0, sizes: Vec::new() };
        for (place, file) in files.iter().enumerate() {
            let image = decode(file, self.settings.max_pixels)
                .map_err(|error| Error::invalid_argument(format_args!("image {place}: {error}")))?;
            let plan = self.settings.policy.plan(image.width, image.height);
            images.sizes.extend([image.height, image.width].map(i64::from));
            if place > 0 && (plan.width, plan.height) != (images.width, images.height) {
                return Err(Error::invalid_argument(format_args!(
                    "image {place} comes out with {} by {} pixels, and those before with {} by {}; ask for them one by \
                     one",
                    plan.width, plan.height, images.width, images.height
                )));
            }
            (images.width, images.height) = (plan.width, plan.height);
            images.images.push(resize(&image, plan));
        }
        Ok(images)
    }

    fn write(&self, images: &Images, response: &mut Response<'_>) -> Result<()> {
        let (height, width) = (i64::from(images.height), i64::from(images.width));
        let dims = match self.settings.layout {
            Layout::Nchw => [3, height, width],
            Layout::Nhwc => [height, width, 3],
        };
        let shape = self.shape(images, &dims);
        let size = DataType::Fp32.byte_size(&dims).ok_or_else(|| Error::internal("a tensor is too large"))?;
        let place = response.output(PIXELS, DataType::Fp32, &shape, size * images.images.len())?;
        for (image, place) in images.images.iter().zip(place.chunks_exact_mut(size.max(1))) {
            self.settings.normal.write(&image.rgb, place);
        }
        Ok(())
    }

    /// The shape of an output that has these dims for each image.
    fn shape(&self, images: &Images, dims: &[i64]) -> Vec<i64> {
        let rows = i64::try_from(images.images.len()).unwrap_or(i64::MAX);
        let rows = self.settings.batches.then_some(rows);
        rows.into_iter().chain(dims.iter().copied()).collect()
    }
}

nerite_plugin::export!(ImageModel);
