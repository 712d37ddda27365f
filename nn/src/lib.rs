//! What learners and language models share: parameters in one flat piece, seeded initialisation, Adam, blocks, masked
//! sampling, and the one unsafe module of the project, which copies slices into tensors.
//!
//! Small networks on the CPU run in [`native`], without a tensor library: at the sizes of classic control, libtorch spends its
//! time on dispatch. Everything bigger, and everything on CUDA, runs in tch over the same layout of parameters.
pub mod adam;
pub mod blocks;
pub mod layout;
pub mod native;
pub mod normal;
pub mod sample;
pub mod sparse;
pub mod threads;
pub mod upload;

pub use adam::{Adam, AdamConfig, TensorAdam};
pub use blocks::{Activation, Gru, Mlp, Params};
pub use layout::{Init, Layout};
pub use native::{NativeMlp, Norm};
pub use normal::Normalizer;
