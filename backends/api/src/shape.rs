use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

/// The extents of a tensor, outermost first. In a declaration, -1 stands for an extent that may vary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(SmallVec<[i64; 6]>);

impl Shape {
    /// A shape of these extents.
    pub fn new(extents: &[i64]) -> Shape {
        Shape(SmallVec::from_slice(extents))
    }

    /// The shape with one more extent in front.
    pub fn prepend(&self, extent: i64) -> Shape {
        let mut extents = SmallVec::with_capacity(self.len() + 1);
        extents.push(extent);
        extents.extend_from_slice(self);
        Shape(extents)
    }

    /// The shape with its first extent replaced; the same shape if it has none.
    pub fn with_first(&self, extent: i64) -> Shape {
        let mut shape = self.clone();
        if let Some(first) = shape.0.first_mut() {
            *first = extent;
        }
        shape
    }

    /// How many elements a tensor of this shape has (1 for a scalar); `None` if an extent is negative or the count
    /// does not fit.
    pub fn elements(&self) -> Option<usize> {
        // A zero anywhere makes the tensor empty, whatever the other extents would have multiplied to.
        if self.contains(&0) {
            return self.iter().all(|&extent| extent >= 0).then_some(0);
        }
        self.iter().try_fold(1usize, |count, &extent| count.checked_mul(usize::try_from(extent).ok()?))
    }

    /// Whether any extent may vary.
    pub fn is_dynamic(&self) -> bool {
        self.iter().any(|&extent| extent < 0)
    }

    /// Whether a tensor of shape `actual` is one that this declared shape allows.
    pub fn allows(&self, actual: &[i64]) -> bool {
        self.len() == actual.len() && self.iter().zip(actual).all(|(&want, &have)| want < 0 || want == have)
    }
}

impl Deref for Shape {
    type Target = [i64];

    fn deref(&self) -> &[i64] {
        &self.0
    }
}

impl From<&[i64]> for Shape {
    fn from(extents: &[i64]) -> Shape {
        Shape::new(extents)
    }
}

impl FromIterator<i64> for Shape {
    fn from_iter<I: IntoIterator<Item = i64>>(extents: I) -> Shape {
        Shape(extents.into_iter().collect())
    }
}

/// `[1,16]`, as the field's error messages write it.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, extent) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{extent}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_overflows_or_an_extent_below_zero_is_no_count() {
        assert_eq!(Shape::new(&[(1 << 32) + 1, 64]).elements(), Some(((1 << 32) + 1) * 64));
        assert_eq!(Shape::new(&[1 << 62, 4]).elements(), None);
        assert_eq!(Shape::new(&[-1, 4]).elements(), None);
        assert_eq!(Shape::new(&[-1, 0]).elements(), None);
        assert_eq!(Shape::new(&[i64::MAX, i64::MAX, 0]).elements(), Some(0));
        assert_eq!(Shape::default().elements(), Some(1));
    }

    #[test]
    fn a_declared_extent_of_minus_one_allows_any() {
        let declared = Shape::new(&[-1, 16]);
        assert!(declared.allows(&[3, 16]));
        assert!(!declared.allows(&[3, 17]));
        assert!(!declared.allows(&[16]));
        assert_eq!(declared.to_string(), "[-1,16]");
    }
}
