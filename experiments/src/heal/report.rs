//! What many healings show.
