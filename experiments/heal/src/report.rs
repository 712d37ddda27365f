//! What many healings show: how much of the intact model's F1 comes back, after how many passes, and where it does not.
//!
//! Every healing is compared with the intact model that was fine-tuned with the same seed: on the same texts, in the same order.
use crate::run::REPRESENTATIONS;
use anyhow::{Context, Result};
use rlx_lab::{
    cells::{Cell, Cells},
    results::{Results, Status},
    unit::summary,
};
use rlx_lm::bert::similarity::linear_cka;
use rlx_runs::metrics;
use rlx_stats::{
    compare::{holm, paired_test},
    scores::{Interval, RESAMPLES, bootstrap, mean},
};
use safetensors::SafeTensors;
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

/// Recovered is who reaches this share of the intact model's best validation F1.
pub const RECOVERED: f64 = 0.95;

/// One healing, as its run folder has it.
#[derive(Clone, Debug)]
struct Run {
    seed: u64,
    layers: usize,
    f1: f64,
    accuracy: f64,
    majority: f64,
    /// Validation F1 before the first pass and after each.
    passes: Vec<f64>,
    states: Vec<Vec<f32>>,
    texts: usize,
}

/// A corruption in one setting (data, and whatever else varies), over seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The setting.
    pub setting: String,
    /// The corruption: `bottom:2`.
    pub corrupt: String,
    /// What stands before its number: `bottom`.
    pub place: String,
    /// Layers that are corrupted.
    pub layers: usize,
    /// Seeds that have it and an intact partner.
    pub seeds: Vec<u64>,
    /// Macro F1 on the test texts.
    pub f1: Interval,
    /// Accuracy on the test texts.
    pub accuracy: Interval,
    /// F1 less that of the intact partner.
    pub difference: Interval,
    /// Two-sided p of the paired randomisation test that it is 0; after Holm's correction over the rows of all settings.
    pub p_holm: Option<f64>,
    /// (F1 - F1 of the commonest class) / (that of the intact partner), over the seeds whose intact model is better than the commonest class;
    /// None where there is none such.
    pub recovery: Option<Interval>,
    /// Passes until the validation F1 is 95 % of the intact partner's best: the median over seeds; None when half of them never get there.
    pub passes: Option<f64>,
    /// Seeds that get there.
    pub reached: usize,
    /// Linear CKA to the intact, fine-tuned partner, after the embeddings and after each layer: means over seeds.
    pub cka: Vec<f64>,
    #[serde(skip)]
    by_seed: BTreeMap<u64, f64>,
}

/// A question with its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Test {
    /// What is asked.
    pub question: String,
    /// In which setting; `all` for all of them.
    pub setting: String,
    /// Independent observations: seeds, of all settings together where it is all.
    pub n: usize,
    /// The mean over them.
    pub effect: Interval,
    /// Two-sided p of the randomisation test that it is 0.
    pub p: f64,
    /// The same after Holm's correction over its family: the questions over all that was run, or their parts (one set of data, one number
    /// of layers).
    pub p_holm: f64,
    /// The least p that so many observations can give.
    pub least_p: f64,
}

/// What the healings of an experiment show.
#[derive(Clone, Debug, Serialize)]
pub struct Healed {
    /// By setting and corruption.
    pub rows: Vec<Row>,
    /// Tests of significance.
    pub tests: Vec<Test>,
}

fn over(values: &[f64]) -> Interval {
    bootstrap(&[&[values.to_vec()]], RESAMPLES, |s| vec![mean(&s[0][0])])[0]
}

fn states(folder: &Path) -> Result<(Vec<Vec<f32>>, usize)> {
    let path = folder.join(REPRESENTATIONS);
    let Ok(bytes) = fs::read(&path) else { return Ok((Vec::new(), 0)) };
    let file = SafeTensors::deserialize(&bytes).with_context(|| format!("reading {}", path.display()))?;
    let (mut out, mut texts) = (Vec::new(), 0);
    while let Ok(view) = file.tensor(&format!("state.{}", out.len())) {
        texts = view.shape().first().copied().unwrap_or(0);
        let pairs = view.data().chunks_exact(2);
        out.push(pairs.map(|b| half::f16::from_bits(u16::from_le_bytes([b[0], b[1]])).to_f32()).collect());
    }
    Ok((out, texts))
}

