//! The kinds of pictures that reports have.
use crate::svg::{Canvas, Picture, band_class, dot_class, fitted, heat, labels, line_class, short, ticks};
use rlx_stats::scores::Interval;

/// An axis: what it is, with its unit.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// Its label.
    pub label: String,
    /// Its ends; by default those of the data.
    pub ends: Option<(f64, f64)>,
    /// Whether it counts things, of which there is no half.
    pub whole: bool,
}

impl Axis {
    /// An axis over the range of the data.
    pub fn of(label: impl Into<String>) -> Self {
        Self { label: label.into(), ends: None, whole: false }
    }
    /// An axis that counts.
    pub fn counts(label: impl Into<String>) -> Self {
        Self { whole: true, ..Self::of(label) }
    }
    /// Round numbers along it.
    fn ticks(&self, low: f64, high: f64, count: usize) -> Vec<f64> {
        ticks(low, high, count).into_iter().filter(|t| !self.whole || t.fract() == 0.0).collect()
    }
}

/// A line with its band.
#[derive(Clone, Debug)]
pub struct Series {
    /// The number of its method, for its colour.
    pub number: usize,
    /// Its name, with the number of seeds.
    pub label: String,
    /// x, and the estimate with its interval.
    pub points: Vec<(f64, Interval)>,
}

/// Lines with bands over two axes.
#[derive(Clone, Debug)]
pub struct Lines {
    /// What it shows.
    pub title: String,
    /// What lines and bands are.
    pub note: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// A level to compare with, and its name.
    pub level: Option<(f64, String)>,
}

const WIDTH: f64 = 680.0;
/// Characters of a row's name at most.
const ROW_NAME: usize = 44;

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    match (low <= high, low == high) {
        (false, _) => (0.0, 1.0),
        (_, true) => (low - 0.5, high + 0.5),
        _ => (low, high),
    }
}

/// Where each label of a legend goes: rows that are as wide as the picture.
fn legend(labels: &[&str], width: f64) -> (Vec<(f64, f64)>, f64) {
    let (mut x, mut y, mut out) = (0.0, 0.0, Vec::new());
    for label in labels {
        let own = 34.0 + 7.2 * label.chars().count() as f64;
        if x > 0.0 && x + own > width {
            (x, y) = (0.0, y + 18.0);
        }
        out.push((x, y));
        x += own + 12.0;
    }
    (out, y + 18.0)
}

