//! Drawings as pixels: the rasteriser of `rlx record`, whose files these are.
#![allow(dead_code)]
#[path = "../../experiments/src/film/mesh.rs"]
pub mod mesh;
#[path = "../../experiments/src/film/render.rs"]
pub mod render;
