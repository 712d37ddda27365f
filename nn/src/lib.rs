//! What learners and language models share in tch.
