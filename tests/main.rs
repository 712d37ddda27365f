//! Promises that cross crates, kept by the real binary.
mod cli;
mod common;
mod damage;
mod experiment;
mod laws;
mod learning;
mod red10;
mod resume;
mod tensorboard;
