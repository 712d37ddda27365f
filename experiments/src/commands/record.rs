//! `rlx record`: one episode as GIF, APNG or HTML, or in a format of its world.
use super::Context;
use anyhow::{Context as _, Result};
use rlx::{Actor, Learner, Mode, Registry, Spec, Table, Vector, World, refuse, say};
use rlx_film::{
    encode,
    episode::{self, Film},
    page,
    picture::pictures,
    words::short,
};
use rlx_runs::{
    answer::{Answer, printed},
    experiment::{Experiment, settings},
    run_dir::RunDir,
    trained,
};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// `rlx record`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An environment that can be seen, or a run in one (an episode as a picture); or one that writes its games.
    pub what: String,
    /// Who acts: a run, the environment's own player (scripted), or random; by default the run, or the environment's own player.
    /// In a game: a run or a bot, one for all seats or one per seat, as greedy,random,belief,greedy or by --agent for each.
    #[arg(long, value_name = "RUN|BOT")]
    pub agent: Vec<String>,
    /// Seed of the episode or of the deals.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The file to write, which must not be there yet: .gif, .png (animated) or .html (to look around in); games: .jsonl.
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Set a key of the environment.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Width and height of a picture, in pixels [default: 480x360].
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    pub size: Option<(usize, usize)>,
    /// The checkpoint of a run: best, last or a step.
    #[arg(long, default_value = "best")]
    pub checkpoint: String,
    /// A run draws its actions as in training instead of the best ones.
    #[arg(long)]
    pub explore: bool,
}

/// Smallest and largest sides of a picture.
const SIDES: std::ops::RangeInclusive<usize> = 64..=4096;

fn size(text: &str) -> std::result::Result<(usize, usize), String> {
    let both = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    both.filter(|(w, h)| SIDES.contains(w) && SIDES.contains(h))
        .ok_or_else(|| format!("it must be like 480x360, each from {} to {}", SIDES.start(), SIDES.end()))
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gif,
    Png,
    Html,
}

impl Kind {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_lowercase).as_deref() {
            Some("gif") => Ok(Self::Gif),
            Some("png" | "apng") => Ok(Self::Png),
            Some("html" | "htm") => Ok(Self::Html),
            _ => refuse!("{}: the name must end in .gif, .png (animated) or .html", path.display()),
        }
    }
}

/// A world under its settings, and who is at work in it.
struct Scene {
    world: World,
    table: Table,
    spec: Spec,
    /// The run that was named in the place of a world.
    run: Option<String>,
}

fn scene(registry: &Registry, runs: &Path, args: &Args) -> Result<Scene> {
    let (world, table, run) = match registry.find_world(&args.what) {
        Ok(world) => (world.clone(), world.keys.defaults(), None),
        Err(no_world) => {
            let Ok(dir) = RunDir::open(runs, &args.what) else {
                refuse!("{no_world}, and no run of that name in {}", runs.display());
            };
            let experiment = Experiment::from_toml(registry, &dir.config()?)
                .with_context(|| format!("{}/config.toml", dir.path().display()))?;
            // As it is judged, not as it learns: that may begin in the middle.
            (experiment.world, experiment.eval_env, Some(args.what.clone()))
        }
    };
    let table = settings(&world, &table, &args.set).map_err(|e| rlx::Error::usage(format!("--set: {e:#}")))?;
    let spec = world.spec(&table)?;
    Ok(Scene { world, table, spec, run })
}

/// Who acts, before it is asked to.
enum Agent {
    Bot(usize),
    Random,
    Run(Box<dyn Learner>),
}

fn agent(registry: &Registry, runs: &Path, scene: &Scene, args: &Args) -> Result<(String, Agent)> {
    let Scene { world, spec, run, .. } = scene;
    if args.agent.len() > 1 {
        refuse!("--agent is given {} times: one acts in {}", args.agent.len(), world.name);
    }
    let by_itself = || run.clone().or_else(|| spec.bots.first().cloned()).unwrap_or_else(|| "random".into());
    let name = args.agent.first().cloned().unwrap_or_else(by_itself);
    if let Some(number) = spec.bots.iter().position(|b| *b == name) {
        return Ok((name, Agent::Bot(number)));
    }
    if name == "random" {
        return Ok((name, Agent::Random));
    }
    let loaded = trained::load(registry, runs, &name, &args.checkpoint, &mut |w| say!("warning: {w}"));
    let (dir, experiment, learner, checkpoint) = loaded.with_context(|| {
        let bots: Vec<&str> = spec.bots.iter().map(String::as_str).chain(["random"]).collect();
        format!("'{name}' is none of {}'s own players ({}) and no run that can be loaded", world.name, bots.join(", "))
    })?;
    let theirs = &experiment.spec;
    if experiment.world.name != world.name || theirs.obs != spec.obs || theirs.act != spec.act {
        refuse!(
            "{} was trained in {}, which is seen and acted in otherwise than {} under these settings",
            dir.name(),
            experiment.world.name,
            world.name
        );
    }
    Ok((format!("{} at step {}", dir.name(), checkpoint.step()), Agent::Run(learner)))
}

