//! Greedy decoding of connectionist temporal classification (CTC).

use std::iter;

use thiserror::Error;

/// What each class but the first stands for; the first is the blank, which stands for nothing and ends a repetition.
pub(crate) struct Alphabet {
    characters: Vec<String>,
}

/// What a row of steps says.
#[derive(Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) text: String,
    /// The mean probability of the classes that were read; zero where there are none.
    pub(crate) score: f32,
}

/// The probabilities are not of this alphabet.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "the probabilities are of {found} classes, and the model knows {known}: the blank and {} characters",
    known - 1
)]
pub(crate) struct OtherClasses {
    found: usize,
    known: usize,
}

impl Alphabet {
    /// One whose file has the characters of the classes from the second on, one a line, which may be a space.
    pub(crate) fn new(file: &str) -> Alphabet {
        Alphabet { characters: file.lines().map(str::to_owned).collect() }
    }

    /// Fails where there are more or fewer classes than this.
    pub(crate) fn check(&self, classes: usize) -> Result<(), OtherClasses> {
        let known = self.characters.len() + 1;
        if classes == known { Ok(()) } else { Err(OtherClasses { found: classes, known }) }
    }

    /// Reads a row: of each step, which has a probability for every class, the likeliest one, once for as long as it
    /// stays the same.
    pub(crate) fn read(&self, steps: &[f32]) -> Reading {
        let likeliest = steps.chunks_exact(self.characters.len() + 1).map(likeliest);
        let before = iter::once(0).chain(likeliest.clone().map(|(class, _)| class));
        let changes = likeliest.zip(before).filter(|((class, _), before)| class != before);
        let mut reading = Reading { text: String::new(), score: 0.0 };
        let mut count = 0.0;
        for ((class, probability), _) in changes {
            let Some(character) = class.checked_sub(1).and_then(|place| self.characters.get(place)) else {
                continue;
            };
            reading.text.push_str(character);
            reading.score += probability;
            count += 1.0;
        }
        reading.score /= f32::max(count, 1.0);
        reading
    }
}

/// The class of the largest probability, and that.
fn likeliest(step: &[f32]) -> (usize, f32) {
    // In two goes, each of which is many elements at a time.
    let most = step.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (step.iter().position(|&probability| probability == most).unwrap_or(0), most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Steps whose likeliest classes are these, each with a probability of a half.
    fn steps(classes: &[usize]) -> Vec<f32> {
        classes
            .iter()
            .flat_map(|&class| (0..4).map(move |other| if other == class { 0.5 } else { 0.1 }))
            .collect()
    }

    fn read(classes: &[usize]) -> Reading {
        Alphabet::new("a\nb\n \n").read(&steps(classes))
    }

    #[test]
    fn a_class_is_read_once_until_another_comes() {
        for (classes, text) in [
            (&[1, 1, 2][..], "ab"),
            (&[0, 1, 1, 0, 1, 0], "aa"),
            (&[1, 3, 2, 3, 3], "a b "),
            (&[0, 0], ""),
            (&[], ""),
        ] {
            let score = if text.is_empty() { 0.0 } else { 0.5 };
            assert_eq!(read(classes), Reading { text: text.to_owned(), score }, "{classes:?}");
        }
    }

    #[test]
    fn the_score_is_of_the_steps_that_are_read() {
        let steps = [0.1, 0.9, 0.0, 0.0, 0.1, 0.3, 0.0, 0.0, 0.1, 0.1, 0.5, 0.0];
        let reading = Alphabet::new("a\nb\n \n").read(&steps);
        assert_eq!((reading.text.as_str(), reading.score), ("ab", 0.7));
    }

    #[test]
    fn probabilities_of_other_classes_are_refused() {
        let alphabet = Alphabet::new("a\nb\n");
        assert_eq!(alphabet.check(3), Ok(()));
        let told = alphabet.check(4).unwrap_err().to_string();
        assert!(told.contains("of 4 classes, and the model knows 3: the blank and 2 characters"), "{told}");
    }

    proptest! {
        #[test]
        fn any_numbers_are_read(steps in proptest::collection::vec(any::<f32>(), 0..40)) {
            let reading = Alphabet::new("a\nb\n \n").read(&steps);
            prop_assert!(reading.text.len() <= steps.len() / 4);
        }
    }
}