fn read(folder: &Path, seed: u64) -> Result<Option<Run>> {
    let Some(s) = summary(folder) else { return Ok(None) };
    let number = |v: &Value| v.as_f64();
    let (Some(f1), Some(accuracy), Some(majority)) =
        (number(&s["test"]["f1"]), number(&s["test"]["accuracy"]), number(&s["test"]["majority"]["f1"]))
    else {
        return Ok(None);
    };
    let mut passes = Vec::new();
    for row in metrics::read(folder)? {
        passes.extend(row?.get("eval/f1").and_then(Value::as_f64));
    }
    let layers = s["corruption"]["layers"].as_array().map_or(0, Vec::len);
    let (states, texts) = states(folder)?;
    Ok(Some(Run { seed, layers, f1, accuracy, majority, passes, states, texts }))
}

/// The setting of a cell: its task, and every key of the grid beside the corruption's place.
fn setting(cells: &Cells<'_>, cell: &Cell) -> String {
    let others = cells.spec.grid.iter().map(|(k, _)| k.as_str()).filter(|k| *k != cells.spec.task && *k != "corrupt");
    let word = |key: &str| match &cell.keys[key] {
        Value::String(s) => s.clone(),
        other => format!("{key} {other}"),
    };
    std::iter::once(cell.task.clone()).chain(others.map(word)).collect::<Vec<_>>().join(", ")
}

/// Reads the finished cells and works everything out; settings without an intact model are left out.
///
/// # Errors
/// When results cannot be read.
pub fn healed(cells: &Cells<'_>, results: &Results) -> Result<Healed> {
    let records = results.records()?;
    let mut all: Vec<(String, String, Vec<Run>)> = Vec::new();
    for cell in cells.iter() {
        let cell = cell?;
        let Some(record) = records.get(&cell.id()).filter(|r| r.status == Status::Finished) else { continue };
        let Some(run) = read(&results.runs().join(&record.run), cell.seed)? else { continue };
        let corrupt = cell.keys.get("corrupt").and_then(Value::as_str).unwrap_or("none").to_owned();
        let of = setting(cells, &cell);
        match all.iter_mut().find(|(s, c, _)| *s == of && *c == corrupt) {
            Some((.., runs)) => runs.push(run),
            None => all.push((of, corrupt, vec![run])),
        }
    }
    Ok(judge(&all))
}

fn judge(all: &[(String, String, Vec<Run>)]) -> Healed {
    let mut rows = Vec::new();
    for (setting, corrupt, runs) in all {
        let intact = all.iter().find(|(s, c, _)| s == setting && c == "none").map(|(.., r)| r.as_slice());
        let partner = |run: &Run| intact.unwrap_or_default().iter().find(|i| i.seed == run.seed);
        let pairs: Vec<(&Run, &Run)> = runs.iter().filter_map(|r| Some((r, partner(r)?))).collect();
        if !pairs.is_empty() {
            rows.push(row(setting, corrupt, &pairs));
        }
    }
    let p: Vec<(usize, f64)> = rows
        .iter()
        .enumerate()
        .filter(|(_, r)| r.corrupt != "none")
        .filter_map(|(i, r)| Some((i, paired_test(&differences(all, r))?)))
        .collect();
    let corrected = holm(&p.iter().map(|x| x.1).collect::<Vec<_>>());
    for ((i, _), p) in p.iter().zip(corrected) {
        rows[*i].p_holm = Some(p);
    }
    let tests = tests(&rows);
    Healed { rows, tests }
}

/// F1 less the intact partner's, by seed.
fn differences(all: &[(String, String, Vec<Run>)], row: &Row) -> Vec<f64> {
    let of = |corrupt: &str, seed: u64| {
        let runs = &all.iter().find(|(s, c, _)| *s == row.setting && c == corrupt)?.2;
        Some(runs.iter().find(|r| r.seed == seed)?.f1)
    };
    row.seeds.iter().filter_map(|s| Some(of(&row.corrupt, *s)? - of("none", *s)?)).collect()
}

