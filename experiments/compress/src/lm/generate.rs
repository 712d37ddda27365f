//! `rlx lm generate`.
use crate::lm::Bos;
use crate::lm::On;
use crate::lm::open;
use crate::lm::peak_text;
use crate::lm::tokens_text;
use anyhow::{Result, bail};
use clap::Args;
use rlx::say;
use rlx_lm::llama::{
    Model,
    generate::{Generator, Kernel},
};
use rlx_runs::answer::print;
use rlx_runs::interrupt::Stop;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// `rlx lm generate MODEL`
#[derive(Debug, Args)]
pub struct Generate {
    /// A GGUF file, a folder, a run that has left a model, or a name from the cache.
    model: String,
    /// What to continue.
    #[arg(long)]
    prompt: String,
    /// Tokens to generate at most.
    #[arg(long, default_value_t = 64, allow_negative_numbers = true, value_parser = rlx_runs::flags::count::<u32>(1..=1_000_000))]
    tokens: u32,
    /// 0 takes the likeliest token; 1 draws as the model predicts.
    #[arg(long, default_value_t = 0.0, value_parser = temperature)]
    temperature: f64,
    /// Draws the tokens.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Whether the prompt begins with the model's token for that.
    #[arg(long, value_enum, default_value_t = Bos::File)]
    bos: Bos,
    /// How products are computed; auto measures each for a few seconds and takes the fastest.
    #[arg(long, default_value = "auto", value_parser = ["auto", "float", "bfloat16", "int4"])]
    kernel: String,
    #[command(flatten)]
    on: On,
}

fn temperature(text: &str) -> Result<f64, String> {
    let x: f64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
    if (0.0..=100.0).contains(&x) { Ok(x) } else { Err("it must be 0 to 100".into()) }
}

/// Tokens that each kernel is measured by, after as many to warm up.
const MEASURED: usize = 6;
/// What measuring may take, all kernels together: on a busy machine it is not worth more.
const PATIENCE: Duration = Duration::from_secs(6);

/// Seconds a token: the fastest of those that were made until `until`, of one at least.
fn measure(model: &Model, prompt: &[u32], until: Instant) -> Result<f64> {
    let mut generator = Generator::new(model, &prompt[..prompt.len().min(16)], 1.0, 0)?;
    let mut fastest = f64::INFINITY;
    for i in 0..2 * MEASURED {
        let start = Instant::now();
        if generator.token()?.is_none() {
            generator = Generator::new(model, &prompt[..1], 1.0, i as u64)?;
        } else if i >= MEASURED || start >= until || fastest.is_infinite() {
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
        if Instant::now() >= until && fastest.is_finite() {
            break;
        }
    }
    Ok(fastest)
}

fn choose(model: &Model, prompt: &[u32], wanted: &str, patience: Duration) -> Result<(Kernel, Model)> {
    if wanted != "auto" {
        let named = Kernel::ALL.into_iter().find(|k| format!("{k:?}").eq_ignore_ascii_case(wanted));
        let Some(kernel) = named else { bail!("no kernel '{wanted}'") };
        return Ok((kernel, kernel.ready(model)));
    }
    let begun = Instant::now();
    let mut best: Option<(f64, Kernel, Model)> = None;
    let mut measured = Vec::new();
    for (i, kernel) in Kernel::ALL.into_iter().enumerate() {
        if i > 0 && begun.elapsed() >= patience {
            break;
        }
        let ready = kernel.ready(model);
        let seconds = measure(&ready, prompt, begun + patience * (i as u32 + 1) / Kernel::ALL.len() as u32)?;
        measured.push(format!("{kernel:?} {:.1} ms", seconds * 1e3));
        if best.as_ref().is_none_or(|(s, _, _)| seconds < *s) {
            best = Some((seconds, kernel, ready));
        }
    }
    let Some((_, kernel, ready)) = best else { bail!("no kernel was measured") };
    if measured.len() < Kernel::ALL.len() {
        say!(
            "kernels measured in {:.1} s: {} a token; {kernel:?} is taken (--kernel names one and measures none)",
            begun.elapsed().as_secs_f64(),
            measured.join(", ")
        );
    }
    Ok((kernel, ready))
}

/// Generates, printing as it goes.
pub fn run(args: &Generate, runs: &Path, stop: &Stop) -> Result<()> {
    let loaded = open(&args.model, runs, args.on.device()?)?;
    let tokenizer = loaded.tokenizer()?;
    let frame = args.bos.frame(&loaded)?;
    let text = tokenizer.encode(&args.prompt)?;
    if let Some(first) = text.first().filter(|id| frame.before.contains(id)) {
        say!("note: the prompt begins with {} itself: there are two", tokens_text(&loaded, &[*first]));
    }
    if !frame.after.is_empty() {
        say!(
            "note: the model's file puts {} after a text (--bos never leaves it out)",
            tokens_text(&loaded, &frame.after)
        );
    }
    if !tokenizer.unheeded().is_empty() {
        say!("note: generation_config.json: {} is not followed", tokenizer.unheeded().join(", "));
    }
    let prompt = frame.around(text);
    // Whatever is wrong with the prompt is said before anything is measured.
    let _ = loaded.model.ids(&prompt)?;
    let (kernel, model) = choose(&loaded.model, &prompt, &args.kernel, PATIENCE)?;
    let start = Instant::now();
    let mut generator = Generator::new(&model, &prompt, args.temperature, args.seed)?;
    let read = start.elapsed().as_secs_f64();
    let (mut ids, mut shown) = (prompt.clone(), tokenizer.decode(&prompt)?);
    print(&shown)?;
    let start = Instant::now();
    while ids.len() < prompt.len() + args.tokens as usize && !stop.asked() {
        let Some(id) = generator.token()? else { break };
        ids.push(id);
        let text = tokenizer.decode(&ids)?;
        // A character of several bytes may be cut: it is shown once it is whole.
        if !text.ends_with('\u{fffd}') {
            print(text.get(shown.len()..).unwrap_or(""))?;
            shown = text;
        }
    }
    let (seconds, made) = (start.elapsed().as_secs_f64(), ids.len() - prompt.len());
    print("\n")?;
    say!(
        "{made} tokens in {seconds:.2} s, {:.1} tokens/s ({kernel:?}); prompt of {} tokens{} in {read:.2} s{}",
        made as f64 / seconds.max(1e-9),
        prompt.len(),
        match frame.before.as_slice() {
            [] => String::new(),
            ids => format!(" behind {}", tokens_text(&loaded, ids)),
        },
        peak_text()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e9_measuring_kernels_ends_when_its_time_is_over() {
        let model = rlx_lm::llama::tiny(3);
        let (kernel, _) = choose(&model, &[3, 4], "auto", Duration::ZERO).unwrap();
        assert_eq!(kernel, Kernel::Float, "the first alone, by a token or two");
        assert!(choose(&model, &[3, 4], "auto", PATIENCE).is_ok());
        assert_eq!(choose(&model, &[3], "int4", Duration::ZERO).unwrap().0, Kernel::Int4);
        assert!(choose(&model, &[3], "int5", Duration::ZERO).is_err());
    }

    #[test]
    fn a15_temperatures_that_are_none_are_refused() {
        for text in ["nan", "inf", "-1", "101", "1e309", "x", ""] {
            assert!(temperature(text).is_err(), "{text}");
        }
        assert!(temperature("1e-39").is_ok() && temperature("-0").is_ok());
    }
}
