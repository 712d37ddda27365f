//! The weights in an ONNX file, and no more of it: a reader of the few protobuf fields that carry them. It never reads past a field, never
//! asks for memory that the file does not already have, and takes any bytes. What would make the graph compute something else than these
//! weights do in a BERT is refused by name: quantised weights, operations outside of ONNX, weights in other files.
use rlx::{Array, Error, Result};
use std::path::Path;

/// A field of a protobuf message.
enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Other,
}

/// The fields of a message, one at a time.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        let n = usize::try_from(n).ok().filter(|n| *n <= self.0.len())?;
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        Some(head)
    }

    /// The next field's number and value; None at the end, an error where it is broken.
    fn next(&mut self) -> std::result::Result<Option<(u64, Field<'a>)>, ()> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut read = || -> Option<(u64, Field<'a>)> {
            let key = self.varint()?;
            let value = match key & 7 {
                0 => Field::Varint(self.varint()?),
                1 => {
                    self.take(8)?;
                    Field::Other
                }
                2 => {
                    let n = self.varint()?;
                    Field::Bytes(self.take(n)?)
                }
                5 => Field::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
                _ => return None,
            };
            Some((key >> 3, value))
        };
        read().map(Some).ok_or(())
    }
}

/// Why a file is not read.
#[derive(Debug)]
enum Fault {
    Broken,
    Unsupported(String),
}

impl From<()> for Fault {
    fn from((): ()) -> Self {
        Self::Broken
    }
}

type Read<T> = std::result::Result<T, Fault>;

fn unsupported<T>(what: impl Into<String>) -> Read<T> {
    Err(Fault::Unsupported(what.into()))
}

/// Data type FLOAT.
const FLOAT: u64 = 1;
/// Sizes, indices and truth values: INT32, INT64, BOOL. They are the graph's, not weights.
const NO_WEIGHTS: [u64; 3] = [6, 7, 9];
/// The other types of the format, by their codes.
const TYPES: [&str; 17] = [
    "undefined",
    "FLOAT",
    "UINT8",
    "INT8",
    "UINT16",
    "INT16",
    "INT32",
    "INT64",
    "STRING",
    "BOOL",
    "FLOAT16",
    "DOUBLE",
    "UINT32",
    "UINT64",
    "COMPLEX64",
    "COMPLEX128",
    "BFLOAT16",
];

/// A tensor of floats; none for what is no weight.
fn tensor(bytes: &[u8]) -> Read<Option<Array>> {
    let mut message = Message(bytes);
    let (mut name, mut shape, mut kind, mut data, mut elsewhere) = (String::new(), Vec::new(), 0, Vec::new(), false);
    let dim = |d: u64| usize::try_from(d).map_err(|_| ());
    let floats = |b: &[u8]| -> std::result::Result<Vec<f32>, ()> {
        if !b.len().is_multiple_of(4) {
            return Err(());
        }
        Ok(b.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect())
    };
    while let Some((field, value)) = message.next()? {
        match (field, value) {
            (1, Field::Varint(d)) => shape.push(dim(d)?),
            (1, Field::Bytes(packed)) => {
                let mut inner = Message(packed);
                while !inner.0.is_empty() {
                    shape.push(dim(inner.varint().ok_or(())?)?);
                }
            }
            (2, Field::Varint(k)) => kind = k,
            (4, Field::Fixed32(x)) => data.push(f32::from_bits(x)),
            (4 | 9, Field::Bytes(raw)) if kind == FLOAT || kind == 0 => data.extend(floats(raw)?),
            (8, Field::Bytes(text)) => name = String::from_utf8(text.to_vec()).map_err(|_| ())?,
            (13, Field::Bytes(_)) | (14, Field::Varint(1)) => elsewhere = true,
            _ => {}
        }
    }
    if elsewhere {
        return unsupported(format!("the tensor '{name}' is kept in another file (external data)"));
    }
    let size = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    match kind {
        FLOAT if size != Some(data.len()) => Err(Fault::Broken),
        // A single number is a constant of an operation.
        FLOAT if data.len() == 1 => Ok(None),
        FLOAT => Ok(Some(Array { name, shape, data })),
        other if NO_WEIGHTS.contains(&other) => Ok(None),
        other => {
            let kind =
                usize::try_from(other).ok().and_then(|k| TYPES.get(k)).map_or(other.to_string(), ToString::to_string);
            unsupported(format!("the tensor '{name}' is of type {kind}; FLOAT is read"))
        }
    }
}

