//! Red-10 at the command line: judging by duplicate deals.
pub mod agent;
pub mod duplicate;
