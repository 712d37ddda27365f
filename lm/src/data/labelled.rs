//! Texts with labels: de-duplicated, then split so that no text is in two sets.
use rlx::{Error, Result, Rng};
use std::collections::{BTreeMap, HashMap};

/// A text with its label, and where it stands: `reviews.csv, row 7`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The text.
    pub text: String,
    /// The label's name.
    pub label: String,
    /// Where it stands.
    pub place: String,
}

/// Texts of two or more classes, no two of them the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The texts.
    pub texts: Vec<String>,
    /// The class of each.
    pub labels: Vec<usize>,
    /// The names of classes, sorted.
    pub classes: Vec<String>,
    /// Rows that repeated a text with the same label.
    pub duplicates: usize,
    /// Rows whose text also has another label: none of them is kept.
    pub contradictory: usize,
    /// Lines of the table that held nothing.
    pub empty_lines: usize,
}

/// What makes two texts the same: case, white space and punctuation do not.
pub fn normalised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    // A text of signs alone is itself.
    if out.is_empty() { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { out }
}

impl Labelled {
    /// Takes rows over in their order; the first of equal texts is kept.
    ///
    /// # Errors
    /// Naming the row that has no text or no label; when there are fewer than two classes.
    pub fn new(rows: Vec<Row>) -> Result<Self> {
        let mut of_text: HashMap<String, usize> = HashMap::new();
        let mut kept: Vec<(Row, bool)> = Vec::new();
        let (mut duplicates, mut contradictory) = (0, 0);
        for row in rows {
            for (what, value) in [("text", &row.text), ("label", &row.label)] {
                if value.trim().is_empty() {
                    return Err(Error::invalid(format!("{}: it has no {what}", row.place)));
                }
            }
            match of_text.get(&normalised(&row.text)) {
                None => {
                    of_text.insert(normalised(&row.text), kept.len());
                    kept.push((row, true));
                }
                Some(&first) if kept[first].0.label == row.label => duplicates += 1,
                Some(&first) => {
                    contradictory += 1 + usize::from(kept[first].1);
                    kept[first].1 = false;
                }
            }
        }
        let kept: Vec<Row> = kept.into_iter().filter_map(|(row, good)| good.then_some(row)).collect();
        let mut classes: Vec<String> = kept.iter().map(|r| r.label.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() < 2 {
            let what = classes.first().map_or("no row is left".into(), |c| format!("all labels are '{c}'"));
            return Err(Error::invalid(format!("{what}: two classes or more are needed")));
        }
        let labels = kept.iter().map(|r| classes.binary_search(&r.label).expect("it is one of them")).collect();
        let texts = kept.into_iter().map(|r| r.text).collect();
        Ok(Self { texts, labels, classes, duplicates, contradictory, empty_lines: 0 })
    }

    /// What became of every row, in a sentence: none disappears unsaid.
    pub fn account(&self) -> String {
        let mut counts = vec![0usize; self.classes.len()];
        self.labels.iter().for_each(|&class| counts[class] += 1);
        let named = self.classes.iter().zip(counts).map(|(name, n)| format!("{name} {n}"));
        let left_out = [
            (self.duplicates, "repeat a text"),
            (self.contradictory, "have a text with two labels"),
            (self.empty_lines, "lines are empty"),
        ];
        let left_out: Vec<String> =
            left_out.into_iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{n} {why}")).collect();
        let left_out = if left_out.is_empty() { String::new() } else { format!("; left out: {}", left_out.join(", ")) };
        format!(
            "{} rows read, {} texts of {} classes ({}){left_out}",
            self.len() + self.duplicates + self.contradictory,
            self.len(),
            self.classes.len(),
            named.collect::<Vec<_>>().join(", ")
        )
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }
    /// Whether there is none; there never is.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The share of the largest class among `of`.
    pub fn majority(&self, of: &[usize]) -> f64 {
        let mut counts = vec![0usize; self.classes.len()];
        of.iter().for_each(|&i| counts[self.labels[i]] += 1);
        *counts.iter().max().unwrap_or(&0) as f64 / of.len().max(1) as f64
    }
}

/// Rows of three sets that share none, as numbers into a [`Labelled`].
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To learn from.
    pub train: Vec<usize>,
    /// To stop and choose by.
    pub validation: Vec<usize>,
    /// To judge by, once.
    pub test: Vec<usize>,
}

impl Split {
    /// Splits each class by the shares `validation` and `test`, in an order that `seed` decides; the sets are shuffled.
    ///
    /// # Errors
    /// Naming the class that is too small to be in all three sets.
    pub fn new(data: &Labelled, validation: f64, test: f64, seed: u64) -> Result<Self> {
        let mut by_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        data.labels.iter().enumerate().for_each(|(i, class)| by_class.entry(*class).or_default().push(i));
        let mut split = Self { train: Vec::new(), validation: Vec::new(), test: Vec::new() };
        for (class, mut rows) in by_class {
            Rng::named(seed, "split", class as u64).shuffle(&mut rows);
            let of = |share: f64| (share * rows.len() as f64).round() as usize;
            let (v, t) = (of(validation), of(test));
            if v == 0 || t == 0 || v + t >= rows.len() {
                let name = &data.classes[class];
                let which = if v == 0 {
                    "validation"
                } else if t == 0 {
                    "test"
                } else {
                    "training"
                };
                return Err(Error::invalid(format!(
                    "the class '{name}' has {} texts, too few: its {which} set would be empty",
                    rows.len()
                )));
            }
            split.validation.extend(&rows[..v]);
            split.test.extend(&rows[v..v + t]);
            split.train.extend(&rows[v + t..]);
        }
        for (i, set) in [&mut split.train, &mut split.validation, &mut split.test].into_iter().enumerate() {
            Rng::named(seed, "order of a split", i as u64).shuffle(set);
        }
        Ok(split)
    }
}

