use bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Block([u8; AlignedBytes::ALIGNMENT]);

/// Bytes that start at a multiple of 64: a cache line, and more than any element type asks for.
#[derive(Default)]
pub struct AlignedBytes {
    blocks: Vec<Block>,
    len: usize,
}

impl AlignedBytes {
    /// What the address of the first byte is a multiple of.
    pub const ALIGNMENT: usize = 64;

    /// No bytes, with room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> AlignedBytes {
        AlignedBytes { blocks: Vec::with_capacity(capacity.div_ceil(Self::ALIGNMENT)), len: 0 }
    }

    /// How many bytes are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes fit without another allocation.
    pub fn capacity(&self) -> usize {
        self.blocks.capacity() * Self::ALIGNMENT
    }

    /// Forgets the bytes and keeps the room.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes it exactly `len` bytes long; the content is whatever was there before, or zeros.
    pub fn resize(&mut self, len: usize) {
        let blocks = len.div_ceil(Self::ALIGNMENT);
        if blocks > self.blocks.len() {
            self.blocks.resize(blocks, Block([0; Self::ALIGNMENT]));
        }
        self.len = len;
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.len]
    }

    /// Adds bytes at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.resize(start + bytes.len());
        self.as_mut_slice()[start..].copy_from_slice(bytes);
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_added_piece_by_piece_are_there_in_order_and_aligned() {
        let mut bytes = AlignedBytes::default();
        let mut expected = Vec::new();
        for round in 0..50u8 {
            let piece = vec![round; round as usize];
            bytes.extend_from_slice(&piece);
            expected.extend_from_slice(&piece);
        }
        assert_eq!(bytes.as_slice(), expected);
        assert_eq!(bytes.as_slice().as_ptr().addr() % AlignedBytes::ALIGNMENT, 0);
        bytes.clear();
        assert!(bytes.is_empty() && bytes.capacity() >= expected.len());
    }
}
