//! `rlx lm eval`.
use crate::lm::{Bos, Input, On, open, peak_memory, peak_text, tokens_text};
use anyhow::Result;
use clap::Args;
use rlx::{Counting as _, refuse};
use rlx_lm::llama::{
    likelihood::{Reference, Windows, evaluate},
    tasks,
};
use rlx_runs::{answer::print, interrupt::Stop, progress::Counting};
use serde_json::json;
use std::path::{Path, PathBuf};
use tch::Kind;

/// `rlx lm eval MODEL`
#[derive(Debug, Args)]
pub struct Eval {
    /// A GGUF file, a folder, a run that has left a model, or a name from the cache.
    model: String,
    /// Mean negative log-likelihood of the tokens of this text.
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    text: Option<PathBuf>,
    /// The same of token ids: numbers between spaces, commas or brackets.
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Tokens that are predicted from each other: the text is cut into windows of this many.
    #[arg(long, default_value_t = 512, allow_negative_numbers = true, value_parser = rlx_runs::flags::count::<u32>(2..=1_000_000))]
    window: u32,
    /// Tokens to judge at most, from the beginning; 0 takes all.
    #[arg(long, default_value_t = 0)]
    tokens: u64,
    /// Also the divergence from this model's predictions.
    #[arg(long, value_name = "MODEL")]
    reference: Option<String>,
    /// Multiple-choice sets: task.json of BIG-bench, or JSON lines with context, choices and answer.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    tasks: Vec<PathBuf>,
    /// Items of each set, drawn by the seed.
    #[arg(long, default_value_t = 500, allow_negative_numbers = true, value_parser = rlx_runs::flags::count::<u32>(1..=10_000_000))]
    items: u32,
    /// Draws items and shuffles choices.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Whether a text begins with the model's token for that; by default as the model's file says before --text, and never before an item
    /// of --tasks, as lm-evaluation-harness has it.
    #[arg(long, value_enum)]
    bos: Option<Bos>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    on: On,
}

/// A set's name: that of a task.json is its folder's.
fn name(path: &Path) -> String {
    let named = if path.file_name().is_some_and(|n| n == "task.json") {
        path.parent().and_then(Path::file_name)
    } else {
        path.file_stem()
    };
    named.map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// Judges a model.
pub fn run(args: &Eval, runs: &Path, stop: &Stop) -> Result<()> {
    let on_text = args.text.is_some() || args.ids.is_some();
    if !on_text && args.tasks.is_empty() {
        refuse!("nothing to judge by: say --text FILE, --ids FILE or --tasks FILE,FILE");
    }
    let input = Input::read(args.text.as_deref(), args.ids.as_deref())?;
    let read = |path: &PathBuf| tasks::read(path, args.items as usize, args.seed);
    let sets_of_items = args.tasks.iter().map(read).collect::<rlx::Result<Vec<_>>>()?;
    let loaded = open(&args.model, runs, args.on.device()?)?;
    // Unpacked once: it is used for every window.
    let model = loaded.model.dense(Kind::Float);
    let asked = &|| stop.asked();
    let mut out = json!({"model": loaded.path});
    let mut text = String::new();
    if let Some(input) = &input {
        let frame = match input {
            Input::Text(_) => Some(args.bos.unwrap_or(Bos::File).frame(&loaded)?),
            Input::Ids(_) => None,
        };
        let mut ids = input.ids(&loaded, &frame.clone().unwrap_or_default())?;
        if args.tokens > 0 {
            ids.truncate(args.tokens as usize);
        }
        let windows = Windows::new(&ids, args.window as usize)?;
        let reference = match &args.reference {
            Some(other) => {
                Some(Reference::new(&open(other, runs, args.on.device()?)?.model.dense(Kind::Float), &windows, asked)?)
            }
            None => None,
        };
        let found = evaluate(&model, &windows, reference.as_ref(), asked)?;
        out["text"] = json!({"nll": found.nll, "nll_error": found.nll_error, "perplexity": found.perplexity(), "kl": found.kl,
            "tokens": found.tokens, "window": args.window, "reference": args.reference,
            "before": frame.as_ref().map(|f| &f.before), "after": frame.as_ref().map(|f| &f.after)});
        text += &format!(
            "nll {:.4} ± {} nats a token, perplexity {:.3}, {} tokens in windows of {}\n",
            found.nll,
            if found.nll_error.is_nan() { "-".into() } else { format!("{:.4}", found.nll_error) },
            found.perplexity(),
            found.tokens,
            args.window
        );
        if let Some(frame) = &frame {
            text += &format!("the text begins with {}", tokens_text(&loaded, &frame.before));
            if !frame.after.is_empty() {
                text += &format!(" and ends with {}", tokens_text(&loaded, &frame.after));
            }
            text += match args.bos {
                None | Some(Bos::File) => ", as the model's file says\n",
                Some(_) => ", as --bos says\n",
            };
        }
        if let Some(kl) = found.kl {
            text += &format!("kl {kl:.4} nats a token from {}\n", args.reference.as_deref().unwrap_or(""));
        }
    }
    let mut sets = Vec::new();
    let before = match args.bos {
        None => None,
        Some(bos) if !args.tasks.is_empty() => bos.frame(&loaded)?.before.first().copied(),
        Some(_) => None,
    };
    for (path, items) in args.tasks.iter().zip(sets_of_items) {
        let mut progress = Counting::new("items", items.len() as u64, args.json);
        let tokenizer = loaded.tokenizer()?;
        let found = tasks::accuracy(&model, tokenizer, &items, before, asked, &mut |n| progress.tick(n as u64));
        drop(progress);
        let found = found?;
        let mut set = json!(found);
        set["task"] = json!(name(path));
        set["seed"] = json!(args.seed);
        set["before"] = json!(before);
        sets.push(set);
        text += &format!(
            "{}: acc {:.4} ± {:.4}, acc_norm {:.4} ± {:.4}, {} items{}\n",
            name(path),
            found.acc,
            found.acc_error,
            found.acc_norm,
            found.acc_norm_error,
            found.items,
            before.map_or_else(String::new, |id| format!(", each behind {}", tokens_text(&loaded, &[id])))
        );
    }
    if !sets.is_empty() {
        out["tasks"] = json!(sets);
    }
    out["peak_memory_bytes"] = json!(peak_memory());
    print(&if args.json { format!("{out:#}\n") } else { text + peak_text().trim_start_matches(", ") + "\n" })
}