fn row(setting: &str, corrupt: &str, pairs: &[(&Run, &Run)]) -> Row {
    let each = |f: &dyn Fn(&Run, &Run) -> f64| -> Vec<f64> { pairs.iter().map(|(r, i)| f(r, i)).collect() };
    let learnt = pairs.iter().filter(|(_, i)| i.f1 > i.majority);
    let by_seed: BTreeMap<u64, f64> =
        learnt.map(|(r, i)| (r.seed, (r.f1 - r.majority) / (i.f1 - i.majority))).collect();
    let mut first: Vec<f64> = each(&|r, i| {
        let level = RECOVERED * i.passes.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        r.passes.iter().position(|f| *f >= level).map_or(f64::INFINITY, |n| n as f64)
    });
    let reached = first.iter().filter(|n| n.is_finite()).count();
    first.sort_by(f64::total_cmp);
    let (low, high) = (first[(first.len() - 1) / 2], first[first.len() / 2]);
    let known = pairs.iter().filter(|(r, i)| r.texts > 1 && r.texts == i.texts && r.states.len() == i.states.len());
    let ckas: Vec<Vec<f64>> = known
        .map(|(r, i)| {
            r.states.iter().zip(&i.states).map(|(a, b)| linear_cka(a, b, r.texts).unwrap_or(f64::NAN)).collect()
        })
        .collect();
    let states = ckas.first().map_or(0, Vec::len);
    Row {
        setting: setting.into(),
        corrupt: corrupt.into(),
        place: corrupt.split(':').next().unwrap_or(corrupt).into(),
        layers: pairs[0].0.layers,
        seeds: pairs.iter().map(|(r, _)| r.seed).collect(),
        f1: over(&each(&|r, _| r.f1)),
        accuracy: over(&each(&|r, _| r.accuracy)),
        difference: over(&each(&|r, i| r.f1 - i.f1)),
        p_holm: None,
        recovery: (!by_seed.is_empty()).then(|| over(&by_seed.values().copied().collect::<Vec<_>>())),
        passes: high.is_finite().then_some((low + high) / 2.0),
        reached,
        cka: (0..states).map(|s| mean(&ckas.iter().map(|c| c[s]).collect::<Vec<_>>())).collect(),
        by_seed,
    }
}

/// The slope of the least-squares line.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let xy: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    xy / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

/// Whether recovery falls with the number of corrupted layers, and whether the bottom is worse than the top at equal numbers. A seed is one
/// observation: its slope, or its mean over numbers of layers; several numbers of layers of one seed are not independent.
fn tests(rows: &[Row]) -> Vec<Test> {
    let mut settings: Vec<&str> = Vec::new();
    for r in rows.iter().filter(|r| !settings.contains(&r.setting.as_str())).collect::<Vec<_>>() {
        if !settings.contains(&r.setting.as_str()) {
            settings.push(&r.setting);
        }
    }
    let mut found: Vec<(String, String, Vec<f64>)> = Vec::new();
    // Numbers of those that answer a question over all that was run.
    let mut main: Vec<usize> = Vec::new();
    let mut ask = |question: String, part: bool, of: &dyn Fn(&str) -> Vec<f64>| {
        let each: Vec<(String, Vec<f64>)> = settings.iter().map(|s| ((*s).to_owned(), of(s))).collect();
        let together: Vec<f64> = each.iter().flat_map(|e| e.1.clone()).collect();
        let several = each.iter().filter(|e| !e.1.is_empty()).count() > 1;
        let all = several.then(|| ("all".to_owned(), together));
        let before = found.len();
        for (setting, values) in each.into_iter().chain(all).filter(|e| e.1.len() > 1) {
            found.push((question.clone(), setting, values));
        }
        if !part && found.len() > before {
            main.push(found.len() - 1);
        }
    };
    let of_place = |setting: &str, place: &str| -> Vec<&Row> {
        rows.iter().filter(|r| r.setting == setting && r.place == place && r.layers > 0).collect()
    };
    for place in ["bottom", "top", "middle", "scattered"] {
        let slopes = |setting: &str| -> Vec<f64> {
            let list = of_place(setting, place);
            let Some(first) = list.first().filter(|_| list.len() > 1) else { return Vec::new() };
            let of = |seed: &u64| {
                let points: Option<Vec<(f64, f64)>> =
                    list.iter().map(|r| Some((r.layers as f64, *r.by_seed.get(seed)?))).collect();
                points.map(|p| slope(&p))
            };
            first.seeds.iter().filter_map(of).collect()
        };
        ask(format!("recovery for each further {place} layer (slope)"), false, &slopes);
    }
    let pair = |setting: &str, only: Option<usize>| -> Vec<f64> {
        let (bottom, top) = (of_place(setting, "bottom"), of_place(setting, "top"));
        let both: Vec<(&Row, &Row)> = bottom
            .iter()
            .filter(|b| only.is_none_or(|k| b.layers == k))
            .filter_map(|b| Some((*b, *top.iter().find(|t| t.layers == b.layers)?)))
            .collect();
        let Some((first, _)) = both.first() else { return Vec::new() };
        let of = |seed: &u64| {
            let gaps: Option<Vec<f64>> =
                both.iter().map(|(b, t)| Some(b.by_seed.get(seed)? - t.by_seed.get(seed)?)).collect();
            gaps.map(|g| mean(&g))
        };
        first.seeds.iter().filter_map(of).collect()
    };
    ask("recovery, bottom less top, mean over equal numbers of layers".into(), false, &|s| pair(s, None));
    let mut counts: Vec<usize> = rows.iter().filter(|r| r.place == "bottom").map(|r| r.layers).collect();
    counts.sort_unstable();
    counts.dedup();
    for k in counts {
        ask(format!("recovery, bottom less top, {k} of each"), true, &|s| pair(s, Some(k)));
    }
    let p: Vec<f64> = found.iter().map(|f| paired_test(&f.2).unwrap_or(1.0)).collect();
    // Two families: the questions over all that was run, which were there before the results; and their parts.
    let mut corrected = vec![1.0; p.len()];
    for family in [true, false] {
        let of: Vec<usize> = (0..p.len()).filter(|i| main.contains(i) == family).collect();
        for (i, q) in of.iter().zip(holm(&of.iter().map(|i| p[*i]).collect::<Vec<_>>())) {
            corrected[*i] = q;
        }
    }
    found
        .into_iter()
        .zip(p.into_iter().zip(corrected))
        .map(|((question, setting, values), (p, p_holm))| Test {
            question,
            setting,
            n: values.len(),
            effect: over(&values),
            p,
            p_holm,
            least_p: 0.5f64.powi(values.len() as i32 - 1).max(1e-5),
        })
        .collect()
}