impl Lines {
    /// The chart as a picture.
    pub fn draw(&self) -> Picture {
        let names: Vec<&str> = self.series.iter().map(|s| s.label.as_str()).collect();
        let (places, legend_height) = legend(&names, WIDTH - 40.0);
        let note_lines = super::svg::wrapped(&self.note, (WIDTH - 32.0) / 6.2).len() as f64;
        let (left, right, top, plot) = (78.0, 24.0, 46.0 + legend_height, 260.0);
        let bottom = top + plot;
        let height = bottom + 52.0 + 14.0 * note_lines;
        let mut c = Canvas::new(WIDTH, height, &self.title, &self.note);
        let all = || self.series.iter().flat_map(|s| &s.points);
        let (x0, x1) = self.x.ends.unwrap_or_else(|| {
            let (a, b) = ends(all().map(|p| p.0));
            // It begins where a number stands, not where the first row happened to be written.
            let t = ticks(a, b, 6);
            let step = if let [first, second, ..] = t[..] { second - first } else { 0.0 };
            (if step > 0.0 { (a / step).floor() * step } else { a }, b)
        });
        let level = self.level.as_ref().map(|l| l.0);
        let (y0, y1) = self.y.ends.unwrap_or_else(|| {
            let (a, b) = ends(all().flat_map(|p| [p.1.value, p.1.low, p.1.high]).chain(level));
            (a - 0.03 * (b - a), b + 0.03 * (b - a))
        });
        let x = |v: f64| left + (WIDTH - left - right) * (v - x0) / (x1 - x0);
        let y = |v: f64| bottom - plot * (v - y0) / (y1 - y0);
        let (across, up) = (self.x.ticks(x0, x1, 6), self.y.ticks(y0, y1, 5));
        for (t, label) in up.iter().zip(labels(&up)) {
            c.line((left, y(*t)), (WIDTH - right, y(*t)), "grid");
            c.text((left - 8.0, y(*t) + 4.0), "end", "soft", &label);
        }
        for (t, label) in across.iter().zip(labels(&across)) {
            c.line((x(*t), bottom), (x(*t), bottom + 5.0), "axis");
            c.text((x(*t), bottom + 19.0), "middle", "soft", &label);
        }
        c.line((left, bottom), (WIDTH - right, bottom), "axis");
        c.text(((left + WIDTH - right) / 2.0, bottom + 38.0), "middle", "ink", &self.x.label);
        c.upwards((20.0, (top + bottom) / 2.0), plot + 40.0, &self.y.label);
        if let Some((value, name)) = &self.level {
            c.line((left, y(*value)), (WIDTH - right, y(*value)), "mark");
            // Its name goes to the side of it on which fewer curves are.
            let wide = 16.0 + 6.2 * name.chars().count() as f64;
            let there = || all().filter(|p| x(p.0) > WIDTH - right - wide).map(|p| y(p.1.value) - y(*value));
            let (above, below) = (
                there().filter(|d| (-18.0..0.0).contains(d)).count(),
                there().filter(|d| (0.0..18.0).contains(d)).count(),
            );
            let place = if above > below && y(*value) + 16.0 < bottom { 14.0 } else { -5.0 };
            c.text((WIDTH - right - 4.0, y(*value) + place), "end", "soft\" font-size=\"11", name);
        }
        for series in &self.series {
            let points: Vec<_> = series.points.iter().filter(|p| p.1.low.is_finite() && p.1.high.is_finite()).collect();
            let upper = points.iter().map(|p| (x(p.0), y(p.1.high)));
            let lower = points.iter().rev().map(|p| (x(p.0), y(p.1.low)));
            c.through(upper.chain(lower), true, &band_class(series.number));
        }
        for (i, series) in self.series.iter().enumerate() {
            let points = series.points.iter().filter(|p| p.1.value.is_finite());
            c.through(points.map(|p| (x(p.0), y(p.1.value))), false, &line_class(series.number));
            let (px, py) = (20.0 + places[i].0, 44.0 + places[i].1);
            c.line((px, py), (px + 24.0, py), &line_class(series.number));
            c.text((px + 30.0, py + 4.0), "start", "ink", &series.label);
        }
        if self.series.is_empty() {
            c.text(((left + WIDTH - right) / 2.0, (top + bottom) / 2.0), "middle", "soft", "no finished run has it");
        }
        c.done(WIDTH, height, &self.title)
    }
}

/// A column of intervals, one a row.
#[derive(Clone, Debug)]
pub struct Column {
    /// What it is, with its unit.
    pub label: String,
    /// An interval a row; None is shown as missing.
    pub values: Vec<Option<Interval>>,
    /// A value to compare with.
    pub level: Option<f64>,
}

