mod positions;
mod printer;
mod properties;
mod random;
mod spellings;
