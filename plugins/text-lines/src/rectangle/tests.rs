use proptest::prelude::*;

use super::*;

fn points(places: &[(f32, f32)]) -> Vec<Point> {
    places.iter().map(|&(x, y)| Point { x, y }).collect()
}

#[track_caller]
fn close(one: f32, other: f32) {
    assert!((one - other).abs() < 0.01, "{one} is not {other}");
}

#[track_caller]
fn is(found: Rectangle, expected: Rectangle) {
    close(found.center.x, expected.center.x);
    close(found.center.y, expected.center.y);
    close(found.along.x, expected.along.x);
    close(found.along.y, expected.along.y);
    close(found.length, expected.length);
    close(found.height, expected.height);
}

const RIGHT: Point = Point { x: 1.0, y: 0.0 };

#[test]
fn a_rectangle_that_lies_straight_is_found_straight() {
    let found =
        Rectangle::about(points(&[(1.0, 2.0), (9.0, 2.0), (9.0, 5.0), (1.0, 5.0), (4.0, 3.0)])).unwrap();
    is(found, Rectangle { center: Point { x: 5.0, y: 3.5 }, along: RIGHT, length: 8.0, height: 3.0 });
}

#[test]
fn a_rectangle_that_lies_askew_is_found_askew() {
    // Four along and three down, and a third of that across.
    let found = Rectangle::about(points(&[(0.0, 0.0), (8.0, 6.0), (5.0, 10.0), (-3.0, 4.0)])).unwrap();
    let along = Point { x: 0.8, y: 0.6 };
    is(found, Rectangle { center: Point { x: 2.5, y: 5.0 }, along, length: 10.0, height: 5.0 });
    let [first, second, ..] = found.corners();
    close(first.x, 0.0);
    close(first.y, 0.0);
    close(second.x, 8.0);
    close(second.y, 6.0);
}

#[test]
fn text_in_an_upright_rectangle_runs_down() {
    let found = Rectangle::about(points(&[(0.0, 0.0), (2.0, 0.0), (2.0, 8.0), (0.0, 8.0)])).unwrap();
    let along = Point { x: 0.0, y: 1.0 };
    is(found, Rectangle { center: Point { x: 1.0, y: 4.0 }, along, length: 8.0, height: 2.0 });
    // What is above a letter is to the right.
    let first = found.corners()[0];
    close(first.x, 2.0);
    close(first.y, 0.0);
}

#[test]
fn a_rectangle_grows_by_a_part_of_area_over_circumference() {
    let rectangle = Rectangle { center: Point { x: 0.0, y: 0.0 }, along: RIGHT, length: 30.0, height: 10.0 };
    let grown = rectangle.grown(1.6);
    close(grown.length, 42.0);
    close(grown.height, 22.0);
}

#[test]
fn of_few_points_there_is_a_rectangle_without_area() {
    assert_eq!(Rectangle::about(vec![]), None);
    let one = Rectangle::about(points(&[(3.0, 4.0)])).unwrap();
    is(one, Rectangle { center: Point { x: 3.0, y: 4.0 }, along: RIGHT, length: 0.0, height: 0.0 });
    let two = Rectangle::about(points(&[(0.0, 0.0), (4.0, 0.0), (2.0, 0.0)])).unwrap();
    is(two, Rectangle { center: Point { x: 2.0, y: 0.0 }, along: RIGHT, length: 4.0, height: 0.0 });
}

proptest! {
    #[test]
    fn every_point_lies_within_its_rectangle(
        places in proptest::collection::vec((0_u16..100, 0_u16..100), 1..40),
    ) {
        let points: Vec<Point> = places.iter().map(|&(x, y)| Point { x: x.into(), y: y.into() }).collect();
        let found = Rectangle::about(points.clone()).unwrap();
        for point in points {
            let away = point - found.center;
            prop_assert!(away.dot(found.along).abs() <= found.length / 2.0 + 0.01);
            prop_assert!(away.dot(found.along.turned()).abs() <= found.height / 2.0 + 0.01);
        }
        prop_assert!((found.along.dot(found.along) - 1.0).abs() < 0.001);
        // The smallest is not larger than the one that lies straight.
        let [xs, ys]: [Vec<u16>; 2] = [places.iter().map(|at| at.0).collect(), places.iter().map(|at| at.1).collect()];
        let span = |values: &[u16]| f32::from(values.iter().max().unwrap() - values.iter().min().unwrap());
        prop_assert!(found.area() <= span(&xs) * span(&ys) + 0.1);
    }
}
