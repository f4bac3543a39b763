//! The functions that plugins call, by the objects that they are about.

// The names are the C API's, and the linker's visibility is not the compiler's.
#![allow(non_snake_case, unreachable_pub)]

pub(crate) mod backend;
pub(crate) mod server;
