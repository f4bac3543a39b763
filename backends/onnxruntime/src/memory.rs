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
