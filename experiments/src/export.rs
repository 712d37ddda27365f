//! `rlx export`: a policy as safetensors, to use elsewhere.
use anyhow::{Context, Result};
use rlx::Export;
use safetensors::{Dtype, tensor::TensorView};
use std::{collections::HashMap, path::Path};

/// Writes the policy to a file that is not there yet: one little-endian f32 tensor per array, what a reader must know as metadata.
///
/// # Errors
/// When the file is there already, or can not be written.
pub fn write(policy: &Export, path: &Path) -> Result<()> {
    anyhow::ensure!(!path.exists(), "{} is there already: choose another name with -o", path.display());
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = policy
        .arrays
        .iter()
        .map(|a| (a.name.clone(), a.shape.clone(), a.data.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, data)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<Result<Vec<_>>>()?;
    let about: HashMap<String, String> = policy.about.iter().cloned().collect();
    let out = safetensors::serialize(views, Some(about)).context("writing the policy")?;
    crate::run_dir::write_synced(path, &out)
}
