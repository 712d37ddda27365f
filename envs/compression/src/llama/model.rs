//! A LLaMA of a checkpoint, compressed by rlx-lm: what the objective measures.
use super::Config;
use crate::compressible::{BlockChoice, BlockFacts, CompressibleModel};
use rlx::{Error, Result, Rng, objective::Tell};
use rlx_lm::{
    llama::{
        self, Loaded, Model,
        compress::{self, Compressor, Criterion, Plan, features, importance, keep},
        generate::self_generated,
        likelihood::{Windows, evaluate},
        recover::{Recovery, Trainer},
    },
    quant::{Rounding, Scheme},
    store,
};
use sha2::{Digest, Sha256};
use std::{
    cell::RefCell,
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The text that comes with the program, written for it: nothing was trained on it.
const TEXT: &str = include_str!("../../text/measure.txt");
/// Calibration: as LLM-Pruner has it, 10 samples of 64 tokens.
const CALIBRATION: (usize, usize) = (10, 64);
/// Tokens of a window that a measurement predicts within.
const WINDOW: usize = 256;
/// Windows that a recovery is tuned on: so many, of so many tokens. A step sees [`TUNED_BATCH`] of them.
const TUNED: (usize, usize) = (128, 128);
/// Windows of a step.
const TUNED_BATCH: usize = 4;
/// Channels of an MLP go by so many, so that packed blocks and GGUF's stay whole.
const CHANNELS: usize = 32;
/// Variants of blocks are forgotten beyond so many bytes.
const CACHED: u64 = 3 << 30;
/// What the file's header may grow by between configurations, beside what the largest one has.
const HEADER_SLACK: u64 = 4096;

/// A model of a checkpoint, compressed again and again from its whole.
pub struct LlamaModel {
    version: String,
    dense: Model,
    loaded: Option<Loaded>,
    calibration: Windows,
    windows: Windows,
    compressor: RefCell<Option<Compressor>>,
    dense_loss: Option<f64>,
    header: u64,
    rounding: Rounding,
    tuning: Tuning,
    stop: fn() -> bool,
}

/// What recoveries are made of.
struct Tuning {
    /// Steps of fidelity 1 and of fidelity 2.
    steps: [u64; 2],
    learning_rate: f64,
    /// The text; until it is asked for, the tokens that self-generated ones begin with.
    text: RefCell<Text>,
    /// Where self-generated texts are kept.
    kept: Option<PathBuf>,
}

enum Text {
    Starts(Vec<u32>),
    Ready(Windows),
}

fn hash(path: &Path) -> Result<String> {
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|e| Error::io("reading", path, e))?;
        files = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_file()).collect();
        files.sort();
    }
    let mut all = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let mut file = fs::File::open(&path).map_err(|e| Error::io("opening", &path, e))?;
        loop {
            let n = file.read(&mut buffer).map_err(|e| Error::io("reading", &path, e))?;
            if n == 0 {
                break;
            }
            all.update(&buffer[..n]);
        }
    }
    Ok(short(&all.finalize()))
}

