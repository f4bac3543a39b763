//! The functions that plugins call, by the objects that they are about.

// The names are the C API's.
#![allow(non_snake_case)]

pub(crate) mod server;
