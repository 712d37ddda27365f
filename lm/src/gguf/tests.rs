use super::{Array, BlockType, Gguf, Value, Writer, value::code};
use rlx::Rng;
use std::{io::Cursor, path::Path};
use tch::{Kind, Tensor};

const GOLDEN: &str = include_str!("../../tests/golden/ggml-blocks.txt");

struct Line {
    kind: BlockType,
    bytes: Vec<u8>,
    numbers: Vec<f32>,
}

/// Lines of the golden file: blocks and numbers as ggml's own package has them.
fn golden(what: &str) -> Vec<Line> {
    let line = |l: &str| {
        let mut words = l.split(' ');
        if words.next() != Some(what) {
            return None;
        }
        let kind = BlockType::from_name(words.next().unwrap()).unwrap();
        let hex = words.next().unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        Some(Line { kind, bytes, numbers: words.map(|w| w.parse().unwrap()).collect() })
    };
    GOLDEN.lines().filter_map(line).collect()
}

#[test]
fn blocks_are_read_as_ggml_reads_them() {
    let all = golden("read");
    for line in &all {
        assert_eq!(line.bytes.len(), line.kind.bytes());
        let found = line.kind.dequantize(&line.bytes);
        assert_eq!(found.len(), line.numbers.len());
        let largest = line.numbers.iter().fold(0f32, |m, x| m.max(x.abs()));
        for (i, (ours, theirs)) in found.iter().zip(&line.numbers).enumerate() {
            // Products and sums may be rounded in another order.
            assert!((ours - theirs).abs() <= largest * 1e-6, "{} number {i}: {ours} against {theirs}", line.kind);
        }
    }
    // All but the two that are plain.
    let mut kinds: Vec<u32> = all.iter().map(|l| l.kind.code()).collect();
    kinds.dedup();
    assert_eq!(kinds.len(), 11);
}

#[test]
fn blocks_are_written_as_ggml_writes_them() {
    let all = golden("write");
    assert_eq!(all.len(), 20);
    for line in all {
        let found = line.kind.quantize(&line.numbers).unwrap();
        assert_eq!(found, line.bytes, "{} of {:?}", line.kind, line.numbers);
    }
    assert!(BlockType::Q6K.quantize(&[0.0; 256]).is_none());
}

/// A file with every kind of metadata and three tensors.
fn whole() -> Vec<u8> {
    let mut out = Writer::new();
    for (name, value) in entries() {
        out.set(name, value);
    }
    let x = Tensor::arange(96, (Kind::Float, tch::Device::Cpu)).reshape([3, 32]);
    out.tensor("a", &x, BlockType::Q4_1).unwrap();
    out.tensor("b", &x, BlockType::F16).unwrap();
    out.tensor("c", &x.flatten(0, 1), BlockType::F32).unwrap();
    let path = std::env::temp_dir().join(format!("rlx-gguf-{}-{:?}", std::process::id(), std::thread::current().id()));
    let _ = std::fs::remove_file(&path);
    out.write(&path).unwrap();
    assert!(out.write(&path).is_err(), "a file that is there is not overwritten");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}

fn entries() -> Vec<(&'static str, Value)> {
    vec![
        ("general.architecture", Value::text("llama")),
        ("u8", Value::Int(code::U8, 250)),
        ("i8", Value::Int(code::I8, -3)),
        ("u16", Value::Int(code::U16, 60_000)),
        ("i16", Value::Int(code::I16, -300)),
        ("u32", Value::u32(4_000_000_000)),
        ("i32", Value::Int(code::I32, -70_000)),
        ("u64", Value::Int(code::U64, u64::MAX.into())),
        ("i64", Value::Int(code::I64, i64::MIN.into())),
        ("f32", Value::F32(1.5)),
        ("f64", Value::F64(-2.25)),
        ("bool", Value::Bool(true)),
        ("ints", Value::i32s([1, -2, 3])),
        ("floats", Value::List(Array::F32(vec![0.5, -0.5]))),
        ("bools", Value::List(Array::Bools(vec![true, false]))),
        ("texts", Value::List(Array::Texts(vec!["ä".into(), String::new()]))),
    ]
}

fn open(bytes: &[u8]) -> rlx::Result<Gguf<Cursor<Vec<u8>>>> {
    Gguf::read(Cursor::new(bytes.to_vec()), Path::new("test.gguf"))
}

#[test]
fn what_is_written_is_read() {
    let mut file = open(&whole()).unwrap();
    for (name, value) in entries() {
        assert_eq!(file.metadata()[name], value, "{name}");
    }
    let x = Tensor::arange(96, (Kind::Float, tch::Device::Cpu)).reshape([3, 32]);
    for (name, shape, off) in [("a", vec![3, 32], 31.0 / 30.0 + 0.02), ("b", vec![3, 32], 0.0), ("c", vec![96], 0.0)] {
        let found = file.tensor(name).unwrap();
        assert_eq!(file.tensors()[name].shape, shape);
        let worst = (found.reshape([3, 32]) - &x).abs().max().double_value(&[]);
        // Half a step of 31 / 15, and what half floats round of minimum and scale.
        assert!(worst <= off, "{name}: {worst}");
    }
    assert!(file.tensor("d").unwrap_err().to_string().contains("no tensor 'd'"));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = whole();
    // What is cut at the very end may only be the filling after the last tensor, of which there is none here.
    for len in 0..bytes.len() {
        let error = open(&bytes[..len]).err();
        assert!(error.is_some(), "{len} of {} bytes were taken for a whole file", bytes.len());
    }
}

#[test]
fn lies_are_errors_and_never_more_memory_than_the_file() {
    let bytes = whole();
    let mut rng = Rng::stream(7, 7);
    let lies = [u64::MAX, 1 << 63, 1 << 62, 1 << 40, 1 << 32, u32::MAX.into(), 0, 1];
    let check = |bytes: &[u8]| {
        let Ok(mut file) = open(bytes) else { return false };
        let names: Vec<String> = file.tensors().keys().cloned().collect();
        for name in names {
            assert!(file.tensors()[&name].bytes <= bytes.len() as u64);
            let _ = file.tensor(&name);
        }
        true
    };
    let mut taken = 0;
    for at in 0..bytes.len() - 8 {
        let mut lie = bytes.clone();
        lie[at..at + 8].copy_from_slice(&lies[at % lies.len()].to_le_bytes());
        taken += usize::from(check(&lie));
    }
    for _ in 0..20_000 {
        let mut lie = bytes.clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(lie.len());
            lie[at] = rng.bits() as u8;
        }
        taken += usize::from(check(&lie));
    }
    // Names, numbers of the metadata and the tensors' bytes may be anything.
    assert!(taken > 100, "{taken}");
}

#[test]
fn what_is_wrong_is_said() {
    let bytes = whole();
    let with = |at: usize, new: &[u8]| {
        let mut b = bytes.clone();
        b[at..at + new.len()].copy_from_slice(new);
        open(&b).unwrap_err().to_string()
    };
    assert!(with(0, b"GGML").contains("does not begin with 'GGUF'"));
    assert!(with(4, &[1, 0, 0, 0]).contains("version 1; 2 and 3 are read"));
    assert!(with(4, &[0, 0, 0, 3]).contains("big-endian"));
    assert!(with(8, &[255; 8]).contains("claims 18446744073709551615 tensors"));
    let text = with(24, &[255; 8]);
    assert!(text.contains("key of metadata entry 0") && text.contains("at most 65535"), "{text}");
}
