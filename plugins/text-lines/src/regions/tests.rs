use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The regions of a picture, whose marks are as high as their digits are tenths.
fn regions(picture: &[&str]) -> Vec<Region> {
    let values: Vec<f32> = picture
        .iter()
        .flat_map(|row| row.bytes())
        .map(|mark| if mark == b' ' { 0.0 } else { f32::from(mark - b'0') / 10.0 })
        .collect();
    Map { values: &values, width: picture[0].len() }.regions(0.3)
}

/// The least and the largest column and row of a region.
fn extent(region: &Region) -> (f32, f32, f32, f32) {
    let columns = region.outline.iter().map(|point| point.x);
    let rows = region.outline.iter().map(|point| point.y);
    (
        columns.clone().fold(f32::MAX, f32::min),
        rows.clone().fold(f32::MAX, f32::min),
        columns.fold(f32::MIN, f32::max),
        rows.fold(f32::MIN, f32::max),
    )
}

#[test]
fn what_is_low_is_in_no_region() {
    assert_eq!(regions(&["  ", "33"]), []);
    assert_eq!(Map { values: &[], width: 0 }.regions(0.3), []);
}

#[test]
fn a_region_reaches_one_to_the_right_and_one_down() {
    let found = regions(&["     ", " 8   ", "     ", "     "]);
    assert_eq!(found.len(), 1);
    assert_eq!(extent(&found[0]), (1.0, 1.0, 2.0, 2.0));
    assert!((found[0].score - 0.2).abs() < 0.001, "{}", found[0].score);
}

#[test]
fn regions_with_a_gap_between_are_apart() {
    let found = regions(&["99    99", "        ", "        ", "99      "]);
    let extents: Vec<_> = found.iter().map(extent).collect();
    assert_eq!(extents, [(0.0, 0.0, 2.0, 1.0), (6.0, 0.0, 7.0, 1.0), (0.0, 3.0, 2.0, 3.0)]);
}

#[test]
fn a_region_whose_parts_meet_below_is_one() {
    let found = regions(&["9     9", "9     9", "9999999"]);
    assert_eq!(found.len(), 1);
    let spiral = regions(&["9999999", "      9", "999   9", "9     9", "9999999"]);
    assert_eq!(spiral.len(), 1);
}

#[test]
fn regions_that_touch_at_a_corner_are_one() {
    assert_eq!(regions(&["9   ", "    ", "  9 "]).len(), 1);
    assert_eq!(regions(&["    9 ", "      ", "  9   "]).len(), 1);
    assert_eq!(regions(&["9    ", "     ", "   9 "]).len(), 2);
}

/// The same by a walk from each place to its neighbours.
fn walked(high: &BTreeSet<(i32, i32)>) -> usize {
    let (mut left, mut count) = (high.clone(), 0);
    while let Some(first) = left.pop_first() {
        count += 1;
        let mut walk = vec![first];
        while let Some((x, y)) = walk.pop() {
            let around = (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (x + dx, y + dy)));
            walk.extend(around.filter(|place| left.remove(place)));
        }
    }
    count
}

proptest! {
    #[test]
    fn regions_are_those_of_a_walk_from_place_to_place(
        marks in proptest::collection::vec(prop::bool::weighted(0.2), 0..150), width in 1_usize..15,
    ) {
        let values: Vec<f32> = marks.iter().map(|&high| f32::from(u8::from(high))).collect();
        let height = values.len() / width;
        let found = Map { values: &values[..height * width], width }.regions(0.5);
        let place = |index: usize| (i32::try_from(index % width).unwrap(), i32::try_from(index / width).unwrap());
        let (columns, rows) = (i32::try_from(width).unwrap(), i32::try_from(height).unwrap());
        let high: BTreeSet<(i32, i32)> = (0..height * width)
            .filter(|&index| marks[index])
            .map(place)
            .flat_map(|(x, y)| [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)])
            .filter(|&(x, y)| x < columns && y < rows)
            .collect();
        prop_assert_eq!(found.len(), walked(&high));
    }
}
