//! Optuna as a sampler of `rlx sweep`: a Python process that is asked and told (`optuna.py`). Its study is `optuna.journal` in the
//! sweep's folder, which optuna-dashboard reads; trials, reports and pruning are the sweep's own.
use crate::{
    data::Curve,
    search::{Range, Sampler, Space},
    spec::Table,
    trials::{Folder, Status, Trial},
};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Points of a trial's curve that Optuna is told.
const POINTS: usize = 50;

/// Optuna in a process of its own; it ends with this.
pub(super) struct Optuna {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    python: String,
}

impl Optuna {
    /// Starts Python (`$PYTHON`, or python3) and sees whether Optuna and what its sampler needs are there. Nothing is written yet.
    pub(super) fn start(sampler: Sampler) -> Result<Self> {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let needs = sampler.packages();
        let install = format!(
            "install it by `{python} -m pip install {}`, name another interpreter by the variable PYTHON, or take method = \"tpe\", which needs neither",
            needs.join(" ")
        );
        // Modules beside the sweep are no packages: the first place that -c looks in is the working folder.
        let script = concat!("import sys\nsys.path[:1] = []\n", include_str!("optuna.py"));
        let mut command = Command::new(&python);
        command.args(["-c", script]).args(needs);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(e) => bail!("method = \"optuna\" needs Python, and {python} cannot be started ({e}): {install}"),
        };
        let (input, output) = (child.stdin.take(), child.stdout.take().context("Python's output")?);
        let mut optuna = Self { child, input, output: BufReader::new(output), python };
        let said = optuna.hear()?;
        match said.get("missing").and_then(Value::as_str) {
            Some(why) => {
                bail!(
                    "method = \"optuna\" needs Python with {}, and {} says: {why}; {install}",
                    needs.join(" and "),
                    optuna.python
                )
            }
            None => Ok(optuna),
        }
    }

    /// Opens the study of the folder, made when it is not there, and brings it to what the trials say.
    pub(super) fn open(&mut self, folder: &Folder<'_>, name: &str) -> Result<()> {
        let space = folder.space;
        let ranges: Table = space.ranges.iter().map(|(key, range)| (key.clone(), described(range))).collect();
        let trials: Vec<Value> = folder.trials()?.iter().map(|t| told(folder, t)).collect::<Result<_>>()?;
        let path = folder.path.join("optuna.journal");
        let request = json!({"open": {
            "study": name, "journal": path, "sampler": space.sampler.word(), "seed": space.seed, "startup": space.startup,
            "lower_is_better": space.metric.lower_is_better, "space": ranges, "trials": trials,
        }});
        let opened = self.request(&request).map(drop);
        opened.with_context(|| format!("{}: moved away, it is made anew from the trials", path.display()))
    }

    /// The values of trial `number`.
    pub(super) fn ask(&mut self, space: &Space, number: u64) -> Result<Table> {
        let said = self.request(&json!({"ask": number}))?;
        let value = |key: &str, range: &Range| -> Option<Value> {
            let v = &said["values"][key];
            match range {
                Range::Choices(all) => all.get(v.as_u64()? as usize).cloned(),
                Range::Numbers { whole: true, .. } => v.as_i64().map(Value::from),
                Range::Numbers { .. } => v.as_f64().map(|x| range.clamped(x)),
            }
        };
        let mut out = Table::new();
        for (key, range) in &space.ranges {
            out.insert(key.clone(), value(key, range).with_context(|| format!("Optuna gave no {key}: {said}"))?);
        }
        Ok(out)
    }

    /// How a trial ended, with its curve.
    pub(super) fn tell(&mut self, folder: &Folder<'_>, trial: &Trial) -> Result<()> {
        self.request(&json!({"tell": told(folder, trial)?})).map(drop)
    }

    fn request(&mut self, request: &Value) -> Result<Value> {
        if let Some(input) = &mut self.input {
            // A process that is gone is noticed by the end of its output.
            let _ = writeln!(input, "{request}").and_then(|()| input.flush());
        }
        let said = self.hear()?;
        match said.get("error").and_then(Value::as_str) {
            Some(error) => Err(anyhow!("Optuna: {error}")),
            None => Ok(said),
        }
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line).unwrap_or(0) == 0 {
            let status = self.child.wait().context("waiting for Python")?;
            bail!("{} with Optuna ended ({status})", self.python);
        }
        serde_json::from_str(&line).with_context(|| format!("{} said '{}'", self.python, line.trim_end()))
    }
}

impl Drop for Optuna {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn described(range: &Range) -> Value {
    match range {
        Range::Choices(all) => json!({"choices": all}),
        Range::Numbers { low, high, log, whole } => json!({"low": low, "high": high, "log": log, "whole": whole}),
    }
}

/// A trial as Optuna is told it: values are the metric's own, not turned around.
fn told(folder: &Folder<'_>, trial: &Trial) -> Result<Value> {
    let curve = if trial.status == Status::Started { Curve::default() } else { folder.curve(trial)? };
    let step = curve.points.len().div_ceil(POINTS).max(1);
    let mut points: Vec<(f64, f64)> = curve.points.iter().step_by(step).map(|p| (p.step, p.value)).collect();
    points.extend(curve.points.last().map(|p| (p.step, p.value)));
    points.retain(|p| p.1.is_finite());
    points.dedup();
    let value = trial.value.filter(|v| v.is_finite());
    Ok(json!({"number": trial.number, "keys": trial.keys, "status": trial.status, "value": value, "curve": points}))
}
