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
    assert_eq!(kinds.len(), 14);
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
        ("u8s", Value::List(Array::Ints(code::U8, vec![0, 255]))),
        ("i8s", Value::List(Array::Ints(code::I8, vec![-128, 127]))),
        ("u16s", Value::List(Array::Ints(code::U16, vec![65_535]))),
        ("i16s", Value::List(Array::Ints(code::I16, vec![-32_768]))),
        ("u32s", Value::List(Array::Ints(code::U32, vec![u32::MAX.into()]))),
        ("u64s", Value::List(Array::Ints(code::U64, vec![i64::MAX]))),
        ("i64s", Value::List(Array::Ints(code::I64, vec![i64::MIN]))),
        ("doubles", Value::List(Array::F64(vec![0.1, f64::INFINITY]))),
        (
            "lists",
            Value::List(Array::Lists(vec![Array::F64(vec![0.1]), Array::Lists(vec![Array::Texts(vec!["x".into()])])])),
        ),
        ("nothing", Value::List(Array::Lists(vec![]))),
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
    assert!(with(8, &[255; 8]).contains("claims 18446744073709551615 tensors"));
    let text = with(24, &[255; 8]);
    assert!(text.contains("key of metadata entry 0") && text.contains("at most 65535"), "{text}");
}

/// A file's bytes by hand: entries are key and value with its type, tensors name, dimensions (ggml's order), type code and offset.
fn raw(entries: &[(&str, Vec<u8>)], tensors: &[(&str, Vec<u64>, u32, u64)], data: usize) -> Vec<u8> {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    let text = |out: &mut Vec<u8>, x: &str| {
        out.extend((x.len() as u64).to_le_bytes());
        out.extend(x.as_bytes());
    };
    for (key, value) in entries {
        text(&mut out, key);
        out.extend(value);
    }
    for (name, dims, code, offset) in tensors {
        text(&mut out, name);
        out.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
        out.extend(code.to_le_bytes());
        out.extend(offset.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(32) + data, 0);
    out
}

fn fault(bytes: &[u8]) -> String {
    open(bytes).unwrap_err().to_string()
}

#[test]
fn a7_types_that_are_not_read_are_not_supported_by_name() {
    // Names and codes are those of gguf-py 0.19.0 and, where it has dropped them, of older ggml.h.
    let names = [
        (4, "Q4_2"),
        (9, "Q8_1"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (24, "I8"),
        (25, "I16"),
        (26, "I32"),
        (27, "I64"),
        (28, "F64"),
        (29, "IQ1_M"),
        (31, "Q4_0_4_4"),
        (33, "Q4_0_8_8"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (36, "IQ4_NL_4_4"),
        (40, "NVFP4"),
        (41, "Q1_0"),
        (42, "Q2_0"),
        (43, "43"),
    ];
    for (code, name) in names {
        let text = fault(&raw(&[], &[("t", vec![256], code, 0)], 2048));
        let said = text.contains(&format!("tensor 't' is of ggml type {name}")) && text.contains("not supported");
        assert!(said && !text.contains("damaged"), "{code}: {text}");
        assert!(text.contains(&code.to_string()) && text.starts_with("test.gguf: "), "{text}");
    }
    let text = fault(&raw(&[], &[("t", vec![256], 70_000, 0)], 2048));
    assert!(text.contains("damaged") && text.contains("70000"), "{text}");
}

#[test]
fn a7_every_type_of_ggml_has_a_name_once() {
    let known: Vec<u32> = (0..43).filter(|c| BlockType::from_code(*c).is_some()).collect();
    assert_eq!(known, [0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23, 30, 39]);
    for code in 0..43 {
        let named = BlockType::other(code).is_some_and(|n| n != code.to_string());
        assert!(named != known.contains(&code), "{code}");
    }
}

#[test]
fn a7_other_versions_byte_orders_and_formats_are_not_supported_by_name() {
    let bytes = whole();
    let with = |at: usize, new: &[u8]| {
        let mut b = bytes.clone();
        b[at..at + new.len()].copy_from_slice(new);
        fault(&b)
    };
    for (at, new, word) in [
        (4, &[1u8, 0, 0, 0][..], "GGUF version 1 is not supported; 2 and 3 are"),
        (4, &[4, 0, 0, 0], "GGUF version 4 is not supported"),
        (4, &[0, 0, 0, 3], "big-endian GGUF is not supported"),
        (4, &[0, 0, 0, 2], "big-endian GGUF is not supported"),
        (0, b"tjgg", "GGJT"),
        (0, b"lmgg", "GGML"),
    ] {
        let text = with(at, new);
        assert!(text.contains(word) && text.contains("not supported") && !text.contains("damaged"), "{text}");
    }
    for new in [[0, 0, 0, 0], [7, 7, 7, 7]] {
        assert!(with(4, &new).contains("damaged"), "{}", with(4, &new));
    }
}

#[test]
fn a7_metadata_types_are_read_or_not_supported_by_name() {
    let entry = |bytes: &[u32]| vec![("k", bytes.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())];
    // A list of one list of ... of nothing, nine deep.
    let mut deep = vec![code::LIST];
    (0..9).for_each(|_| deep.extend([code::LIST, 1, 0]));
    deep.extend([code::U8, 0, 0]);
    for (bytes, word) in [
        (vec![13, 0, 0], "value type 13"),
        (vec![code::LIST, 14, 1, 0, 0, 0], "a list of value type 14"),
        (vec![code::LIST, code::U64, 1, 0, u32::MAX, u32::MAX], "2^63"),
        (deep, "deeper than 8"),
    ] {
        let text = fault(&raw(&entry(&bytes), &[], 0));
        assert!(text.contains(word) && text.contains("not supported") && text.contains("'k'"), "{text}");
        assert!(!text.contains("damaged"), "{text}");
    }
    for (bytes, word) in [
        (vec![70_000, 0, 0], "value type 70000"),
        (vec![code::LIST, 70_000, 1, 0, 0], "a list of value type 70000"),
        (vec![code::LIST, code::F64, u32::MAX, u32::MAX], "elements of 8 bytes"),
        (vec![code::LIST, code::LIST, 0, 1 << 30], "elements of 12 bytes"),
    ] {
        let text = fault(&raw(&entry(&bytes), &[], 0));
        assert!(text.contains(word) && text.contains("damaged"), "{text}");
    }
}

#[test]
fn a7_shapes_are_read_not_supported_or_damage() {
    let one = |dims: &[u64], data: usize| open(&raw(&[], &[("t", dims.to_vec(), 0, 0)], data));
    // A number without dimensions, and no numbers at all, are tensors too.
    for (dims, bytes) in [(&[][..], 4), (&[0], 0), (&[3, 0], 0), (&[2, 3, 4, 1], 96)] {
        let mut file = one(dims, 96).unwrap();
        assert_eq!(file.tensors()["t"].bytes, bytes, "{dims:?}");
        assert_eq!(file.tensor("t").unwrap().size().len(), dims.len().max(1));
    }
    let text = one(&[1, 1, 1, 1, 1], 96).unwrap_err().to_string();
    assert!(text.contains("5 dimensions, which is not supported") && !text.contains("damaged"), "{text}");
    for (dims, word) in [
        (vec![1u64; 17], "claims 17 dimensions"),
        (vec![1 << 33, 1 << 33], "impossible shape"),
        (vec![u64::MAX], "impossible shape"),
        (vec![0, u64::MAX], "impossible shape"),
        (vec![25], "does not fit"),
    ] {
        let text = one(&dims, 96).unwrap_err().to_string();
        assert!(text.contains(word) && text.contains("damaged") && text.contains("'t'"), "{text}");
    }
    let text = fault(&raw(&[], &[("t", vec![48], 20, 0)], 96));
    assert!(text.contains("rows of 48 do not divide into IQ4_NL's blocks of 32"), "{text}");
    let two = |offset| fault(&raw(&[], &[("a", vec![16], 0, 0), ("b", vec![8], 0, offset)], 96));
    assert!(two(32).contains("tensors 'a' and 'b' overlap"), "{}", two(32));
    assert!(two(65).contains("does not fit"), "{}", two(65));
}

#[test]
fn a7_names_and_alignments_that_cannot_be_are_damage() {
    let align = |x: u32| vec![("general.alignment", [code::U32, x].iter().flat_map(|x| x.to_le_bytes()).collect())];
    for bad in [0, 3, 33, 1 << 21] {
        let text = fault(&raw(&align(bad), &[], 0));
        assert!(text.contains(&format!("general.alignment is {bad}; it must be a power of two")), "{text}");
    }
    assert_eq!(open(&raw(&align(32), &[("t", vec![8], 0, 0)], 32)).unwrap().tensors()["t"].bytes, 32);
    let twice = raw(&[], &[("t", vec![8], 0, 0), ("t", vec![8], 0, 32)], 64);
    assert!(fault(&twice).contains("tensor 't' is there twice"));
    let entry = ("k", [code::U32, 1].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    assert!(fault(&raw(&[entry.clone(), entry], &[], 0)).contains("metadata 'k' is there twice"));
    let mut text = raw(&[("kkkk", vec![0, 0, 0, 0, 1])], &[], 0);
    let at = text.windows(4).position(|w| w == b"kkkk").unwrap();
    text[at] = 0xff;
    assert!(fault(&text).contains("the key of metadata entry 0 is not UTF-8"));
}

#[test]
fn a7_mxfp4_is_the_standards_float_of_four_bits() {
    // OCP Microscaling Formats 1.0: sign, two bits of exponent with bias 1, one of mantissa, no infinities; scales are 2^(e - 127).
    let element = |nibble: u8| {
        let (sign, exponent, mantissa) = (nibble >> 3, nibble >> 1 & 3, f64::from(nibble & 1));
        let size = if exponent == 0 { mantissa / 2.0 } else { (1.0 + mantissa / 2.0) * f64::from(1 << (exponent - 1)) };
        if sign == 1 { -size } else { size }
    };
    let codes: Vec<u8> = (0..16).map(|i| i | (15 - i) << 4).collect();
    for e in 0..=251u8 {
        let block = [&[e], &codes[..]].concat();
        let found = BlockType::MXFP4.dequantize(&block);
        for i in 0..16u8 {
            let scale = 2f64.powi(i32::from(e) - 127);
            let right = [element(i), element(15 - i)].map(|x| (x * scale) as f32);
            assert_eq!([found[usize::from(i)], found[usize::from(i) + 16]], right, "2^{e}, code {i}");
        }
    }
}

#[test]
fn a7_iq4_nl_takes_its_levels_from_the_table() {
    // In ggml's order: negative levels are the further apart the larger they are, and so are positive ones; none is zero.
    let levels = [-127i16, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    let d = half::f16::from_f32(-0.375);
    let block = [&d.to_le_bytes()[..], &(0..16).map(|i| i << 4 | (15 - i)).collect::<Vec<u8>>()].concat();
    let found = BlockType::IQ4NL.dequantize(&block);
    for i in 0..16 {
        assert_eq!(found[i], -0.375 * f32::from(levels[15 - i]));
        assert_eq!(found[i + 16], -0.375 * f32::from(levels[i]));
    }
}

#[test]
fn a_file_says_the_version_of_its_blocks_and_its_most_frequent_type() {
    let file = open(&whole()).unwrap();
    assert_eq!(file.metadata()["general.quantization_version"], Value::u32(2));
    let mut out = Writer::new();
    let x = Tensor::zeros([2, 32], (Kind::Float, tch::Device::Cpu));
    for (name, kind) in [("a", BlockType::F32), ("b", BlockType::Q4_0), ("c", BlockType::Q4_0)] {
        out.tensor(name, &x, kind).unwrap();
    }
    let path = std::env::temp_dir().join(format!("rlx-gguf-type-{}", std::process::id()));
    out.write(&path).unwrap();
    let file = Gguf::open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    // LLAMA_FTYPE_MOSTLY_Q4_0.
    assert_eq!(file.metadata()["general.file_type"], Value::u32(2));
}
