use std::fmt;

/// The version of a library, and so how its objects are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) product: Product,
    pub(crate) major: i32,
    pub(crate) minor: i32,
    pub(crate) patch: i32,
    /// As the library gives it, and wants to be given it.
    pub(crate) number: i32,
}

/// Which of NVIDIA's two libraries it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    /// TensorRT, or its lean runtime.
    TensorRt,
    /// TensorRT for RTX, which counts its versions from 1.
    Rtx,
}

/// How objects are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As in TensorRT 10.
    Ten,
    /// As in TensorRT 11, and in TensorRT for RTX from 1.5 on.
    Eleven,
}

impl Version {
    /// What `getInferLibVersion` says.
    pub(crate) fn of_number(number: i32) -> Version {
        let (major, minor, patch) = (number / 10_000, number / 100 % 100, number % 100);
        let product = if major < 5 { Product::Rtx } else { Product::TensorRt };
        Version { product, major, minor, patch, number }
    }

    /// How its objects are laid out; `None` if nobody here knows.
    pub(crate) fn layout(&self) -> Option<Layout> {
        match (self.product, self.major, self.minor) {
            (Product::TensorRt, 10, _) => Some(Layout::Ten),
            (Product::TensorRt, 11, _) | (Product::Rtx, 1, 5..) => Some(Layout::Eleven),
            _ => None,
        }
    }

    /// Whether it can tell which values of a shape tensor a profile takes.
    pub(crate) fn has_profile_values(&self) -> bool {
        match self.layout() {
            Some(Layout::Ten) => self.minor >= 11,
            Some(Layout::Eleven) => true,
            None => false,
        }
    }
}

/// `TensorRT 10.16.1`
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = match self.product {
            Product::TensorRt => "TensorRT",
            Product::Rtx => "TensorRT for RTX",
        };
        write!(f, "{product} {}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_a_librarys_number_and_says_how_its_objects_are_laid_out() {
        for (number, text, layout, values) in [
            (100_001, "TensorRT 10.0.1", Some(Layout::Ten), false),
            (101_601, "TensorRT 10.16.1", Some(Layout::Ten), true),
            (110_400, "TensorRT 11.4.0", Some(Layout::Eleven), true),
            (10_701, "TensorRT for RTX 1.7.1", Some(Layout::Eleven), true),
            (10_400, "TensorRT for RTX 1.4.0", None, false),
            (8601, "TensorRT for RTX 0.86.1", None, false),
            (80_601, "TensorRT 8.6.1", None, false),
            (120_000, "TensorRT 12.0.0", None, false),
            (-1, "TensorRT for RTX 0.0.-1", None, false),
        ] {
            let version = Version::of_number(number);
            assert_eq!((version.to_string().as_str(), version.layout()), (text, layout));
            assert_eq!(version.has_profile_values(), values, "{text}");
        }
    }
}