/// An operation.
#[derive(Default)]
struct Node {
    operation: String,
    domain: String,
    name: String,
    inputs: Vec<String>,
    /// Whether a Gemm takes its second input as `[out, in]`.
    transposed: bool,
}

fn node(bytes: &[u8]) -> Read<Node> {
    let mut message = Message(bytes);
    let mut out = Node::default();
    while let Some((field, value)) = message.next()? {
        let (1 | 3 | 4 | 5 | 7, Field::Bytes(text)) = (field, value) else { continue };
        if field == 5 {
            out.transposed |= is_trans_b(text)?;
            continue;
        }
        let text = String::from_utf8(text.to_vec()).map_err(|_| ())?;
        match field {
            1 => out.inputs.push(text),
            3 => out.name = text,
            4 => out.operation = text,
            _ => out.domain = text,
        }
    }
    Ok(out)
}

/// Whether an attribute is `transB = 1`.
fn is_trans_b(bytes: &[u8]) -> Read<bool> {
    let mut message = Message(bytes);
    let (mut named, mut set) = (false, false);
    while let Some((field, value)) = message.next()? {
        match (field, value) {
            (1, Field::Bytes(name)) => named = name == b"transB",
            (3, Field::Varint(x)) => set = x != 0,
            _ => {}
        }
    }
    Ok(named && set)
}

/// The weights and operations of a model.
fn parts(bytes: &[u8]) -> Read<(Vec<Array>, Vec<Node>)> {
    let (mut arrays, mut nodes) = (Vec::new(), Vec::new());
    let mut model = Message(bytes);
    while let Some((field, value)) = model.next()? {
        let graph = match (field, value) {
            (7, Field::Bytes(graph)) => graph,
            (20, _) => return unsupported("it has a training graph"),
            (25, _) => return unsupported("it has functions of its own"),
            _ => continue,
        };
        let mut graph = Message(graph);
        while let Some((field, value)) = graph.next()? {
            match (field, value) {
                (1, Field::Bytes(b)) => nodes.push(node(b)?),
                (5, Field::Bytes(b)) => arrays.extend(tensor(b)?),
                (14, _) => return unsupported("its tensors are quantised"),
                (15, _) => return unsupported("it has sparse tensors"),
                _ => {}
            }
        }
    }
    Ok((arrays, nodes))
}

fn graph(bytes: &[u8]) -> Read<Vec<Array>> {
    let (mut arrays, nodes) = parts(bytes)?;
    for Node { operation, domain, name, inputs, transposed } in nodes {
        // Optimisers fuse and quantise layers: their weights are no longer what the layers multiply by.
        if !["", "ai.onnx"].contains(&domain.as_str()) {
            return unsupported(format!("its operation {domain}.{operation} is not one of ONNX's own"));
        }
        if ["Quantize", "QLinear", "Integer"].iter().any(|q| operation.contains(q)) || operation == "DequantizeLinear" {
            return unsupported(format!("its operation {operation} is of a quantised model"));
        }
        let product = operation == "MatMul" || (operation == "Gemm" && !transposed);
        let (Some(at), true) = (inputs.get(1), product) else { continue };
        let Some(array) = arrays.iter_mut().find(|a| a.name == *at && a.shape.len() == 2) else { continue };
        let (rows, columns) = (array.shape[0], array.shape[1]);
        let old = std::mem::take(&mut array.data);
        array.data =
            (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| old[r * columns + c]).collect();
        array.shape = vec![columns, rows];
        // The exporter folds a linear layer's transpose into its weight and forgets its name; the product's own name says where it belongs.
        if let Some(place) = name.strip_suffix("/MatMul") {
            array.name = format!("{}.weight", place.replace('/', "."));
        }
    }
    Ok(arrays)
}

