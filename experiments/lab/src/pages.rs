//! A report's figures as a document.
use crate::report::Band;
use crate::report::MetricReport;
use crate::report::Report;
use crate::report::TaskRow;
use rlx_plot::charts::Axis;
use rlx_plot::charts::Column;
use rlx_plot::charts::Lines;
use rlx_plot::charts::Series;
use rlx_plot::charts::heat_map;
use rlx_plot::charts::intervals;
use rlx_plot::document::Block;
use rlx_plot::document::Document;
use rlx_plot::svg::Picture;
use rlx_plot::text::thousands;
use rlx_stats::scores::BAND;
use rlx_stats::scores::Interval;
use rlx_stats::scores::RESAMPLES;
use rlx_stats::threshold::ToThreshold;

/// Lines in one picture.
const MOST_LINES: usize = 10;
/// Missing cells that are listed one by one.
const MOST_MISSING: usize = 24;

/// A number with about four digits.
fn number(x: f64) -> String {
    match x.abs() {
        a if a >= 10_000.0 => {
            let sign = if x < 0.0 { "-" } else { "" };
            format!("{sign}{}", thousands(a.round() as u64))
        }
        a if a >= 100.0 => format!("{x:.1}"),
        a if a >= 10.0 => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    }
}

fn interval(i: Option<Interval>, missing: &str) -> String {
    i.map_or_else(|| missing.to_owned(), |i| format!("{} {}", number(i.value), rlx::shown(i.low, i.high, number)))
}

fn p_value(p: Option<f64>) -> String {
    match p {
        None => "missing".into(),
        Some(p) if p < 0.001 => "< 0.001".into(),
        Some(p) => format!("{p:.3}"),
    }
}

