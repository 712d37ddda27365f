//! Core contracts of rlx: worlds, batches, learners, replay, random streams, checkpoints. It knows no world, no algorithm and
//! no tensor library.
/// A line on standard error. Nobody may be reading it any more, and nothing ends for that: training least of all.
#[macro_export]
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

/// Refuses what was asked for, as `bail!` gives up: the program ends with the exit code for bad arguments.
#[macro_export]
macro_rules! refuse {
    ($($part:tt)*) => {
        return Err($crate::Error::usage(format!($($part)*)).into())
    };
}

mod batch;
pub mod checkpoint;
pub mod config;
pub mod conformance;
mod drawing;
mod env;
mod error;
mod estimate;
mod learn;
pub mod objective;
mod program;
mod registry;
pub mod replay;
mod rng;
mod rollout;
mod sampling;
mod scalars;
pub mod snapshot;
mod space;
mod spec;
pub mod testing;
mod vec_env;
mod vector;

pub use batch::{Frame, FrameMut, Ragged, Slab};
pub use checkpoint::{LoadDir, SaveDir};
pub use config::Table;
pub use drawing::{Body, Camera, Drawing, Shape};
pub use env::{Env, Oracle, Status, View};
pub use error::{Error, Result, create_file, read_text};
pub use estimate::{Estimate, bootstrap, estimate, percentile_interval, quantile, shown};
pub use learn::{Array, Checkpoint, Export, Learner, Mode, Policy, PolicyInfo};
pub use objective::{Ledger, Measure, Measured, Objective, SearchSpace};
pub use program::{
    Arena, Counting, EvalPlan, Evaluator, Host, Meeting, OnFinish, Outcome, Parts, Playable, Recorder, Report, Trained,
};
pub use registry::{Algo, Algorithm, Device, Preset, Registry, Setup, World};
pub use rng::Rng;
pub use rollout::{Actor, Rollout};
pub use sampling::random_actions;
pub use scalars::{Name, Scalars, Sink};
pub use space::{ActionBuffer, Actions, ActionsMut, Column, ColumnMut, ColumnRef, Element, Space};
pub use spec::{Encoding, Field, Goal, Judge, Judged, Role, Skill, Spec};
pub use vec_env::VecEnv;
pub use vector::{Episodes, Vector};
