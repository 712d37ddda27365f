//! Tests of `tensorboard`.
use super::*;
use rlx::testing::TempDir;

fn report(value: f64) -> Scalars {
    let mut s = Scalars::default();
    s.put("charts/x", value);
    s.histogram("h", vec![1.0, -3.0, 0.0, f32::NAN]);
    s
}

fn steps(dir: &Path) -> Vec<i64> {
    let mut steps = Vec::new();
    for path in files(dir).unwrap() {
        for record in records(&fs::read(path).unwrap()) {
            let event = event::Event::parse_from_bytes(record).unwrap();
            let ours = |s: &Summary| ["charts/x", "eval/return"].contains(&s.get_value()[0].get_tag());
            if event.has_summary() && ours(event.get_summary()) {
                steps.push(event.get_step());
            }
        }
    }
    steps
}

#[test]
fn a_resume_leaves_no_step_twice_and_none_beyond() {
    let dir = TempDir::new();
    let mut events = Events::create(&dir.0, &[("lr".into(), Value::from(0.1))], &["charts/x"]).unwrap();
    for step in [10, 20, 30] {
        events.write(step, &report(1.0)).unwrap();
    }
    events.finish("finished").unwrap();
    drop(events);
    for again in [20, 20, 30] {
        // In the same second as the file before.
        let mut events = Events::resume(&dir.0, again, true).unwrap();
        events.write(again + 10, &report(2.0)).unwrap();
        events.flush().unwrap();
    }
    assert_eq!(steps(&dir.0), [10, 20, 30, 40]);
    // An evaluation at the step itself stays where it was made, and goes where it is made again.
    let mut events = Events::resume(&dir.0, 40, true).unwrap();
    let mut eval = Scalars::default();
    eval.put("eval/return", 1.0);
    events.write(40, &eval).unwrap();
    events.flush().unwrap();
    for (evaluated, left) in [(true, vec![10, 20, 30, 40, 40]), (false, vec![10, 20, 30, 40])] {
        drop(Events::resume(&dir.0, 40, evaluated).unwrap());
        assert_eq!(steps(&dir.0), left);
    }
}

/// Steps of START marks and statuses of end marks, in the order of the files.
fn marks(dir: &Path) -> (Vec<i64>, Vec<api::Status>) {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for path in files(dir).unwrap() {
        for record in records(&fs::read(path).unwrap()) {
            let event = event::Event::parse_from_bytes(record).unwrap();
            if event.has_session_log() {
                starts.push(event.get_step());
            }
            for value in event.get_summary().get_value() {
                if value.get_tag() == "_hparams_/session_end_info" {
                    let content = value.get_metadata().get_plugin_data().get_content();
                    let data = HParamsPluginData::parse_from_bytes(content).unwrap();
                    ends.push(data.get_session_end_info().get_status());
                }
            }
        }
    }
    (starts, ends)
}

#[test]
fn c6_a_file_has_the_name_of_this_machine_and_comes_after_all_that_are_there() {
    let dir = TempDir::new();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    drop(Events::create(&dir.0, &[], &[]).unwrap());
    let whole = name(&files(&dir.0).unwrap()[0]);
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let parts: Vec<&str> = whole.split('.').collect();
    // As wandb 0.31.0 looks at it: parts after the seconds are those of the name.
    let own: Vec<&str> = kernel.trim().split('.').collect();
    assert_eq!(parts[4..4 + own.len()], own, "{whole}");
    // A file of an earlier version, and one of a machine whose clock is ahead.
    fs::rename(&files(&dir.0).unwrap()[0], dir.0.join(format!("{PREFIX}1700000000.rlx.9.0"))).unwrap();
    fs::write(dir.0.join(format!("{PREFIX}7700000000.zeus.9.1")), b"").unwrap();
    drop(Events::resume(&dir.0, 10, true).unwrap());
    let all: Vec<String> = files(&dir.0).unwrap().iter().map(name).collect();
    assert!(all.len() == 3 && all[2].starts_with(&format!("{PREFIX}7700000001.{}", kernel.trim())), "{all:?}");
}

#[test]
fn c7_the_first_start_is_at_0_and_every_resume_has_one_that_is_heeded() {
    let dir = TempDir::new();
    let mut events = Events::create(&dir.0, &[], &[]).unwrap();
    events.write(10, &report(1.0)).unwrap();
    events.flush().unwrap();
    assert_eq!(marks(&dir.0).0, [0]);
    for step in [10, 10] {
        drop(Events::resume(&dir.0, step, true).unwrap());
        assert_eq!(marks(&dir.0).0, [0, 11, 11]);
    }
}

#[test]
fn c8_an_interruption_is_no_end() {
    let dir = TempDir::new();
    for (status, left) in [
        ("interrupted", vec![]),
        ("failed", vec![api::Status::STATUS_FAILURE]),
        ("finished", vec![api::Status::STATUS_SUCCESS]),
    ] {
        Events::clear(&dir.0).unwrap();
        let mut events = Events::create(&dir.0, &[], &[]).unwrap();
        events.write(10, &report(1.0)).unwrap();
        events.finish(status).unwrap();
        assert_eq!(marks(&dir.0).1, left, "{status}");
        Events::resume(&dir.0, 10, true).unwrap().finish("finished").unwrap();
        assert_eq!(marks(&dir.0).1, [api::Status::STATUS_SUCCESS], "{status}");
    }
}

#[test]
fn damaged_files_lose_their_tail_and_nothing_panics() {
    let dir = TempDir::new();
    let mut events = Events::create(&dir.0, &[], &[]).unwrap();
    events.write(1, &report(1.0)).unwrap();
    events.flush().unwrap();
    let path = files(&dir.0).unwrap()[0].clone();
    let before = fs::read(&path).unwrap();
    events.write(2, &report(1.0)).unwrap();
    events.flush().unwrap();
    let whole = fs::read(&path).unwrap();
    for end in before.len()..whole.len() {
        assert_eq!(records(&whole[..end]).count(), records(&before).count());
        let mut flipped = whole.clone();
        flipped[end] ^= 1;
        assert_eq!(records(&flipped).count(), records(&before).count());
    }
    let mut rng = rlx::Rng::stream(0, 0);
    for _ in 0..2000 {
        let noise: Vec<u8> = (0..rng.below(200)).map(|_| rng.bits() as u8).collect();
        assert_eq!(records(&noise).count(), 0);
    }
    fs::write(&path, [&before[..], &[7; 40]].concat()).unwrap();
    cut(&path, 5, true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn histograms_count_every_finite_sample() {
    let mut rng = rlx::Rng::stream(1, 0);
    let samples: Vec<f32> = (0..1000).map(|_| (rng.normal() * 5.0) as f32).collect();
    let h = histogram(&samples);
    assert_eq!(h.get_bucket().iter().sum::<f64>(), 1000.0);
    assert_eq!(h.get_bucket().len(), h.get_bucket_limit().len());
    assert!(h.get_bucket_limit().windows(2).all(|w| w[0] < w[1]));
    assert_eq!(histogram(&[f32::NAN]).get_num(), 0.0);
}
