//! Drawings as pixels: the rasteriser of `rlx record`, whose files these are.
#![allow(dead_code)]
#[path = "../../experiments/film/src/mesh.rs"]
pub mod mesh;
#[path = "../../experiments/film/src/render.rs"]
pub mod render;
