//! Compressing models: reports of searches, and what a trained policy makes of a byte budget.
pub mod command;
pub mod leave;
pub mod report;
