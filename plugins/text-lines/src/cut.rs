//! Pieces that are cut out of an image, level and of one height.

use crate::rectangle::Rectangle;

pub(crate) const CHANNELS: usize = 3;

/// Of how many points in each direction a pixel is the mean at most, where the image is made smaller.
const MOST_POINTS: usize = 4;

/// An image as a tensor: a plane for each channel.
#[derive(Clone, Copy)]
pub(crate) struct Planes<'p> {
    pub(crate) values: &'p [f32],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// How wide a line becomes that keeps its shape, within bounds.
pub(crate) fn width_of(line: &Rectangle, height: usize, max_width: usize) -> usize {
    let width = (height as f32 * line.length / line.height.max(1.0)).ceil();
    // Saturates, and is bounded then.
    (width as usize).clamp(1, max_width)
}

impl Planes<'_> {
    /// Writes a line, of this width and as high as the place is, into the left of a place that has the planes of rows
    /// of `room` numbers.
    pub(crate) fn cut(&self, line: &Rectangle, width: usize, room: usize, place: &mut [f32]) {
        let height = place.len() / (CHANNELS * room);
        let points_along = points(line.length, width);
        let points_down = points(line.height, height);
        let share = 1.0 / (points_along * points_down) as f32;
        for row in 0..height {
            for column in 0..width {
                let mut sums = [0.0; CHANNELS];
                for down in 0..points_down {
                    for along in 0..points_along {
                        let part = |index, point, points, of| {
                            (index as f32 + (point as f32 + 0.5) / points as f32) / of as f32
                        };
                        let at = line.at(
                            part(column, along, points_along, width),
                            part(row, down, points_down, height),
                        );
                        self.add(at.x, at.y, &mut sums);
                    }
                }
                for (channel, sum) in sums.iter().enumerate() {
                    place[(channel * height + row) * room + column] = sum * share;
                }
            }
        }
    }

    /// Adds the image's value at a point to each channel's sum, between the four pixels about it; beyond the edge, that
    /// of the edge.
    fn add(&self, x: f32, y: f32, sums: &mut [f32; CHANNELS]) {
        let (left, right, x) = between(x, self.width);
        let (above, below, y) = between(y, self.height);
        let size = self.width * self.height;
        for (plane, sum) in self.values.chunks_exact(size).zip(sums) {
            let at = |row: usize, column: usize| plane[row * self.width + column];
            let upper = at(above, left) * (1.0 - x) + at(above, right) * x;
            let lower = at(below, left) * (1.0 - x) + at(below, right) * x;
            *sum += upper * (1.0 - y) + lower * y;
        }
    }
}

/// Over how many points a pixel is the mean where so many become so few.
fn points(source: f32, target: usize) -> usize {
    ((source / target as f32).round() as usize).clamp(1, MOST_POINTS)
}

/// The pixels before and after a place, and how far it is from the one to the other.
fn between(place: f32, count: usize) -> (usize, usize, f32) {
    let last = count.saturating_sub(1);
    let place = place.clamp(0.0, last as f32);
    let before = place as usize;
    (before, (before + 1).min(last), place - before as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rectangle::Point;

    /// An image whose first plane grows to the right, the second down, and the third is one.
    fn image(width: usize, height: usize) -> Vec<f32> {
        let places = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
        let right = places.clone().map(|(column, _)| column as f32);
        let down = places.map(|(_, row)| row as f32);
        right.chain(down).chain(std::iter::repeat_n(1.0, width * height)).collect()
    }

    fn rectangle(x: f32, y: f32, along: (f32, f32), length: f32, height: f32) -> Rectangle {
        Rectangle { center: Point { x, y }, along: Point { x: along.0, y: along.1 }, length, height }
    }

    /// The planes of a line that is cut out as large as it is.
    fn cut(line: &Rectangle, width: usize, height: usize, room: usize) -> Vec<f32> {
        let values = image(20, 10);
        let mut place = vec![-1.0; CHANNELS * room * height];
        Planes { values: &values, width: 20, height: 10 }.cut(line, width, room, &mut place);
        place
    }

    #[test]
    fn a_line_is_cut_out_beside_what_is_left_free() {
        let line = rectangle(5.5, 3.5, (1.0, 0.0), 2.0, 2.0);
        let expected = [
            [5.0, 6.0, -1.0],
            [5.0, 6.0, -1.0],
            [3.0, 3.0, -1.0],
            [4.0, 4.0, -1.0],
            [1.0, 1.0, -1.0],
            [1.0, 1.0, -1.0],
        ];
        assert_eq!(cut(&line, 2, 2, 3), expected.concat());
    }

    #[test]
    fn a_line_that_runs_down_is_turned() {
        let line = rectangle(5.5, 3.5, (0.0, 1.0), 2.0, 2.0);
        // Along it, the rows grow; the first row of it is its right side.
        assert_eq!(cut(&line, 2, 2, 2), [6.0, 6.0, 5.0, 5.0, 3.0, 4.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn beyond_the_edge_there_is_what_is_at_the_edge() {
        let line = rectangle(0.5, 0.0, (1.0, 0.0), 4.0, 1.0);
        assert_eq!(cut(&line, 4, 1, 4)[..4], [0.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn a_line_that_becomes_smaller_is_the_mean_of_what_it_was() {
        let line = rectangle(7.5, 4.5, (1.0, 0.0), 8.0, 4.0);
        assert_eq!(cut(&line, 2, 1, 2), [5.5, 9.5, 4.5, 4.5, 1.0, 1.0]);
    }

    #[test]
    fn a_line_keeps_its_shape_as_far_as_there_is_room() {
        let line = rectangle(0.0, 0.0, (1.0, 0.0), 100.0, 10.0);
        assert_eq!(width_of(&line, 48, 2400), 480);
        assert_eq!(width_of(&line, 48, 300), 300);
        assert_eq!(width_of(&rectangle(0.0, 0.0, (1.0, 0.0), 0.0, 0.0), 48, 300), 1);
    }
}
