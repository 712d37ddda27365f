//! Compact rows spread into the numbers of the features that are on.
use rlx::{Encoding, Field};
use rlx_nn::sparse::Active;

/// Buckets of a byte that is a number.
const BUCKETS: u32 = 32;

/// How the rows of a world become features: a thermometer for counts, one of n for choices, a bucket for plain numbers, one feature a
/// token wherever it stands, as often as it stands there.
#[derive(Clone, Debug)]
pub(super) struct Features {
    fields: Vec<(std::ops::Range<usize>, Encoding, u32)>, // the last: the first feature
    width: usize,
    count: usize,
}

/// Features of a part of `bytes` bytes.
fn features(encoding: Encoding, bytes: usize) -> u32 {
    match encoding {
        Encoding::Number => BUCKETS * bytes as u32,
        Encoding::OneHot(n) => u32::from(n) * bytes as u32,
        Encoding::Counts => 8 * bytes as u32,
        Encoding::Bag(n) => n.into(),
    }
}

impl Features {
    /// For rows of `width` bytes whose parts are `fields`.
    pub fn new(fields: &[Field], width: usize) -> Self {
        let mut count = 0;
        let fields = fields.iter().map(|f| {
            let first = count;
            count += features(f.encoding, f.range.len());
            (f.range.clone(), f.encoding, first)
        });
        Self { fields: fields.collect(), width, count: 0 }.counted()
    }

    fn counted(mut self) -> Self {
        let end = |(range, encoding, first): &(std::ops::Range<usize>, Encoding, u32)| {
            (first + features(*encoding, range.len())) as usize
        };
        self.count = self.fields.iter().map(end).max().unwrap_or(0);
        self
    }

    /// Number of features.
    pub fn count(&self) -> usize {
        self.count
    }
    /// Bytes of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Appends the features of `row` as a list.
    pub fn encode(&self, row: &[u8], out: &mut Active) {
        self.extend(row, out);
        out.end();
    }

    /// Appends the features of `row` to the list that is open.
    pub fn extend(&self, row: &[u8], out: &mut Active) {
        for (range, encoding, first) in &self.fields {
            let bytes = &row[range.clone()];
            match encoding {
                Encoding::Counts => {
                    for (i, &byte) in bytes.iter().enumerate() {
                        if byte != 0 {
                            let at = first + 8 * i as u32;
                            let (low, high) = (u32::from(byte & 15).min(4), u32::from(byte >> 4).min(4));
                            out.features.extend(at..at + low);
                            out.features.extend(at + 4..at + 4 + high);
                        }
                    }
                }
                Encoding::OneHot(n) => {
                    let n = u32::from(*n);
                    let hot = |(i, &b): (usize, &u8)| first + n * i as u32 + u32::from(b).min(n - 1);
                    out.features.extend(bytes.iter().enumerate().map(hot));
                }
                Encoding::Bag(n) => {
                    out.features.extend(bytes.iter().filter(|b| u16::from(**b) < *n).map(|&b| first + u32::from(b)));
                }
                Encoding::Number => {
                    let hot = |(i, &b): (usize, &u8)| first + BUCKETS * i as u32 + u32::from(b) * BUCKETS / 256;
                    out.features.extend(bytes.iter().enumerate().map(hot));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_part_has_features_of_its_own() {
        let fields = [
            Field::new("a", 0..2, "").encoded(Encoding::Counts),
            Field::new("b", 2..4, "").encoded(Encoding::OneHot(3)),
            Field::new("c", 4..5, ""),
            Field::new("d", 5..9, "").encoded(Encoding::Bag(7)),
        ];
        let features = Features::new(&fields, 9);
        assert_eq!(features.count(), 16 + 6 + 32 + 7);
        let mut out = Active::default();
        features.encode(&[0x02, 0x41, 2, 0, 255, 6, 255, 0, 6], &mut out);
        assert_eq!(out.features, [0, 1, 8, 12, 13, 14, 15, 18, 19, 53, 60, 54, 60]);
        assert_eq!(out.ends, [13]);
    }
}
