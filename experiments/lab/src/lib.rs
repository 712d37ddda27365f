//! Experiments: many runs from one spec, on this machine or others, and what can be said of them.
//!
//! A `spec` has `cells`; a cell is a run, made by the `unit` of work into the experiment's `results` folder; the local
//! `pool` keeps `worker`s busy with it. Other kinds of work than trainings, and specs with a name, are registered: [`workload::Lab`].
pub mod args;
mod call;
pub mod cells;
pub mod cli;
pub mod data;
pub mod engines;
mod optuna;
pub mod pages;
pub mod plan;
pub mod plot;
pub mod pool;
pub mod report;
pub mod results;
pub mod runs;
pub mod search;
pub mod spec;
mod spread;
pub mod sweep;
mod time_limit;
mod trials;
pub mod unit;
pub mod worker;
pub mod workload;
