//! Elements of BYTES tensors.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::{Error, Result};

/// How many bytes say how long an element is.
const LENGTH: usize = 4;

/// The elements of a tensor of [`DataType::Bytes`](crate::DataType::Bytes), in row-major order. Each is any bytes;
/// whether they are text is for the backend to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteElements<'c> {
    contents: Cow<'c, [u8]>,
    places: Vec<Range<usize>>,
}

impl<'c> ByteElements<'c> {
    /// Reads the contents of such a tensor. Fails where they end within an element.
    pub fn new(contents: impl Into<Cow<'c, [u8]>>) -> Result<ByteElements<'c>> {
        let contents = contents.into();
        let mut places = Vec::new();
        let mut at = 0;
        while at < contents.len() {
            let place = place(&contents, at).ok_or_else(|| {
                let (index, size) = (places.len(), contents.len());
                Error::invalid_argument(format_args!(
                    "element {index} of a BYTES tensor, which begins at byte {at}, does not end within its {size} bytes"
                ))
            })?;
            at = place.end;
            places.push(place);
        }
        Ok(ByteElements { contents, places })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The elements in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.places.iter().map(|place| self.contents.get(place.clone()).unwrap_or_default())
    }
}

/// Where the bytes of the element lie whose length is at `at`.
fn place(contents: &[u8], at: usize) -> Option<Range<usize>> {
    let length = contents.get(at..)?.first_chunk::<LENGTH>()?;
    let begin = at + LENGTH;
    let end = begin.checked_add(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (end <= contents.len()).then_some(begin..end)
}

/// How many bytes the contents of a tensor of these elements have. Fails where an element is longer than can be said.
pub(crate) fn byte_size<T: AsRef<[u8]>>(elements: &[T]) -> Result<usize> {
    elements.iter().try_fold(0, |size, element| {
        let length = u32::try_from(element.as_ref().len()).map_err(|_| {
            Error::internal(format_args!(
                "an element of {} bytes is too long for a BYTES tensor",
                element.as_ref().len()
            ))
        })?;
        Ok(size + LENGTH + length as usize)
    })
}

/// Writes these elements where there is room for exactly them.
pub(crate) fn write<T: AsRef<[u8]>>(elements: &[T], place: &mut [u8]) {
    let mut rest = place;
    for element in elements.iter().map(AsRef::as_ref) {
        // The same as usize, which `byte_size` has made sure of.
        let length = (element.len() as u32).to_le_bytes();
        let (here, behind) = rest.split_at_mut(LENGTH + element.len());
        let (head, body) = here.split_at_mut(LENGTH);
        head.copy_from_slice(&length);
        body.copy_from_slice(element);
        rest = behind;
    }
}
