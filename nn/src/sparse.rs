//! A first layer over features of which few are on: rows of a table are summed instead of multiplied by zeros.
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;

/// Lists of active features, one list per row.
#[derive(Clone, Debug, Default)]
pub struct Active {
    /// All features, list after list.
    pub features: Vec<u32>,
    /// Where each list ends.
    pub ends: Vec<u32>,
}

impl Active {
    /// Forgets all lists.
    pub fn clear(&mut self) {
        self.features.clear();
        self.ends.clear();
    }
    /// Ends the current list.
    pub fn end(&mut self) {
        self.ends.push(self.features.len() as u32);
    }
    /// Number of lists.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
    /// Appends the list of another.
    pub fn push_from(&mut self, other: &Self, i: usize) {
        self.extend_from(other, i);
        self.end();
    }
    /// Appends the list of another to the list that is open.
    pub fn extend_from(&mut self, other: &Self, i: usize) {
        self.features.extend_from_slice(&other.features[other.range(i)]);
    }
    /// Appends all lists of another.
    pub fn append(&mut self, other: &Self) {
        let start = self.features.len() as u32;
        self.features.extend_from_slice(&other.features);
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }
    fn range(&self, i: usize) -> Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        start..self.ends[i] as usize
    }
}

/// Vectors of a row that stay in registers while a list is worked off.
const BLOCK: usize = 8;

/// Adds to row i of `out`, `[rows, width]`, the rows of `table`, `[features, width]`, that list i names.
pub fn add_rows(table: &[f32], width: usize, active: &Active, out: &mut [f32]) {
    Arch::new().dispatch(AddRows { table, width, active, out });
}

/// The reverse: adds row i of `d_out` to the rows of `d_table` that list i names.
pub fn add_grads(d_out: &[f32], width: usize, active: &Active, d_table: &mut [f32]) {
    Arch::new().dispatch(AddGrads { d_out, width, active, d_table });
}

// Written for the registers by hand: a plain loop in a closure is compiled for the oldest processors, at half the speed of a learner.
struct AddRows<'a> {
    table: &'a [f32],
    width: usize,
    active: &'a Active,
    out: &'a mut [f32],
}

impl WithSimd for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { table, width, active, out } = self;
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let list = &active.features[active.range(i)];
            let (vectors, rest) = S::as_mut_simd_f32s(out);
            let (blocks, single) = pulp::as_arrays_mut::<BLOCK, _>(vectors);
            let mut at = 0;
            for block in blocks {
                let len = BLOCK * S::F32_LANES;
                let mut sum = *block;
                for &f in list {
                    let (row, _) = S::as_simd_f32s(&table[f as usize * width + at..][..len]);
                    let (row, _) = pulp::as_arrays::<BLOCK, _>(row);
                    sum.iter_mut().zip(&row[0]).for_each(|(s, r)| *s = simd.add_f32s(*s, *r));
                }
                *block = sum;
                at += len;
            }
            for vector in single {
                for &f in list {
                    let (row, _) = S::as_simd_f32s(&table[f as usize * width + at..][..S::F32_LANES]);
                    *vector = simd.add_f32s(*vector, row[0]);
                }
                at += S::F32_LANES;
            }
            for (k, o) in rest.iter_mut().enumerate() {
                list.iter().for_each(|&f| *o += table[f as usize * width + at + k]);
            }
        }
    }
}

struct AddGrads<'a> {
    d_out: &'a [f32],
    width: usize,
    active: &'a Active,
    d_table: &'a mut [f32],
}

impl WithSimd for AddGrads<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { d_out, width, active, d_table } = self;
        for (i, d) in d_out.chunks_exact(width).enumerate() {
            let list = &active.features[active.range(i)];
            let (vectors, rest) = S::as_simd_f32s(d);
            let (blocks, single) = pulp::as_arrays::<BLOCK, _>(vectors);
            let mut at = 0;
            for block in blocks {
                let len = BLOCK * S::F32_LANES;
                for &f in list {
                    let (row, _) = S::as_mut_simd_f32s(&mut d_table[f as usize * width + at..][..len]);
                    let (row, _) = pulp::as_arrays_mut::<BLOCK, _>(row);
                    row[0].iter_mut().zip(block).for_each(|(r, d)| *r = simd.add_f32s(*r, *d));
                }
                at += len;
            }
            for vector in single {
                for &f in list {
                    let (row, _) = S::as_mut_simd_f32s(&mut d_table[f as usize * width + at..][..S::F32_LANES]);
                    row[0] = simd.add_f32s(row[0], *vector);
                }
                at += S::F32_LANES;
            }
            for (k, d) in rest.iter().enumerate() {
                list.iter().for_each(|&f| d_table[f as usize * width + at + k] += d);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_a_dense_product_and_gradients_its_transpose() {
        let table: Vec<f32> = (0..12).map(|i| i as f32).collect(); // 4 features of width 3
        let mut active = Active::default();
        for list in [&[0u32, 3][..], &[], &[1, 1, 2]] {
            active.features.extend_from_slice(list);
            active.end();
        }
        let mut out = vec![1.0; 9];
        add_rows(&table, 3, &active, &mut out);
        assert_eq!(out, [10.0, 12.0, 14.0, 1.0, 1.0, 1.0, 13.0, 16.0, 19.0]);
        let mut d = vec![0.0; 12];
        add_grads(&[1.0, 2.0, 3.0, 9.0, 9.0, 9.0, 10.0, 20.0, 30.0], 3, &active, &mut d);
        assert_eq!(d, [1.0, 2.0, 3.0, 20.0, 40.0, 60.0, 10.0, 20.0, 30.0, 1.0, 2.0, 3.0]);
        // Widths that are whole blocks, whole vectors and neither.
        for width in [1, 7, 8, 64, 72, 131] {
            let table: Vec<f32> = (0..4 * width).map(|i| (i % 17) as f32).collect();
            let mut out = vec![1.0; 3 * width];
            add_rows(&table, width, &active, &mut out);
            let mut grads = vec![0.5; 4 * width];
            add_grads(&out, width, &active, &mut grads);
            for k in 0..width {
                let t = |f: usize| table[f * width + k];
                let rows = [1.0 + t(0) + t(3), 1.0, 1.0 + 2.0 * t(1) + t(2)];
                assert_eq!([0, 1, 2].map(|i| out[i * width + k]), rows);
                let sums = [rows[0], 2.0 * rows[2], rows[2], rows[0]].map(|s| s + 0.5);
                assert_eq!([0, 1, 2, 3].map(|f| grads[f * width + k]), sums);
            }
        }
        let mut second = Active::default();
        second.push_from(&active, 2);
        second.append(&active);
        assert_eq!((second.features, second.ends), (vec![1, 1, 2, 0, 3, 1, 1, 2], vec![3, 5, 5, 8]));
    }
}
