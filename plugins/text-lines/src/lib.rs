//! A backend between a detector of text and a recogniser: it cuts the lines out of a page.
//!
//! The detector says of each pixel how likely it is one of text, as the models of PaddleOCR and RapidOCR do
//! ("differentiable binarization"). Connected regions that are likely enough become lines: the smallest rectangles
//! about them, which may lie askew, and a bit more, since the detector marks the inner part of a line.
//!
//! The model does not batch (`max_batch_size: 0`), because nobody knows how many lines a page has. Inputs:
//! - `pixels`, FP32 `[ 1, 3, -1, -1 ]`: the page, as the detector was given it.
//! - `probability`, FP32 `[ 1, 1, -1, -1 ]`: what it said.
//! - `size`, INT64 `[ 1, 2 ]`, where the configuration has it: height and width in which the boxes are told; those of
//!   `pixels` otherwise.
//!
//! Outputs:
//! - `lines`, FP32 `[ -1, 3, 48, -1 ]`: each line, level, in the order in which they are read, as high as the dims say
//!   and as wide as the widest, with zeros behind the shorter ones. What is half again as high as wide is taken for text
//!   that runs down, and turned.
//! - `boxes`, FP32 `[ -1, 4, 2 ]`: the corners of each, x before y, from the one above the beginning of its text to the
//!   one above its end, the one below that, and the last.
//!
//! On a page without text there is one line, of zeros, whose box has no extent: recognisers cannot do without any.
//!
//! Parameters of the model, all optional:
//! - `threshold` (0.3): from which probability on a pixel is one of text.
//! - `box_threshold` (0.5): which mean probability a line has at least.
//! - `unclip_ratio` (1.6): how far a line reaches beyond what is marked, as a part of its area over its circumference.
//! - `min_width` (320), `max_width` (2400): how wide lines are at least and at most; longer ones are squeezed.
//! - `max_lines` (64): how many lines a page may have; with more it is refused, since a recogniser takes memory for
//!   all.

mod cut;
mod lines;
mod rectangle;
mod regions;
mod settings;

use std::sync::Arc;

use nerite_plugin::{
    Batch, Error, Input, Instance, InstanceContext, Model, ModelContext, Request, Response, Result,
};

use crate::cut::{CHANNELS, Planes, width_of};
use crate::lines::find;
use crate::rectangle::{Point, Rectangle};
use crate::regions::Map;
use crate::settings::{BOXES, LINES, PIXELS, PROBABILITY, SIZE, Settings};

/// A model: what is a line, and how large it becomes.
struct TextLines {
    settings: Settings,
}

impl Model for TextLines {
    type Instance = Cutter;

    fn load(context: &ModelContext<'_>) -> Result<TextLines> {
        Ok(TextLines { settings: Settings::new(context.config())? })
    }

    fn instance(self: &Arc<TextLines>, _: &InstanceContext<'_>) -> Result<Cutter> {
        Ok(Cutter { model: Arc::clone(self) })
    }
}

/// An instance.
struct Cutter {
    model: Arc<TextLines>,
}

impl Instance for Cutter {
    fn execute(&mut self, batch: &mut Batch) -> Result<()> {
        batch.respond_each(|request, response| self.model.answer(request, response));
        Ok(())
    }
}

/// A line that stands for none.
const NOTHING: Rectangle =
    Rectangle { center: Point { x: 0.0, y: 0.0 }, along: Point { x: 1.0, y: 0.0 }, length: 0.0, height: 0.0 };

impl TextLines {
    fn answer(&self, request: &Request, response: &mut Response<'_>) -> Result<()> {
        let (pixels, probability) = (request.input(PIXELS)?, request.input(PROBABILITY)?);
        let [height, width] = extents(&pixels, CHANNELS)?;
        if extents(&probability, 1)? != [height, width] {
            return Err(Error::invalid_argument(format_args!(
                "{PIXELS} are of shape {:?}, and {PROBABILITY}, which is of the same page, {:?}",
                pixels.shape(),
                probability.shape()
            )));
        }
        let (pixels, probability) = (pixels.values::<f32>()?, probability.values::<f32>()?);
        let lines = find(Map { values: &probability, width }, self.settings.rules);
        let (count, most) = (lines.len(), self.settings.max_lines);
        if count > most {
            return Err(Error::invalid_argument(format_args!(
                "the page has {count} lines of text, and may have {most}; send it in parts, or raise the model's \
                 parameter max_lines"
            )));
        }
        for wanted in request.requested_outputs() {
            match wanted? {
                LINES => self.write_lines(&lines, Planes { values: &pixels, width, height }, response)?,
                BOXES => write_boxes(&lines, self.told_scale(request, width, height)?, response)?,
                other => {
                    return Err(Error::invalid_argument(format_args!("the backend has no output {other:?}")));
                }
            }
        }
        Ok(())
    }

    fn write_lines(&self, lines: &[Rectangle], page: Planes<'_>, response: &mut Response<'_>) -> Result<()> {
        let height = self.settings.height;
        let widths: Vec<usize> =
            lines.iter().map(|line| width_of(line, height, self.settings.max_width)).collect();
        let room = widths.iter().copied().max().unwrap_or(0).max(self.settings.min_width);
        let size = CHANNELS * height * room;
        let mut all = vec![0.0; size * lines.len().max(1)];
        for ((line, &width), place) in lines.iter().zip(&widths).zip(all.chunks_exact_mut(size)) {
            page.cut(line, width, room, place);
        }
        let shape = [lines.len().max(1), CHANNELS, height, room].map(|extent| extent as i64);
        response.output_of(LINES, &shape, &all)
    }

    /// By how much x and y are larger where boxes are told than in the pixels, and the largest x and y there.
    fn told_scale(&self, request: &Request, width: usize, height: usize) -> Result<[[f32; 2]; 2]> {
        let own = [width as f32, height as f32];
        if !self.settings.has_size {
            return Ok([[1.0; 2], own]);
        }
        let size = request.input(SIZE)?.values::<i64>()?;
        let &[told_height, told_width] = size.as_ref() else {
            return Err(Error::invalid_argument(format_args!("{SIZE} is a height and a width")));
        };
        let told = [told_width as f32, told_height as f32];
        Ok([[told[0] / own[0], told[1] / own[1]], told])
    }
}

/// Height and width of an image of so many channels, of which there is one.
fn extents(input: &Input<'_>, channels: usize) -> Result<[usize; 2]> {
    let shape: Vec<usize> = input.shape().iter().filter_map(|&extent| usize::try_from(extent).ok()).collect();
    match shape.as_slice() {
        &[1, found, height, width] if found == channels && height > 0 && width > 0 => Ok([height, width]),
        _ => Err(Error::invalid_argument(format_args!(
            "{} is of shape [1,{channels},height,width], not {:?}",
            input.name(),
            input.shape()
        ))),
    }
}

fn write_boxes(lines: &[Rectangle], [scale, most]: [[f32; 2]; 2], response: &mut Response<'_>) -> Result<()> {
    let lines = if lines.is_empty() { &[NOTHING] } else { lines };
    let corners = lines.iter().flat_map(Rectangle::corners);
    // The middle of a pixel is half a pixel from its edge.
    let told = |place: f32, axis: usize| ((place + 0.5) * scale[axis]).clamp(0.0, most[axis].max(0.0));
    let boxes: Vec<f32> = corners.flat_map(|corner| [told(corner.x, 0), told(corner.y, 1)]).collect();
    response.output_of(BOXES, &[lines.len() as i64, 4, 2], &boxes)
}

nerite_plugin::export!(TextLines);