/// Dots with their intervals, side by side for several statistics. A row has the number of its method, for its colour, and its name.
pub fn intervals(title: &str, note: &str, rows: &[(usize, String)], columns: &[Column]) -> Picture {
    let left = 24.0 + 7.0 * rows.iter().map(|r| r.1.chars().count()).max().unwrap_or(0).min(ROW_NAME) as f64;
    let each = ((WIDTH - left - 16.0) / columns.len().max(1) as f64).max(130.0);
    let width = left + 16.0 + each * columns.len() as f64;
    let note_lines = super::svg::wrapped(note, (width - 32.0) / 6.2).len() as f64;
    let (top, row) = (62.0, 26.0);
    let bottom = top + row * rows.len() as f64;
    let height = bottom + 36.0 + 14.0 * note_lines;
    let mut c = Canvas::new(width, height, title, note);
    for (i, (_, name)) in rows.iter().enumerate() {
        c.text((left - 10.0, top + row * (i as f64 + 0.5) + 4.0), "end", "ink", &fitted(name, ROW_NAME));
    }
    for (k, column) in columns.iter().enumerate() {
        let (from, to) = (left + each * k as f64 + 8.0, left + each * (k + 1) as f64 - 14.0);
        let (a, b) = ends(column.values.iter().flatten().flat_map(|v| [v.low, v.high, v.value]).chain(column.level));
        let (a, b) = (a - 0.06 * (b - a), b + 0.06 * (b - a));
        let x = |v: f64| from + (to - from) * (v - a) / (b - a);
        c.text(((from + to) / 2.0, 50.0), "middle", "ink", &column.label);
        let across = ticks(a, b, 4);
        for (t, label) in across.iter().zip(labels(&across)) {
            c.line((x(*t), top), (x(*t), bottom), "grid");
            c.text((x(*t), bottom + 16.0), "middle", "soft\" font-size=\"11", &label);
        }
        if let Some(level) = column.level {
            c.line((x(level), top), (x(level), bottom), "mark");
        }
        for (i, value) in column.values.iter().enumerate() {
            let y = top + row * (i as f64 + 0.5);
            match value {
                Some(v) => {
                    if v.low.is_finite() && v.high.is_finite() {
                        c.line((x(v.low), y), (x(v.high), y), &line_class(rows[i].0));
                    }
                    c.dot((x(v.value), y), 4.5, &dot_class(rows[i].0));
                }
                None => c.text(((from + to) / 2.0, y + 4.0), "middle", "soft", "missing"),
            }
        }
    }
    c.done(width, height, title)
}

/// A heat map: rows x columns, missing ones shown as missing. Of scores, which are between 0 and about 1, the colours go from 0 to 1, so
/// that a small difference looks small; of anything else from the least to the most.
pub fn heat_map(title: &str, note: &str, rows: &[String], columns: &[String], values: &[Vec<Option<f64>>]) -> Picture {
    let left = 24.0 + 7.0 * rows.iter().map(|r| r.chars().count()).max().unwrap_or(0).min(ROW_NAME) as f64;
    let longest = columns.iter().map(|r| r.chars().count()).max().unwrap_or(0) as f64;
    let each =
        ((WIDTH - left - 20.0) / columns.len().max(1) as f64).clamp(64.0, 150.0).max((7.0 * longest + 8.0).min(170.0));
    let width = (left + 20.0 + each * columns.len() as f64).max(420.0).max(8.2 * title.chars().count() as f64 + 32.0);
    let note_lines = super::svg::wrapped(note, (width - 32.0) / 6.2).len() as f64;
    let (top, row) = (62.0, 28.0);
    let bottom = top + row * rows.len() as f64;
    let height = bottom + 22.0 + 14.0 * note_lines;
    let mut c = Canvas::new(width, height, title, note);
    let all = || values.iter().flatten().flatten().copied();
    let scores = all().all(|v| (-0.5..1.25).contains(&v));
    let (low, high) = ends(all().chain([0.0, 1.0].into_iter().filter(|_| scores)));
    for (k, name) in columns.iter().enumerate() {
        c.text((left + each * (k as f64 + 0.5), top - 8.0), "middle", "ink", name);
    }
    for (i, name) in rows.iter().enumerate() {
        let y = top + row * i as f64;
        c.text((left - 10.0, y + row / 2.0 + 4.0), "end", "ink", &fitted(name, ROW_NAME));
        for (k, value) in values[i].iter().enumerate() {
            let (at, size) = ((left + each * k as f64 + 1.0, y + 1.0), (each - 2.0, row - 2.0));
            let middle = (at.0 + size.0 / 2.0, y + row / 2.0 + 4.0);
            match value {
                Some(v) => {
                    let (colour, light_ink) = heat((v - low) / (high - low));
                    c.rect(at, size, &format!("fill=\"{colour}\""));
                    let ink = if light_ink { "#ffffff" } else { "#000000" };
                    c.text(middle, "middle", &format!("\" fill=\"{ink}"), &short((v * 1000.0).round() / 1000.0));
                }
                None => {
                    c.rect(at, size, "class=\"none\"");
                    c.text(middle, "middle", "soft", "missing");
                }
            }
        }
    }
    c.done(width, height, title)
}

