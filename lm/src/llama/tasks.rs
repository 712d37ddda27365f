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
    let text = rlx::read_text(path)?;
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

/// A context and what may follow it, as tokens; `item` is whose they are, and `first` its first choice among them.
#[derive(Clone, Debug)]
struct Question {
    item: usize,
    first: usize,
    context: Vec<u32>,
    tails: Vec<Vec<u32>>,
}

/// An item's choices, behind one context; each behind its own where tokens of the choice change those before it.
fn questions(
    model: &Model,
    tokenizer: &Tokenizer,
    before: Option<u32>,
    number: usize,
    item: &Item,
) -> Result<Vec<Question>> {
    let encode = |text: &str| Ok::<_, Error>(before.into_iter().chain(tokenizer.encode(text)?).collect::<Vec<u32>>());
    let context = encode(&item.context)?;
    if context.is_empty() {
        return Err(Error::invalid("a multiple-choice item has no context"));
    }
    let mut out: Vec<Question> = Vec::new();
    for (first, choice) in item.choices.iter().enumerate() {
        let all = encode(&format!("{}{choice}", item.context))?;
        let _ = model.ids(&all)?;
        // As the harness cuts: what is beyond the context's own number of tokens.
        if all.len() <= context.len() {
            return Err(Error::invalid(format!("choice '{choice}' adds no token to its context")));
        }
        let (head, tail) = all.split_at(context.len());
        match out.last_mut() {
            Some(same) if same.context == head => same.tails.push(tail.to_vec()),
            _ => out.push(Question { item: number, first, context: head.to_vec(), tails: vec![tail.to_vec()] }),
        }
    }
    Ok(out)
}

/// Tokens of contexts, and positions whose logits over the vocabulary are held, of questions that are read side by side.
const TOKENS: usize = 1024;
const POSITIONS: usize = 256;

/// Questions whose contexts have equal length, as many as may be read side by side: weights are then fetched once for all of them.
fn groups(questions: &mut [Question]) -> impl Iterator<Item = &[Question]> {
    questions.sort_by_key(|q| q.context.len());
    let longest = |q: &Question| q.tails.iter().map(Vec::len).max().unwrap_or(1);
    let mut rest: &[Question] = questions;
    std::iter::from_fn(move || {
        let len = rest.first()?.context.len();
        let (mut n, mut rows, mut width) = (0, 0, 1);
        for q in rest.iter().take_while(|q| q.context.len() == len) {
            (rows, width) = (rows + q.tails.len(), width.max(longest(q)));
            if n > 0 && ((n + 1) * len > TOKENS || rows * width > POSITIONS) {
                break;
            }
            n += 1;
        }
        let (group, left) = rest.split_at(n);
        rest = left;
        Some(group)
    })
}

/// Log-probabilities of the choices of questions whose contexts have equal length, in order; every context is read once.
fn score(model: &Model, group: &[Question]) -> Vec<f64> {
    let ids = |rows: &[Vec<i64>]| {
        Tensor::from_slice(&rows.concat()).reshape([rows.len() as i64, -1]).to_device(model.device())
    };
    let tails: Vec<&Vec<u32>> = group.iter().flat_map(|q| &q.tails).collect();
    let longest = tails.iter().map(|t| t.len()).max().unwrap_or(1);
    let owners: Vec<i64> = group.iter().enumerate().flat_map(|(i, q)| vec![i as i64; q.tails.len()]).collect();
    // Shorter ones are filled up at the end, which nothing before it sees.
    let padded: Vec<Vec<i64>> =
        tails.iter().map(|t| (0..longest).map(|k| t.get(k).map_or(0, |id| i64::from(*id))).collect()).collect();
    let contexts: Vec<Vec<i64>> = group.iter().map(|q| q.context.iter().map(|id| i64::from(*id)).collect()).collect();
    tch::no_grad(|| {
        let (mut cache, targets) = (Cache::new(model, contexts[0].len()), ids(&padded));
        let owners = Tensor::from_slice(&owners).to_device(model.device());
        let hidden = model.hidden_states(&ids(&contexts), Some(&mut cache), None);
        let mut states = vec![hidden.narrow(1, hidden.size()[1] - 1, 1).index_select(0, &owners)];
        if longest > 1 {
            let mut branch = cache.branch(&owners, longest);
            states.push(model.hidden_states(&targets.narrow(1, 0, longest as i64 - 1), Some(&mut branch), None));
        }
        let logs = model.logits(&Tensor::cat(&states, 1)).log_softmax(-1, Kind::Float);
        let found = logs.gather(2, &targets.unsqueeze(2), false).squeeze_dim(2);
        let one = |(row, tail): (usize, &&Vec<u32>)| {
            (0..tail.len()).map(|k| found.double_value(&[row as i64, k as i64])).sum()
        };
        tails.iter().enumerate().map(one).collect()
    })
}

