//! Weights in few bits: schemes, their exact size, and matrices that stay packed until they are used.
mod gptq;
mod matrix;
mod packed;
mod scheme;

pub use gptq::gptq;
pub use matrix::Matrix;
pub(crate) use matrix::product;
pub use packed::{Packed, Rounding};
pub use scheme::Scheme;

#[cfg(test)]
mod tests;
