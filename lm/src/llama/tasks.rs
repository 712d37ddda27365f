//! Multiple choice by likelihood, as lm-evaluation-harness does it: `acc` by the sum of a choice's log-probabilities, `acc_norm` by that
//! sum over the choice's length in characters.
use super::model::{Cache, Model};
use crate::{quant::Matrix, tokenizer::Tokenizer};
use rlx::{Error, Result, Rng};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use tch::{Kind, Tensor};

/// A model whose floats take no more is unpacked once for all items: a question is so short that unpacking is most of the work.
const UNPACKED: usize = 2 << 30;

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What stands before the choice.
    pub context: String,
    /// The choices, each as it continues the context, its leading space included.
    pub choices: Vec<String>,
    /// The number of the right one.
    pub answer: usize,
}

/// Accuracies on a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// By likelihood.
    pub acc: f64,
    /// Its standard error, √(p (1 - p) / (n - 1)).
    pub acc_error: f64,
    /// By likelihood over length.
    pub acc_norm: f64,
    /// Its standard error.
    pub acc_norm_error: f64,
    /// Items.
    pub items: usize,
}

/// Reads items: a `task.json` of BIG-bench (`examples` with `input` and `target_scores`), or JSON lines with `context`, `choices` and
/// `answer` (the right one's number). Choices are shuffled by the seed, for some sets keep the answer in one place; more items than
/// `most` are cut to as many, drawn by the seed.
///
/// # Errors
/// When the file is neither, or an item has no single right choice.
pub fn read(path: &Path, most: usize, seed: u64) -> Result<Vec<Item>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("reading", path, e))?;
    let whole: Option<Value> = serde_json::from_str(&text).ok().filter(|v: &Value| v.get("examples").is_some());
    let mut items = match whole {
        Some(json) => bigbench(&json, path)?,
        None => lines(&text, path)?,
    };
    if items.is_empty() {
        return Err(Error::corrupt(path, "there is no multiple-choice item in it"));
    }
    let mut rng = Rng::named(seed, "task", 0);
    rng.shuffle(&mut items);
    items.truncate(most);
    for item in &mut items {
        let mut order: Vec<usize> = (0..item.choices.len()).collect();
        rng.shuffle(&mut order);
        item.choices = order.iter().map(|i| item.choices[*i].clone()).collect();
        item.answer = order.iter().position(|i| *i == item.answer).unwrap_or(0);
    }
    Ok(items)
}

fn bigbench(json: &Value, path: &Path) -> Result<Vec<Item>> {
    let text = |key: &str, other: &str| json.get(key).and_then(Value::as_str).unwrap_or(other).to_owned();
    let (prefix, before, after) =
        (text("task_prefix", ""), text("example_input_prefix", "\nQ: "), text("example_output_prefix", "\nA: "));
    let mut items = Vec::new();
    for (i, example) in json["examples"].as_array().into_iter().flatten().enumerate() {
        let (Some(input), Some(scores)) = (example["input"].as_str(), example["target_scores"].as_object()) else {
            continue;
        };
        let best = scores.values().filter_map(Value::as_f64).fold(f64::MIN, f64::max);
        let right: Vec<usize> =
            (0..scores.len()).filter(|k| scores.values().nth(*k).and_then(Value::as_f64) == Some(best)).collect();
        if scores.len() < 2 || right.len() != 1 {
            return Err(Error::corrupt(
                path,
                format!("example {i}: {} of {} choices are best; one must be", right.len(), scores.len()),
            ));
        }
        let context = format!("{prefix}{before}{input}{after}");
        // Spaces go with what follows, as lm-evaluation-harness and byte-level tokenizers have it.
        let (context, space) = context.strip_suffix(' ').map_or((context.as_str(), ""), |c| (c, " "));
        let choices = scores.keys().map(|c| format!("{space}{c}")).collect();
        items.push(Item { context: context.trim_start().into(), choices, answer: right[0] });
    }
    Ok(items)
}

fn lines(text: &str, path: &Path) -> Result<Vec<Item>> {
    let item = |(i, line): (usize, &str)| {
        let bad = |why: &str| Error::corrupt(path, format!("line {}: {why}", i + 1));
        let json: Value = serde_json::from_str(line).map_err(|e| bad(&e.to_string()))?;
        let context = json["context"].as_str().filter(|c| !c.is_empty()).ok_or_else(|| bad("no context"))?;
        let choices: Option<Vec<String>> = json["choices"]
            .as_array()
            .and_then(|a| a.iter().map(|c| Some(format!(" {}", c.as_str()?.trim_start()))).collect());
        let choices = choices.filter(|c| c.len() > 1).ok_or_else(|| bad("choices must be two texts at least"))?;
        let answer = json["answer"].as_u64().map(|a| a as usize).filter(|a| *a < choices.len());
        Ok(Item {
            context: context.trim_end().into(),
            choices,
            answer: answer.ok_or_else(|| bad("answer must be a choice's number"))?,
        })
    };
    text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(item).collect()
}