fn short(digest: &[u8]) -> String {
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// The full-precision model, its files where it has any, token ids of the text, and what stands for model and text in versions.
fn source(config: &Config) -> Result<(Model, Option<Loaded>, Vec<u32>, String)> {
    if config.model == "tiny" {
        let mut rng = Rng::named(0, "text of the tiny model", 0);
        let ids = (0..CALIBRATION.0 * CALIBRATION.1 + config.tokens).map(|_| rng.below(97) as u32).collect();
        return Ok((llama::tiny(3), None, ids, "tiny".to_owned()));
    }
    let path = store::find_model(&config.model, &store::cache_dir())?;
    let loaded = llama::load(&path)?;
    let text = match config.text.as_str() {
        "" => TEXT.to_owned(),
        file => rlx::read_text(Path::new(file))?,
    };
    let ids = loaded.tokenizer()?.encode(&text)?;
    let what = format!("{} text {}", hash(&path)?, short(&Sha256::digest(text.as_bytes())));
    Ok((loaded.model.clone(), Some(loaded), ids, what))
}

impl Tuning {
    /// What a config says of recoveries, and what stands for their text in versions. `calibration` are the tokens that self-generated texts
    /// begin with, `what` the model and text that they are of.
    fn new(config: &Config, loaded: Option<&Loaded>, calibration: &[u32], what: &str) -> Result<(Self, String)> {
        let (steps, learning_rate) = ([config.recover_few, config.recover_full], config.recover_learning_rate);
        if config.recover_text.is_empty() {
            let mut rng = Rng::named(0, "beginnings", 0);
            let starts = (0..TUNED.0).map(|_| calibration[rng.below(calibration.len())]).collect();
            let name = format!("own-words-{}.json", short(&Sha256::digest(what.as_bytes())));
            // The tiny model's are made in a moment.
            let kept = loaded.is_some().then(|| store::cache_dir().join("own-words").join(name));
            let text = RefCell::new(Text::Starts(starts));
            return Ok((Self { steps, learning_rate, text, kept }, "its own words".to_owned()));
        }
        let file = &config.recover_text;
        let Some(loaded) = loaded else {
            return Err(Error::invalid("recover_text: the model 'tiny' knows no words; leave it empty"));
        };
        let text = rlx::read_text(Path::new(file))?;
        let ids = loaded.tokenizer()?.encode(&text)?;
        let (n, least) = (ids.len(), TUNED_BATCH * TUNED.1);
        if n < least {
            return Err(Error::invalid(format!("recover_text: {file} has {n} tokens; it must have at least {least}")));
        }
        let windows = RefCell::new(Text::Ready(Windows::new(&ids, TUNED.1)?));
        let told = short(&Sha256::digest(text.as_bytes()));
        Ok((Self { steps, learning_rate, text: windows, kept: None }, told))
    }
}

/// The largest header that a file of the compressed model can have, but for digits of offsets.
fn largest_header(dense: &Model) -> u64 {
    let scheme = Scheme::Int { bits: 4, group: 32, symmetric: false };
    let widest = |b: &llama::BlockShape| compress::Choice { shape: *b, scheme, rank: 8 };
    let plan = Plan { blocks: dense.config.blocks.iter().map(widest).collect(), embedding: scheme };
    let file = llama::plan(&plan.layout(dense));
    file.bytes() - file.payload()
}

impl LlamaModel {
    /// Opens the model that a config names.
    ///
    /// # Errors
    /// When it is not there (naming the command that fetches it), damaged, or the text is too short.
    pub fn open(config: &Config, stop: fn() -> bool) -> Result<Self> {
        let (dense, loaded, ids, what) = source(config)?;
        let first = CALIBRATION.0 * CALIBRATION.1;
        if ids.len() < first + 64 {
            let (n, least) = (ids.len(), first + 64);
            return Err(Error::invalid(format!("the text has {n} tokens; it must have at least {least}")));
        }
        let (calibration, rest) = ids.split_at(first);
        let measured = &rest[..rest.len().min(config.tokens)];
        let window = WINDOW.min(dense.config.context);
        let (tuning, told) = Tuning::new(config, loaded.as_ref(), calibration, &what)?;
        Ok(Self {
            version: format!(
                "2 {what} tokens {} windows {window} clipped {}; recovery on {told}, {} and {} steps of {TUNED_BATCH}, {}",
                measured.len(),
                config.clipped,
                config.recover_few,
                config.recover_full,
                config.recover_learning_rate
            ),
            tuning,
            rounding: if config.clipped { Rounding::Clipped } else { Rounding::Nearest },
            header: largest_header(&dense) + HEADER_SLACK,
            calibration: Windows::new(calibration, CALIBRATION.1)?,
            windows: Windows::new(measured, window)?,
            compressor: RefCell::new(None),
            dense_loss: None,
            dense,
            loaded,
            stop,
        })
    }
}

/// Says how far a calibration has come, every few seconds.
struct Pace<'a> {
    tell: &'a Tell,
    begun: Instant,
    said: Instant,
}

impl<'a> Pace<'a> {
    fn new(tell: &'a Tell) -> Self {
        let now = Instant::now();
        Self { tell, begun: now, said: now }
    }
    fn tell(&mut self, done: usize, all: usize) {
        if done == 0 {
            // What came before is done once and is no measure of a block.
            self.begun = Instant::now();
        } else if done < all && self.said.elapsed() >= Duration::from_secs(5) {
            let left = self.begun.elapsed().as_secs_f64() / done as f64 * (all - done) as f64;
            self.tell.say(&format!("block {done} of {all}, about {left:.0} s left"));
            self.said = Instant::now();
        }
    }
}

