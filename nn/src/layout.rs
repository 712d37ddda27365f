//! Where each parameter stands in the one flat vector that holds all of a learner's, and how it starts.
use rlx::{Array, Error, Result, Rng};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Pieces start at multiples of this many floats: 64 bytes, a cache line and the widest vector register.
const ALIGN: usize = 16;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All of one value.
    Constant(f32),
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f32,
    },
    /// Uniform in [-bound, bound].
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// He et al. (arXiv 1502.01852) as torch's Linear has it: uniform with bound 1 / sqrt(fan in).
    KaimingUniform,
    /// Glorot and Bengio 2010: uniform with bound sqrt(6 / (fan in + fan out)).
    XavierUniform,
    /// Orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al., arXiv 1312.6120).
    Orthogonal {
        /// The factor.
        gain: f32,
    },
}

/// A parameter's name, shape, place and start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Its name, as exported: `actor.0.weight`.
    pub name: String,
    /// Its shape; a weight is `[out, in]`, as torch has it.
    pub shape: Vec<usize>,
    /// Its place in the flat vector.
    pub range: Range<usize>,
    /// Its start.
    pub init: Init,
}

/// The pieces of a flat parameter vector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    pieces: Vec<Piece>,
    len: usize,
}

impl Layout {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter and returns its number.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> usize {
        let size: usize = shape.iter().product();
        let start = self.len;
        self.len = (start + size).next_multiple_of(ALIGN);
        self.pieces.push(Piece { name: name.into(), shape: shape.into(), range: start..start + size, init });
        self.pieces.len() - 1
    }

    /// Floats of the flat vector, padding included.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The pieces, in the order they were added.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
    /// The place of a parameter.
    pub fn range(&self, piece: usize) -> Range<usize> {
        self.pieces[piece].range.clone()
    }
    /// Parameters without padding.
    pub fn parameters(&self) -> usize {
        self.pieces.iter().map(|p| p.range.len()).sum()
    }

    /// A fresh flat vector: each piece drawn from a stream of its own, so that adding one changes no other.
    pub fn init(&self, seed: u64) -> Vec<f32> {
        let mut flat = vec![0.0; self.len];
        for piece in &self.pieces {
            let mut rng = Rng::named(seed, &piece.name, 0);
            piece.init.fill(&piece.shape, &mut flat[piece.range.clone()], &mut rng);
        }
        flat
    }

    /// The pieces of `flat` as named arrays.
    pub fn export(&self, flat: &[f32]) -> Vec<Array> {
        let array =
            |p: &Piece| Array { name: p.name.clone(), shape: p.shape.clone(), data: flat[p.range.clone()].to_vec() };
        self.pieces.iter().map(array).collect()
    }

    /// Takes named arrays over into `flat`.
    ///
    /// # Errors
    /// When a piece is missing among them or has another shape; `flat` is then unchanged.
    pub fn import(&self, arrays: &[Array], flat: &mut [f32]) -> Result<()> {
        let found: Vec<&Array> = self
            .pieces
            .iter()
            .map(|p| {
                let array = arrays.iter().find(|a| a.name == p.name);
                let array = array.ok_or_else(|| Error::mismatch("policy", format!("an array '{}'", p.name), "none"))?;
                if array.shape != p.shape || array.data.len() != p.range.len() {
                    return Err(Error::mismatch(&p.name, format!("{:?}", p.shape), format!("{:?}", array.shape)));
                }
                Ok(array)
            })
            .collect::<Result<_>>()?;
        for (piece, array) in self.pieces.iter().zip(found) {
            flat[piece.range.clone()].copy_from_slice(&array.data);
        }
        Ok(())
    }
}

