//! Named numbers that worlds and learners report, and where they go.
use crate::Result;
use std::borrow::Cow;

/// A name: nearly always a literal.
pub type Name = Cow<'static, str>;

/// Named numbers, and a few named distributions. Who reports performs no I/O.
///
/// Learners use the field's tags: `charts/...`, `losses/...`; worlds plain names (`success`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scalars {
    values: Vec<(Name, f64)>,
    histograms: Vec<(Name, Vec<f32>)>,
}

impl Scalars {
    /// Reports a number. A name reported twice keeps the later value.
    pub fn put(&mut self, name: impl Into<Name>, value: f64) {
        let name = name.into();
        match self.values.iter_mut().find(|(n, _)| *n == name) {
            Some((_, v)) => *v = value,
            None => self.values.push((name, value)),
        }
    }
    /// Reports a distribution by its samples.
    pub fn histogram(&mut self, name: impl Into<Name>, samples: Vec<f32>) {
        self.histograms.push((name.into(), samples));
    }
    /// The number of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }
    /// All numbers, in the order of their first report.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(n, v)| (n.as_ref(), *v))
    }
    /// All distributions.
    pub fn histograms(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.histograms.iter().map(|(n, s)| (n.as_ref(), s.as_slice()))
    }
    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.values.clear();
        self.histograms.clear();
    }
}

/// Where numbers go: a file, TensorBoard, a terminal.
pub trait Sink {
    /// Writes what was reported at environment step `step`.
    ///
    /// # Errors
    /// When the place cannot take it (a full disk).
    fn write(&mut self, step: u64, scalars: &Scalars) -> Result<()>;
    /// Makes what was written durable.
    ///
    /// # Errors
    /// As [`Sink::write`].
    fn flush(&mut self) -> Result<()>;
}
