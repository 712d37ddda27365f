//! What other libraries call the keys of this program.

/// Names that Stable-Baselines3, CleanRL and their like have for keys of this program.
pub(crate) const SYNONYMS: &[(&str, &[&str])] = &[
    ("lr", &["learning_rate"]),
    ("discount", &["gamma"]),
    ("n_steps", &["num_steps"]),
    ("n_envs", &["num_envs"]),
    ("n_epochs", &["epochs"]),
    ("update_epochs", &["epochs"]),
    ("batch_size", &["batch_size", "minibatch_size"]),
    ("ent_coef", &["entropy_coef"]),
    ("vf_coef", &["value_coef"]),
    ("clip_coef", &["clip_range"]),
];

/// The names here of what others call `name`.
pub fn ours(name: &str) -> Vec<&str> {
    SYNONYMS.iter().find(|s| s.0 == name).map_or_else(|| vec![name], |s| s.1.to_vec())
}
