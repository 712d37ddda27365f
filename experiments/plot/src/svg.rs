//! A picture as SVG text: a canvas with axes, and its style. The body names classes only, so that the same picture is light or dark by
//! its page, and PNG by a style of literal colours.
use std::fmt::Write as _;

/// Colours that people with any of the common colour blindnesses tell apart (Okabe and Ito 2008), for light and dark paper.
const COLOURS: [(&str, &str); 7] = [
    ("#0072b2", "#58a9e0"),
    ("#d55e00", "#f08339"),
    ("#009e73", "#2cc79c"),
    ("#cc79a7", "#e39cc4"),
    ("#b58900", "#e6b93c"),
    ("#56b4e9", "#9ad4f5"),
    ("#444444", "#cccccc"),
];
/// Beyond the colours, lines differ by their dashes.
const DASHES: [&str; 4] = ["none", "7 3", "2 3", "9 3 2 3"];
/// Cividis (Nuñez et al. 2018, arXiv 1712.01662), light for high: equal steps look equal to everyone.
const CIVIDIS: [(u8, u8, u8); 9] = [
    (0, 34, 78),
    (30, 56, 111),
    (63, 78, 109),
    (91, 101, 111),
    (120, 124, 120),
    (150, 148, 119),
    (183, 174, 106),
    (219, 203, 83),
    (254, 232, 56),
];

/// The style of pictures on light and on dark paper.
pub fn style(dark: bool) -> String {
    let (paper, ink, soft, grid) =
        if dark { ("#16181d", "#e6e6e6", "#a3a8b0", "#343941") } else { ("#ffffff", "#1c1e21", "#5a6068", "#dfe2e6") };
    let mut css = format!(
        ".paper{{fill:{paper}}}.ink{{fill:{ink}}}.soft{{fill:{soft}}}.grid{{stroke:{grid};stroke-width:1;fill:none}}\
         .axis{{stroke:{soft};stroke-width:1;fill:none}}.mark{{stroke:{soft};stroke-width:1.2;stroke-dasharray:4 3;fill:none}}\
         .none{{fill:{grid}}}.contour{{stroke:#ffffff;stroke-opacity:.75;stroke-width:1.2;fill:none}}"
    );
    for (i, (light, night)) in COLOURS.iter().enumerate() {
        let c = if dark { night } else { light };
        let _ = write!(
            css,
            ".l{i}{{stroke:{c};stroke-width:2;fill:none}}.b{i}{{fill:{c};fill-opacity:.18;stroke:none}}.d{i}{{fill:{c}}}"
        );
    }
    for (i, dash) in DASHES.iter().enumerate() {
        let _ = write!(css, ".k{i}{{stroke-dasharray:{dash}}}");
    }
    css
}

/// Classes of the line of series `i`.
pub fn line_class(i: usize) -> String {
    format!("l{} k{}", i % COLOURS.len(), (i / COLOURS.len()) % DASHES.len())
}
/// Class of its band.
pub fn band_class(i: usize) -> String {
    format!("b{}", i % COLOURS.len())
}
/// Class of its dot.
pub fn dot_class(i: usize) -> String {
    format!("d{}", i % COLOURS.len())
}

/// The colour of a share from 0 to 1, and whether ink on it is to be light.
pub fn heat(share: f64) -> (String, bool) {
    let at = share.clamp(0.0, 1.0) * (CIVIDIS.len() - 1) as f64;
    let (i, part) = ((at as usize).min(CIVIDIS.len() - 2), at - (at as usize).min(CIVIDIS.len() - 2) as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (CIVIDIS[i], CIVIDIS[i + 1]);
    (format!("#{:02x}{:02x}{:02x}", mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2)), share < 0.5)
}

/// Text as XML has it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// What it shows, for those who cannot see it.
    pub title: String,
    body: String,
}

impl Picture {
    fn wrap(&self, style: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" font-family=\"'DejaVu Sans', \
             sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{2}\">{style}{3}</svg>\n",
            self.width,
            self.height,
            escape(&self.title),
            self.body
        )
    }
    /// Pictures one under the other.
    pub fn stacked(title: &str, all: &[Picture]) -> Self {
        let (mut body, mut height) = (String::new(), 0.0);
        for picture in all {
            let _ = write!(body, "<g transform=\"translate(0 {height:.1})\">{}</g>", picture.body);
            height += picture.height;
        }
        Self { width: all.iter().map(|p| p.width).fold(0.0, f64::max), height, title: title.into(), body }
    }
    /// For a page that has the style.
    pub fn inline(&self) -> String {
        self.wrap("")
    }
    /// A file of its own, light or dark as its reader is.
    pub fn file(&self) -> String {
        let (light, dark) = (style(false), style(true));
        self.wrap(&format!("<style>{light}@media (prefers-color-scheme: dark){{{dark}}}</style>"))
    }
    /// As PNG at twice the size, on light paper.
    ///
    /// # Errors
    /// When the renderer refuses it.
    pub fn png(&self) -> anyhow::Result<Vec<u8>> {
        use anyhow::{Context, anyhow};
        use resvg::{tiny_skia, usvg};
        let mut options = usvg::Options { font_family: "DejaVu Sans".into(), ..usvg::Options::default() };
        // Its own font: a bare machine has none.
        options.fontdb_mut().load_font_data(dejavu::sans::regular().to_vec());
        options.fontdb_mut().load_font_data(dejavu::sans::bold().to_vec());
        let tree = usvg::Tree::from_str(&self.wrap(&format!("<style>{}</style>", style(false))), &options)
            .with_context(|| format!("drawing '{}'", self.title))?;
        let (width, height) = ((self.width * 2.0).ceil() as u32, (self.height * 2.0).ceil() as u32);
        let mut pixels =
            tiny_skia::Pixmap::new(width, height).ok_or_else(|| anyhow!("a picture of {width} x {height}"))?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(2.0, 2.0), &mut pixels.as_mut());
        pixels.encode_png().map_err(|e| anyhow!("writing '{}' as PNG: {e}", self.title))
    }
}

