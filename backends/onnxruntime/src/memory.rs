//! Memory that the allocator keeps.
#![allow(unsafe_code)]

/// Has the C library's allocator give memory back to the system that nobody uses, from everywhere in its heaps; for after
/// an unload. ONNX Runtime allocates there, whatever this program's own allocator is. Takes milliseconds. Does nothing
/// where the C library is not glibc.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: `malloc_trim` is glibc's, takes a size and gives an int, and may be called by any thread at any time: it
        // takes the locks of the heaps, and gives back only pages that are free.
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        malloc_trim(0);
    }
}

/// What the C library's allocator has from the system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapUse {
    /// What engines use of it.
    pub used: usize,
    /// What is free and was not given back.
    pub free: usize,
}

/// What engines use of the C library's heaps; `None` where that is not glibc. Takes the lock of each heap while it looks at
/// all of its free pieces, which may be 100 ms for 200,000 of them.
pub fn heap_use() -> Option<HeapUse> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// `struct mallinfo2` of glibc 2.33 and later, see mallinfo(3).
        #[repr(C)]
        struct Info {
            arena: usize,
            ordblks: usize,
            smblks: usize,
            hblks: usize,
            hblkhd: usize,
            usmblks: usize,
            fsmblks: usize,
            uordblks: usize,
            fordblks: usize,
            keepcost: usize,
        }
        // SAFETY: `mallinfo2` is glibc's, takes nothing and gives ten numbers, and may be called by any thread at any time.
        unsafe extern "C" {
            safe fn mallinfo2() -> Info;
        }
        let Info { hblkhd: mapped, uordblks: used, fordblks: free, .. } = mallinfo2();
        Some(HeapUse { used: used + mapped, free })
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_use_grows_and_shrinks_with_them() {
        unsafe extern "C" {
            fn malloc(size: usize) -> *mut std::ffi::c_void;
            fn free(block: *mut std::ffi::c_void);
        }
        const SIZE: usize = 64 << 20;
        let used = || heap_use().expect("tests run on glibc").used;
        let before = used();
        // SAFETY: the block is freed once, and not used.
        let block = std::hint::black_box(unsafe { malloc(SIZE) });
        assert!(!block.is_null() && used() >= before + SIZE / 2);
        // SAFETY: as above.
        unsafe { free(block) };
        assert!(used() < before + SIZE / 2);
    }
}