/// Log-probabilities of an item's choices after its context, which is read once.
///
/// # Errors
/// When the item is longer than the model's context, or its tokens are not the model's.
pub fn likelihoods(model: &Model, tokenizer: &Tokenizer, item: &Item) -> Result<Vec<f64>> {
    let context = tokenizer.encode(&item.context)?;
    if context.is_empty() {
        return Err(Error::invalid("a multiple-choice item has no context"));
    }
    let mut tails = Vec::new();
    for choice in &item.choices {
        let all = tokenizer.encode(&format!("{}{choice}", item.context))?;
        let _ = model.ids(&all)?;
        // As the harness cuts: what is beyond the context's own number of tokens.
        if all.len() <= context.len() {
            return Err(Error::invalid(format!("choice '{choice}' adds no token to its context")));
        }
        tails.push((all[..context.len()].to_vec(), all[context.len()..].to_vec()));
    }
    if tails.iter().any(|(head, _)| *head != context) {
        return tails.iter().map(|(head, tail)| score(model, head, std::slice::from_ref(tail)).map(|s| s[0])).collect();
    }
    let tails: Vec<Vec<u32>> = tails.into_iter().map(|(_, t)| t).collect();
    score(model, &context, &tails)
}

fn score(model: &Model, context: &[u32], tails: &[Vec<u32>]) -> Result<Vec<f64>> {
    let head = model.ids(context)?;
    let longest = tails.iter().map(Vec::len).max().unwrap_or(1);
    Ok(tch::no_grad(|| {
        let mut cache = Cache::new(model, context.len());
        let hidden = model.hidden(&head, Some(&mut cache), None);
        let mut states = vec![hidden.narrow(1, hidden.size()[1] - 1, 1).expand([tails.len() as i64, 1, -1], false)];
        if longest > 1 {
            // Shorter ones are filled up at the end, which nothing before it sees.
            let padded: Vec<i64> =
                tails.iter().flat_map(|t| (0..longest - 1).map(|k| t.get(k).map_or(0, |id| i64::from(*id)))).collect();
            let ids = Tensor::from_slice(&padded).reshape([tails.len() as i64, -1]).to_device(model.device());
            let mut branch = cache.branch(tails.len(), longest);
            states.push(model.hidden(&ids, Some(&mut branch), None));
        }
        let logs = model.logits(&Tensor::cat(&states, 1)).log_softmax(-1, Kind::Float);
        let one = |(row, tail): (usize, &Vec<u32>)| {
            let at = |(k, id): (usize, &u32)| logs.double_value(&[row as i64, k as i64, i64::from(*id)]);
            tail.iter().enumerate().map(at).sum()
        };
        tails.iter().enumerate().map(one).collect()
    }))
}

/// Accuracies of a model on items; `each` is told how many are done.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so; as [`likelihoods`].
pub fn accuracy(
    model: &Model,
    tokenizer: &Tokenizer,
    items: &[Item],
    stop: &dyn Fn() -> bool,
    each: &mut dyn FnMut(usize),
) -> Result<Accuracy> {
    let floats = |m: &Matrix| 4 * m.rows() * m.columns();
    let weights = model.blocks.iter().flat_map(|b| &b.projections).map(|p| floats(&p.weight)).sum::<usize>();
    let tables = floats(&model.embedding) + model.head.as_ref().map_or(0, floats);
    let unpacked = (weights + tables <= UNPACKED).then(|| model.dense(model.compute));
    let model = unpacked.as_ref().unwrap_or(model);
    let best = |scores: &[f64]| (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
    let (mut plain, mut normed) = (0, 0);
    for (done, item) in items.iter().enumerate() {
        if stop() {
            return Err(Error::Interrupted);
        }
        let sums = likelihoods(model, tokenizer, item)?;
        let by_length: Vec<f64> =
            sums.iter().zip(&item.choices).map(|(s, c)| s / c.trim_start().chars().count().max(1) as f64).collect();
        plain += usize::from(best(&sums) == Some(item.answer));
        normed += usize::from(best(&by_length) == Some(item.answer));
        each(done + 1);
    }
    let n = items.len() as f64;
    let share = |k: usize| {
        let p = k as f64 / n;
        (p, (p * (1.0 - p) / (n - 1.0).max(1.0)).sqrt())
    };
    let ((acc, acc_error), (acc_norm, acc_norm_error)) = (share(plain), share(normed));
    Ok(Accuracy { acc, acc_error, acc_norm, acc_norm_error, items: items.len() })
}
