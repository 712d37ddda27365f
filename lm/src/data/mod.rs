//! Text and labelled data: what can be fetched, reading, de-duplicating, splitting, batching.
pub mod catalogue;
