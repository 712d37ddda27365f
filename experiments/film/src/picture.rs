//! All frames of a film as pictures, with their words.
use crate::{
    episode::Film,
    render::{self, Picture},
    words::Writer,
};
use anyhow::Result;
use rayon::prelude::*;
use rlx::refuse;

/// Most pixels of all frames together, which are held at once: 1.5 GB.
const PIXELS: usize = 500_000_000;

/// The frames with their words.
///
/// # Errors
/// When they are too many and too large, or the words cannot be drawn.
pub fn pictures(film: &Film, title: &str, size: Option<(usize, usize)>) -> Result<Vec<Picture>> {
    let (width, height) = size.unwrap_or((480, 360));
    let (n, most) = (film.frames.len(), PIXELS / film.frames.len());
    if width * height > most {
        refuse!("--size: {n} frames of {width}x{height} are more than can be held; {most} pixels may each be");
    }
    let writer = Writer::new(title, film.frames.len() - 1);
    film.frames
        .par_iter()
        .map(|frame| {
            let mut picture = render::render(&frame.drawing, width, height);
            writer.write(frame, &mut picture)?;
            Ok(picture)
        })
        .collect()
}
