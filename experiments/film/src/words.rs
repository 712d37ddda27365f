//! Words over a picture: what world and who acts, the step, the reward, the goal and whether it is reached.
use crate::episode::Frame;
use crate::render::Picture;
use anyhow::{Context, Result, anyhow};
use maud::html;
use resvg::{tiny_skia, usvg};

/// Writes words over pictures of one size.
pub struct Writer {
    options: usvg::Options<'static>,
    title: String,
    steps: usize,
}

impl Writer {
    /// Of an episode of that many steps.
    pub fn new(title: &str, steps: usize) -> Self {
        let mut options = usvg::Options { font_family: "DejaVu Sans".into(), ..usvg::Options::default() };
        // Its own font: a bare machine has none.
        options.fontdb_mut().load_font_data(dejavu::sans::regular().to_vec());
        options.fontdb_mut().load_font_data(dejavu::sans::bold().to_vec());
        Self { options, title: title.into(), steps }
    }

    /// Writes them over the picture of a frame.
    ///
    /// # Errors
    /// When the renderer refuses them.
    pub fn write(&self, frame: &Frame, picture: &mut Picture) -> Result<()> {
        let (w, h) = (picture.width as f32, picture.height as f32);
        // Sizes are those of a picture of 480 points.
        let scale = (w / 480.0).min(h / 320.0);
        let svg = self.svg(frame, w / scale, h / scale);
        let tree = usvg::Tree::from_str(&svg, &self.options).context("drawing the words of a frame")?;
        let size = (picture.width as u32, picture.height as u32);
        let mut over = tiny_skia::Pixmap::new(size.0, size.1).ok_or_else(|| anyhow!("a picture of {w} x {h}"))?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut over.as_mut());
        for (below, over) in picture.rgb.chunks_exact_mut(3).zip(over.pixels()) {
            // Its colours are multiplied by its alpha already.
            let left = 255 - u32::from(over.alpha());
            for (b, o) in below.iter_mut().zip([over.red(), over.green(), over.blue()]) {
                *b = (u32::from(o) + (u32::from(*b) * left + 127) / 255).min(255) as u8;
            }
        }
        Ok(())
    }

    fn svg(&self, frame: &Frame, w: f32, h: f32) -> String {
        let done = frame.step as f32 / self.steps.max(1) as f32;
        let numbers = format!("reward {}   return {}", short(frame.reward), short(frame.total));
        let notes: Vec<String> = frame.notes.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let (badge, colour) = match frame.success {
            Some(true) => ("success", "#1f8f4d"),
            Some(false) => ("not yet", "#9a6a12"),
            None => ("", "none"),
        };
        let ink = "#1d2430";
        html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(w) height=(h) {
                rect x="0" y=(h - 46.0) width=(w) height="46" fill="#ffffff" fill-opacity=".88" {}
                rect x="0" y=(h - 3.0) width=(w * done) height="3" fill="#3b6fb6" {}
                g font-family="DejaVu Sans" font-size="12" fill=(ink) {
                    text x="10" y=(h - 28.0) font-weight="bold" { (shortened(&self.title, w - 130.0)) }
                    text x=(w - 10.0) y=(h - 28.0) text-anchor="end" { "step " (frame.step) " of " (self.steps) }
                    text x="10" y=(h - 11.0) xml:space="preserve" { (numbers) }
                    text x=(w - 10.0) y=(h - 11.0) text-anchor="end" xml:space="preserve" { (notes.join("   ")) }
                    @if !badge.is_empty() {
                        rect x="10" y="10" width="76" height="22" rx="11" fill=(colour) {}
                        text x="48" y="25.5" text-anchor="middle" fill="#ffffff" font-weight="bold" { (badge) }
                    }
                }
            }
        }
        .into_string()
    }
}

/// A title that is not wider than `room`, its middle left out where it would be: a run's name can be long, and its seed stands last.
fn shortened(title: &str, room: f32) -> String {
    // Points of a bold letter of names, on average.
    const LETTER: f32 = 7.5;
    let (all, most) = (title.chars().collect::<Vec<_>>(), (room.max(0.0) / LETTER) as usize);
    if all.len() <= most {
        return title.to_owned();
    }
    let half = most.saturating_sub(1) / 2;
    let part = |of: &[char]| of.iter().collect::<String>();
    format!("{}\u{2026}{}", part(&all[..half]), part(&all[all.len() - half..]))
}

/// A number with no more digits than it needs.
pub fn short(x: f64) -> String {
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    // A minus like that of a nought says nothing.
    if text == "-0" { "0".into() } else { text.replace('-', "\u{2212}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As they are drawn: what a title covers, and what the number of the step does.
    #[test]
    fn a_long_title_leaves_the_step_its_room() {
        let long = "stack, stack-sac-with-a-name-that-somebody-thought-of-s0 at step 140032, seed 1000000";
        for (title, cut) in [("reach, scripted, seed 0", false), (long, true)] {
            let writer = Writer::new(title, 100);
            let camera = rlx::Camera { eye: [1.0; 3], target: [0.0; 3], angle: 1.0 };
            let drawing = rlx::Drawing { bodies: Vec::new(), camera, tick_s: 0.04, success: None, notes: Vec::new() };
            let frame = Frame { step: 100, reward: 0.0, total: 0.0, success: None, notes: Vec::new(), drawing };
            let svg = writer.svg(&frame, 480.0, 360.0);
            let tree = usvg::Tree::from_str(&svg, &writer.options).unwrap();
            let mut boxes = Vec::new();
            collect(tree.root(), &mut boxes);
            assert!(boxes[0].right() + 5.0 < boxes[1].left(), "{title}: {boxes:?}");
            assert_eq!(svg.contains('\u{2026}'), cut);
            assert!(svg.contains(&title[title.len() - 6..]), "the seed is there");
        }
    }

    fn collect(group: &usvg::Group, boxes: &mut Vec<usvg::Rect>) {
        for node in group.children() {
            match node {
                usvg::Node::Group(inner) => collect(inner, boxes),
                usvg::Node::Text(text) => boxes.push(text.bounding_box()),
                _ => {}
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let texts = [-0.001, 0.0, -1.0, 12.5, 2.34567].map(short);
        assert_eq!(texts, ["0", "0", "\u{2212}1", "12.5", "2.35"]);
    }
}