/// A picture being drawn.
#[derive(Debug, Default)]
pub struct Canvas(String);

impl Canvas {
    /// A picture of that size with a title and a line of what its marks are.
    pub fn new(width: f64, height: f64, title: &str, note: &str) -> Self {
        let mut c = Self::default();
        c.rect((0.0, 0.0), (width, height), "class=\"paper\"");
        let most = ((width - 32.0) / 9.2) as usize;
        c.text((16.0, 22.0), "start", "ink\" font-size=\"14\" font-weight=\"bold", &fitted(title, most));
        // Notes are broken where they would leave the picture.
        for (i, line) in wrapped(note, (width - 32.0) / 6.2).iter().enumerate() {
            let lines = wrapped(note, (width - 32.0) / 6.2).len();
            c.text((16.0, height - 10.0 - 14.0 * (lines - 1 - i) as f64), "start", "soft\" font-size=\"11", line);
        }
        c
    }
    /// Done.
    pub fn done(self, width: f64, height: f64, title: &str) -> Picture {
        Picture { width, height, title: title.into(), body: self.0 }
    }
    /// A rectangle.
    pub fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), attributes: &str) {
        let _ = write!(self.0, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" {attributes}/>");
    }
    /// A straight line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let _ = write!(self.0, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>");
    }
    /// A text; `class` may carry more attributes.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: &str, class: &str, text: &str) {
        let _ = write!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{}</text>",
            escape(text)
        );
    }
    /// A text that reads upwards, about a point and at most so long.
    pub fn upwards(&mut self, (x, y): (f64, f64), length: f64, text: &str) {
        let text = &fitted(text, (length / 7.0) as usize);
        let at = format!("transform=\"rotate(-90 {x:.1} {y:.1})\"");
        let _ = write!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" class=\"ink\" {at}>{}</text>",
            escape(text)
        );
    }
    /// A dot.
    pub fn dot(&mut self, (x, y): (f64, f64), r: f64, class: &str) {
        let _ = write!(self.0, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" class=\"{class}\"/>");
    }
    /// A line through points, or the area that they enclose.
    pub fn through(&mut self, points: impl Iterator<Item = (f64, f64)>, closed: bool, class: &str) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        let tag = if closed { "polygon" } else { "polyline" };
        let _ = write!(self.0, "<{tag} points=\"{}\" class=\"{class}\"/>", path.trim_end());
    }
}

/// A text of at most so many characters; what is cut is marked.
pub fn fitted(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A text in lines of at most so many characters, broken between words.
pub fn wrapped(text: &str, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if !last.is_empty() && (last.chars().count() + 1 + word.chars().count()) as f64 > most {
            lines.push(word.into());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// Round numbers from `low` to `high`, about `count` of them.
pub fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let raw = (high - low) / count.max(1) as f64;
    if !raw.is_finite() || raw <= 0.0 {
        return vec![low];
    }
    let unit = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * unit).find(|s| *s >= raw * 0.999).unwrap_or(10.0 * unit);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// The numbers of one axis, all in one unit: `0`, `7.5k`, `10k`.
pub fn labels(ticks: &[f64]) -> Vec<String> {
    let largest = ticks.iter().map(|t| t.abs()).fold(0.0, f64::max);
    ticks.iter().map(|t| scaled(*t, largest)).collect()
}

/// A number on its own: `1.5M`, `200k`, `-0.25`.
pub fn short(x: f64) -> String {
    scaled(x, x.abs())
}

/// A number in the unit that `largest` is written in.
fn scaled(x: f64, largest: f64) -> String {
    let (value, unit) = match largest {
        _ if x == 0.0 => (x, ""),
        a if a >= 1e9 => (x / 1e9, "G"),
        a if a >= 1e6 => (x / 1e6, "M"),
        a if a >= 1e4 => (x / 1e3, "k"),
        _ => (x, ""),
    };
    let text = format!("{value:.3}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{}{unit}", if text == "-0" { "0" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 100_000.0, 5), [0.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0, 100_000.0]);
        assert_eq!(ticks(-1.3, 0.4, 4), [-1.0, -0.5, 0.0]);
        assert_eq!(ticks(2.0, 2.0, 4), [2.0]);
        assert_eq!([0.0, -0.25, 1_500_000.0, 20_000.0, 475.0].map(short), ["0", "-0.25", "1.5M", "20k", "475"]);
        assert_eq!(labels(&[0.0, 7500.0, 10_000.0]), ["0", "7.5k", "10k"], "e12: one unit an axis");
    }

    #[test]
    fn a_picture_is_well_formed_escaped_and_becomes_a_png_with_ink_in_it() {
        let mut c =
            Canvas::new(200.0, 80.0, "a < b & \"c\"", "a note that is a good deal longer than the picture is wide");
        c.text((100.0, 40.0), "middle", "ink", "<script>");
        let picture = c.done(200.0, 80.0, "a < b");
        assert!(!picture.file().contains("<script>"));
        assert!(picture.file().contains("prefers-color-scheme: dark"));
        let png = picture.png().unwrap();
        assert_eq!(&png[1..4], b"PNG");
        let plain = Canvas::new(200.0, 80.0, "", "").done(200.0, 80.0, "").png().unwrap();
        assert!(png.len() > plain.len() + 500, "the text is there: {} and {} bytes", png.len(), plain.len());
    }
}
