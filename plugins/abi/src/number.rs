//! How a C enumeration is written here: a number, and constants for those that have a name.

/// Declares an enumeration of C as a number with named values.
macro_rules! numbers {
    ($(#[$meta:meta])* $name:ident { $($(#[$value_meta:meta])* $value:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(
            /// The number as C passes it; any is possible.
            pub u32,
        );

        impl $name {
            $($(#[$value_meta])* pub const $value: Self = Self($number);)*
        }
    };
}
