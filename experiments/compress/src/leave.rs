//! What a finished search of compress-llama leaves beside its report: a model.
use anyhow::{Context, Result};
use rlx::Error;
use rlx_compression::llama;
use rlx_runs::{search_report as report, search_report::Point};
use std::path::Path;

/// The best compromise of a front: the point that dominates the largest rectangle up to the highest size and loss on it.
fn compromise(front: &[Point]) -> Option<&Point> {
    let most = |of: fn(&Point) -> f64| front.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    let (bytes, loss) = (most(|p| p.bytes), most(|p| p.loss));
    let area = |p: &Point| (bytes - p.bytes) * (loss - p.loss);
    front.iter().max_by(|a, b| area(a).total_cmp(&area(b)))
}

/// Writes the best compromise of a run's front into its `model` folder; what it did, or nothing where there is a model or no front, or the
/// program was asked to stop: resuming the run, which has ended, then does it. A folder that was begun and not ended is begun anew.
///
/// # Errors
/// When the front or the model cannot be read, or the disk cannot take what is written.
pub fn model(run: &Path, config: &llama::Config, stop: fn() -> bool) -> Result<Option<String>> {
    let (to, part) = (run.join("model"), run.join(".model.part"));
    if to.exists() {
        return Ok(None);
    }
    let points = report::front_of(&run.join("report"))?;
    let Some(point) = compromise(&points) else { return Ok(None) };
    let cleared = if part.exists() { std::fs::remove_dir_all(&part) } else { Ok(()) };
    cleared.with_context(|| format!("clearing {}", part.display()))?;
    let (bytes, loss) = match llama::write(config, &point.levels, point.fidelity, &part, stop) {
        Err(Error::Interrupted) => return Ok(None),
        other => other?,
    };
    std::fs::rename(&part, &to).with_context(|| format!("writing {}", to.display()))?;
    let (mb, to) = (bytes as f64 / 1e6, to.display());
    Ok(Some(format!("{to}: {mb:.2} MB, loss {loss:.4}: the best compromise of the front; other sizes: rlx compress")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compromise_is_neither_end() {
        let point = |bytes, loss| Point { bytes, loss, fidelity: 0, levels: vec![] };
        // Rectangles up to (10, 9): 0, 8 x 2 = 16, 4 x 7 = 28, 0.
        let front = [point(1.0, 9.0), point(2.0, 7.0), point(6.0, 2.0), point(10.0, 1.9)];
        assert_eq!(compromise(&front).map(|p| p.bytes), Some(6.0));
        assert_eq!(compromise(&front[..1]).map(|p| p.bytes), Some(1.0));
        assert!(compromise(&[]).is_none());
    }
}
