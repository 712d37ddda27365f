//! Slices into tensors and back: the whole unsafe surface of the project.
use rlx::{Error, Result};
use tch::{Tensor, kind::Element};

/// Copies a slice into a contiguous tensor of the same type and number of elements, on whatever device it lives.
///
/// # Errors
/// When type or size differ.
pub fn upload<T: Element>(from: &[T], to: &mut Tensor) -> Result<()> {
    let size = to.size();
    if to.kind() != T::KIND || to.numel() != from.len() {
        let expected = format!("{:?} x {:?}", size, to.kind());
        return Err(Error::mismatch("upload", expected, format!("{} x {:?}", from.len(), T::KIND)));
    }
    let mut strides = vec![1; size.len()];
    for i in (1..size.len()).rev() {
        strides[i - 1] = strides[i] * size[i];
    }
    // SAFETY: `from` holds `numel` elements of the tensor's type, contiguous as the strides say; the tensor over it is only read, and
    // does not outlive this function: `copy_` has its own memory, and is complete on return for memory that is not pinned.
    #[allow(unsafe_code)]
    let lent = unsafe { Tensor::from_blob(from.as_ptr().cast(), &size, &strides, T::KIND, tch::Device::Cpu) };
    tch::no_grad(|| to.copy_(&lent));
    Ok(())
}

/// Copies a tensor's elements into a slice of the same number.
///
/// # Errors
/// When type or size differ.
pub fn download<T: Element>(from: &Tensor, to: &mut [T]) -> Result<()> {
    if from.kind() != T::KIND || from.numel() != to.len() {
        let expected = format!("{} x {:?}", to.len(), T::KIND);
        return Err(Error::mismatch("download", expected, format!("{:?} x {:?}", from.size(), from.kind())));
    }
    let from = from.detach().to_device(tch::Device::Cpu).contiguous();
    from.f_copy_data(to, from.numel()).map_err(|e| Error::invalid(format!("download: {e}")))
}

/// A float tensor's elements.
///
/// # Errors
/// When it is not of 32-bit floats.
pub fn to_vec(from: &Tensor) -> Result<Vec<f32>> {
    let mut out = vec![0.0; from.numel()];
    download(from, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn what_goes_up_comes_down_and_a_misfit_is_refused() {
        let data: Vec<f32> = (0..12).map(|i| i as f32 - 5.5).collect();
        let mut t = Tensor::zeros([3, 4], (Kind::Float, Device::Cpu));
        upload(&data, &mut t).unwrap();
        assert_eq!(t.double_value(&[2, 1]), f64::from(data[9]));
        assert_eq!(to_vec(&t).unwrap(), data);
        assert_eq!(
            to_vec(&t.transpose(0, 1)).unwrap()[1],
            data[4],
            "a view that is not contiguous is copied in its own order"
        );
        assert!(upload(&data[1..], &mut t).is_err());
        assert!(upload(&[1i64; 12], &mut t).is_err());
        assert!(download(&t, &mut [0i64; 12]).is_err());
        let mut ids = Tensor::zeros([2], (Kind::Int64, Device::Cpu));
        upload(&[3i64, -4], &mut ids).unwrap();
        let mut flags = Tensor::zeros([2], (Kind::Bool, Device::Cpu));
        upload(&[true, false], &mut flags).unwrap();
        assert_eq!((ids.int64_value(&[1]), flags.int64_value(&[0])), (-4, 1));
    }
}
