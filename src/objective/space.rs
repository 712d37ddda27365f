//! What may be chosen: dimensions and their levels.
use crate::{Error, Result, Rng};
use serde::{Deserialize, Serialize};

/// The levels of a dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Levels {
    /// Numbers with an order and distances (a pruning ratio, bits), ascending.
    Ordinal(Vec<f64>),
    /// Names without an order (a method).
    Categorical(Vec<String>),
}

/// One choice of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dimension {
    /// What is chosen: `block 3 bits`.
    pub name: String,
    /// What it is chosen from.
    pub levels: Levels,
}

impl Dimension {
    /// A choice among ascending numbers.
    pub fn ordinal(name: impl Into<String>, levels: &[f64]) -> Self {
        Self { name: name.into(), levels: Levels::Ordinal(levels.to_vec()) }
    }
    /// A choice among names.
    pub fn categorical(name: impl Into<String>, levels: &[&str]) -> Self {
        Self { name: name.into(), levels: Levels::Categorical(levels.iter().map(|l| (*l).to_owned()).collect()) }
    }
    /// Number of levels.
    pub fn len(&self) -> usize {
        match &self.levels {
            Levels::Ordinal(x) => x.len(),
            Levels::Categorical(x) => x.len(),
        }
    }
    /// Whether there is nothing to choose from; [`SearchSpace::new`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The name of level `i`: its number, or its name.
    ///
    /// # Panics
    /// When there is no such level.
    pub fn level(&self, i: u16) -> String {
        match &self.levels {
            Levels::Ordinal(x) => x[usize::from(i)].to_string(),
            Levels::Categorical(x) => x[usize::from(i)].clone(),
        }
    }
}

/// The set of configurations: one level of each dimension, written as their indices (`&[u16]`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpace {
    dimensions: Vec<Dimension>,
}

impl SearchSpace {
    /// The space of these dimensions.
    ///
    /// # Errors
    /// When there is none, two share a name, or one has no level, more than 65,536, a repeated one, or numbers that do not ascend.
    pub fn new(dimensions: Vec<Dimension>) -> Result<Self> {
        let bad = |d: &Dimension, why: &str| Err(Error::invalid(format!("dimension '{}': {why}", d.name)));
        if dimensions.is_empty() {
            return Err(Error::invalid("a search space needs at least one dimension"));
        }
        for (i, d) in dimensions.iter().enumerate() {
            if d.is_empty() || d.len() > usize::from(u16::MAX) + 1 {
                return bad(d, &format!("{} levels; it must have 1 to 65536", d.len()));
            }
            if dimensions[..i].iter().any(|other| other.name == d.name) {
                return bad(d, "the name is taken");
            }
            match &d.levels {
                // Written so that a NaN does not ascend either.
                Levels::Ordinal(x) if !x.is_sorted_by(|a, b| a < b) || x.iter().any(|v| !v.is_finite()) => {
                    return bad(d, &format!("{x:?} are not finite and ascending"));
                }
                Levels::Categorical(x) if (1..x.len()).any(|k| x[..k].contains(&x[k])) => {
                    return bad(d, &format!("{x:?} has a name twice"));
                }
                _ => {}
            }
        }
        Ok(Self { dimensions })
    }
    /// The dimensions, in the order of a configuration's levels.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }
    /// Number of configurations, as a float: it easily passes 2^64.
    pub fn size(&self) -> f64 {
        self.dimensions.iter().map(|d| d.len() as f64).product()
    }
    /// Whether `config` is one of the space.
    ///
    /// # Errors
    /// Naming the dimension, its value and what is allowed.
    pub fn check(&self, config: &[u16]) -> Result<()> {
        if config.len() != self.dimensions.len() {
            return Err(Error::mismatch(
                "levels of a configuration",
                self.dimensions.len().to_string(),
                config.len().to_string(),
            ));
        }
        match self.dimensions.iter().zip(config).find(|(d, level)| usize::from(**level) >= d.len()) {
            Some((d, level)) => {
                Err(Error::invalid(format!("{}: level {level}; it must be 0 to {}", d.name, d.len() - 1)))
            }
            None => Ok(()),
        }
    }
    /// Draws a configuration uniformly into `out`, one level per dimension.
    ///
    /// # Panics
    /// When `out` is not as long as there are dimensions.
    pub fn sample(&self, rng: &mut Rng, out: &mut [u16]) {
        assert_eq!(out.len(), self.dimensions.len(), "one level per dimension");
        for (level, d) in out.iter_mut().zip(&self.dimensions) {
            *level = rng.below(d.len()) as u16; // at most 65,536 levels: checked when the space was made
        }
    }
    /// Width of [`SearchSpace::encode`].
    pub fn encoded_width(&self) -> usize {
        self.dimensions.iter().map(|d| if matches!(d.levels, Levels::Ordinal(_)) { 1 } else { d.len() }).sum()
    }
    /// Writes a configuration as a surrogate reads it: a number in [0, 1] for each ordinal dimension, by its place between the
    /// lowest and the highest level, and an indicator per level of each categorical one.
    ///
    /// # Errors
    /// As [`SearchSpace::check`], and when `out` is not [`SearchSpace::encoded_width`] wide.
    pub fn encode(&self, config: &[u16], out: &mut [f32]) -> Result<()> {
        self.check(config)?;
        if out.len() != self.encoded_width() {
            let (right, found) = (self.encoded_width().to_string(), out.len().to_string());
            return Err(Error::mismatch("width of an encoded configuration", right, found));
        }
        let mut rest = out;
        for (d, level) in self.dimensions.iter().zip(config) {
            let width = if matches!(d.levels, Levels::Ordinal(_)) { 1 } else { d.len() };
            let (part, left) = rest.split_at_mut(width);
            match &d.levels {
                Levels::Ordinal(x) => {
                    let (low, span) = (x[0], x[x.len() - 1] - x[0]);
                    part[0] = if span > 0.0 { ((x[usize::from(*level)] - low) / span) as f32 } else { 0.0 };
                }
                Levels::Categorical(_) => {
                    part.fill(0.0);
                    part[usize::from(*level)] = 1.0;
                }
            }
            rest = left;
        }
        Ok(())
    }
}