/// The float tensors of an ONNX file; weights of products `[out, in]`, named by their place in the model.
///
/// # Errors
/// When it cannot be read, is broken, or has what is not read.
pub fn read(path: &Path) -> Result<Vec<Array>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("reading", path, e))?;
    let arrays = graph(&bytes).map_err(|fault| match fault {
        Fault::Broken => Error::corrupt(path, "it is no ONNX model, or a part of one"),
        Fault::Unsupported(why) => Error::invalid(format!("{}: not supported: {why}", path.display())),
    })?;
    if arrays.is_empty() {
        return Err(Error::corrupt(path, "it has no weights"));
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut n = bytes.len();
        while n >= 0x80 {
            out.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out.extend(bytes);
        out
    }

    /// A product `x W` of W [2, 3] under a module's name, and a bias.
    fn model() -> Vec<u8> {
        let raw: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let w = [&[8, 2, 8, 3, 16, 1][..], &field(8, b"onnx::1"), &field(9, &raw)].concat();
        let b = [&[10, 1, 3, 16, 1][..], &field(8, b"m.bias"), &field(4, &raw[..12])].concat();
        let ids = [&[8, 1, 16, 7][..], &field(8, b"ids"), &field(9, &[0; 8])].concat();
        let n = [field(1, b"x"), field(1, b"onnx::1"), field(3, b"/m/MatMul"), field(4, b"MatMul")].concat();
        let graph = [field(1, &n), field(5, &w), field(5, &b), field(5, &ids)].concat();
        [vec![8, 7], field(7, &graph)].concat()
    }

    #[test]
    fn weights_are_turned_and_named() {
        let arrays = graph(&model()).unwrap();
        let of = |name: &str| arrays.iter().find(|a| a.name == name).unwrap();
        assert_eq!(
            (of(".m.weight").shape.as_slice(), of(".m.weight").data.as_slice()),
            (&[3, 2][..], &[0., 3., 1., 4., 2., 5.][..])
        );
        assert_eq!(of("m.bias").data, [0.0, 1.0, 2.0]);
        assert_eq!(arrays.len(), 2, "integers are no weights");
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic() {
        let good = model();
        for cut in 0..good.len() {
            let _ = graph(&good[..cut]);
        }
        let mut rng = rlx::Rng::stream(1, 2);
        for _ in 0..200_000 {
            let mut bad = good.clone();
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(bad.len());
                bad[at] = rng.bits() as u8;
            }
            let _ = graph(&bad);
        }
        // A length beyond the end, a varint without end, dimensions that overflow.
        assert!(graph(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]).is_err());
        assert!(graph(&[0x80; 30]).is_err());
        let huge = [&[8][..], &[0xff; 9], &[1, 8, 9, 16, 1], &field(8, b"x")].concat();
        assert!(tensor(&huge).is_err());
    }

    #[test]
    fn a1_what_makes_another_graph_is_refused_by_name() {
        let said = |bytes: &[u8]| match graph(bytes) {
            Err(Fault::Unsupported(why)) => why,
            other => panic!("{:?}", other.map(|a| a.len())),
        };
        let of = |parts: &[Vec<u8>]| field(7, &parts.concat());
        let int8 = [&[8, 1, 16, 3][..], &field(8, b"q"), &field(9, &[1])].concat();
        assert!(said(&of(&[field(5, &int8)])).contains("'q' is of type INT8"));
        let half = [&[8, 1, 16, 10][..], &field(8, b"h"), &field(9, &[0, 0])].concat();
        assert!(said(&of(&[field(5, &half)])).contains("'h' is of type FLOAT16"));
        let far = [&[8, 1, 16, 1, 112, 1][..], &field(8, b"w")].concat();
        assert!(said(&of(&[field(5, &far)])).contains("'w' is kept in another file"));
        let fused = [field(4, b"Attention"), field(7, b"com.microsoft")].concat();
        assert!(said(&of(&[field(1, &fused)])).contains("com.microsoft.Attention"));
        assert!(said(&of(&[field(1, &field(4, b"MatMulInteger"))])).contains("MatMulInteger"));
        assert!(said(&of(&[field(15, b"")])).contains("sparse"));
    }

    #[test]
    fn a1_a_product_by_gemm_is_turned_unless_it_says_transposed() {
        let raw: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let w = [&[8, 2, 8, 3, 16, 1][..], &field(8, b"p.weight"), &field(9, &raw)].concat();
        for (attribute, shape) in [(vec![], [3, 2]), ([&field(1, b"transB")[..], &[24, 1]].concat(), [2, 3])] {
            let n = [field(1, b"x"), field(1, b"p.weight"), field(4, b"Gemm"), field(5, &attribute)].concat();
            let arrays = graph(&field(7, &[field(1, &n), field(5, &w)].concat())).unwrap();
            assert_eq!((arrays[0].name.as_str(), &arrays[0].shape[..]), ("p.weight", &shape[..]));
        }
    }
}
