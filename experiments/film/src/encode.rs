//! Animated pictures: GIF with one palette for all frames, and APNG. Only what differs from the frame before is stored.
use crate::render::Picture;
use anyhow::{Context, Result};
use color_quant::NeuQuant;
use std::collections::{BTreeMap, HashMap};

/// Colours of a GIF; one more says "as before".
const COLOURS: usize = 255;
/// As many of them are the most frequent ones as they are: areas of one colour keep it. The others are learnt.
const EXACT: usize = 95;
/// Of those pixels that others are learnt from NeuQuant takes one in so many.
const EVERY: i32 = 1;
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

/// One palette for all pictures.
struct Palette {
    colours: Vec<[u8; 3]>,
    known: HashMap<[u8; 3], u8>,
}

impl Palette {
    fn of(pictures: &[Picture]) -> Self {
        let pixels: usize = pictures.iter().map(|p| p.width * p.height).sum();
        // An odd stride meets every column.
        let stride = (pixels / SAMPLE).max(1) | 1;
        let all = pictures.iter().flat_map(|p| p.rgb.chunks_exact(3)).map(|c| [c[0], c[1], c[2]]);
        let sample: Vec<[u8; 3]> = all.step_by(stride).collect();
        let mut counts = BTreeMap::<[u8; 3], usize>::new();
        sample.iter().for_each(|c| *counts.entry(*c).or_default() += 1);
        let mut order: Vec<_> = counts.into_iter().collect();
        order.sort_by_key(|(colour, n)| (std::cmp::Reverse(*n), *colour));
        let few = order.len() <= COLOURS;
        let mut colours: Vec<[u8; 3]> = order.iter().take(if few { COLOURS } else { EXACT }).map(|(c, _)| *c).collect();
        let known: HashMap<_, _> = colours.iter().enumerate().map(|(i, c)| (*c, i as u8)).collect();
        if !few {
            let others = sample.iter().filter(|c| !known.contains_key(*c)).flat_map(|[r, g, b]| [*r, *g, *b, 255]);
            let learnt = NeuQuant::new(EVERY, COLOURS - EXACT, &others.collect::<Vec<u8>>()).color_map_rgb();
            colours.extend(learnt.chunks_exact(3).map(|c| [c[0], c[1], c[2]]));
        }
        Self { colours, known }
    }

    /// All its colours, and one that is not seen.
    fn table(&self) -> Vec<u8> {
        let mut all = self.colours.concat();
        all.resize(3 * (COLOURS + 1), 0);
        all
    }

    /// The nearest, learnt or exact.
    fn index(&mut self, colour: [u8; 3]) -> u8 {
        let Self { colours, known } = self;
        *known.entry(colour).or_insert_with(|| {
            let far = |c: &[u8; 3]| c.iter().zip(colour).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>();
            (0..colours.len()).min_by_key(|i| far(&colours[*i])).unwrap_or(0) as u8
        })
    }
}