impl LlamaModel {
    fn choice(&self, block: usize, choice: &BlockChoice) -> Result<compress::Choice> {
        let shape = keep(&self.dense.config.blocks[block], choice.ratio, CHANNELS);
        Ok(compress::Choice { shape, scheme: Scheme::of_bits(choice.bits)?, rank: choice.rank })
    }

    fn plan(&self, blocks: &[BlockChoice], embedding_bits: u32) -> Result<Plan> {
        let blocks = blocks.iter().enumerate().map(|(b, c)| self.choice(b, c)).collect::<Result<_>>()?;
        Ok(Plan { blocks, embedding: Scheme::of_bits(embedding_bits)? })
    }

    /// The model, compressed and recovered. Without an adapter there is nothing to tune, and it is as it was compressed.
    fn made(
        &self,
        blocks: &[BlockChoice],
        embedding_bits: u32,
        (fidelity, seed): (u32, u64),
        stop: &dyn Fn() -> bool,
    ) -> Result<Model> {
        let plan = self.plan(blocks, embedding_bits)?;
        let model = self.with_compressor(|s| s.build(&plan))?;
        if fidelity == 0 || plan.blocks.iter().all(|b| b.rank == 0) {
            return Ok(model);
        }
        let steps = self.tuning.steps[(fidelity as usize - 1).min(1)];
        let config = Recovery {
            steps,
            learning_rate: self.tuning.learning_rate,
            warmup: steps.div_ceil(10),
            batch: TUNED_BATCH,
            seed,
            ..Recovery::default()
        };
        let mut trainer = Trainer::new(&model, config)?;
        trainer.run(&*self.tuning_text(stop)?, stop, &mut |_| {})?;
        Ok(trainer.model())
    }

    /// The text to tune on; self-generated ones are made when they are first asked for, which takes a minute or two.
    fn tuning_text(&self, stop: &dyn Fn() -> bool) -> Result<std::cell::Ref<'_, Windows>> {
        let starts = match &*self.tuning.text.borrow() {
            Text::Starts(starts) => Some(starts.clone()),
            Text::Ready(_) => None,
        };
        if let Some(starts) = starts {
            let known = self.tuning.kept.as_ref().and_then(|p| fs::read(p).ok());
            let known = known.and_then(|bytes| serde_json::from_slice::<Vec<Vec<u32>>>(&bytes).ok());
            let vocab = self.dense.config.vocab as u32;
            let whole = |t: &Vec<Vec<u32>>| {
                t.len() == TUNED.0 && t.iter().all(|w| w.len() == TUNED.1 && w.iter().all(|id| *id < vocab))
            };
            let texts = match known.filter(whole) {
                Some(texts) => texts,
                None => {
                    let texts = self_generated(&self.dense, &starts, TUNED.1, 0, stop)?;
                    if let Some(path) = &self.tuning.kept {
                        // Without it the next start makes them again, nothing else.
                        let _ = path.parent().map(fs::create_dir_all);
                        let _ = serde_json::to_vec(&texts).map(|bytes| fs::write(path, bytes));
                    }
                    texts
                }
            };
            *self.tuning.text.borrow_mut() = Text::Ready(Windows::new(&texts.concat(), TUNED.1)?);
        }
        Ok(std::cell::Ref::map(self.tuning.text.borrow(), |t| match t {
            Text::Ready(windows) => windows,
            Text::Starts(_) => unreachable!("it was just made"),
        }))
    }

    /// Does something with the compressor, which is made when it is first asked for: scoring the groups takes seconds.
    fn with_compressor<T>(&self, of: impl FnOnce(&mut Compressor) -> Result<T>) -> Result<T> {
        let mut compressor = self.compressor.borrow_mut();
        if compressor.is_none() {
            let scores = importance(&self.dense, &self.calibration, Criterion::TaylorFirst, 0, &self.stop)?;
            *compressor = Some(Compressor::new(self.dense.clone(), scores, self.rounding, None, 0)?);
        }
        let compressor = compressor.as_mut().ok_or_else(|| Error::invalid("a compressor was just made"))?;
        if compressor.cached_bytes() > CACHED {
            compressor.forget();
        }
        of(compressor)
    }
}

