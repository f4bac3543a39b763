use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use crate::AlignedBytes;

/// Memory that a tensor's elements live in, shared by reference. Today it is always host memory.
#[derive(Clone)]
pub struct Buffer(Storage);

#[derive(Clone)]
enum Storage {
    /// A slice of a message, or of an engine's own output.
    Bytes(Bytes),
    /// A gathered input. It can be reused once no clone is left, which `Bytes` cannot tell.
    Aligned(Arc<AlignedBytes>),
}

impl Buffer {
    /// The bytes, if they are in host memory.
    pub fn host(&self) -> Option<&[u8]> {
        Some(match &self.0 {
            Storage::Bytes(bytes) => bytes,
            Storage::Aligned(bytes) => bytes.as_slice(),
        })
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Storage::Bytes(bytes) => bytes.len(),
            Storage::Aligned(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of it, sharing the same memory.
    ///
    /// # Panics
    /// If the range does not lie within the buffer.
    pub fn slice(&self, range: Range<usize>) -> Buffer {
        Buffer(Storage::Bytes(match &self.0 {
            Storage::Bytes(bytes) => bytes.slice(range),
            Storage::Aligned(bytes) => Bytes::from_owner(Shared(Arc::clone(bytes))).slice(range),
        }))
    }

    /// The content as `Bytes`, without a copy. The whole buffer stays alive as long as they do.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Storage::Bytes(bytes) => bytes,
            Storage::Aligned(bytes) => Bytes::from_owner(Shared(bytes)),
        }
    }
}

struct Shared(Arc<AlignedBytes>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl From<Bytes> for Buffer {
    fn from(bytes: Bytes) -> Buffer {
        Buffer(Storage::Bytes(bytes))
    }
}

impl From<Arc<AlignedBytes>> for Buffer {
    fn from(bytes: Arc<AlignedBytes>) -> Buffer {
        Buffer(Storage::Aligned(bytes))
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}

/// A tensor's elements: the concatenation of its buffers, usually of one.
#[derive(Clone, Debug, Default)]
pub struct Data(SmallVec<[Buffer; 1]>);

impl Data {
    /// The buffers in order.
    pub fn buffers(&self) -> &[Buffer] {
        &self.0
    }

    /// How many bytes there are in all.
    pub fn len(&self) -> usize {
        self.0.iter().map(Buffer::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they lie in host memory in one piece.
    pub fn contiguous(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(&[]),
            [buffer] => buffer.host(),
            _ => None,
        }
    }

    /// The content as `Bytes`: without a copy if it is in one piece.
    pub fn into_bytes(mut self) -> Bytes {
        if self.0.len() <= 1 {
            return self.0.pop().map_or_else(Bytes::new, Buffer::into_bytes);
        }
        let mut whole = Vec::with_capacity(self.len());
        for buffer in &self.0 {
            whole.extend_from_slice(buffer.host().unwrap_or_default());
        }
        whole.into()
    }
}

impl<B: Into<Buffer>> From<B> for Data {
    fn from(buffer: B) -> Data {
        Data(smallvec![buffer.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_read_as_one_and_a_slice_shares_its_buffer() {
        let mut aligned = AlignedBytes::default();
        aligned.extend_from_slice(b"lo world");
        let pieces = [Buffer::from(Bytes::from_static(b"hel")), Buffer::from(Arc::new(aligned))];
        let whole = Data(pieces.into_iter().collect());
        assert_eq!(whole.len(), 11);
        assert!(whole.contiguous().is_none());
        let piece = whole.buffers()[1].slice(3..8);
        assert_eq!(piece.host(), Some(&b"world"[..]));
        assert_eq!(whole.into_bytes(), &b"hello world"[..]);
        assert_eq!(piece.into_bytes(), &b"world"[..]);
    }
}