/// A number over a square of places: colours with their bar, lines of equal value, and marks with their names.
pub struct Field<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What marks and lines are.
    pub note: &'a str,
    /// Labels of the two axes, and of the number.
    pub labels: [&'a str; 3],
    /// The square's half width; places go from minus to plus it on both axes.
    pub reach: f64,
    /// Values, row by row from the lowest y up, each from the lowest x on.
    pub rows: &'a [Vec<f64>],
    /// Places with a name.
    pub marks: &'a [((f64, f64), &'a str)],
}

impl Field<'_> {
    /// The field as a picture: cells, contours, marks and a colour bar.
    pub fn draw(&self) -> Picture {
        let (left, top, side, bar) = (84.0, 44.0, 440.0, 22.0);
        let (bottom, right) = (top + side, left + side);
        let width = right + 40.0 + bar + 84.0;
        let note_lines = super::svg::wrapped(self.note, (width - 32.0) / 6.2).len() as f64;
        let height = bottom + 56.0 + 14.0 * note_lines;
        let mut c = Canvas::new(width, height, self.title, self.note);
        let (low, high) = ends(self.rows.iter().flatten().copied());
        let n = self.rows.len();
        // A value stands in the middle of its cell; cells overlap by a hair, so that no paper shows between them.
        let cell = side / n as f64;
        let along = |v: f64| 0.5 * cell + (side - cell) * (v + self.reach) / (2.0 * self.reach);
        let (x, y) = (|v: f64| left + along(v), |v: f64| bottom - along(v));
        for (j, row) in self.rows.iter().enumerate() {
            for (i, v) in row.iter().enumerate() {
                let at = (left + cell * i as f64, bottom - cell * (j + 1) as f64);
                let fill = format!("fill=\"{}\"", heat((v - low) / (high - low)).0);
                c.rect(at, (cell + 0.4, cell + 0.4), &fill);
            }
        }
        let levels = ticks(low, high, 6);
        let place = |i: f64, j: f64| (left + cell * (i + 0.5), bottom - cell * (j + 0.5));
        for level in &levels {
            for (a, b) in crossings(self.rows, *level) {
                c.line(place(a.0, a.1), place(b.0, b.1), "contour");
            }
        }
        let across = ticks(-self.reach, self.reach, 5);
        for (t, label) in across.iter().zip(labels(&across)) {
            c.line((x(*t), bottom), (x(*t), bottom + 5.0), "axis");
            c.text((x(*t), bottom + 19.0), "middle", "soft", &label);
            c.line((left - 5.0, y(*t)), (left, y(*t)), "axis");
            c.text((left - 9.0, y(*t) + 4.0), "end", "soft", &label);
        }
        c.text((0.5 * (left + right), bottom + 40.0), "middle", "ink", self.labels[0]);
        c.upwards((22.0, 0.5 * (top + bottom)), side, self.labels[1]);
        for ((mx, my), name) in self.marks {
            c.dot((x(*mx), y(*my)), 5.0, "paper\" stroke=\"#000000\" stroke-width=\"1.6");
            // Black on white stands on any colour.
            let halo =
                "\" fill=\"#000000\" stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\" font-weight=\"bold";
            c.text((x(*mx) + 9.0, y(*my) + 4.0), "start", halo, name);
        }
        let from = right + 40.0;
        for k in 0..64 {
            let fill = format!("fill=\"{}\"", heat((k as f64 + 0.5) / 64.0).0);
            c.rect((from, bottom - side * (k + 1) as f64 / 64.0), (bar, side / 64.0 + 0.4), &fill);
        }
        for (t, label) in levels.iter().zip(labels(&levels)) {
            let at = bottom - side * (t - low) / (high - low);
            c.line((from + bar, at), (from + bar + 5.0, at), "axis");
            c.text((from + bar + 9.0, at + 4.0), "start", "soft", &label);
        }
        c.upwards((width - 16.0, 0.5 * (top + bottom)), side, self.labels[2]);
        c.done(width, height, self.title)
    }
}