/// Accuracies of a model on items, each behind the token `before` if there is one; `each` is told how many are done.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so; when an item is longer than the model's context, or its tokens are not the model's.
pub fn accuracy(
    model: &Model,
    tokenizer: &Tokenizer,
    items: &[Item],
    before: Option<u32>,
    stop: &dyn Fn() -> bool,
    each: &mut dyn FnMut(usize),
) -> Result<Accuracy> {
    let floats = |m: &Matrix| 4 * m.rows() * m.columns();
    let weights = model.blocks.iter().flat_map(|b| &b.projections).map(|p| floats(&p.weight)).sum::<usize>();
    let tables = floats(&model.embedding) + model.head.as_ref().map_or(0, floats);
    let unpacked = (weights + tables <= UNPACKED).then(|| model.dense(model.compute));
    let model = unpacked.as_ref().unwrap_or(model);
    let mut all = Vec::new();
    for (number, item) in items.iter().enumerate() {
        all.extend(questions(model, tokenizer, before, number, item)?);
    }
    let mut sums: Vec<Vec<f64>> = items.iter().map(|i| vec![0.0; i.choices.len()]).collect();
    let (mut left, mut done) = (items.iter().map(|i| i.choices.len()).collect::<Vec<_>>(), 0);
    for group in groups(&mut all) {
        if stop() {
            return Err(Error::Interrupted);
        }
        let mut found = score(model, group).into_iter();
        for q in group {
            sums[q.item][q.first..].iter_mut().zip(found.by_ref().take(q.tails.len())).for_each(|(to, s)| *to = s);
            left[q.item] -= q.tails.len();
            done += usize::from(left[q.item] == 0);
        }
        each(done);
    }
    let best = |scores: &[f64]| (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
    let (mut plain, mut normed) = (0, 0);
    for (sums, item) in sums.iter().zip(items) {
        let by_length: Vec<f64> =
            sums.iter().zip(&item.choices).map(|(s, c)| s / c.trim_start().chars().count().max(1) as f64).collect();
        plain += usize::from(best(sums) == Some(item.answer));
        normed += usize::from(best(&by_length) == Some(item.answer));
    }
    let n = items.len() as f64;
    let share = |k: usize| {
        let p = k as f64 / n;
        (p, (p * (1.0 - p) / (n - 1.0).max(1.0)).sqrt())
    };
    let ((acc, acc_error), (acc_norm, acc_norm_error)) = (share(plain), share(normed));
    Ok(Accuracy { acc, acc_error, acc_norm, acc_norm_error, items: items.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each choice read by itself, without a cache or neighbours.
    #[test]
    fn questions_side_by_side_score_as_each_by_itself() {
        let _alone = crate::GENERATOR.lock();
        let (model, mut rng) = (crate::llama::tiny(3), Rng::stream(1, 0));
        let mut draw = |n: usize| (0..n).map(|_| rng.below(model.config.vocab) as u32).collect::<Vec<u32>>();
        let mut all: Vec<Question> = (0..9)
            .map(|item| Question {
                item,
                first: 0,
                context: draw([3, 5, 1][item % 3]),
                tails: (0..2 + item % 2).map(|k| draw(1 + (item + k) % 3)).collect(),
            })
            .collect();
        let mut sizes = Vec::new();
        for group in groups(&mut all) {
            sizes.push(group.len());
            let found = score(&model, group);
            let each = group.iter().flat_map(|q| q.tails.iter().map(move |t| (q, t)));
            assert_eq!(found.len(), each.clone().count());
            for ((q, tail), found) in each.zip(found) {
                let text = [&q.context[..], tail].concat();
                let logs = model.logits_no_grad(&model.ids(&text).unwrap()).log_softmax(-1, Kind::Double);
                let at = |k: usize| logs.double_value(&[0, (k - 1) as i64, i64::from(text[k])]);
                let alone: f64 = (q.context.len()..text.len()).map(at).sum();
                assert!((alone - found).abs() < 1e-4 * alone.abs(), "{found} and {alone}");
            }
        }
        assert_eq!(sizes, [3, 3, 3]);
    }
}
