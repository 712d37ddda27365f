//! Compression: a full-precision model and a choice for every block (heads and channels to keep, bits, rank) give a compressed model.
//!
//! For a search that asks hundreds of times:
//!
//! - [`Plan`] is a whole configuration; [`Plan::bytes`] its exact size on disk, without building anything.
//! - [`Compressor`] holds the full-precision model and the order in which its groups go, and builds models; what it made of a block for a choice of
//!   shape and scheme is kept ([`Compressor::build`] shares it), so that a configuration that differs in one block costs one block.
//! - [`importance`] ranks groups; [`features`](Features) tells of each block what a policy wants to know.
mod compressor;
mod features;
mod importance;
mod prune;

pub use compressor::{Choice, Compressor, Plan};
pub use features::{Features, features};
pub use importance::{Criterion, Importance, Moments, importance, moments};
pub use prune::{Kept, keep, narrow};

#[cfg(test)]
mod tests;
