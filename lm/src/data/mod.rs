//! Text and labelled data: reading, de-duplicating, splitting, batching.
