//! Tests of `charts`.
use super::*;

#[test]
fn pictures_say_what_is_missing_and_what_the_axes_are() {
    let i = |v: f64| Interval { value: v, low: v - 0.1, high: v + 0.1 };
    let lines = Lines {
        title: "t".into(),
        note: "n".into(),
        x: Axis::of("environment steps"),
        y: Axis::of("return"),
        series: vec![Series { number: 0, label: "ppo (3 seeds)".into(), points: vec![(0.0, i(0.0)), (10.0, i(1.0))] }],
        level: Some((0.9, "threshold 0.9".into())),
    };
    let text = lines.draw().file();
    for word in ["environment steps", "return", "ppo (3 seeds)", "threshold 0.9", "polygon", "polyline"] {
        assert!(text.contains(word), "{word}");
    }
    let empty = Lines { series: Vec::new(), ..lines };
    assert!(empty.draw().file().contains("no finished run has it"));
    let names = ["a".to_owned(), "b".to_owned()];
    let map = heat_map("t", "n", &names, &names, &[vec![Some(1.0), None], vec![Some(2.0), Some(3.0)]]).file();
    assert_eq!(map.matches(">missing<").count(), 1);
    let column = Column { label: "IQM".into(), values: vec![Some(i(0.5)), None], level: None };
    assert_eq!(
        intervals("t", "n", &[(0, "a".into()), (1, "b".into())], &[column]).file().matches(">missing<").count(),
        1
    );
    assert!(!lines_are_nan(&map));
}

#[test]
fn e12_a_field_has_a_bar_contours_and_marks_and_counts_have_no_halves() {
    let rows: Vec<Vec<f64>> =
        (0..9).map(|j| (0..9).map(|i| f64::from(i - 4).hypot(f64::from(j - 4))).collect()).collect();
    let field = Field {
        title: "t",
        note: "n",
        labels: ["right (cm)", "up (cm)", "steps"],
        reach: 20.0,
        rows: &rows,
        marks: &[((0.0, 0.0), "hand")],
    };
    let text = field.draw().file();
    for word in ["right (cm)", "up (cm)", "steps", "hand", "contour"] {
        assert!(text.contains(word), "{word}");
    }
    // A circle of radius 2 about the middle: every piece of the line of value 2 is near it.
    let pieces = crossings(&rows, 2.0);
    assert!(pieces.len() >= 8);
    assert!(pieces.iter().all(|(a, _)| ((a.0 - 4.0).hypot(a.1 - 4.0) - 2.0).abs() < 0.2));
    assert_eq!(Axis::counts("measurements").ticks(1.0, 2.0, 6), [1.0, 2.0]);
    let lines = Lines {
        title: "t".into(),
        note: String::new(),
        x: Axis::of("environment steps"),
        y: Axis::of("return"),
        series: vec![Series {
            number: 0,
            label: "a".into(),
            points: [20_480.0, 100_000.0].map(|x| (x, Interval { value: 1.0, low: 1.0, high: 1.0 })).into(),
        }],
        level: None,
    };
    assert!(lines.draw().file().contains(">20k<"), "the axis begins at a number");
}

fn lines_are_nan(text: &str) -> bool {
    text.contains("NaN") || text.contains("inf\"")
}