#[cfg(test)]
mod tests_of_it {
    use super::*;

    /// Bottom layers cost .1 each, top layers .04, and a seed's own noise.
    fn made(seeds: u64) -> Vec<(String, String, Vec<Run>)> {
        let mut all = Vec::new();
        for corrupt in ["none", "bottom:1", "bottom:2", "bottom:4", "top:1", "top:2", "top:4"] {
            let k: usize = corrupt.split(':').nth(1).map_or(0, |k| k.parse().unwrap());
            let cost = if corrupt.starts_with("bottom") { 0.1 } else { 0.04 };
            let run = |seed: u64| {
                let f1 = 0.9 - cost * k as f64 + 0.002 * ((seed * 7 + k as u64 * 3) % 5) as f64;
                let passes = vec![0.4, f1 - 0.1, f1];
                let states = vec![(0..20).map(|i| (i * i) as f32 + k as f32 * (i % 3) as f32).collect()];
                Run { seed, layers: k, f1, accuracy: f1, majority: 0.4, passes, states, texts: 10 }
            };
            all.push(("set".to_owned(), corrupt.to_owned(), (0..seeds).map(run).collect()));
        }
        all
    }

    #[test]
    fn planted_effects_are_found_with_their_sizes() {
        let healed = judge(&made(8));
        let row = |c: &str| healed.rows.iter().find(|r| r.corrupt == c).unwrap();
        assert!((row("none").recovery.unwrap().value - 1.0).abs() < 1e-12 && row("none").p_holm.is_none());
        // (.9 - .2 - .4) / (.9 - .4) = .6
        assert!((row("bottom:2").recovery.unwrap().value - 0.6).abs() < 0.02);
        assert_eq!(row("bottom:2").p_holm, Some(6.0 * 2.0 / 256.0), "the least p of 8 pairs, times 6 comparisons");
        assert_eq!((row("top:1").passes, row("top:1").reached), (Some(2.0), 8));
        assert_eq!((row("bottom:4").passes, row("bottom:4").reached), (None, 0));
        assert!((row("none").cka[0] - 1.0).abs() < 1e-9 && row("bottom:4").cka[0] < row("bottom:1").cka[0]);
        let test = |q: &str| healed.tests.iter().find(|t| t.question.contains(q)).unwrap();
        assert!((test("bottom layer (slope)").effect.value + 0.2).abs() < 0.01, "-.1 of .5 a layer");
        assert!((test("top layer (slope)").effect.value + 0.08).abs() < 0.01);
        // (.1 - .04) * (1 + 2 + 4) / 3 / .5
        let gap = test("mean over equal");
        assert!((gap.effect.value + 0.28).abs() < 0.01 && gap.p < 0.01 && gap.n == 8 && gap.p_holm == 3.0 * gap.p);
        assert!(healed.tests.iter().all(|t| t.setting == "set"), "one setting is not summed up");
    }

    #[test]
    fn a_seed_without_its_intact_partner_is_left_out() {
        let mut all = made(3);
        all[0].2.remove(1);
        let healed = judge(&all);
        assert!(healed.rows.iter().all(|r| r.seeds == [0, 2]));
        all.remove(0);
        assert!(judge(&all).rows.is_empty());
        assert!((slope(&[(1.0, 2.0), (2.0, 0.0), (4.0, 1.0)]) - -0.2143).abs() < 1e-3);
    }
}
