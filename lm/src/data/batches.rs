//! Batches of token ids: texts of about the same length together, padded to the longest of their batch.
use rlx::{Result, Rng};
use rlx_nn::upload::upload;
use tch::{Device, Kind, Tensor};

/// Batches that are sorted together: more of them pad less and shuffle less.
const BUCKET: usize = 32;

/// An epoch's batches of `batch` rows, in an order that (seed, epoch) decides: rows are shuffled, sorted by length in stretches of 32
/// batches, and the batches shuffled. `lengths[i]` is the length of `rows[i]`.
pub fn epoch(rows: &[usize], lengths: &[usize], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut rng = Rng::named(seed, "order of batches", epoch);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    rng.shuffle(&mut order);
    let mut out = Vec::new();
    for bucket in order.chunks_mut(batch * BUCKET) {
        bucket.sort_by_key(|&i| lengths[i]);
        out.extend(bucket.chunks(batch).map(|part| part.iter().map(|&i| rows[i]).collect::<Vec<_>>()));
    }
    rng.shuffle(&mut out);
    out
}

/// Batches in which each row comes once, sorted by length: for judging.
pub fn all(rows: &[usize], lengths: &[usize], batch: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| lengths[i]);
    order.chunks(batch).map(|part| part.iter().map(|&i| rows[i]).collect()).collect()
}

/// Padded token ids.
#[derive(Debug)]
pub struct Batch {
    /// Token ids, `[rows, longest]`, 64-bit.
    pub ids: Tensor,
    /// 1 where there is a token, 0 where padding is, `[rows, longest]`, float.
    pub mask: Tensor,
}

impl Batch {
    /// Pads `texts` with `pad`.
    ///
    /// # Errors
    /// When the device cannot be written.
    pub fn new(texts: &[&[u32]], pad: u32, device: Device) -> Result<Self> {
        let longest = texts.iter().map(|t| t.len()).max().unwrap_or(0).max(1);
        let mut ids = vec![i64::from(pad); texts.len() * longest];
        let mut mask = vec![0f32; texts.len() * longest];
        for (i, text) in texts.iter().enumerate() {
            for (j, id) in text.iter().enumerate() {
                ids[i * longest + j] = i64::from(*id);
                mask[i * longest + j] = 1.0;
            }
        }
        let size = [texts.len() as i64, longest as i64];
        let mut out =
            Self { ids: Tensor::zeros(size, (Kind::Int64, device)), mask: Tensor::zeros(size, (Kind::Float, device)) };
        upload(&ids, &mut out.ids)?;
        upload(&mask, &mut out.mask)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_once_and_little_is_padded() {
        let rows: Vec<usize> = (100..1100).collect();
        let mut rng = Rng::stream(3, 3);
        let lengths: Vec<usize> = rows.iter().map(|_| 5 + rng.below(60)).collect();
        let batches = epoch(&rows, &lengths, 16, 1, 0);
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, rows);
        let padded = |b: &[Vec<usize>]| -> usize {
            b.iter().map(|b| b.len() * b.iter().map(|r| lengths[r - 100]).max().unwrap()).sum()
        };
        let tokens: usize = lengths.iter().sum();
        assert!(padded(&batches) < tokens * 107 / 100, "{} for {tokens}", padded(&batches));
        assert_eq!(batches, epoch(&rows, &lengths, 16, 1, 0));
        assert_ne!(batches, epoch(&rows, &lengths, 16, 1, 1));
        let lengths_of: Vec<usize> = batches.iter().map(|b| lengths[b[0] - 100]).collect();
        assert!(lengths_of.windows(2).any(|w| w[0] > w[1]), "batches come in no order of length");
        assert_eq!(all(&rows, &lengths, 7).concat().len(), 1000);
    }

    #[test]
    fn padding_is_masked() {
        let b = Batch::new(&[&[5, 6, 7], &[8]], 9, Device::Cpu).unwrap();
        assert_eq!(b.ids.size(), [2, 3]);
        assert_eq!(Vec::<i64>::try_from(b.ids.reshape([-1])).unwrap(), [5, 6, 7, 8, 9, 9]);
        assert_eq!(Vec::<f32>::try_from(b.mask.reshape([-1])).unwrap(), [1., 1., 1., 1., 0., 0.]);
    }
}
