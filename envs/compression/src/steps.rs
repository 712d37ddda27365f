//! What is decided when: the dimensions of a search space block by block.
use rlx::{Objective, SearchSpace};

/// The order in which a configuration is decided. A dimension's name is its block and its kind: `block 3 bits`; the dimensions of a block
/// are decided at one step, each kind by a set of choices of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// The kinds, in the order of their first dimension: one set of choices each.
    pub kinds: Vec<String>,
    /// Choices of each set: the most levels that a dimension of the kind has.
    pub choices: Vec<usize>,
    /// The blocks' names, in the order they are decided.
    pub blocks: Vec<String>,
    /// For each block and kind the dimension, if the block has one.
    pub dimensions: Vec<Vec<Option<usize>>>,
    /// For each block the features that are named after it, each at the place of its own name (without the block's).
    pub features: Vec<Vec<Option<usize>>>,
    /// Those names.
    pub feature_names: Vec<String>,
}

fn parts(name: &str) -> (&str, &str) {
    name.rsplit_once(' ').unwrap_or(("model", name))
}

fn place<T: PartialEq<str> + for<'a> From<&'a str>>(list: &mut Vec<T>, name: &str) -> usize {
    list.iter().position(|n| n == name).unwrap_or_else(|| {
        list.push(name.into());
        list.len() - 1
    })
}

impl Steps {
    /// The steps of an objective's space.
    pub fn new(objective: &dyn Objective) -> Self {
        let space: &SearchSpace = objective.space();
        let (mut kinds, mut blocks): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for d in space.dimensions() {
            let (block, kind) = parts(&d.name);
            place(&mut blocks, block);
            place(&mut kinds, kind);
        }
        let mut choices = vec![1; kinds.len()];
        let mut dimensions = vec![vec![None; kinds.len()]; blocks.len()];
        for (i, d) in space.dimensions().iter().enumerate() {
            let (block, kind) = parts(&d.name);
            let kind = place(&mut kinds, kind);
            choices[kind] = choices[kind].max(d.len());
            dimensions[place(&mut blocks, block)][kind] = Some(i);
        }
        let mut feature_names: Vec<String> = Vec::new();
        let mut found = Vec::new();
        for (i, name) in objective.feature_names().iter().enumerate() {
            // The longest name wins: `block 1` is no beginning of `block 12`.
            let of =
                blocks.iter().position(|b| name.strip_prefix(b.as_str()).is_some_and(|rest| rest.starts_with(' ')));
            if let Some(block) = of {
                found.push((block, place(&mut feature_names, &name[blocks[block].len() + 1..]), i));
            }
        }
        let mut features = vec![vec![None; feature_names.len()]; blocks.len()];
        found.into_iter().for_each(|(block, kind, i)| features[block][kind] = Some(i));
        Self { kinds, choices, blocks, dimensions, features, feature_names }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }
    /// Whether there are none; a search space always has a dimension.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}
