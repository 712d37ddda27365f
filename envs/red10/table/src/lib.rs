//! The table of Red-10: judging by duplicate deals, leagues, records, advice, the terminal; and [`register`], which brings it to the program.
pub mod advice;
pub mod agent;
pub mod bound;
pub mod duplicate;
pub mod guide;
mod input;
pub mod league;
mod parts;
pub mod play;
pub mod pretrained;
pub mod record;
pub mod replay;
pub mod report;
pub mod session;
pub mod text;
pub mod tui;
pub mod typed;

pub use parts::register;
