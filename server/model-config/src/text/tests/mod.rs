mod positions;
mod printer;
mod properties;
pub(crate) mod random;
mod spellings;
