//! What exported policies say of themselves, and the arrays that several learners' have in common.
use rlx::{Array, Spec};
use rlx_nn::{Activation, Normalizer};

/// Which algorithm learnt the policy, and in which environment.
pub(crate) fn metadata(algo: &str, spec: &Spec) -> Vec<(String, String)> {
    vec![("algo".into(), algo.into()), ("env".into(), spec.name.clone())]
}

/// The same of a policy that is a multi-layer perceptron `actor`.
pub(crate) fn mlp_metadata(algo: &str, spec: &Spec, activation: Activation) -> Vec<(String, String)> {
    let layers = "y = x W^T + b for actor.0, actor.1, ...; the activation between layers, none after the last";
    let mut about = metadata(algo, spec);
    about.extend([
        ("obs".into(), spec.obs.describe()),
        ("act".into(), spec.act.describe()),
        ("activation".into(), format!("{activation:?}").to_lowercase()),
        ("layers".into(), layers.into()),
    ]);
    about
}

/// A vector by name.
pub(crate) fn vector(name: &str, data: Vec<f32>) -> Array {
    Array { name: name.into(), shape: vec![data.len()], data }
}

/// The observations' normaliser: (x - mean) / std.
pub(crate) fn normalizer_arrays(normalizer: &Normalizer) -> [Array; 2] {
    [vector("obs_normalizer.mean", normalizer.mean()), vector("obs_normalizer.std", normalizer.std())]
}

/// The actions' units: action = middle + half_width * what the policy says.
pub(crate) fn action_arrays(scales: impl Iterator<Item = (f32, f32)>) -> [Array; 2] {
    let (middle, half_width) = scales.unzip();
    [vector("action.middle", middle), vector("action.half_width", half_width)]
}

/// Takes an exported normaliser over, where there is one of this width, as if from `count` observations.
pub(crate) fn import_normalizer(normalizer: &mut Normalizer, arrays: &[Array], count: f64) {
    let width = normalizer.mean().len();
    let find = |name: &str| arrays.iter().find(|a| a.name == name && a.data.len() == width);
    if let (Some(mean), Some(std)) = (find("obs_normalizer.mean"), find("obs_normalizer.std")) {
        normalizer.set(&mean.data, &std.data, count);
    }
}
