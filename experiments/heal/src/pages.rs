//! What healings show, as parts of a report's document.
use crate::report::Healed;
use crate::report::RECOVERED;
use crate::report::Row;
use rlx_plot::charts::Column;
use rlx_plot::charts::heat_map;
use rlx_plot::charts::intervals;
use rlx_plot::document::Block;
use rlx_stats::scores::Interval;

fn shown(i: Interval) -> String {
    format!("{:.3} {}", i.value, rlx::shown(i.low, i.high, |x| format!("{x:.3}")))
}

fn p(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

fn words<const N: usize>(list: [&str; N]) -> Vec<String> {
    list.map(String::from).to_vec()
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// The parts, to stand before a report's own.
pub fn blocks(healed: &Healed) -> Vec<Block> {
    let mut out = vec![Block::Heading(2, "What heals".into())];
    if healed.rows.is_empty() {
        out.push(Block::Text(
            "No corrupted model has an intact one of its seed yet: corrupt = none is missing.".into(),
        ));
        return out;
    }
    let mut settings: Vec<&str> = healed.rows.iter().map(|r| r.setting.as_str()).collect();
    settings.dedup();
    let mut seen = Vec::new();
    settings.retain(|s| !seen.contains(s) && (seen.push(*s), true).1);
    for setting in settings {
        let rows: Vec<&Row> = healed.rows.iter().filter(|r| r.setting == setting).collect();
        of_setting(setting, &rows, &mut out);
    }
    out.push(Block::Heading(3, "Tests".into()));
    let row = |t: &super::report::Test| {
        vec![t.question.clone(), t.setting.clone(), t.n.to_string(), shown(t.effect), p(t.p), p(t.p_holm), p(t.least_p)]
    };
    let heads = words(["question", "data", "n", "mean [95 %]", "p", "p, Holm", "least p"]);
    let about = "Two-sided randomisation tests; a seed is one observation (of each set of data where it is all)";
    out.push(Block::Table(about.into(), heads, healed.tests.iter().map(row).collect()));
    out.push(Block::Text(format!(
        "Each healing is compared with the intact model fine-tuned with the same seed: same texts, same order. Recovery is (F1 - F1 of answering \
         the commonest class) divided by the same of the intact model; F1 is macro-averaged, on the test texts, of the pass with the best validation \
         F1. Passes to recover: the first whose validation F1 is {:.0} % of the intact model's best, the median over seeds. Intervals are 95 % bootstrap \
         intervals over seeds and with few seeds are too narrow; n observations can give no p below the last column, so a p of .125 of four seeds that \
         all agree is no evidence of absence. CKA is linear (arXiv 1905.00414), between mean-pooled states of the same test texts.",
        100.0 * RECOVERED
    )));
    out
}

fn of_setting(setting: &str, rows: &[&Row], out: &mut Vec<Block>) {
    out.push(Block::Heading(3, setting.into()));
    let line = |r: &&Row| {
        let passes = match r.passes {
            Some(n) => format!("{n:.1} ({} of {})", r.reached, r.seeds.len()),
            None => format!("never ({} of {})", r.reached, r.seeds.len()),
        };
        let p_holm = r.p_holm.map_or(String::new(), p);
        let n = r.seeds.len().to_string();
        vec![
            r.corrupt.clone(),
            n,
            shown(r.f1),
            shown(r.accuracy),
            shown(r.difference),
            p_holm,
            r.recovery.map_or("missing: the intact model learnt nothing".into(), shown),
            passes,
        ]
    };
    let heads =
        words(["corrupted", "seeds", "F1", "accuracy", "F1 less intact", "p, Holm", "recovery", "passes to recover"]);
    out.push(Block::Table("Means over seeds with 95 % intervals".into(), heads, rows.iter().map(line).collect()));
    let names: Vec<(usize, String)> = rows.iter().enumerate().map(|(i, r)| (i, r.corrupt.clone())).collect();
    let column = |label: &str, of: &dyn Fn(&Row) -> Option<Interval>, level| Column {
        label: label.into(),
        values: rows.iter().map(|r| of(r)).collect(),
        level,
    };
    let columns = [column("F1", &|r| Some(r.f1), None), column("recovery", &|r| r.recovery, Some(1.0))];
    let title = format!("{setting}: after healing");
    let picture = intervals(&title, "means over seeds, 95 % intervals", &names, &columns);
    out.push(Block::Picture(format!("heal-{}-recovery", plain(setting)), picture));
    // Place by number of layers.
    let counted: Vec<&&Row> = rows.iter().filter(|r| r.corrupt.contains(':') && r.layers > 0).collect();
    let mut places: Vec<String> = Vec::new();
    let mut counts: Vec<usize> = counted.iter().map(|r| r.layers).collect();
    counts.sort_unstable();
    counts.dedup();
    for r in &counted {
        if !places.contains(&r.place) {
            places.push(r.place.clone());
        }
    }
    if !places.is_empty() {
        let at = |place: &str, k: usize| {
            counted.iter().find(|r| r.place == place && r.layers == k).and_then(|r| Some(r.recovery?.value))
        };
        let values: Vec<Vec<Option<f64>>> =
            places.iter().map(|place| counts.iter().map(|k| at(place, *k)).collect()).collect();
        let heads: Vec<String> =
            counts.iter().map(|k| format!("{k} layer{}", if *k == 1 { "" } else { "s" })).collect();
        let title = format!("{setting}: recovery by place and number of corrupted layers");
        let picture =
            heat_map(&title, "1: as good as the intact model; 0: as the commonest class", &places, &heads, &values);
        out.push(Block::Picture(format!("heal-{}-map", plain(setting)), picture));
    }
    let probed: Vec<&&Row> = rows.iter().filter(|r| !r.cka.is_empty()).collect();
    if !probed.is_empty() {
        let states = probed.iter().map(|r| r.cka.len()).max().unwrap_or(0);
        let heads: Vec<String> =
            (0..states).map(|i| if i == 0 { "embeddings".into() } else { format!("layer {}", i - 1) }).collect();
        let names: Vec<String> = probed.iter().map(|r| r.corrupt.clone()).collect();
        let values: Vec<Vec<Option<f64>>> = probed
            .iter()
            .map(|r| (0..states).map(|i| r.cka.get(i).copied().filter(|x| x.is_finite())).collect())
            .collect();
        let title = format!("{setting}: CKA of each state to the intact, fine-tuned model");
        let picture =
            heat_map(&title, "means over seeds; 1: the same up to a rotation and a scale", &names, &heads, &values);
        out.push(Block::Picture(format!("heal-{}-cka", plain(setting)), picture));
    }
}
