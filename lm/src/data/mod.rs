//! Text and labelled data: what can be fetched, reading, de-duplicating, splitting, batching.
pub mod batches;
pub mod catalogue;
pub mod labelled;
pub mod sources;
pub mod table;

pub use labelled::{Labelled, Row, Split};
