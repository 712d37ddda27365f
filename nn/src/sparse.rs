//! A first layer over features of which few are on: rows of a table are summed instead of multiplied by zeros.
use pulp::Arch;
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
        self.features.extend_from_slice(&other.features[other.range(i)]);
        self.end();
    }
    fn range(&self, i: usize) -> Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        start..self.ends[i] as usize
    }
}

/// Adds to row i of `out`, `[rows, width]`, the rows of `table`, `[features, width]`, that list i names.
pub fn add_rows(table: &[f32], width: usize, active: &Active, out: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (i, out) in out.chunks_exact_mut(width).enumerate() {
                for &f in &active.features[active.range(i)] {
                    let row = &table[f as usize * width..][..width];
                    out.iter_mut().zip(row).for_each(|(o, r)| *o += r);
                }
            }
        },
    );
}

/// The reverse: adds row i of `d_out` to the rows of `d_table` that list i names.
pub fn add_grads(d_out: &[f32], width: usize, active: &Active, d_table: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (i, d) in d_out.chunks_exact(width).enumerate() {
                for &f in &active.features[active.range(i)] {
                    let row = &mut d_table[f as usize * width..][..width];
                    row.iter_mut().zip(d).for_each(|(r, d)| *r += d);
                }
            }
        },
    );
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
        let mut second = Active::default();
        second.push_from(&active, 2);
        assert_eq!((second.features, second.ends), (vec![1, 1, 2], vec![3]));
    }
}
