//! GPTQ (arXiv 2210.17323): columns are rounded one after the other, and what rounding did to the outputs is made good by those to come.
use super::{Packed, Rounding, Scheme, packed};
use rlx::{Error, Result};
use tch::{Kind, Tensor};

/// Share of the mean diagonal that is added to it, as the paper has it.
const DAMPING: f64 = 0.01;

/// Quantises `w` `[rows, columns]` so that w x changes least for inputs whose second moments Σ x xᵀ are `moments` `[columns, columns]`.
/// The ranges of a group are fitted when its first column's turn comes, on weights that already carry the errors before it.
///
/// # Errors
/// As [`Packed::quantize`], and when the moments are of another size or not finite.
pub fn gptq(w: &Tensor, moments: &Tensor, scheme: Scheme, rounding: Rounding) -> Result<Packed> {
    let (size, Some(group)) = (w.size(), scheme.group()) else {
        return Err(Error::invalid(format!("GPTQ packs; {scheme} does not")));
    };
    if size.len() != 2 || moments.size() != [size[1], size[1]] {
        return Err(Error::mismatch(
            "second moments for GPTQ",
            format!("{:?} inputs", size),
            format!("{:?}", moments.size()),
        ));
    }
    tch::no_grad(|| {
        let w = w.to_kind(Kind::Float).copy();
        let columns = size[1];
        let h = moments.to_kind(Kind::Double).copy();
        let mean = h.diagonal(0, 0, 1).mean(Kind::Double);
        // An input that never fires keeps its own weight: unit curvature, no errors carried over.
        let _ = h.diagonal(0, 0, 1).g_add_(&(mean * DAMPING).clamp_min(1e-10));
        let lower = h.f_linalg_cholesky(false).map_err(|e| Error::invalid(format!("GPTQ: second moments: {e}")))?;
        let inverse = Tensor::f_cholesky_inverse(&lower, false).map_err(|e| Error::invalid(format!("GPTQ: {e}")))?;
        let upper = inverse.linalg_cholesky(true).to_kind(Kind::Float);
        if !bool::try_from(upper.isfinite().all()).unwrap_or(false) {
            return Err(Error::invalid("GPTQ: second moments of the inputs are not finite"));
        }
        let (mut codes, mut scales, mut mins) = (Vec::new(), Vec::new(), Vec::new());
        let mut from = 0;
        while from < columns {
            let len = (group as i64).min(columns - from);
            // Shares memory with w: errors are carried over in place.
            let part = w.narrow(1, from, len);
            let fitted = Packed::quantize(&part.contiguous(), scheme, rounding)?;
            let (scale, min) = fitted.ranges();
            let block = upper.narrow(0, from, len).narrow(1, from, len);
            let mut errors = Vec::with_capacity(len as usize);
            for j in 0..len {
                let x = part.narrow(1, j, 1);
                let code = packed::encode(&x, &scale, &min, scheme);
                let q = packed::levels(&code, &scale, &min, scheme);
                let error = (x - q) / block.narrow(0, j, 1).narrow(1, j, 1);
                if j + 1 < len {
                    let _ = part.narrow(1, j + 1, len - j - 1).g_sub_(&error.matmul(&block.narrow(0, j, 1).narrow(
                        1,
                        j + 1,
                        len - j - 1,
                    )));
                }
                codes.push(code);
                errors.push(error);
            }
            let rest = columns - from - len;
            if rest > 0 {
                let across = upper.narrow(0, from, len).narrow(1, from + len, rest);
                let _ = w.narrow(1, from + len, rest).g_sub_(&Tensor::cat(&errors, 1).matmul(&across));
            }
            scales.push(scale);
            mins.push(min);
            from += len;
        }
        let join = |t: &[Tensor]| Tensor::cat(t, 1).unsqueeze(2);
        Ok(Packed::assemble(&Tensor::cat(&codes, 1), &join(&scales), &join(&mins), scheme))
    })
}
