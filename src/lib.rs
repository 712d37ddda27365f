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
mod sampling;
mod scalars;
pub mod snapshot;
mod space;
pub mod testing;
mod vector;

pub use batch::{Frame, FrameMut, Ragged, Slab};
pub use checkpoint::{LoadDir, SaveDir};
pub use drawing::{Body, Camera, Drawing, Shape};
pub use env::{Env, Oracle, Status, View};
pub use error::{Error, Result, read_text};
pub use estimate::{Estimate, estimate, quantile, shown};
pub use learn::{Array, Checkpoint, Export, Insight, Learner, Mode, Policy};
pub use objective::{Ledger, Measure, Measured, Objective, SearchSpace};
pub use program::{
    Arena, Counting, EvalPlan, Evaluator, Host, Meeting, OnFinish, Outcome, Playable, Recorder, Report, Trained,
};
pub use registry::{Algo, Algorithm, Device, Parts, Preset, Registry, Setup, Table, World};
pub use rng::Rng;
pub use sampling::random_actions;
pub use scalars::{Name, Scalars, Sink};
pub use space::{
    ActionBuffer, Actions, ActionsMut, Column, ColumnMut, ColumnRef, Element, Encoding, Field, Goal, Judge, Judged,
    Skill, Space, Spec,
};
pub use vector::{Episodes, VecEnv, Vector};