impl CompressibleModel for LlamaModel {
    fn version(&self) -> &str {
        &self.version
    }
    fn blocks(&self) -> usize {
        self.dense.config.blocks.len()
    }
    fn fidelities(&self) -> Vec<String> {
        let of = |steps: u64| format!("{steps} steps");
        vec!["untuned".into(), of(self.tuning.steps[0]), of(self.tuning.steps[1])]
    }
    fn block_bytes(&self, block: usize, choice: &BlockChoice) -> u64 {
        // What cannot be chosen weighs more than anything that can; evaluating it says why.
        self.choice(block, choice).map_or(u64::MAX >> 16, |c| c.bytes(&self.dense))
    }
    fn rest_bytes(&self, embedding_bits: u32) -> u64 {
        let (c, head) = (&self.dense.config, if self.dense.config.tied { 1 } else { 2 });
        let table = Scheme::of_bits(embedding_bits).map_or(u64::MAX >> 16, |s| s.bytes(c.vocab, c.width));
        head * table + 4 * c.width as u64 + self.header
    }

    /// Importance, mutual information and the harm of two bits as rlx-lm has them. The harm of pruning is a block's share of the
    /// first-order importance, grows with the square of the ratio, and is scaled so that half of every block cut away harms as much as
    /// two bits everywhere: an order for repairs, not a forecast.
    fn calibrate(&self, tell: &Tell) -> Result<Vec<BlockFacts>> {
        self.with_compressor(|compressor| {
            let mut pace = Pace::new(tell);
            let known = features(compressor, &self.calibration, &self.stop, &mut |done, all| pace.tell(done, all))?;
            // A rise below the noise of so few tokens is none that can be counted on; nothing is free.
            let harm = |f: &compress::Features| f.sensitivity.max(1e-4);
            let all: f64 = known.iter().map(harm).sum();
            let of = |f: &compress::Features| BlockFacts {
                importance: f.importance,
                mutual_information: f.mutual_information,
                pruned: [0.125, 0.25, 0.375, 0.5, 0.75].map(|r| (r, 4.0 * r * r * all * f.importance)).to_vec(),
                quantised: vec![(2, harm(f))],
            };
            Ok(known.iter().map(of).collect())
        })
    }

    fn dense_loss(&mut self, stop: &dyn Fn() -> bool) -> Result<f64> {
        if let Some(known) = self.dense_loss {
            return Ok(known);
        }
        let loss = evaluate(&self.dense, &self.windows, None, stop)?.nll;
        Ok(*self.dense_loss.insert(loss))
    }

    fn loss(
        &mut self,
        blocks: &[BlockChoice],
        embedding_bits: u32,
        fidelity: u32,
        seed: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<f64> {
        let model = self.made(blocks, embedding_bits, (fidelity, seed), stop)?;
        Ok(evaluate(&model, &self.windows, None, stop)?.nll)
    }

    fn save(
        &mut self,
        blocks: &[BlockChoice],
        embedding_bits: u32,
        how: (u32, u64),
        to: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<(u64, f64)> {
        if to.exists() {
            return Err(Error::invalid(format!("{} is there already: nothing is overwritten", to.display())));
        }
        let model = self.made(blocks, embedding_bits, how, stop)?;
        let bytes = llama::save(&model, self.loaded.as_ref().and_then(|l| l.tokenizer.as_ref()), to)?;
        Ok((bytes, evaluate(&model, &self.windows, None, stop)?.nll))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn e4_a_calibration_says_how_long_it_still_takes() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = heard.clone();
        let tell = Tell::new(move |line| ear.lock().unwrap().push(line.to_owned()));
        let before = Instant::now().checked_sub(Duration::from_secs(12)).unwrap();
        let mut pace = Pace { tell: &tell, begun: before, said: before };
        pace.tell(12, 30);
        // Not a line for every block.
        pace.tell(13, 30);
        assert_eq!(*heard.lock().unwrap(), ["block 12 of 30, about 18 s left"]);
    }
}
