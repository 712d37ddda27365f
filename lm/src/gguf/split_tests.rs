use super::{BlockType, Gguf, Value, Writer, split::is_later_part, value::code};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rlx-gguf-split-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
    fn part(&self, no: usize, count: usize) -> PathBuf {
        self.0.join(format!("m-{no:05}-of-{count:05}.gguf"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes part `no` (from 0): `tensors` with their one number, and metadata of gguf-py's types.
fn write(path: &Path, no: u32, count: u32, total: u32, tensors: &[(&str, f64)], more: &[(&str, Value)]) {
    let mut out = Writer::new();
    // gguf-py 0.19.0 writes later parts without any metadata of the model.
    out.set("split.no", Value::Int(code::U16, no.into()));
    out.set("split.count", Value::Int(code::U16, count.into()));
    out.set("split.tensors.count", Value::Int(code::I32, total.into()));
    more.iter().for_each(|(k, v)| out.set(*k, v.clone()));
    for (name, x) in tensors {
        out.tensor(*name, &Tensor::full([3], *x, (Kind::Float, Device::Cpu)), BlockType::F32).unwrap();
    }
    let _ = std::fs::remove_file(path);
    out.write(path).unwrap();
}

/// Three parts of two, one and one tensors.
fn three(name: &str) -> Folder {
    let f = Folder::new(name);
    write(&f.part(1, 3), 0, 3, 4, &[("a", 1.0), ("b", 2.0)], &[("general.architecture", Value::text("llama"))]);
    write(&f.part(2, 3), 1, 3, 4, &[("c", 3.0)], &[]);
    write(&f.part(3, 3), 2, 3, 4, &[("d", 4.0)], &[]);
    f
}

fn refusal(path: &Path) -> String {
    Gguf::open(path).unwrap_err().to_string()
}

#[test]
fn a6_all_parts_are_read_whichever_is_named() {
    let f = three("all");
    let size: u64 = (1..4).map(|i| std::fs::metadata(f.part(i, 3)).unwrap().len()).sum();
    for named in 1..4 {
        let mut file = Gguf::open(&f.part(named, 3)).unwrap();
        assert_eq!((file.files(), file.bytes(), file.path()), (3, size, f.part(1, 3).as_path()));
        assert_eq!(file.metadata()["general.architecture"], Value::text("llama"));
        for (name, x) in [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)] {
            assert_eq!(Vec::<f64>::try_from(file.tensor(name).unwrap().to_kind(Kind::Double)).unwrap(), [x; 3]);
        }
    }
    assert!(is_later_part(&f.part(2, 3)) && !is_later_part(&f.part(1, 3)) && !is_later_part(Path::new("m-of-2.gguf")));
}

#[test]
fn a6_a_missing_part_is_named() {
    let f = three("missing");
    for gone in [1, 2, 3] {
        let (path, aside) = (f.part(gone, 3), f.0.join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        for named in (1..4).filter(|n| *n != gone) {
            let text = refusal(&f.part(named, 3));
            assert!(
                text.contains(&format!("m-{gone:05}-of-00003.gguf: part {gone} of 3 of the model is missing")),
                "{text}"
            );
            assert!(!text.contains("damaged"), "{text}");
        }
        std::fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a6_a_part_under_another_name_says_what_it_must_be_called() {
    let f = three("name");
    for name in ["x.gguf", "m-00002-of-00003.gguf", "m-00001-of-00004.gguf", "m-1-of-3.gguf"] {
        let path = f.0.join(name);
        std::fs::copy(f.part(1, 3), &path).unwrap();
        let text = refusal(&path);
        assert!(
            text.contains("part 1 of 3") && text.contains("NAME-00001-of-00003.gguf") && text.contains(name),
            "{text}"
        );
    }
    // The other way round: a whole model that is called a part.
    let f = Folder::new("whole");
    let mut out = Writer::new();
    out.set("general.architecture", Value::text("llama"));
    out.write(&f.part(2, 3)).unwrap();
    let text = refusal(&f.part(2, 3));
    assert!(text.contains("by its name it is part 2 of 3") && text.contains("split.count"), "{text}");
    out.write(&f.part(1, 1)).unwrap();
    assert_eq!(Gguf::open(&f.part(1, 1)).unwrap().files(), 1);
}

#[test]
fn a6_parts_that_do_not_belong_together_are_refused_by_name() {
    let f = three("other");
    let other = |no, count, total, tensors: &[(&str, f64)], more: &[(&str, Value)], words: &[&str]| {
        write(&f.part(2, 3), no, count, total, tensors, more);
        let text = refusal(&f.part(1, 3));
        assert!(text.contains("m-00002-of-00003.gguf") && words.iter().all(|w| text.contains(w)), "{text}");
    };
    let c = &[("c", 3.0)];
    other(2, 3, 4, c, &[], &["split.no is 2", "says 1"]);
    other(1, 4, 4, c, &[], &["split.count is 4", "says 3"]);
    other(1, 3, 5, c, &[], &["split.tensors.count is 5", "says 4"]);
    other(1, 3, 4, &[("b", 3.0)], &[], &["tensor 'b' is also in", "m-00001-of-00003.gguf"]);
    let deci = [("general.architecture", Value::text("deci"))];
    other(1, 3, 4, c, &deci, &["general.architecture", "'deci'", "'llama'", "another model"]);
    // One tensor too few or too many in all.
    for tensors in [&[][..], &[("c", 3.0), ("e", 5.0)]] {
        write(&f.part(2, 3), 1, 3, 4, tensors, &[]);
        let text = refusal(&f.part(1, 3));
        assert!(
            text.contains("split.tensors.count is 4") && text.contains(&format!("{} tensors", 3 + tensors.len())),
            "{text}"
        );
    }
    write(&f.part(2, 3), 1, 3, 4, c, &[("split.count", Value::text("3"))]);
    assert!(refusal(&f.part(1, 3)).contains("split.count is '3'; it must be a whole number"));
    write(&f.part(1, 3), 3, 3, 4, &[], &[]);
    assert!(refusal(&f.part(1, 3)).contains("split.no is no number below it"), "{}", refusal(&f.part(1, 3)));
}

#[test]
fn a6_damage_is_of_the_part_that_has_it() {
    let f = three("damage");
    let bytes = std::fs::read(f.part(3, 3)).unwrap();
    std::fs::write(f.part(3, 3), &bytes[..bytes.len() - 40]).unwrap();
    let text = refusal(&f.part(1, 3));
    assert!(text.contains("m-00003-of-00003.gguf is damaged: tensor 'd'"), "{text}");
}

#[test]
fn a6_an_alignment_that_a_later_part_does_not_say_is_refused_where_it_matters() {
    let f = three("align");
    // The writer says its type in every part, but in one without tensors.
    let first = [("general.file_type", Value::u32(0)), ("general.alignment", Value::u32(64))];
    write(&f.part(1, 3), 0, 3, 3, &[], &first);
    write(&f.part(3, 3), 2, 3, 3, &[("d", 4.0), ("e", 5.0)], &[("general.alignment", Value::u32(32))]);
    let mut read = 0;
    // gguf-py 0.19.0 says it in the first part alone and writes all by it. The data of a later part, written here by 32, begin where 64 has
    // them in half the cases.
    for length in 0..64 {
        write(&f.part(2, 3), 1, 3, 3, &[("c", 3.0)], &[("split.note", Value::text("x".repeat(length)))]);
        match Gguf::open(&f.part(1, 3)) {
            Ok(mut file) => {
                assert_eq!(Vec::<f32>::try_from(file.tensor("c").unwrap()).unwrap(), [3.0; 3]);
                assert_eq!(Vec::<f32>::try_from(file.tensor("e").unwrap()).unwrap(), [5.0; 3]);
                read += 1;
            }
            Err(e) => {
                let text = e.to_string();
                assert!(text.contains("m-00002-of-00003.gguf: it has no general.alignment"), "{text}");
                assert!(text.contains("the first part has 64") && text.contains("not supported"), "{text}");
            }
        }
    }
    assert_eq!(read, 32);
}
