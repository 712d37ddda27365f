//! Episodes as animated pictures and as pages to look around in: `rlx record`.
pub mod clip;
pub mod encode;
pub mod episode;
pub mod mesh;
pub mod page;
pub mod record;
pub mod render;
pub mod words;