/// Records an episode, or games.
pub fn run(context: &Context<'_>, args: &Args) -> Answer {
    let own = context.registry.find_world(&args.what).ok().and_then(|w| Some((w, w.parts.recorder.as_ref()?)));
    let Some((world, recorder)) = own else {
        if let Some(flag) = context.options.first() {
            let worlds = context.registry.worlds().iter().filter(|w| w.parts.recorder.is_some());
            let names: Vec<&str> = worlds.map(|w| w.name.as_str()).collect();
            return Err(rlx::Error::usage(format!("{flag} is for {}", names.join(", "))).into());
        }
        return printed(&film(context.registry, &context.runs, args)?);
    };
    let films = [("--set", !args.set.is_empty()), ("--size", args.size.is_some()), ("--explore", args.explore)];
    if let Some((flag, _)) = films.iter().find(|(_, given)| *given) {
        let ends = recorder.extensions().join(", .");
        let said = format!("{flag} is for environments that are filmed: {} is written as .{ends}", world.name);
        return Err(rlx::Error::usage(said).into());
    }
    let given = args.output.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !recorder.extensions().contains(&given) {
        let ends = recorder.extensions().join(" or .");
        return Err(rlx::Error::usage(format!("{}: the name must end in .{ends}", args.output.display())).into());
    }
    let options = context.options.table(&world.name, &recorder.keys())?;
    let host = context.host(false)?;
    printed(&recorder.record(&host, &options, &args.agent, args.seed, &args.output)?)
}

/// Films an episode, and says what it did.
///
/// # Errors
/// When there is no such world, run or agent, nothing is to be seen, or the file is there already.
fn film(registry: &Registry, runs: &Path, args: &Args) -> Result<String> {
    let scene = scene(registry, runs, args)?;
    let kind = Kind::of(&args.output)?;
    if kind == Kind::Html && args.size.is_some() {
        refuse!("--size is for pictures: a page is as large as its window");
    }
    // Said before the work: the file is made at its end.
    let path = args.output.display();
    if args.output.exists() {
        refuse!("{path} is there already, and a file that is there is never overwritten");
    }
    if let Some(folder) = args.output.parent().filter(|f| !f.as_os_str().is_empty() && !f.is_dir()) {
        refuse!("{path}: there is no folder {}", folder.display());
    }
    let (who, mut agent) = agent(registry, runs, &scene, args)?;
    if args.explore && !matches!(agent, Agent::Run(_)) {
        refuse!("--explore is for runs, and {who} is none");
    }
    let mut worlds: Box<dyn Vector> = scene.world.vector(&scene.table, 1, args.seed)?;
    let mode = if args.explore { Mode::Explore } else { Mode::Greedy };
    let mut actor = match &mut agent {
        Agent::Bot(number) => Actor::Bot(*number),
        Agent::Random => Actor::Random,
        Agent::Run(learner) => Actor::Policy(learner.policy(), mode),
    };
    let film = episode::film(&mut *worlds, &mut actor, args.seed).with_context(|| scene.world.name.clone())?;
    let title = format!("{}, {who}, seed {}", scene.world.name, args.seed);
    let tick = film.frames[0].drawing.tick_s;
    let bytes = match kind {
        Kind::Html => page::page(&film, &title).into_bytes(),
        Kind::Gif => encode::gif(&pictures(&film, &title, args.size)?, tick)?,
        Kind::Png => encode::apng(&pictures(&film, &title, args.size)?, tick)?,
    };
    let mut file = rlx::create_file(&args.output)?;
    if let Err(error) = file.write_all(&bytes) {
        // A part of it would stand in the way of the next try.
        let _ = std::fs::remove_file(&args.output);
        return Err(error).with_context(|| format!("writing {path}"));
    }
    Ok(said(&film, &args.output, bytes.len()))
}

fn said(film: &Film, path: &Path, bytes: usize) -> String {
    let end = &film.frames[film.frames.len() - 1];
    let success = match end.success {
        Some(true) => ", success at the end",
        Some(false) => ", no success at the end",
        None => "",
    };
    let (steps, total, kib) = (end.step, short(end.total), bytes.div_ceil(1024));
    format!("{}: {steps} steps, return {total}{success}; {kib} KiB\n", path.display())
}