type Place = (f64, f64);

/// Lines of equal value (marching squares): pieces between places on the grid of values.
fn crossings(rows: &[Vec<f64>], level: f64) -> Vec<(Place, Place)> {
    let mut out = Vec::new();
    for j in 0..rows.len().saturating_sub(1) {
        for i in 0..rows[j].len().saturating_sub(1) {
            let corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)];
            let value = |k: usize| rows[corners[k % 4].1][corners[k % 4].0];
            let at = |k: usize| {
                let (a, b) = (corners[k], corners[(k + 1) % 4]);
                let share = (level - value(k)) / (value(k + 1) - value(k));
                let mix = |a: usize, b: usize| a as f64 + share * (b as f64 - a as f64);
                (mix(a.0, b.0), mix(a.1, b.1))
            };
            let cut: Vec<Place> = (0..4).filter(|k| (value(*k) < level) != (value(k + 1) < level)).map(at).collect();
            out.extend(cut.chunks_exact(2).map(|p| (p[0], p[1])));
        }
    }
    out
}

/// Dots over two axes: x, y, and the number of their colour.
pub fn dots(title: &str, note: &str, (x_label, y_label): (&str, &str), points: &[(f64, f64, usize)]) -> Picture {
    let (width, left, right, top, plot) = (440.0, 78.0, 24.0, 40.0, 220.0);
    let note_lines = super::svg::wrapped(note, (width - 32.0) / 6.2).len() as f64;
    let (bottom, height) = (top + plot, top + plot + 52.0 + 14.0 * note_lines);
    let mut c = Canvas::new(width, height, title, note);
    let wide = |(a, b): (f64, f64)| (a - 0.04 * (b - a), b + 0.04 * (b - a));
    let (x0, x1) = wide(ends(points.iter().map(|p| p.0)));
    let (y0, y1) = wide(ends(points.iter().map(|p| p.1)));
    let x = |v: f64| left + (width - left - right) * (v - x0) / (x1 - x0);
    let y = |v: f64| bottom - plot * (v - y0) / (y1 - y0);
    let (across, up) = (ticks(x0, x1, 5), ticks(y0, y1, 5));
    for (t, label) in up.iter().zip(labels(&up)) {
        c.line((left, y(*t)), (width - right, y(*t)), "grid");
        c.text((left - 8.0, y(*t) + 4.0), "end", "soft", &label);
    }
    for (t, label) in across.iter().zip(labels(&across)) {
        c.line((x(*t), bottom), (x(*t), bottom + 5.0), "axis");
        c.text((x(*t), bottom + 19.0), "middle", "soft", &label);
    }
    c.line((left, bottom), (width - right, bottom), "axis");
    c.text(((left + width - right) / 2.0, bottom + 38.0), "middle", "ink", x_label);
    c.upwards((20.0, (top + bottom) / 2.0), plot + 30.0, y_label);
    for (px, py, colour) in points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
        c.dot((x(*px), y(*py)), 4.0, &dot_class(*colour));
    }
    c.done(width, height, title)
}

#[cfg(test)]
mod tests;
