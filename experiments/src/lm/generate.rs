//! `rlx lm generate`.
use super::{On, open, peak_text, print};
use crate::interrupt::Stop;
use anyhow::Result;
use clap::Args;
use rlx_lm::llama::{
    Model,
    generate::{Generator, Kernel},
};
use std::time::Instant;

/// `rlx lm generate MODEL`
#[derive(Debug, Args)]
pub struct Generate {
    /// A GGUF file, a folder, or a name from the cache.
    model: String,
    /// What to continue.
    #[arg(long)]
    prompt: String,
    /// Tokens to generate at most.
    #[arg(long, default_value_t = 64, allow_negative_numbers = true, value_parser = crate::flags::count::<u32>(1..=1_000_000))]
    tokens: u32,
    /// 0 takes the likeliest token; 1 draws as the model predicts.
    #[arg(long, default_value_t = 0.0, value_parser = temperature)]
    temperature: f64,
    /// Draws the tokens.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How products are computed; auto measures each and takes the fastest.
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

/// Seconds a token.
fn measure(model: &Model, prompt: &[u32]) -> Result<f64> {
    let mut generator = Generator::new(model, &prompt[..prompt.len().min(16)], 1.0, 0)?;
    let mut fastest = f64::INFINITY;
    for i in 0..2 * MEASURED {
        let start = Instant::now();
        if generator.token()?.is_none() {
            generator = Generator::new(model, &prompt[..1], 1.0, i as u64)?;
        } else if i >= MEASURED {
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(fastest)
}

fn choose(model: &Model, prompt: &[u32], wanted: &str) -> Result<(Kernel, Model)> {
    let mut best: Option<(f64, Kernel, Model)> = None;
    for kernel in Kernel::ALL {
        let ready = kernel.ready(model);
        if wanted != "auto" {
            if format!("{kernel:?}").eq_ignore_ascii_case(wanted) {
                return Ok((kernel, ready));
            }
            continue;
        }
        let seconds = measure(&ready, prompt)?;
        if best.as_ref().is_none_or(|(s, _, _)| seconds < *s) {
            best = Some((seconds, kernel, ready));
        }
    }
    best.map(|(_, kernel, model)| (kernel, model)).ok_or_else(|| anyhow::anyhow!("no kernel '{wanted}'"))
}

/// Generates, printing as it goes.
pub fn run(args: &Generate, stop: &Stop) -> Result<()> {
    let loaded = open(&args.model, args.on.device()?)?;
    let tokenizer = loaded.tokenizer()?;
    let prompt = tokenizer.encode(&args.prompt)?;
    // Whatever is wrong with the prompt is said before anything is measured.
    let _ = loaded.model.ids(&prompt)?;
    let (kernel, model) = choose(&loaded.model, &prompt, &args.kernel)?;
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
        "{made} tokens in {seconds:.2} s, {:.1} tokens/s ({kernel:?}); prompt of {} tokens in {read:.2} s{}",
        made as f64 / seconds.max(1e-9),
        prompt.len(),
        peak_text()
    );
    Ok(())
}
