//! Rectangles that lie askew.

use std::cmp::Ordering;
use std::ops::{Add, Mul, Sub};

/// A point or a direction, in pixels: to the right, and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

impl Point {
    fn dot(self, other: Point) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// Turned from right to down.
    fn turned(self) -> Point {
        Point { x: -self.y, y: self.x }
    }
}

impl Add for Point {
    type Output = Point;

    fn add(self, other: Point) -> Point {
        Point { x: self.x + other.x, y: self.y + other.y }
    }
}

impl Sub for Point {
    type Output = Point;

    fn sub(self, other: Point) -> Point {
        Point { x: self.x - other.x, y: self.y - other.y }
    }
}

impl Mul<f32> for Point {
    type Output = Point;

    fn mul(self, factor: f32) -> Point {
        Point { x: self.x * factor, y: self.y * factor }
    }
}

/// A rectangle about a line of text, which is read along it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rectangle {
    pub(crate) center: Point,
    /// Where the text goes; of length one.
    pub(crate) along: Point,
    pub(crate) length: f32,
    pub(crate) height: f32,
}

/// A rectangle that is so much higher than it is wide is of text that runs down.
const UPRIGHT: f32 = 1.5;

impl Rectangle {
    /// The smallest about these points; none without points.
    pub(crate) fn about(points: Vec<Point>) -> Option<Rectangle> {
        let hull = hull(points);
        // One side of the smallest rectangle lies on a side of the hull.
        let next = hull.iter().skip(1).chain(hull.first());
        let sides = hull.iter().zip(next).map(|(&from, &to)| to - from);
        let rectangles = sides.map(|side| Rectangle::towards(side, &hull));
        rectangles.min_by(|one, other| one.area().total_cmp(&other.area())).map(Rectangle::as_it_is_read)
    }

    /// The smallest about these points that has a side in that direction.
    fn towards(side: Point, points: &[Point]) -> Rectangle {
        let length = side.dot(side).sqrt();
        let along = if length > 0.0 { side * (1.0 / length) } else { Point { x: 1.0, y: 0.0 } };
        let down = along.turned();
        let span = |axis: Point| {
            let places = points.iter().map(|point| point.dot(axis));
            let (from, to) = places.fold((f32::MAX, f32::MIN), |(from, to), at| (from.min(at), to.max(at)));
            ((from + to) / 2.0, to - from)
        };
        let ((middle, length), (level, height)) = (span(along), span(down));
        Rectangle { center: along * middle + down * level, along, length, height }
    }

    /// The same with its text going to the right, or down where it is upright.
    fn as_it_is_read(self) -> Rectangle {
        let turns = std::iter::successors(Some(self), |turned| {
            let (along, length, height) = (turned.along.turned(), turned.height, turned.length);
            Some(Rectangle { along, length, height, ..*turned })
        });
        let to_the_right =
            |turned: &Rectangle| turned.along.x > 0.0 && turned.along.x >= turned.along.y.abs();
        // One of four turns does; of two that are askew by half a right angle the first.
        let level = turns.take(4).find(to_the_right).unwrap_or(self);
        if level.height <= UPRIGHT * level.length {
            return level;
        }
        Rectangle { along: level.along.turned(), length: level.height, height: level.length, ..level }
    }

    fn area(&self) -> f32 {
        self.length * self.height
    }

    pub(crate) fn shorter_side(&self) -> f32 {
        self.length.min(self.height)
    }

    /// One whose sides are further out by that part of its area over its circumference: a detector of text marks the
    /// inner part of each line, to keep them apart.
    pub(crate) fn grown(self, ratio: f32) -> Rectangle {
        let distance = self.area() * ratio / (2.0 * (self.length + self.height)).max(f32::MIN_POSITIVE);
        Rectangle { length: self.length + 2.0 * distance, height: self.height + 2.0 * distance, ..self }
    }

    /// The point that is so far along and down, as parts of length and height, from the corner where the text begins.
    pub(crate) fn at(&self, along: f32, down: f32) -> Point {
        self.center
            + self.along * ((along - 0.5) * self.length)
            + self.along.turned() * ((down - 0.5) * self.height)
    }

    /// The corners as they follow each other, from the one above where the text begins to the one above its end.
    pub(crate) fn corners(&self) -> [Point; 4] {
        [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].map(|(along, down)| self.at(along, down))
    }
}

/// The corners of the smallest convex shape about some points (Andrew's monotone chain).
fn hull(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|one, other| one.x.total_cmp(&other.x).then(one.y.total_cmp(&other.y)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let mut lower = chain(points.iter().copied());
    let mut upper = chain(points.iter().rev().copied());
    // Each begins where the other ends.
    lower.pop();
    upper.pop();
    lower.extend(upper);
    lower
}

fn chain(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut chain: Vec<Point> = Vec::new();
    for point in points {
        while let [.., before, last] = chain.as_slice() {
            let turn = (*last - *before).turned().dot(point - *before);
            if turn.total_cmp(&0.0) == Ordering::Greater {
                break;
            }
            chain.pop();
        }
        chain.push(point);
    }
    chain
}

#[cfg(test)]
mod tests;
