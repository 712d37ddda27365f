//! `rlx export`: a policy as safetensors, to use elsewhere; and back.
use anyhow::{Context, Result, bail};
use half::f16;
use rlx::{Array, Export, refuse};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::path::Path;

/// Writes the policy to a file that is not there yet: one little-endian tensor per array, what a reader must know as metadata. With
/// `small`, in half precision and without what only training needs.
///
/// # Errors
/// When the file is there already, or cannot be written.
pub fn write(policy: &Export, path: &Path, small: bool) -> Result<()> {
    if path.exists() {
        refuse!("{} is there already: choose another name with -o", path.display());
    }
    let encode = |data: &[f32]| -> Vec<u8> {
        if small {
            data.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()
        } else {
            data.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
    };
    let kept = policy.arrays.iter().filter(|a| !small || !policy.training.contains(&a.name));
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> =
        kept.map(|a| (a.name.as_str(), a.shape.clone(), encode(&a.data))).collect();
    let kind = if small { Dtype::F16 } else { Dtype::F32 };
    let views = bytes
        .iter()
        .map(|(name, shape, data)| Ok((*name, TensorView::new(kind, shape.clone(), data)?)))
        .collect::<Result<Vec<_>>>()?;
    let tensors = safetensors::serialize(views, None).context("writing the policy")?;
    crate::run_dir::write_synced(path, &with_metadata(&tensors, &policy.about)?)
}

/// The bytes of a safetensors file with metadata in the order given: safetensors 0.6.2 takes them as a hash map, in whose order, another one
/// each time, it writes them.
pub fn with_metadata(file: &[u8], about: &[(String, String)]) -> Result<Vec<u8>> {
    let (length, rest) = file.split_first_chunk::<8>().context("a safetensors header")?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).context("a safetensors header")?;
    let mut all = serde_json::Map::new();
    let about: serde_json::Map<String, serde_json::Value> =
        about.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    all.insert("__metadata__".into(), about.into());
    all.append(&mut serde_json::from_slice(header).context("a safetensors header")?);
    let mut header = serde_json::to_vec(&all).context("a safetensors header")?;
    // Data begins at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header, data].concat())
}

/// Reads what [`write()`] wrote, in either precision.
///
/// # Errors
/// When the bytes are no safetensors, or of other numbers.
pub fn read(bytes: &[u8]) -> Result<Export> {
    let (_, header) = SafeTensors::read_metadata(bytes).context("no safetensors file")?;
    let tensors = SafeTensors::deserialize(bytes).context("no safetensors file")?;
    let mut policy = Export::default();
    policy.about.extend(header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
    for (name, view) in tensors.iter() {
        let data = match view.dtype() {
            Dtype::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => bail!("{name}: it is of {other:?}, and must be of F32 or F16"),
        };
        policy.arrays.push(Array { name: name.into(), shape: view.shape().to_vec(), data });
    }
    // The reader's own order is that of a hash.
    policy.arrays.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_an_error() {
        let dir = rlx::testing::TempDir::new();
        let array = |name: &str, data: &[f32]| Array { name: name.into(), shape: vec![data.len()], data: data.into() };
        let policy = Export {
            about: vec![("algo".into(), "x".into())],
            arrays: vec![array("a", &[0.5, -2.0]), array("critic", &[1.0])],
            training: vec!["critic".into()],
        };
        write(&policy, &dir.0.join("whole"), false).unwrap();
        let whole = std::fs::read(dir.0.join("whole")).unwrap();
        let more: Vec<(String, String)> = (0..6).map(|i| (format!("key {i}"), format!("\"value\" {i}"))).collect();
        let many = Export { about: more, ..policy.clone() };
        for i in 0..8 {
            write(&many, &dir.0.join(format!("d5-{i}")), false).unwrap();
        }
        let all: Vec<Vec<u8>> = (0..8).map(|i| std::fs::read(dir.0.join(format!("d5-{i}"))).unwrap()).collect();
        assert!(all.windows(2).all(|w| w[0] == w[1]), "one policy is one file");
        assert_eq!(read(&all[0]).unwrap().about.len(), 6);
        let back = read(&whole).unwrap();
        assert_eq!((&back.about, &back.arrays), (&policy.about, &policy.arrays));
        assert!(write(&policy, &dir.0.join("whole"), false).is_err(), "nothing is overwritten");
        write(&policy, &dir.0.join("small"), true).unwrap();
        let small = read(&std::fs::read(dir.0.join("small")).unwrap()).unwrap();
        assert_eq!(small.arrays, policy.arrays[..1]);
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
