//! How a model is written: in which format, and never over what is there.
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use rlx::refuse;
use rlx_lm::{
    archive::Stored,
    gguf::BlockType,
    llama::{Model, export, recover::merge, save},
    tokenizer::Tokenizer,
};
use rlx_plot::text::thousands;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a model can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A folder of this project: packed, adapters beside the weights.
    Packed,
    /// A folder for transformers: half floats, adapters merged; blocks of different widths are filled up with zeros.
    Transformers,
    /// A file for llama.cpp, adapters merged; blocks of different widths make it of architecture deci.
    Gguf,
}

/// Where to, and as what.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Where to: a folder, or for GGUF a file; nothing there is overwritten.
    #[arg(long = "output", short = 'o', value_name = "PATH")]
    pub path: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Format::Packed)]
    pub format: Format,
    /// Type of a GGUF's projections; by default Q8_0.
    #[arg(long, value_parser = ["F32", "F16", "Q8_0", "Q4_0", "Q4_1"])]
    gguf_type: Option<String>,
    /// Type of a GGUF's embedding and head; by default as the projections where those are floats, otherwise Q8_0.
    #[arg(long, value_parser = ["F32", "F16", "Q8_0", "Q4_0", "Q4_1"])]
    gguf_embedding: Option<String>,
}

/// What was written.
pub(crate) struct Written {
    /// Bytes of the weights; of a GGUF file all of it.
    pub bytes: u64,
    /// In words.
    pub what: String,
}

impl Output {
    /// Refuses what would fail or be without effect, before any work is done.
    pub fn check(&self) -> Result<()> {
        if self.path.exists() {
            refuse!("{} is there already: nothing is overwritten; choose another -o", self.path.display());
        }
        for (flag, given) in [("--gguf-type", &self.gguf_type), ("--gguf-embedding", &self.gguf_embedding)] {
            if let (Some(kind), true) = (given, self.format != Format::Gguf) {
                refuse!("{flag} {kind} is of a GGUF file: it needs --format gguf");
            }
        }
        self.path.file_name().with_context(|| format!("-o {}: it must end in a name", self.path.display()))?;
        Ok(())
    }

    /// What the format does not keep of a tokenizer.
    pub fn notes(&self, model: &Model, tokenizer: Option<&Tokenizer>) -> Result<Vec<String>> {
        let (Format::Gguf, Some(t)) = (self.format, tokenizer) else { return Ok(Vec::new()) };
        let config = &model.config;
        Ok(t.to_gguf(config.vocab, config.bos, &config.eos).context("--format gguf")?.notes)
    }

    /// Lets `make` write beside the place, and takes what is whole there.
    pub fn whole<T>(&self, make: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let part = self.beside("part")?;
        let made = make(&part).and_then(|made| {
            if self.path.exists() {
                bail!("{} was made by another meanwhile: nothing is overwritten", self.path.display());
            }
            fs::rename(&part, &self.path).with_context(|| format!("writing {}", self.path.display()))?;
            Ok(made)
        });
        if made.is_err() {
            remove(&part);
        }
        made
    }

    /// A name of this process's own beside the place.
    fn beside(&self, what: &str) -> Result<PathBuf> {
        let name = self.path.file_name().context("it must end in a name")?.to_string_lossy().into_owned();
        Ok(self.path.with_file_name(format!(".{name}.{}.{what}", std::process::id())))
    }

    /// Lets `make` write a packed folder, which is there only while `then` reads it.
    pub fn passing<T>(
        &self,
        make: impl FnOnce(&Path) -> Result<T>,
        then: impl FnOnce(&Path) -> Result<Written>,
    ) -> Result<(T, Written)> {
        let packed = self.beside("packed")?;
        let both = make(&packed).and_then(|made| Ok((made, then(&packed)?)));
        remove(&packed);
        both
    }

    /// Writes a model to `to`, which is not there.
    pub fn write(&self, model: &Model, tokenizer: Option<&Tokenizer>, to: &Path) -> Result<Written> {
        Ok(match self.format {
            Format::Packed => {
                let bytes = save(&merge(model), tokenizer, to)?;
                Written { bytes, what: format!("{} bytes of weights, packed", thousands(bytes)) }
            }
            Format::Transformers => {
                let widths = export::transformers(model, tokenizer, Stored::F16, to)?;
                let bytes = fs::metadata(to.join(rlx_lm::archive::WEIGHTS))?.len();
                let padded = match widths {
                    export::Widths::Uniform => "",
                    export::Widths::ZeroPadded => ", narrow blocks filled up with zeros to the widest",
                };
                Written { bytes, what: format!("{} bytes of weights, half floats{padded}", thousands(bytes)) }
            }
            Format::Gguf => {
                let kind = BlockType::from_name(self.gguf_type.as_deref().unwrap_or("Q8_0"));
                let kind = kind.context("a type that is known")?;
                let table = self.gguf_embedding.as_deref().and_then(BlockType::from_name).unwrap_or(kind.of_table());
                let arch = export::gguf(model, tokenizer, kind, table, to)?;
                let bytes = fs::metadata(to)?.len();
                let of = format!("GGUF of architecture {arch}, projections {kind}, embedding {table}");
                Written { bytes, what: format!("{} bytes, {of}", thousands(bytes)) }
            }
        })
    }
}

/// What was begun and is of no use. That it stays where it cannot be removed is no failure of the command.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}
