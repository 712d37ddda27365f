//! Sizes derive from spaces; columns never mix their types.
use super::*;
use crate::{Field, Spec};

#[test]
fn sizes_derive_from_the_space() {
    let image = Space::Box { shape: vec![2, 3, 4], low: vec![0.0; 24], high: vec![255.0; 24] };
    for (space, width, choices, sets, described) in [
        (image, 24, 0, &[][..], "box[2, 3, 4]"),
        (Space::Discrete(7), 1, 7, &[7][..], "discrete(7)"),
        (Space::Discrete(0), 1, 0, &[0][..], "discrete(0)"),
        (Space::MultiDiscrete(vec![2, 3, 5]), 3, 10, &[2, 3, 5][..], "multi-discrete[2, 3, 5]"),
    ] {
        assert_eq!((space.width(), space.choices(), space.sets()), (width, choices, sets));
        assert_eq!(space.describe(), described);
        let buffer = ActionBuffer::new(&space, 6);
        let continuous = matches!(space, Space::Box { .. });
        assert_eq!((buffer.get().len(), matches!(buffer, ActionBuffer::Continuous(_))), (6 * width, continuous));
    }
    let bounds = Space::symmetric(&[1.0, 0.5]);
    assert_eq!(bounds, Space::Box { shape: vec![2], low: vec![-1.0, -0.5], high: vec![1.0, 0.5] });
    let spec = Spec::solo("x", bounds, Space::Discrete(2)).limited(9).named(&[("a", "m"), ("b", "rad")]);
    assert_eq!((spec.rows, spec.players, spec.time_limit), (1, 1, Some(9)));
    assert_eq!(spec.fields, [Field::new("a", 0..1, "m"), Field::new("b", 1..2, "rad")]);
}

#[test]
fn a_column_takes_only_its_own_type_and_length() {
    let columns = [f32::column(4), u8::column(4), i64::column(4)];
    for (i, from) in columns.iter().enumerate() {
        for (j, to) in columns.iter().enumerate() {
            let mut to = to.clone();
            assert_eq!(to.slice_mut(0..4).copy_from(from.slice(0..4)), i == j);
            assert!(!to.slice_mut(0..3).copy_from(from.slice(0..4)), "of another length");
        }
        assert_eq!(from.slice(0..4).f32().is_ok(), i == 0);
        assert!(from.slice(1..1).is_empty() && from.len() == 4);
    }
    let error = columns[1].slice(0..4).f32().unwrap_err().to_string();
    assert!(error.contains("f32") && error.contains("u8"), "{error}");
    assert!(f32::of(columns[1].slice(0..4)).is_none() && u8::of(columns[1].slice(0..4)).is_some());
    let mut column = Column::I64(vec![1, 2, 3, 4, 5]);
    column.copy_to_front(2..4);
    assert_eq!(column, Column::I64(vec![3, 4, 3, 4, 5]));
    assert!(f32::of_mut(column.slice_mut(0..5)).is_none());
    i64::of_mut(column.slice_mut(1..3)).unwrap().fill(-1);
    assert_eq!(column.slice(0..4).to_column(), Column::I64(vec![3, -1, -1, 4]));
}

#[test]
fn every_type_feeds_a_network_as_floats() {
    let mut out = vec![0.5];
    ColumnRef::F32(&[1.25]).extend_f32(&mut out);
    ColumnRef::U8(&[0, 255]).extend_f32(&mut out);
    ColumnRef::I64(&[-3]).extend_f32(&mut out);
    assert_eq!(out, [0.5, 1.25, 0.0, 255.0, -3.0]);
}

#[test]
fn actions_are_of_one_type_and_poison_of_two_values() {
    let (ids, floats) = (Actions::Discrete(&[1, 2]), Actions::Continuous(&[0.5]));
    assert_eq!((i64::of_actions(&ids), i64::of_actions(&floats)), (Some(&[1, 2][..]), None));
    assert_eq!((f32::of_actions(&floats), f32::of_actions(&ids)), (Some(&[0.5][..]), None));
    assert!(u8::of_actions(&ids).is_none() && u8::of_actions(&floats).is_none());
    assert_ne!(f32::poison(false), f32::poison(true));
    assert_ne!(u8::poison(false), u8::poison(true));
    assert_ne!(i64::poison(false), i64::poison(true));
    let mut buffer = ActionBuffer::new(&Space::Discrete(3), 2);
    if let ActionsMut::Discrete(x) = buffer.get_mut() {
        x.copy_from_slice(&[2, 1]);
    }
    assert_eq!(buffer.get(), Actions::Discrete(&[2, 1]));
    assert!(!buffer.get().is_empty());
}
