use nerite_backend::Declaration;
use nerite_core::model::ModelDraft;
use nerite_core::repository::ModelDirectory;
use nerite_proto::inference::ModelConfig;
use proptest::prelude::*;

use super::printer::print;
use super::random::Random;
use crate::Options;
use crate::draft::Draft;
use crate::text::{MODEL_CONFIG, parse_model_config};

/// A random configuration and a random spelling of it.
fn spelled(seed: u64) -> (ModelConfig, String) {
    let mut random = Random(seed);
    let message = random.message(&MODEL_CONFIG);
    let text = print(&message, &mut random);
    (message.transcode_to().unwrap(), text)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_configuration_in_any_spelling_parses_back_to_itself(seed in any::<u64>()) {
        let (config, text) = spelled(seed);
        let parsed = parse_model_config(&text, "config.pbtxt");
        prop_assert_eq!(parsed.map_err(|error| format!("{error}\n{text}")), Ok(config));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = parse_model_config(text, "config.pbtxt");
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_model_config(bytes, "config.pbtxt");
    }

    #[test]
    fn no_configuration_makes_reading_it_panic(seed in any::<u64>()) {
        let (mut config, _) = spelled(seed);
        // These alone would end the reading before it has begun.
        config.model_operations = None;
        config.model_repository_agents = None;
        config.instance_group.iter_mut().for_each(|group| group.passive = false);
        let model = ModelDirectory {
            name: config.name.clone(), path: "m".into(), versions: vec![1], ..Default::default()
        };
        if let Ok(draft) = Draft::new(config, &model, &Options::default()) {
            let _ = draft.complete(&Declaration::default());
        }
    }

    #[test]
    fn a_damaged_configuration_gives_an_error_within_the_text_or_none(seed in any::<u64>(), damages in 1usize..6) {
        let mut random = Random(seed);
        let mut text = spelled(seed).1.into_bytes();
        for _ in 0..damages {
            damage(&mut text, &mut random);
        }
        if let Err(error) = parse_model_config(&text, "config.pbtxt") {
            let lines = 1 + text.iter().filter(|&&byte| byte == b'\n').count();
            prop_assert!((1..=lines).contains(&error.line), "{}", error);
            prop_assert!((1..=text.len() + 1).contains(&error.column), "{}", error);
        }
    }
}

fn damage(text: &mut Vec<u8>, random: &mut Random) {
    const BITS: [&[u8]; 12] =
        [b"{", b"}", b"[", b"]", b"\"", b"'", b"\\", b"-", b"0x", b"#", b"\xff", b"input"];
    let at = random.below(text.len() + 1);
    match random.below(3) {
        0 => text.truncate(at),
        1 => drop(text.splice(at..at, BITS[random.below(BITS.len())].iter().copied())),
        _ => drop(text.drain(at..text.len().min(at + 1 + random.below(8)))),
    }
}
