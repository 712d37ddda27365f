//! What can be trained and with what: the one list that the command line reads, and that a crate of one's own adds to.
use crate::{
    Env, Error, Learner, Oracle, Parts, Result, Spec, VecEnv, Vector,
    config::{Config, Keys, Table, choose, from_map, matching},
    conformance::{self, Report},
};
use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
    sync::Arc,
};

/// Where tensors live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// Main memory.
    #[default]
    Cpu,
    /// The CUDA device of that number.
    Cuda(usize),
}

/// What a learner is made for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The world.
    pub spec: Spec,
    /// Number of worlds in the vector it will be given: what its [`Algorithm::worlds`] asked for.
    pub worlds: usize,
    /// Seed of everything random in it.
    pub seed: u64,
    /// Environment steps it will be trained for, for its schedules.
    pub steps: u64,
    /// Where its tensors live.
    pub device: Device,
}

/// An algorithm, as it registers itself.
pub trait Algorithm: Learner + Sized + 'static {
    /// Its hyperparameters.
    type Config: Config;
    /// The name on the command line.
    const NAME: &'static str;
    /// One line of what it is.
    const ABOUT: &'static str;

    /// Whether it can learn in such worlds, and whether the hyperparameters fit each other.
    ///
    /// # Errors
    /// With a sentence that says why not.
    fn fits(config: &Self::Config, spec: &Spec) -> std::result::Result<(), String>;
    /// How many worlds it steps side by side.
    fn worlds(config: &Self::Config) -> usize;
    /// Makes one.
    ///
    /// # Errors
    /// When a device or size is not to be had.
    fn new(config: Self::Config, setup: Setup) -> Result<Self>;
}

type MakeVector = dyn Fn(&Table, usize, u64) -> Result<Box<dyn Vector>> + Send + Sync;
type CheckWorld = dyn Fn(&Table) -> Result<Report> + Send + Sync;
type MakeLearner = dyn Fn(&Table, Setup) -> Result<Box<dyn Learner>> + Send + Sync;
type Fits = dyn Fn(&Table, &Spec) -> Result<()> + Send + Sync;
type Worlds = dyn Fn(&Table) -> Result<usize> + Send + Sync;

/// A registered world.
#[derive(Clone)]
pub struct World {
    /// The name on the command line.
    pub name: String,
    /// One line of what it is.
    pub about: String,
    /// Its config keys.
    pub keys: Keys,
    /// Names that others have for the very same world: Gymnasium's id.
    pub aliases: Vec<String>,
    /// Names of worlds of others that are like it and not the same: suggested, never taken for it.
    pub akin: Vec<String>,
    /// What it brings to the program.
    pub parts: Parts,
    make: Arc<MakeVector>,
    check: Arc<CheckWorld>,
}

impl World {
    /// `n` worlds, world i drawing from stream i of `seed`.
    ///
    /// # Errors
    /// When the config is not one of this world's.
    pub fn vector(&self, config: &Table, n: usize, seed: u64) -> Result<Box<dyn Vector>> {
        self.keys.check(&self.name, config)?;
        (self.make)(config, n, seed)
    }
    /// Runs the contract suite on the world.
    ///
    /// # Errors
    /// As [`World::vector`]; a broken contract is in the report.
    pub fn check(&self, config: &Table) -> Result<Report> {
        self.keys.check(&self.name, config)?;
        (self.check)(config)
    }
    /// What the world is under that config.
    ///
    /// # Errors
    /// As [`World::vector`].
    pub fn spec(&self, config: &Table) -> Result<Spec> {
        Ok(self.vector(config, 1, 0)?.spec().clone())
    }
}

/// A registered algorithm.
#[derive(Clone)]
pub struct Algo {
    /// The name on the command line.
    pub name: String,
    /// One line of what it is.
    pub about: String,
    /// Its config keys.
    pub keys: Keys,
    fits: Arc<Fits>,
    worlds: Arc<Worlds>,
    make: Arc<MakeLearner>,
}

impl Algo {
    /// Whether it can learn in such worlds with that config.
    ///
    /// # Errors
    /// With a sentence that says why not.
    pub fn fits(&self, config: &Table, spec: &Spec) -> Result<()> {
        self.keys.check(&self.name, config)?;
        (self.fits)(config, spec)
    }
    /// How many worlds it steps side by side.
    ///
    /// # Errors
    /// When the config is not one of this algorithm's.
    pub fn worlds(&self, config: &Table) -> Result<usize> {
        (self.worlds)(config)
    }
    /// Makes a learner.
    ///
    /// # Errors
    /// As [`Algo::fits`], and when a device is not to be had.
    pub fn learner(&self, config: &Table, setup: Setup) -> Result<Box<dyn Learner>> {
        self.fits(config, &setup.spec)?;
        (self.make)(config, setup)
    }
}

