//! A short film of an evaluation episode, as the image that TensorBoard shows.
use crate::encode;
use crate::episode;
use crate::episode::Actor;
use crate::picture;
use anyhow::Result;
use rlx::{Mode, Policy, Vector};

/// Frames at most: a longer episode is shown by every second, third, ... step.
const FRAMES: usize = 60;
/// Width and height, in pixels.
pub const SIZE: (usize, usize) = (320, 240);
/// Bytes at most: an event file is read whole, again and again.
pub const BYTES: usize = 400_000;

/// An episode of the first of `worlds` as an animated GIF. It may be shorter than that: frames are left out until it is small enough.
///
/// # Errors
/// When the world has no picture, does not end, or the policy fails.
pub fn clip(worlds: &mut dyn Vector, policy: &mut dyn Policy, seed: u64, title: &str) -> Result<Vec<u8>> {
    let mut film = episode::film(worlds, &mut Actor::Policy(policy, Mode::Greedy), seed)?;
    let tick_s = film.frames[0].drawing.tick_s;
    let last = film.frames.len() - 1;
    let mut stride = last.div_ceil(FRAMES - 1).max(1);
    loop {
        let kept = |step: usize| step == last || step.is_multiple_of(stride);
        film.frames.retain(|f| kept(f.step));
        let gif = encode::gif(&picture::pictures(&film, title, Some(SIZE))?, tick_s * stride as f32)?;
        if gif.len() <= BYTES || film.frames.len() < 4 {
            return Ok(gif);
        }
        stride *= 2;
    }
}
