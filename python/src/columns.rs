//! Actions that are checked and rows that are copied: what a batch does to typed columns.
use rlx::{Actions, Column, ColumnMut, ColumnRef, Error, Result, Space};

/// Checks that every action is of the space: a choice among its own, or finite and within the bounds.
///
/// # Errors
/// Naming the first that is not.
pub fn check(act: &Actions<'_>, space: &Space, n: usize) -> Result<()> {
    let width = space.width();
    if act.len() != width * n {
        return Err(Error::mismatch("number of action scalars", (width * n).to_string(), act.len().to_string()));
    }
    let wrong = match (act, space) {
        (Actions::Discrete(ids), space) => {
            let sets = space.sets();
            let outside = |id: &i64, size: &usize| *id as u64 >= *size as u64;
            let mut rows = ids.chunks_exact(width);
            let row = rows.position(|row| row.iter().zip(sets).any(|(id, size)| outside(id, size)));
            row.and_then(|r| {
                let row = &ids[r * width..(r + 1) * width];
                let k = row.iter().zip(sets).position(|(id, size)| outside(id, size))?;
                Some((r, k, row[k].to_string(), format!("0 to {}", sets[k].saturating_sub(1))))
            })
        }
        (Actions::Continuous(x), Space::Box { low, high, .. }) => {
            // What a sum in floats may be off by is no mistake. A NaN is outside of everything.
            let outside = |a: f32, low: f32, high: f32| {
                let slack = 1e-6 * low.abs().max(high.abs()).min(1e6);
                !(a.is_finite() && a >= low - slack && a <= high + slack)
            };
            let k = (0..x.len()).find(|&k| outside(x[k], low[k % width], high[k % width]));
            k.map(|k| (k / width, k % width, x[k].to_string(), format!("{} to {}", low[k % width], high[k % width])))
        }
        _ => return Err(Error::mismatch("actions", space.describe(), "another kind")),
    };
    let Some((world, scalar, action, range)) = wrong else { return Ok(()) };
    let whose = if n == 1 { String::new() } else { format!(" of environment {world}") };
    let scalar = if width == 1 { String::new() } else { format!(", scalar {scalar}") };
    Err(Error::invalid(format!("action {action}{whose}{scalar}: it must be a number from {range}")))
}

/// A column that is lent to be written, to be read.
pub fn lent<'a>(column: &'a ColumnMut<'_>) -> ColumnRef<'a> {
    match column {
        ColumnMut::F32(x) => ColumnRef::F32(x),
        ColumnMut::U8(x) => ColumnRef::U8(x),
        ColumnMut::I64(x) => ColumnRef::I64(x),
    }
}

/// Copies row `i` of one column to another, and says how many bytes that were.
pub fn copy(to: &mut ColumnMut<'_>, from: ColumnRef<'_>, i: usize, width: usize) -> u64 {
    fn typed<T: Copy>(to: &mut [T], from: &[T]) -> u64 {
        to.copy_from_slice(from);
        size_of_val(to) as u64
    }
    let row = i * width..(i + 1) * width;
    match (to, from) {
        (ColumnMut::F32(to), ColumnRef::F32(from)) => typed(&mut to[row.clone()], &from[row]),
        (ColumnMut::U8(to), ColumnRef::U8(from)) => typed(&mut to[row.clone()], &from[row]),
        (ColumnMut::I64(to), ColumnRef::I64(from)) => typed(&mut to[row.clone()], &from[row]),
        _ => 0,
    }
}

/// [`copy`] of a whole column's row.
pub fn copy_row(to: &mut ColumnMut<'_>, from: &Column, i: usize, width: usize) -> u64 {
    copy(to, from.slice(0..from.len()), i, width)
}
