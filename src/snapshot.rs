//! States as bytes: postcard with nothing left over. Exact for floats, compact, and a truncated input is an error, not a panic.
use crate::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};

/// Appends `value` with its length in front, so that several can follow one another.
pub fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    // Writing to a Vec has no I/O to fail, and the state types of this project have no unserialisable parts.
    postcard::to_io(value, &mut *out).expect("a state serialises into memory");
    let length = (out.len() - start - 8) as u64;
    out[start..start + 8].copy_from_slice(&length.to_le_bytes());
}

/// Takes one value that [`put`] wrote from the front of `bytes`.
///
/// # Errors
/// When the bytes are truncated, or are not such a value.
pub fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T> {
    let bad = |why: String| Error::invalid(format!("snapshot of {}: {why}", std::any::type_name::<T>()));
    let (head, rest) = bytes.split_at_checked(8).ok_or_else(|| bad("truncated".into()))?;
    let length = u64::from_le_bytes(head.try_into().expect("split at 8"));
    let length = usize::try_from(length).map_err(|_| bad("impossible length".into()))?;
    let (body, rest) = rest.split_at_checked(length).ok_or_else(|| bad("truncated".into()))?;
    let (value, left) = postcard::take_from_bytes(body).map_err(|e| bad(e.to_string()))?;
    if !left.is_empty() {
        return Err(bad(format!("{} bytes left over", left.len())));
    }
    *bytes = rest;
    Ok(value)
}

/// Takes one value and demands that nothing follows.
///
/// # Errors
/// As [`take`], and when bytes are left over.
pub fn get<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T> {
    let value = take(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Error::invalid(format!("snapshot: {} bytes left over", bytes.len()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_what_is_not_whole() {
        let mut out = Vec::new();
        put(&mut out, &(1u32, -0.0f64, f64::NAN.to_bits()));
        put(&mut out, "two");
        let mut rest = &out[..];
        let (a, b, c): (u32, f64, u64) = take(&mut rest).unwrap();
        assert_eq!((a, b.to_bits(), c), (1, (-0.0f64).to_bits(), f64::NAN.to_bits()));
        assert_eq!(take::<String>(&mut rest).unwrap(), "two");
        assert!(rest.is_empty());
        for cut in 0..out.len() {
            let mut part = &out[..cut];
            assert!(take::<(u32, f64, u64)>(&mut part).and_then(|_| take::<String>(&mut part)).is_err());
        }
        assert!(get::<(u32, f64, u64)>(&out).is_err(), "something follows");
    }
}
