//! Core contracts of rlx: worlds, batches, learners, replay, random streams, checkpoints. It knows no world, no algorithm and
//! no tensor library.
mod batch;
pub mod checkpoint;
pub mod config;
pub mod conformance;
mod drawing;
mod env;
mod error;
mod learn;
pub mod objective;
mod registry;
pub mod replay;
mod rng;
mod sampling;
mod scalars;
pub mod snapshot;
mod space;
mod spec;
mod vector;

pub use batch::{Frame, FrameMut, Ragged, Slab};
pub use checkpoint::{LoadDir, SaveDir};
pub use drawing::{Body, Camera, Drawing, Shape};
pub use env::{Env, Oracle, Status, View};
pub use error::{Error, Result, read_text};
pub use learn::{Array, Checkpoint, Export, Learner, Mode, Policy, PolicyInfo};
pub use objective::{Ledger, Measure, Measured, Objective, SearchSpace};
pub use registry::{Algo, Algorithm, Device, Preset, Registry, Setup, Table, World};
pub use rng::Rng;
pub use sampling::random_actions;
pub use scalars::{Name, Scalars, Sink};
pub use space::{ActionBuffer, Actions, ActionsMut, Column, ColumnMut, ColumnRef, Element, Space};
pub use spec::{Encoding, Field, Goal, Judge, Judged, Role, Skill, Spec};
pub use vector::{Episodes, VecEnv, Vector};