/// At most `most` rows of a set (0: all), each class in its share as nearly as whole rows allow and never without a row.
///
/// # Errors
/// When `most` is less than the number of classes.
pub fn some(data: &Labelled, of: &[usize], most: usize, rng: &mut Rng) -> Result<Vec<usize>> {
    if most == 0 || most >= of.len() {
        return Ok(of.to_vec());
    }
    let classes = data.classes.len();
    if most < classes {
        return Err(Error::invalid(format!("{most} texts of {classes} classes: at least one of each is needed")));
    }
    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); classes];
    of.iter().for_each(|&i| by_class[data.labels[i]].push(i));
    by_class.iter_mut().for_each(|rows| rng.shuffle(rows));
    // Largest remainders, after one for each class.
    let exact: Vec<f64> = by_class.iter().map(|r| r.len() as f64 * most as f64 / of.len() as f64).collect();
    let mut counts: Vec<usize> = exact.iter().zip(&by_class).map(|(e, r)| (*e as usize).max(1).min(r.len())).collect();
    while counts.iter().sum::<usize>() != most {
        let over = counts.iter().sum::<usize>() > most;
        let gap = |c: usize| exact[c] - counts[c] as f64;
        let free = (0..classes).filter(|&c| if over { counts[c] > 1 } else { counts[c] < by_class[c].len() });
        let next = if over {
            free.min_by(|a, b| gap(*a).total_cmp(&gap(*b)))
        } else {
            free.max_by(|a, b| gap(*a).total_cmp(&gap(*b)))
        };
        let next = next.expect("there are enough rows, and enough to take away");
        counts[next] = if over { counts[next] - 1 } else { counts[next] + 1 };
    }
    let mut out: Vec<usize> = by_class.iter().zip(counts).flat_map(|(rows, n)| rows[..n].to_vec()).collect();
    rng.shuffle(&mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn rows(list: &[(&str, &str)]) -> Vec<Row> {
        let row = |(i, (t, l)): (usize, &(&str, &str))| Row {
            text: (*t).into(),
            label: (*l).into(),
            place: format!("row {i}"),
        };
        list.iter().enumerate().map(row).collect()
    }

    #[test]
    fn equal_texts_are_one_and_contradictions_none() {
        let data = Labelled::new(rows(&[
            ("A good film!", "p"),
            ("a  GOOD film", "p"),
            ("bad", "n"),
            ("so so", "p"),
            ("So-so.", "n"),
            ("so so", "n"),
            (":-(", "n"),
            (":-)", "p"),
        ]))
        .unwrap();
        assert_eq!(data.texts, ["A good film!", "bad", ":-(", ":-)"]);
        assert_eq!((data.labels.clone(), data.duplicates, data.contradictory), (vec![1, 0, 0, 1], 1, 3));
        let said =
            "8 rows read, 4 texts of 2 classes (n 2, p 2); left out: 1 repeat a text, 3 have a text with two labels";
        assert_eq!(data.account(), said);
        let wrong = |list: &[(&str, &str)]| Labelled::new(rows(list)).unwrap_err().to_string();
        assert_eq!(wrong(&[("a", "x"), ("b", " ")]), "row 1: it has no label");
        assert_eq!(wrong(&[("a", "x"), ("", "y")]), "row 1: it has no text");
        assert!(wrong(&[("a", "x"), ("b", "x")]).contains("all labels are 'x'"));
        assert!(wrong(&[]).contains("no row is left"));
    }

    #[test]
    fn sets_share_no_row_keep_the_classes_shares_and_depend_on_the_seed_alone() {
        let list: Vec<(String, &str)> = (0..300).map(|i| (format!("text {i}"), ["a", "b", "b"][i % 3])).collect();
        let list: Vec<(&str, &str)> = list.iter().map(|(t, l)| (t.as_str(), *l)).collect();
        let data = Labelled::new(rows(&list)).unwrap();
        let split = Split::new(&data, 0.1, 0.2, 5).unwrap();
        assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (210, 30, 60));
        let all: HashSet<usize> =
            [&split.train, &split.validation, &split.test].into_iter().flatten().copied().collect();
        assert_eq!(all.len(), 300);
        assert!((data.majority(&split.test) - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(split, Split::new(&data, 0.1, 0.2, 5).unwrap());
        assert_ne!(split, Split::new(&data, 0.1, 0.2, 6).unwrap());
        for most in [2, 3, 7, 100, 209] {
            let part = some(&data, &split.train, most, &mut Rng::stream(1, 1)).unwrap();
            assert_eq!(part.iter().collect::<HashSet<_>>().len(), most);
            let b = part.iter().filter(|i| data.labels[**i] == 1).count() as f64;
            assert!((b - most as f64 * 2.0 / 3.0).abs() <= 1.0, "{most}: {b}");
        }
        assert_eq!(some(&data, &split.train, 0, &mut Rng::stream(1, 1)).unwrap(), split.train);
        assert!(some(&data, &split.train, 1, &mut Rng::stream(1, 1)).is_err());
        let few = Labelled::new(rows(&[("1", "a"), ("2", "a"), ("3", "b"), ("4", "b")])).unwrap();
        assert!(Split::new(&few, 0.1, 0.2, 0).unwrap_err().to_string().contains("the class 'a' has 2 texts"));
    }
}