/// A named set of choices: what `--preset` takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// The name on the command line.
    pub name: String,
    /// One line of what it is for.
    pub about: String,
    /// The world it is for.
    pub env: String,
    /// The algorithm it is for.
    pub algo: String,
    /// Run, world and algorithm keys in the form of a config file (TOML), whatever is not named having its default.
    pub config: String,
}

/// The worlds, algorithms and presets that a command line knows.
#[derive(Clone, Default)]
pub struct Registry {
    worlds: Vec<World>,
    algos: Vec<Algo>,
    presets: Vec<Preset>,
    extensions: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

fn find<'a, T>(what: &str, items: &'a [T], name: impl Fn(&T) -> &str + Copy, wanted: &str) -> Result<&'a T> {
    let meant = choose(what, wanted, items.iter().map(name))?;
    Ok(items.iter().find(|i| name(i) == meant).expect("one of their names"))
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn add_world<C: Config, E: Env>(
        &mut self,
        name: &str,
        about: &str,
        make: impl Fn(&C) -> E + Send + Sync + 'static,
        vector: impl Fn(VecEnv<E>) -> VecEnv<E> + Send + Sync + 'static,
    ) {
        assert!(self.worlds.iter().all(|w| w.name != name), "the world '{name}' is registered twice");
        let make = Arc::new(make);
        let one = make.clone();
        let check = move |table: &Table| -> Result<Report> {
            let config: C = from_map(table)?;
            Ok(conformance::check(&|| one(&config)))
        };
        let make = move |table: &Table, n: usize, seed: u64| -> Result<Box<dyn Vector>> {
            let config: C = from_map(table)?;
            Ok(Box::new(vector(VecEnv::new(n, seed, || make(&config)))))
        };
        let (make, check) = (Arc::new(make), Arc::new(check));
        self.worlds.push(World {
            name: name.into(),
            about: about.into(),
            keys: Keys::of::<C>(),
            aliases: vec![],
            akin: vec![],
            parts: Parts::default(),
            make,
            check,
        });
    }

    /// Adds a world.
    ///
    /// # Panics
    /// When the name is taken: a mistake of the program, found at its first start.
    pub fn world<C: Config, E: Env>(
        &mut self,
        name: &str,
        about: &str,
        make: impl Fn(&C) -> E + Send + Sync + 'static,
    ) -> &mut Self {
        self.add_world(name, about, make, |envs| envs);
        self
    }

    /// Adds a world whose hidden state trainers may ask for ([`Vector::privileged`]).
    ///
    /// # Panics
    /// As [`Registry::world`].
    pub fn oracle_world<C: Config, E: Oracle>(
        &mut self,
        name: &str,
        about: &str,
        make: impl Fn(&C) -> E + Send + Sync + 'static,
    ) -> &mut Self {
        self.add_world(name, about, make, VecEnv::with_oracle);
        self
    }

    /// Adds a world that may not be to be had (its model is not here), or whose batch is more than its worlds: `one` makes a world for
    /// the contract suite, `vector` a batch of them.
    ///
    /// # Panics
    /// As [`Registry::world`].
    pub fn world_with<C: Config, E: Env>(
        &mut self,
        name: &str,
        about: &str,
        one: impl Fn(&C) -> Result<E> + Send + Sync + 'static,
        vector: impl Fn(&C, usize, u64) -> Result<Box<dyn Vector>> + Send + Sync + 'static,
    ) -> &mut Self {
        assert!(self.worlds.iter().all(|w| w.name != name), "the world '{name}' is registered twice");
        let check = move |table: &Table| -> Result<Report> {
            let config: C = from_map(table)?;
            one(&config)?;
            // It could be made a moment ago; the suite takes a panic for a violation.
            Ok(conformance::check(&|| one(&config).expect("it could be made a moment ago")))
        };
        let make = move |table: &Table, n: usize, seed: u64| vector(&from_map(table)?, n, seed);
        let (make, check) = (Arc::new(make), Arc::new(check));
        self.worlds.push(World {
            name: name.into(),
            about: about.into(),
            keys: Keys::of::<C>(),
            aliases: vec![],
            akin: vec![],
            parts: Parts::default(),
            make,
            check,
        });
        self
    }

    /// Gives the world that was added last other names: `aliases` of the very same world elsewhere, which are taken for it, and `akin` of
    /// worlds that are like it, for which it is suggested.
    ///
    /// # Panics
    /// When there is no world yet.
    pub fn also_known(&mut self, aliases: &[&str], akin: &[&str]) -> &mut Self {
        let world = self.worlds.last_mut().expect("a world has been added");
        world.aliases.extend(aliases.iter().map(|n| (*n).to_owned()));
        world.akin.extend(akin.iter().map(|n| (*n).to_owned()));
        self
    }

    /// What a world brings to the program, to be added to.
    ///
    /// # Panics
    /// When there is no such world: a mistake of the program, found at its first start.
    pub fn of(&mut self, world: &str) -> &mut Parts {
        let found = self.worlds.iter_mut().find(|w| w.name == world);
        &mut found.unwrap_or_else(|| panic!("there is no world '{world}' yet")).parts
    }

    /// What was registered of a type that this crate does not know, to be added to: how other crates extend the registry.
    ///
    /// # Panics
    /// Never: what is kept under a type is of it.
    pub fn extension_mut<T: Any + Send + Sync + Clone + Default>(&mut self) -> &mut T {
        let kept = self.extensions.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        if Arc::get_mut(kept).is_none() {
            let copy = kept.downcast_ref::<T>().expect("kept under its type").clone();
            *kept = Arc::new(copy);
        }
        let own = Arc::get_mut(kept).expect("it was just made or is held once");
        own.downcast_mut().expect("kept under its type")
    }
    /// What was registered of that type.
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extensions.get(&TypeId::of::<T>()).and_then(|kept| kept.downcast_ref())
    }

    /// Adds an algorithm.
    ///
    /// # Panics
    /// When the name is taken.
    pub fn algorithm<A: Algorithm>(&mut self) -> &mut Self {
        assert!(self.algos.iter().all(|a| a.name != A::NAME), "the algorithm '{}' is registered twice", A::NAME);
        let fits = |table: &Table, spec: &Spec| -> Result<()> {
            let config: A::Config = from_map(table)?;
            A::fits(&config, spec)
                .map_err(|why| Error::invalid(format!("{} does not fit {}: {why}", A::NAME, spec.name)))
        };
        let worlds = |table: &Table| -> Result<usize> { Ok(A::worlds(&from_map::<A::Config>(table)?)) };
        let make = |table: &Table, setup: Setup| -> Result<Box<dyn Learner>> {
            Ok(Box::new(A::new(from_map(table)?, setup)?))
        };
        self.algos.push(Algo {
            name: A::NAME.into(),
            about: A::ABOUT.into(),
            keys: Keys::of::<A::Config>(),
            fits: Arc::new(fits),
            worlds: Arc::new(worlds),
            make: Arc::new(make),
        });
        self
    }

    /// Adds a preset.
    ///
    /// # Panics
    /// When the name is taken.
    pub fn preset(&mut self, preset: Preset) -> &mut Self {
        assert!(self.presets.iter().all(|p| p.name != preset.name), "the preset '{}' is registered twice", preset.name);
        self.presets.push(preset);
        self
    }

    /// All worlds.
    pub fn worlds(&self) -> &[World] {
        &self.worlds
    }
    /// All algorithms.
    pub fn algos(&self) -> &[Algo] {
        &self.algos
    }
    /// All presets.
    pub fn presets(&self) -> &[Preset] {
        &self.presets
    }
    /// The world of that name.
    ///
    /// # Errors
    /// Naming the nearest right one.
    pub fn find_world(&self, name: &str) -> Result<&World> {
        let of = |names: &[String]| matching(name, names.iter().map(String::as_str)).is_some();
        if let Some(world) = self.worlds.iter().find(|w| of(&w.aliases)) {
            return Ok(world);
        }
        match self.worlds.iter().find(|w| of(&w.akin)) {
            Some(w) => {
                Err(Error::usage(format!("there is no world '{name}': did you mean '{}', which is like it?", w.name)))
            }
            None => find("world", &self.worlds, |w| &w.name, name),
        }
    }
    /// The algorithm of that name.
    ///
    /// # Errors
    /// Naming the nearest right one.
    pub fn find_algo(&self, name: &str) -> Result<&Algo> {
        find("algorithm", &self.algos, |a| &a.name, name)
    }
    /// The preset of that name.
    ///
    /// # Errors
    /// Naming the nearest right one.
    pub fn find_preset(&self, name: &str) -> Result<&Preset> {
        find("preset", &self.presets, |p| &p.name, name)
    }
}
