//! Lines of text, found in what a detector says of an image.

use crate::rectangle::Rectangle;
use crate::regions::Map;

/// A rectangle with a side shorter than this many pixels is no text, and one that is not longer once it has grown.
const LEAST_SIDE: f32 = 3.0;
const LEAST_GROWN_SIDE: f32 = 5.0;

/// What is a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// From which probability on a pixel is of text.
    pub(crate) threshold: f32,
    /// Which mean probability the pixels of a line have at least.
    pub(crate) box_threshold: f32,
    /// How far a line reaches beyond what is marked, as a part of its area over its circumference.
    pub(crate) unclip_ratio: f32,
}

/// The lines of a page, in the order in which they are read.
pub(crate) fn find(map: Map<'_>, rules: Rules) -> Vec<Rectangle> {
    let regions =
        map.regions(rules.threshold).into_iter().filter(|region| region.score >= rules.box_threshold);
    let marked = regions.filter_map(|region| Rectangle::about(region.outline));
    let lines = marked
        .filter(|marked| marked.shorter_side() >= LEAST_SIDE)
        .map(|marked| marked.grown(rules.unclip_ratio))
        .filter(|line| line.shorter_side() >= LEAST_GROWN_SIDE);
    in_order(lines.collect())
}

/// From above down, and from the left to the right where they stand beside each other.
fn in_order(mut lines: Vec<Rectangle>) -> Vec<Rectangle> {
    lines.sort_by(|one, other| one.center.y.total_cmp(&other.center.y));
    let mut rest = lines.as_mut_slice();
    while let Some(first) = rest.first() {
        let below = first.center.y + first.shorter_side() / 2.0;
        let (row, others) = rest.split_at_mut(rest.partition_point(|line| line.center.y <= below));
        row.sort_by(|one, other| one.center.x.total_cmp(&other.center.x));
        rest = others;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rectangle::Point;

    const RULES: Rules = Rules { threshold: 0.3, box_threshold: 0.5, unclip_ratio: 1.6 };

    /// A map with these bars: left, top, width, height, probability.
    fn map(bars: &[(usize, usize, usize, usize, f32)]) -> Vec<f32> {
        let mut values = vec![0.0; 100 * 100];
        for &(left, top, width, height, probability) in bars {
            for row in top..top + height {
                values[row * 100 + left..row * 100 + left + width].fill(probability);
            }
        }
        values
    }

    fn found(bars: &[(usize, usize, usize, usize, f32)]) -> Vec<(f32, f32)> {
        let lines = find(Map { values: &map(bars), width: 100 }, RULES);
        lines.iter().map(|line| (line.center.x, line.center.y)).collect()
    }

    #[test]
    fn lines_are_found_and_grow() {
        let values = map(&[(10, 10, 60, 8, 0.9)]);
        let lines = find(Map { values: &values, width: 100 }, RULES);
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((line.center, line.along), (Point { x: 40.0, y: 14.0 }, Point { x: 1.0, y: 0.0 }));
        // 60 by 8 from one middle of a pixel to another, of whose area over circumference 1.6 is 5.65.
        assert!((line.length - 71.3).abs() < 0.1 && (line.height - 19.3).abs() < 0.1, "{line:?}");
    }

    #[test]
    fn what_is_faint_or_small_is_no_line() {
        assert_eq!(found(&[(10, 10, 60, 8, 0.4)]), []);
        assert_eq!(found(&[(10, 10, 60, 2, 1.0), (50, 50, 2, 2, 1.0)]), []);
    }

    #[test]
    fn lines_come_as_they_are_read() {
        // Two columns, of which the right one is a bit higher, and a line below both.
        let bars = [(60, 10, 30, 8, 0.9), (5, 12, 30, 8, 0.9), (5, 40, 90, 8, 0.9)];
        assert_eq!(found(&bars), [(20.0, 16.0), (75.0, 14.0), (50.0, 44.0)]);
    }
}
