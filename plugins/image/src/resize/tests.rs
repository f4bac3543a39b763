use proptest::prelude::*;

use super::*;

#[test]
fn an_image_is_stretched_to_the_size() {
    let plan = Policy::Stretch { width: 5, height: 7 }.plan(30, 40);
    assert_eq!(plan, Plan { part: [0.0, 0.0, 30.0, 40.0], width: 5, height: 7 });
}

#[test]
fn the_middle_is_cut_out_of_what_the_shorter_side_says() {
    // Scaled to 512 by 256, of which 144 and 16 are left out before the middle.
    let plan = Policy::Crop { width: 224, height: 224, shorter_side: 256 }.plan(1024, 512);
    assert_eq!(plan, Plan { part: [288.0, 32.0, 448.0, 448.0], width: 224, height: 224 });
}

#[test]
fn sides_are_limited_and_multiples() {
    let policy = Policy::Limit { min_side: 736, max_side: 2048, multiple: 32 };
    for ((width, height), expected) in [
        // Enlarged, within, reduced; too long for the shorter side to be long enough; nearly a line.
        ((384, 191), (1472, 736)),
        ((800, 1000), (800, 992)),
        ((4096, 2048), (2048, 1024)),
        ((3000, 300), (2048, 192)),
        ((65_535, 1), (2048, 32)),
    ] {
        let plan = policy.plan(width, height);
        assert_eq!((plan.width, plan.height), expected, "{width} by {height}");
    }
}

#[test]
fn each_pixel_is_a_mean_of_what_it_covers() {
    let rgb = [[0; 3], [90; 3], [0; 3], [90; 3], [90, 0, 0], [90, 0, 0]].concat();
    let image = Image { width: 6, height: 1, rgb };
    // A pixel of the result is two wide, and reaches one further on both sides, with weights of one, three, three and
    // one, as far as there are pixels.
    let small = resize(&image, Plan { part: [0.0, 0.0, 4.0, 1.0], width: 2, height: 1 });
    assert_eq!((small.rgb[0], small.rgb[3]), (39, 56));
    let same = resize(&image, Policy::Stretch { width: 6, height: 1 }.plan(6, 1));
    assert_eq!(same, image);
    // Between pixels when it is made larger, and at the edge what is there.
    let two = Image { width: 1, height: 2, rgb: vec![0, 0, 0, 80, 80, 80] };
    let large = resize(&two, Policy::Stretch { width: 1, height: 4 }.plan(1, 2));
    assert_eq!(large.rgb, [[0; 3], [20; 3], [60; 3], [80; 3]].concat());
}

proptest! {
    #[test]
    fn no_plan_reaches_beyond_its_image_or_its_limits(
        width in 1_u32..=65_535, height in 1_u32..=65_535, target in 1_u32..=300, more in 0_u32..=100,
    ) {
        let crop = Policy::Crop { width: target, height: target.div_ceil(2), shorter_side: target + more };
        let Plan { part: [left, top, part_width, part_height], .. } = crop.plan(width, height);
        prop_assert!(left >= 0.0 && left + part_width < f64::from(width) + 0.001 && part_width > 0.0);
        prop_assert!(top >= 0.0 && top + part_height < f64::from(height) + 0.001 && part_height > 0.0);
        let limit = Policy::Limit { min_side: target, max_side: target + more, multiple: target.div_ceil(3) };
        let plan = limit.plan(width, height);
        for side in [plan.width, plan.height] {
            prop_assert!(side > 0 && side <= target + more && side % target.div_ceil(3) == 0);
        }
    }

    #[test]
    fn every_place_is_made_of_places_that_are_there(
        source in 1_u32..=500, target in 1_u32..=300, begin in 0.0..1.0_f64, end in 0.0..1.0_f64,
    ) {
        let (begin, end) = (begin.min(end) * f64::from(source), begin.max(end) * f64::from(source));
        prop_assume!(end - begin > 0.001);
        for taps in taps(begin, end - begin, source, target) {
            prop_assert!(taps.first + taps.weights.len() <= source as usize);
            prop_assert!((taps.weights.iter().sum::<f32>() - 1.0).abs() < 0.001);
        }
    }
}
