//! Animated pictures: GIF with one palette for all frames, and APNG. Only what differs from the frame before is stored.
use super::render::Picture;
use anyhow::{Context, Result};
use color_quant::NeuQuant;
use std::collections::HashMap;

/// Colours of a GIF; one more says "as before".
const COLOURS: usize = 255;
/// Pixels that the palette is learnt from.
const SAMPLE: usize = 400_000;
/// How long the last frame stays, s.
const REST: f32 = 1.5;

/// What differs between two pictures: columns and rows, a pixel at least, so that a frame lasts.
fn changed(before: &Picture, now: &Picture) -> [usize; 4] {
    let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
    for (i, (a, b)) in before.rgb.chunks_exact(3).zip(now.rgb.chunks_exact(3)).enumerate() {
        if a != b {
            let at = [i % now.width, i / now.width];
            for k in 0..2 {
                low[k] = low[k].min(at[k]);
                high[k] = high[k].max(at[k] + 1);
            }
        }
    }
    if low[0] == usize::MAX { [0, 0, 1, 1] } else { [low[0], low[1], high[0], high[1]] }
}

/// Part of a picture.
fn part(picture: &Picture, [x0, y0, x1, y1]: [usize; 4]) -> Vec<u8> {
    (y0..y1).flat_map(|y| &picture.rgb[3 * (y * picture.width + x0)..3 * (y * picture.width + x1)]).copied().collect()
}

/// As a GIF that repeats for ever, `tick_s` seconds a frame.
///
/// # Errors
/// When the encoder refuses.
pub fn gif(pictures: &[Picture], tick_s: f32) -> Result<Vec<u8>> {
    let first = pictures.first().context("no frame")?;
    let size = |n: usize| u16::try_from(n).context("a GIF is at most 65,535 pixels wide and high");
    let pixels = pictures.len() * first.width * first.height;
    let sample: Vec<u8> = pictures
        .iter()
        .flat_map(|p| p.rgb.chunks_exact(3))
        .step_by((pixels / SAMPLE).max(1) | 1)
        .flat_map(|c| [c[0], c[1], c[2], 255])
        .collect();
    let palette = NeuQuant::new(10, COLOURS, &sample);
    let mut colours = palette.color_map_rgb();
    colours.truncate(3 * COLOURS);
    colours.resize(3 * COLOURS, 0);
    colours.extend([0, 0, 0]);
    let mut nearest: HashMap<[u8; 3], u8> = HashMap::new();
    let mut out = Vec::new();
    let mut encoder = gif::Encoder::new(&mut out, size(first.width)?, size(first.height)?, &colours)?;
    encoder.set_repeat(gif::Repeat::Infinite)?;
    let same = COLOURS as u8;
    for (i, now) in pictures.iter().enumerate() {
        let area = if i == 0 { [0, 0, now.width, now.height] } else { changed(&pictures[i - 1], now) };
        let index = |c: &[u8]| {
            *nearest
                .entry([c[0], c[1], c[2]])
                .or_insert_with(|| (palette.index_of(&[c[0], c[1], c[2], 255])).min(COLOURS - 1) as u8)
        };
        let mut buffer: Vec<u8> = part(now, area).chunks_exact(3).map(index).collect();
        if i > 0 {
            let before = part(&pictures[i - 1], area);
            for (index, (a, b)) in buffer.iter_mut().zip(before.chunks_exact(3).zip(part(now, area).chunks_exact(3))) {
                if a == b {
                    *index = same;
                }
            }
        }
        let seconds = if i + 1 == pictures.len() { REST } else { tick_s };
        encoder.write_frame(&gif::Frame {
            delay: (seconds * 100.0).round().clamp(2.0, 65_535.0) as u16,
            dispose: gif::DisposalMethod::Keep,
            transparent: Some(same),
            left: size(area[0])?,
            top: size(area[1])?,
            width: size(area[2] - area[0])?,
            height: size(area[3] - area[1])?,
            buffer: buffer.into(),
            ..gif::Frame::default()
        })?;
    }
    drop(encoder);
    Ok(out)
}

/// As an animated PNG that repeats for ever, exact in every colour.
///
/// # Errors
/// When the encoder refuses.
pub fn apng(pictures: &[Picture], tick_s: f32) -> Result<Vec<u8>> {
    let first = pictures.first().context("no frame")?;
    let number = |n: usize| u32::try_from(n).context("a PNG is at most 4,294,967,295 pixels wide and high");
    let delay = |s: f32| (s * 1000.0).round().clamp(1.0, 65_535.0) as u16;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, number(first.width)?, number(first.height)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_animated(number(pictures.len())?, 0)?;
    encoder.set_frame_delay(delay(tick_s), 1000)?;
    encoder.set_dispose_op(png::DisposeOp::None)?;
    let mut writer = encoder.write_header()?;
    for (i, now) in pictures.iter().enumerate() {
        let area = if i == 0 { [0, 0, now.width, now.height] } else { changed(&pictures[i - 1], now) };
        if i > 0 {
            writer.reset_frame_position()?;
            writer.set_frame_dimension(number(area[2] - area[0])?, number(area[3] - area[1])?)?;
            writer.set_frame_position(number(area[0])?, number(area[1])?)?;
        }
        if i + 1 == pictures.len() {
            writer.set_frame_delay(delay(REST), 1000)?;
        }
        writer.write_image_data(&part(now, area))?;
    }
    writer.finish()?;
    Ok(out)
}