fn lack(runs: usize, of: usize) -> String {
    format!("missing {} of {of} runs", of - runs)
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// `1 seed`, `3 seeds`.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Seeds by their numbers: `0 to 9`, or each of them.
fn named(seeds: &[u64]) -> String {
    match (seeds.first(), seeds.last()) {
        (Some(a), Some(b)) if seeds.len() > 2 && seeds.windows(2).all(|w| w[1] == w[0] + 1) => format!("{a} to {b}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The document.
pub fn document(r: &Report) -> Document {
    let title = format!("{}{}", r.experiment, if r.quick { " (quick variant)" } else { "" });
    let mut blocks = vec![Block::Text(r.about.clone())];
    let made: Vec<String> = r.made_by.iter().map(|(by, n)| format!("{n} by {by}")).collect();
    blocks.push(Block::Text(format!(
        "{} of {} runs finished: {} x {} x {} ({}){}{}.",
        thousands(r.finished),
        thousands(r.cells),
        count(r.tasks.len(), "task"),
        count(r.methods.len(), "method"),
        count(r.seeds.len(), "seed"),
        named(&r.seeds),
        if made.is_empty() { "" } else { "; " },
        made.join(", ")
    )));
    if !r.missing.is_empty() {
        let what = if r.partial {
            "Figures are of the runs that there are (--partial); how many that is stands beside them."
        } else {
            "Figures that are over all runs of a set are given only where none of them is missing."
        };
        blocks.push(Block::Text(format!("{} values are missing. {what}", thousands(r.missing.len() as u64))));
    }
    for metric in &r.metrics {
        metric_blocks(r, metric, &mut blocks);
    }
    if !r.missing.is_empty() {
        let row = |m: &super::report::Missing| {
            vec![
                m.index.to_string(),
                m.task.clone(),
                m.method.clone(),
                m.seed.to_string(),
                format!("missing: {}", m.why),
            ]
        };
        let heads = ["cell", "task", "method", "seed", "why"].map(String::from).to_vec();
        let more = r.missing.len().saturating_sub(MOST_MISSING);
        let about = format!("Missing{}", if more > 0 { format!(", {more} more not listed") } else { String::new() });
        blocks.push(Block::Heading(2, "Missing".into()));
        blocks.push(Block::Table(about, heads, r.missing.iter().take(MOST_MISSING).map(row).collect()));
    }
    blocks.push(Block::Heading(2, "How it was worked out".into()));
    blocks.push(Block::Text(format!(
        "Intervals are 95 % percentile intervals of the bootstrap, stratified by task, {} resamples of the runs of each task (bands of curves \
         and profiles: {}, pointwise). [-]: one run says nothing of its spread, so that it has no interval. IQM is the mean of the middle half of the \
         runs, and of fewer than four the mean itself; the optimality gap is how far runs fall short of score 1 \
         (arXiv 2108.13264). Curves are linear between a run's values and end where the first of its seeds ends. Times to a threshold are of the \
         first evaluation that reaches it; runs that never do are censored (Kaplan-Meier). p is of the paired randomisation test over task and seed, \
         two-sided, then corrected for all comparisons of a metric (Holm).",
        thousands(RESAMPLES as u64),
        thousands(BAND as u64)
    )));
    Document { title, blocks }
}

fn metric_blocks(r: &Report, m: &MetricReport, blocks: &mut Vec<Block>) {
    let name = &m.metric.name;
    let unit = if m.metric.unit.is_empty() { name.clone() } else { m.metric.unit.clone() };
    let file = plain(name);
    blocks.push(Block::Heading(2, format!("{name} ({unit})")));
    if m.scored && (r.tasks.len() > 1 || r.methods.len() > 1) {
        over_tasks(r, m, &file, blocks);
    } else if r.tasks.len() > 1 {
        blocks.push(Block::Text(
            "Nothing is said over all tasks: that needs low and high of the metric for each of them (tasks.NAME in the spec).".into(),
        ));
    }
    if !m.comparisons.is_empty() {
        comparisons(r, m, &file, blocks);
    }
    by_task(r, m, &unit, blocks);
    let tasks_lines = |bands: &[Band], by_time: bool, out: &mut Vec<Block>| {
        for task in &r.tasks {
            if let Some(picture) = curves(r, m, bands, task, &unit, by_time) {
                let kind = if by_time { "seconds" } else { "steps" };
                out.push(Block::Picture(format!("{file}-{kind}-{}", plain(task)), picture));
            }
        }
    };
    tasks_lines(&m.by_steps, false, blocks);
    let mut folded = Vec::new();
    tasks_lines(&m.by_seconds, true, &mut folded);
    if !folded.is_empty() {
        blocks.push(Block::Folded(format!("{name} over wall-clock time"), folded));
    }
}

/// A method's number, which is its colour in every picture.
fn place(r: &Report, method: &str) -> usize {
    r.methods.iter().position(|m| m == method).unwrap_or(0)
}

fn over_tasks(r: &Report, m: &MetricReport, file: &str, blocks: &mut Vec<Block>) {
    let heads = ["method", "runs", "IQM", "median", "mean", "optimality gap"].map(String::from).to_vec();
    let rows = m.methods.iter().map(|row| {
        let missing = lack(row.runs, row.of);
        let a = row.scores;
        vec![
            row.method.clone(),
            format!("{} of {}", row.runs, row.of),
            interval(a.map(|a| a.iqm), &missing),
            interval(a.map(|a| a.median), &missing),
            interval(a.map(|a| a.mean), &missing),
            interval(a.map(|a| a.optimality_gap), &missing),
        ]
    });
    let about = "Scores over all tasks [95 %]; 0 and 1 are the spec's low and high of each task";
    blocks.push(Block::Table(about.into(), heads, rows.collect()));
    let names: Vec<(usize, String)> = m.methods.iter().map(|row| row.method.clone()).enumerate().collect();
    let column = |label: &str, get: fn(&rlx_stats::scores::Aggregates) -> Interval| Column {
        label: label.into(),
        values: m.methods.iter().map(|row| row.scores.as_ref().map(get)).collect(),
        level: None,
    };
    if r.methods.len() > 1 {
        let columns = [
            column("IQM (score)", |a| a.iqm),
            column("median (score)", |a| a.median),
            column("mean (score)", |a| a.mean),
            column("optimality gap", |a| a.optimality_gap),
        ];
        let note = format!(
            "dot: estimate over {} tasks x {} seeds; line: 95 % stratified bootstrap",
            r.tasks.len(),
            r.seeds.len()
        );
        let title = format!("{}: scores over all tasks", m.metric.name);
        blocks.push(Block::Picture(format!("{file}-aggregates"), intervals(&title, &note, &names, &columns)));
    }
    if !m.profiles.is_empty() {
        let chosen = m.profiles.iter().take(MOST_LINES);
        let series = chosen.map(|p| Series {
            number: place(r, &p.method),
            label: p.method.clone(),
            points: p.tau.iter().copied().zip(p.share.iter().copied()).collect(),
        });
        let title = format!("{}: performance profile", m.metric.name);
        let lines = Lines {
            title,
            note: format!(
                "share of the {} runs of a method (tasks x seeds) with a score above; band: 95 % stratified bootstrap, pointwise",
                r.tasks.len() * r.seeds.len()
            ),
            x: Axis::of("score (0: low, 1: high)"),
            y: Axis { ends: Some((0.0, 1.0)), ..Axis::of("share of runs") },
            series: series.collect(),
            level: None,
        };
        blocks.push(Block::Picture(format!("{file}-profile"), lines.draw()));
    }
    heat(r, m, file, blocks);
}

/// Methods by tasks, and where the methods are a grid of two keys, one by the other.
fn heat(r: &Report, m: &MetricReport, file: &str, blocks: &mut Vec<Block>) {
    let value = |task: &str, method: &str| -> Option<f64> {
        let row = m.tasks.iter().find(|row| row.task == task && row.method == method)?;
        m.metric.score(task, row.iqm?.value)
    };
    if r.methods.len() * r.tasks.len() > 1 {
        let values: Vec<Vec<Option<f64>>> =
            r.methods.iter().map(|method| r.tasks.iter().map(|task| value(task, method)).collect()).collect();
        let title = format!("{}: score by method and task", m.metric.name);
        let note = format!("IQM over {} seeds, 0: low, 1: high of the task", r.seeds.len());
        blocks.push(Block::Picture(format!("{file}-heat"), heat_map(&title, &note, &r.methods, &r.tasks, &values)));
    }
    // `a=1 b=2`: a method of two keys.
    let pairs: Option<Vec<(String, String)>> = r
        .methods
        .iter()
        .map(|method| {
            let (a, b) = method.split_once(' ')?;
            (a.contains('=') && b.contains('=') && !b.contains(' ')).then(|| (a.to_owned(), b.to_owned()))
        })
        .collect();
    let Some(pairs) = pairs.filter(|p| p.len() > 3) else { return };
    let (mut down, mut across): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (a, b) in &pairs {
        if !down.contains(a) {
            down.push(a.clone());
        }
        if !across.contains(b) {
            across.push(b.clone());
        }
    }
    for task in &r.tasks {
        let values: Vec<Vec<Option<f64>>> =
            down.iter().map(|a| across.iter().map(|b| value(task, &format!("{a} {b}"))).collect()).collect();
        let title = format!("{}: score in {task}", m.metric.name);
        let note = format!("IQM over {} seeds, 0: low, 1: high of the task", r.seeds.len());
        blocks.push(Block::Picture(
            format!("{file}-grid-{}", plain(task)),
            heat_map(&title, &note, &down, &across, &values),
        ));
    }
}

fn comparisons(r: &Report, m: &MetricReport, file: &str, blocks: &mut Vec<Block>) {
    let baseline = m.comparisons.first().map_or("", |c| c.baseline.as_str());
    let what = if m.scored { "score" } else { m.metric.unit.as_str() };
    let heads = vec![
        "method".into(),
        "pairs".into(),
        "probability of improvement".into(),
        format!("mean difference ({what})"),
        "p".into(),
        "p, Holm".into(),
    ];
    let rows = m.comparisons.iter().map(|c| {
        vec![
            c.method.clone(),
            c.pairs.to_string(),
            interval(c.probability_of_improvement, "missing"),
            interval(c.difference, "missing"),
            p_value(c.p),
            p_value(c.p_holm),
        ]
    });
    let about = format!("Against {baseline} [95 %]; pairs are runs of the same task and seed");
    blocks.push(Block::Table(about, heads, rows.collect()));
    let names: Vec<(usize, String)> = m.comparisons.iter().map(|c| (place(r, &c.method), c.method.clone())).collect();
    let improvement = Column {
        label: "P(method better)".into(),
        values: m.comparisons.iter().map(|c| c.probability_of_improvement).collect(),
        level: Some(0.5),
    };
    let difference = Column {
        label: format!("mean difference ({what})"),
        values: m.comparisons.iter().map(|c| c.difference).collect(),
        level: Some(0.0),
    };
    let title = format!("{}: against {baseline}", m.metric.name);
    let note = "dot: estimate; line: 95 % stratified bootstrap; dashed: no difference";
    blocks.push(Block::Picture(
        format!("{file}-comparison"),
        intervals(&title, note, &names, &[improvement, difference]),
    ));
}

fn by_task(r: &Report, m: &MetricReport, unit: &str, blocks: &mut Vec<Block>) {
    let heads = ["task", "method", "seeds", "mean", "IQM", "worst", "best", "seconds a run"].map(String::from).to_vec();
    let rows = m.tasks.iter().map(|row| {
        let missing = lack(row.runs, row.of);
        let value = |x: Option<f64>| x.map_or_else(|| missing.clone(), number);
        vec![
            row.task.clone(),
            row.method.clone(),
            format!("{} of {}", row.runs, row.of),
            interval(row.mean, &missing),
            interval(row.iqm, &missing),
            value(row.worst),
            value(row.best),
            value(row.seconds),
        ]
    });
    let how = match m.metric.reduce {
        super::spec::Reduce::Last => "last value of a run",
        super::spec::Reduce::Best => "best value of a run, chosen by itself and so optimistic",
        super::spec::Reduce::Mean => "mean of a run's values",
    };
    let about = format!("{unit} by task, {how}, over {} [95 %]", count(r.seeds.len(), "seed"));
    blocks.push(Block::Table(about, heads, rows.collect()));
    let timed: Vec<&TaskRow> = m.tasks.iter().filter(|row| m.metric.scale(&row.task).threshold.is_some()).collect();
    if timed.is_empty() {
        return;
    }
    let heads =
        ["task", "method", "threshold", "reached", "steps, median", "steps, mean", "seconds, median", "seconds, mean"];
    let rows = timed.into_iter().map(|row| {
        let missing = lack(row.runs, row.of);
        let median = |t: Option<ToThreshold>| match t {
            None => missing.clone(),
            Some(t) => t.median.map_or_else(|| "not reached".into(), number),
        };
        let within = |t: Option<ToThreshold>| interval(t.map(|t| t.mean_within), &missing);
        vec![
            row.task.clone(),
            row.method.clone(),
            m.metric.scale(&row.task).threshold.map_or(String::new(), number),
            row.steps_to_threshold.map_or_else(|| missing.clone(), |t| format!("{} of {}", t.reached, t.of)),
            median(row.steps_to_threshold),
            within(row.steps_to_threshold),
            median(row.seconds_to_threshold),
            within(row.seconds_to_threshold),
        ]
    });
    let about = "Time to the threshold; runs that never reach it are censored, and count in the mean as long as they were watched";
    blocks.push(Block::Table(about.into(), heads.map(String::from).to_vec(), rows.collect()));
}

fn curves(r: &Report, m: &MetricReport, bands: &[Band], task: &str, unit: &str, by_time: bool) -> Option<Picture> {
    let mut own: Vec<&Band> = bands.iter().filter(|b| b.task == task).collect();
    let all = own.len();
    if all == 0 {
        return None;
    }
    if all > MOST_LINES {
        let sign = if m.metric.lower_is_better { -1.0 } else { 1.0 };
        own.sort_by(|a, b| {
            let end = |x: &Band| sign * x.y.last().map_or(f64::NEG_INFINITY, |i| i.value);
            end(b).total_cmp(&end(a))
        });
        own.truncate(MOST_LINES);
    }
    let few = if all > MOST_LINES { format!("; the {MOST_LINES} best of {all} methods") } else { String::new() };
    let label = |b: &Band| {
        let seeds = if b.runs == b.of {
            format!("{} seeds", b.of)
        } else {
            format!("{} of {} seeds, others missing", b.runs, b.of)
        };
        format!("{} ({seeds})", b.method)
    };
    let series = own.iter().map(|b| Series {
        number: place(r, &b.method),
        label: label(b),
        points: b.x.iter().copied().zip(b.y.iter().copied()).collect(),
    });
    let lines = Lines {
        title: format!("{}: {task}", m.metric.name),
        note: format!("line: IQM over seeds {}; band: its 95 % bootstrap interval, pointwise{few}", named(&r.seeds)),
        x: Axis::of(if by_time { "wall-clock time (s)" } else { "environment steps" }),
        y: Axis::of(unit),
        series: series.collect(),
        level: m.metric.scale(task).threshold.map(|t| (t, format!("threshold {}", rlx_plot::svg::short(t)))),
    };
    Some(lines.draw())
}
