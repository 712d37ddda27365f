//! Promises that cross crates, kept by the real binary.
mod cli;
mod common;
mod compress;
mod damage;
mod engines;
mod experiment;
mod heal;
mod heal_world;
mod laws;
mod learning;
mod offpolicy;
mod red10;
mod resume;
mod speed;
mod sweep;
mod table;
mod tensorboard;
