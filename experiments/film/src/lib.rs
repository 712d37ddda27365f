//! Episodes as films: GIF, animated PNG, or a page to look around in.
//!
//! An [`episode`] is drawn by [`render`] and written by [`encode`] or [`page`]; a [`clip`] is a short one for TensorBoard.
pub mod clip;
pub mod encode;
pub mod episode;
mod mesh;
pub mod page;
pub mod picture;
pub mod render;
pub mod words;