/// As a GIF that repeats for ever, `tick_s` seconds a frame.
///
/// # Errors
/// When the encoder refuses.
pub fn gif(pictures: &[Picture], tick_s: f32) -> Result<Vec<u8>> {
    let first = pictures.first().context("no frame")?;
    let size = |n: usize| u16::try_from(n).context("a GIF is at most 65,535 pixels wide and high");
    let mut palette = Palette::of(pictures);
    let colours = palette.table();
    let mut out = Vec::new();
    let mut encoder = gif::Encoder::new(&mut out, size(first.width)?, size(first.height)?, &colours)?;
    encoder.set_repeat(gif::Repeat::Infinite)?;
    let same = COLOURS as u8;
    for (i, now) in pictures.iter().enumerate() {
        let area = if i == 0 { [0, 0, now.width, now.height] } else { changed(&pictures[i - 1], now) };
        let mut buffer: Vec<u8> = part(now, area).chunks_exact(3).map(|c| palette.index([c[0], c[1], c[2]])).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A ramp with a square that wanders over it; the last two are the same.
    fn pictures() -> Vec<Picture> {
        let (width, height) = (40, 24);
        let one = |k: usize| {
            let pixel = |i: usize| {
                let (x, y) = (i % width, i / width);
                let inside = (3 * k..3 * k + 5).contains(&x) && (2 * k..2 * k + 5).contains(&y);
                if inside { [200, 30, 20] } else { [(x * 6) as u8, (y * 10) as u8, 90] }
            };
            Picture { width, height, rgb: (0..width * height).flat_map(pixel).collect() }
        };
        [0, 1, 2, 5, 5].map(one).into()
    }

    #[test]
    fn an_apng_is_the_pictures_again() {
        let made = pictures();
        let bytes = apng(&made, 0.04).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames as usize, made.len());
        let (w, h) = (made[0].width, made[0].height);
        let (mut canvas, mut buffer) = (vec![0; 3 * w * h], vec![0; 3 * w * h]);
        for (i, picture) in made.iter().enumerate() {
            reader.next_frame(&mut buffer).unwrap();
            let frame = *reader.info().frame_control().unwrap();
            assert_eq!(frame.delay_num, if i + 1 == made.len() { 1500 } else { 40 });
            let (x, fw) = (frame.x_offset as usize, frame.width as usize);
            for row in 0..frame.height as usize {
                let at = 3 * ((frame.y_offset as usize + row) * w + x);
                canvas[at..at + 3 * fw].copy_from_slice(&buffer[3 * row * fw..3 * (row + 1) * fw]);
            }
            assert!(canvas == picture.rgb, "frame {i}");
        }
    }

    #[test]
    fn a_gif_is_the_pictures_again_nearly() {
        let made = pictures();
        let bytes = gif(&made, 0.04).unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut reader = options.read_info(&bytes[..]).unwrap();
        assert_eq!(reader.repeat(), gif::Repeat::Infinite);
        let w = made[0].width;
        let mut canvas = vec![0u8; made[0].rgb.len()];
        for (i, picture) in made.iter().enumerate() {
            let frame = reader.read_next_frame().unwrap().unwrap();
            assert_eq!(frame.delay, if i + 1 == made.len() { 150 } else { 4 });
            for (k, pixel) in frame.buffer.chunks_exact(4).enumerate().filter(|(_, p)| p[3] == 255) {
                let (x, y) = (k % usize::from(frame.width), k / usize::from(frame.width));
                let at = 3 * ((usize::from(frame.top) + y) * w + usize::from(frame.left) + x);
                canvas[at..at + 3].copy_from_slice(&pixel[..3]);
            }
            // 256 colours for 960: a rare one may be far from its nearest, the picture as a whole is not.
            let off: Vec<u64> = canvas.iter().zip(&picture.rgb).map(|(a, b)| u64::from(a.abs_diff(*b))).collect();
            let (worst, mean) = (off.iter().max().unwrap(), off.iter().sum::<u64>() as f64 / off.len() as f64);
            assert!(*worst <= 24 && mean <= 6.0, "frame {i}: a colour is {worst} off, {mean:.1} in the mean");
        }
        assert!(reader.read_next_frame().unwrap().is_none());
    }

    #[test]
    fn few_colours_are_exact() {
        let picture = Picture { width: 3, height: 1, rgb: vec![1, 2, 3, 250, 0, 7, 1, 2, 3] };
        let mut palette = Palette::of(&[picture]);
        let (a, b) = (palette.index([1, 2, 3]), palette.index([250, 0, 7]));
        let colours = palette.table();
        assert_eq!(
            (&colours[3 * usize::from(a)..][..3], &colours[3 * usize::from(b)..][..3]),
            (&[1, 2, 3][..], &[250, 0, 7][..])
        );
        assert_eq!(palette.index([240, 3, 9]), b, "what was not sampled is the nearest");
    }
}