impl Init {
    /// Fills a parameter of that shape, `[out, in]` for weights.
    pub fn fill(self, shape: &[usize], out: &mut [f32], rng: &mut Rng) {
        let rows = shape.first().copied().unwrap_or(1);
        let columns = shape.iter().skip(1).product::<usize>().max(1);
        let mut uniform = |bound: f64| out.iter_mut().for_each(|x| *x = rng.uniform(-bound, bound) as f32);
        match self {
            Self::Zeros => out.fill(0.0),
            Self::Constant(value) => out.fill(value),
            Self::Normal { std } => out.iter_mut().for_each(|x| *x = rng.normal() as f32 * std),
            Self::Uniform { bound } => uniform(f64::from(bound)),
            Self::KaimingUniform => uniform(1.0 / (columns as f64).sqrt()),
            Self::XavierUniform => uniform((6.0 / (rows + columns) as f64).sqrt()),
            Self::Orthogonal { gain } => orthogonal(rows, columns, gain, out, rng),
        }
    }
}

/// Gram-Schmidt, twice for accuracy, on normal vectors along the longer side: the result is uniform over orthonormal frames.
fn orthogonal(rows: usize, columns: usize, gain: f32, out: &mut [f32], rng: &mut Rng) {
    let (count, width) = (rows.min(columns), rows.max(columns));
    let mut frame: Vec<Vec<f64>> = Vec::with_capacity(count);
    while frame.len() < count {
        let mut v: Vec<f64> = (0..width).map(|_| rng.normal()).collect();
        for _ in 0..2 {
            for u in &frame {
                let dot: f64 = u.iter().zip(&v).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(u).for_each(|(x, a)| *x -= dot * a);
            }
        }
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm > 1e-6 {
            v.iter_mut().for_each(|x| *x /= norm);
            frame.push(v);
        }
    }
    for r in 0..rows {
        for c in 0..columns {
            let value = if rows <= columns { frame[r][c] } else { frame[c][r] };
            out[r * columns + c] = (value * f64::from(gain)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_aligned_and_apart_and_adding_one_changes_no_other() {
        let mut a = Layout::new();
        a.add("w", &[3, 5], Init::Orthogonal { gain: 2.0 });
        let one = a.init(7);
        a.add("b", &[3], Init::Constant(0.5));
        let two = a.init(7);
        assert_eq!(one[..15], two[..15]);
        assert_eq!(a.range(1), 16..19);
        assert_eq!((a.len(), a.parameters()), (32, 18));
        assert_eq!(two[16..], [vec![0.5; 3], vec![0.0; 13]].concat());
        assert_ne!(one, a.init(8)[..16]);
    }

    #[test]
    fn orthogonal_is_orthogonal_both_ways_round() {
        for (rows, columns) in [(4, 9), (9, 4), (6, 6), (1, 3)] {
            let mut w = vec![0.0; rows * columns];
            Init::Orthogonal { gain: 3.0 }.fill(&[rows, columns], &mut w, &mut Rng::stream(1, 2));
            let at = |r: usize, c: usize| f64::from(w[r * columns + c]) / 3.0;
            let (n, wide) = (rows.min(columns), rows <= columns);
            for i in 0..n {
                for j in 0..n {
                    let dot: f64 = if wide {
                        (0..columns).map(|k| at(i, k) * at(j, k)).sum()
                    } else {
                        (0..rows).map(|k| at(k, i) * at(k, j)).sum()
                    };
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-5, "{rows}x{columns}: {i},{j}: {dot}");
                }
            }
        }
    }

    #[test]
    fn export_and_import_are_inverse_and_a_misfit_changes_nothing() {
        let mut layout = Layout::new();
        layout.add("w", &[2, 2], Init::Normal { std: 1.0 });
        layout.add("b", &[2], Init::Uniform { bound: 1.0 });
        let flat = layout.init(1);
        let mut arrays = layout.export(&flat);
        let mut back = vec![0.0; layout.len()];
        layout.import(&arrays, &mut back).unwrap();
        assert_eq!(flat, back);
        arrays[1].shape = vec![1, 2];
        let mut same = back.clone();
        let error = layout.import(&arrays, &mut same).unwrap_err().to_string();
        assert_eq!((same, error.as_str()), (back, "b: expected [2], found [1, 2]"));
    }
}
