//! What an observation or an action is: its kind, its shape, its range; and the typed columns that hold batches of them.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Range};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
    impl Sealed for i64 {}
}

/// A scalar that may live in a batch column: `f32` and `u8` observations, `i64` and `f32` actions.
pub trait Element: Copy + Default + PartialEq + fmt::Debug + Send + Sync + sealed::Sealed + 'static {
    /// A column of `n` zeros.
    fn column(n: usize) -> Column;
    /// The typed contents, if the column is of this type.
    fn of(column: ColumnRef<'_>) -> Option<&[Self]>;
    /// The typed contents to write, if the column is of this type.
    fn of_mut(column: ColumnMut<'_>) -> Option<&mut [Self]>;
    /// The typed actions, if they are of this type.
    fn of_actions<'a>(actions: &Actions<'a>) -> Option<&'a [Self]>;
    /// The typed actions to write, if they are of this type.
    fn of_actions_mut(actions: ActionsMut<'_>) -> Option<&mut [Self]>;
    /// Typed scalars as a column, type known at run time.
    fn lend(typed: &[Self]) -> ColumnRef<'_>;
    /// As a float, for checks.
    fn to_f32(self) -> f32;
    /// One of two values that no world writes on purpose, to find out what it leaves unwritten.
    fn poison(second: bool) -> Self;
}

/// A column of a batch, its type known at run time: one `match` per batch, never per step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Column {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Bytes.
    U8(Vec<u8>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

/// A column, or a part of one, lent to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ColumnRef<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// Bytes.
    U8(&'a [u8]),
    /// 64-bit integers.
    I64(&'a [i64]),
}

/// A column, or a part of one, lent to write.
#[derive(Debug)]
pub enum ColumnMut<'a> {
    /// 32-bit floats.
    F32(&'a mut [f32]),
    /// Bytes.
    U8(&'a mut [u8]),
    /// 64-bit integers.
    I64(&'a mut [i64]),
}

/// Does the same to whichever type a column holds.
macro_rules! each {
    ($Enum:ident, $self:expr, $x:ident => $e:expr) => {
        match $self {
            $Enum::F32($x) => $e,
            $Enum::U8($x) => $e,
            $Enum::I64($x) => $e,
        }
    };
}
/// Does the same and wraps the result in the same variant of another column type.
macro_rules! map {
    ($Enum:ident, $self:expr, $Out:ident, $x:ident => $e:expr) => {
        match $self {
            $Enum::F32($x) => $Out::F32($e),
            $Enum::U8($x) => $Out::U8($e),
            $Enum::I64($x) => $Out::I64($e),
        }
    };
}

impl Column {
    /// Number of scalars.
    pub fn len(&self) -> usize {
        each!(Self, self, x => x.len())
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Copies `from` to the start of the column.
    pub fn copy_to_front(&mut self, from: Range<usize>) {
        each!(Self, self, x => x.copy_within(from, 0));
    }
    /// A part to read.
    pub fn slice(&self, part: Range<usize>) -> ColumnRef<'_> {
        map!(Self, self, ColumnRef, x => &x[part])
    }
    /// A part to write.
    pub fn slice_mut(&mut self, part: Range<usize>) -> ColumnMut<'_> {
        map!(Self, self, ColumnMut, x => &mut x[part])
    }
}

impl<'a> ColumnRef<'a> {
    /// Number of scalars.
    pub fn len(&self) -> usize {
        each!(Self, self, x => x.len())
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A part of it.
    pub fn slice(self, part: Range<usize>) -> ColumnRef<'a> {
        map!(Self, self, ColumnRef, x => &x[part])
    }
    /// The floats, or an error that says what it is instead.
    pub fn f32(self) -> Result<&'a [f32]> {
        match self {
            Self::F32(x) => Ok(x),
            Self::U8(_) => Err(Error::mismatch("column", "f32", "u8")),
            Self::I64(_) => Err(Error::mismatch("column", "f32", "i64")),
        }
    }
    /// An owned copy.
    pub fn to_column(self) -> Column {
        map!(Self, self, Column, x => x.to_vec())
    }
    /// Appends every scalar as an `f32`, the common way to feed a network.
    pub fn extend_f32(self, out: &mut Vec<f32>) {
        match self {
            Self::F32(x) => out.extend_from_slice(x),
            Self::U8(x) => out.extend(x.iter().map(|&v| f32::from(v))),
            Self::I64(x) => out.extend(x.iter().map(|&v| v as f32)),
        }
    }
}

impl ColumnMut<'_> {
    /// Number of scalars.
    pub fn len(&self) -> usize {
        each!(Self, self, x => x.len())
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Copies a column of the same type and length; false, and nothing done, when it is of another.
    #[must_use]
    pub fn copy_from(&mut self, from: ColumnRef<'_>) -> bool {
        if self.len() != from.len() {
            return false;
        }
        match (self, from) {
            (Self::F32(to), ColumnRef::F32(from)) => to.copy_from_slice(from),
            (Self::U8(to), ColumnRef::U8(from)) => to.copy_from_slice(from),
            (Self::I64(to), ColumnRef::I64(from)) => to.copy_from_slice(from),
            _ => return false,
        }
        true
    }
    /// Lends it again, for a shorter time.
    pub fn lend(&mut self) -> ColumnMut<'_> {
        map!(Self, self, ColumnMut, x => &mut **x)
    }
}

/// One action per acting row: ids of discrete (or, `width` apiece, multi-discrete) choices, or vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Actions<'a> {
    /// `rows x width` ids.
    Discrete(&'a [i64]),
    /// `rows x width` floats.
    Continuous(&'a [f32]),
}

impl<'a> Actions<'a> {
    /// A part of them.
    pub fn slice(self, part: Range<usize>) -> Self {
        match self {
            Self::Discrete(x) => Self::Discrete(&x[part]),
            Self::Continuous(x) => Self::Continuous(&x[part]),
        }
    }
    /// An owned copy.
    pub fn to_buffer(self) -> ActionBuffer {
        match self {
            Self::Discrete(x) => ActionBuffer::Discrete(x.to_vec()),
            Self::Continuous(x) => ActionBuffer::Continuous(x.to_vec()),
        }
    }
    /// Number of scalars.
    pub fn len(&self) -> usize {
        match self {
            Self::Discrete(x) => x.len(),
            Self::Continuous(x) => x.len(),
        }
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Actions to be chosen: see [`Actions`].
#[derive(Debug)]
pub enum ActionsMut<'a> {
    /// `rows x width` ids.
    Discrete(&'a mut [i64]),
    /// `rows x width` floats.
    Continuous(&'a mut [f32]),
}

/// An owned buffer of actions of whatever kind a space has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActionBuffer {
    /// Ids.
    Discrete(Vec<i64>),
    /// Floats.
    Continuous(Vec<f32>),
}

impl ActionBuffer {
    /// A buffer of zeros for `rows` actions of `space`.
    pub fn new(space: &Space, rows: usize) -> Self {
        match space {
            Space::Box { .. } => Self::Continuous(vec![0.0; rows * space.width()]),
            _ => Self::Discrete(vec![0; rows * space.width()]),
        }
    }
    /// A part to read.
    pub fn slice(&self, part: Range<usize>) -> Actions<'_> {
        self.get().slice(part)
    }
    /// A part to write.
    pub fn slice_mut(&mut self, part: Range<usize>) -> ActionsMut<'_> {
        match self {
            Self::Discrete(x) => ActionsMut::Discrete(&mut x[part]),
            Self::Continuous(x) => ActionsMut::Continuous(&mut x[part]),
        }
    }
    /// To read.
    pub fn get(&self) -> Actions<'_> {
        match self {
            Self::Discrete(x) => Actions::Discrete(x),
            Self::Continuous(x) => Actions::Continuous(x),
        }
    }
    /// To write.
    pub fn get_mut(&mut self) -> ActionsMut<'_> {
        match self {
            Self::Discrete(x) => ActionsMut::Discrete(x),
            Self::Continuous(x) => ActionsMut::Continuous(x),
        }
    }
}

macro_rules! element {
    ($t:ty, $variant:ident, $poison:expr, $actions:pat, $actions_mut:pat => $typed:expr) => {
        impl Element for $t {
            fn column(n: usize) -> Column {
                Column::$variant(vec![Default::default(); n])
            }
            fn of(column: ColumnRef<'_>) -> Option<&[Self]> {
                match column {
                    ColumnRef::$variant(x) => Some(x),
                    _ => None,
                }
            }
            fn of_mut(column: ColumnMut<'_>) -> Option<&mut [Self]> {
                match column {
                    ColumnMut::$variant(x) => Some(x),
                    _ => None,
                }
            }
            #[allow(unreachable_patterns)]
            fn of_actions<'a>(actions: &Actions<'a>) -> Option<&'a [Self]> {
                match *actions {
                    $actions => $typed,
                    _ => None,
                }
            }
            #[allow(unreachable_patterns)]
            fn of_actions_mut(actions: ActionsMut<'_>) -> Option<&mut [Self]> {
                match actions {
                    $actions_mut => $typed,
                    _ => None,
                }
            }
            fn lend(typed: &[Self]) -> ColumnRef<'_> {
                ColumnRef::$variant(typed)
            }
            fn to_f32(self) -> f32 {
                self as f32
            }
            fn poison(second: bool) -> Self {
                let both: [Self; 2] = $poison;
                both[usize::from(second)]
            }
        }
    };
}
element!(f32, F32, [-7.77e7, 3.33e8], Actions::Continuous(x), ActionsMut::Continuous(x) => Some(x));
element!(i64, I64, [i64::MIN + 7, i64::MAX - 7], Actions::Discrete(x), ActionsMut::Discrete(x) => Some(x));
// Bytes are observations only: whatever the actions are, they are not bytes.
element!(u8, U8, [0xA7, 0x5B], _, _ => None);

/// The set an observation or an action comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Space {
    /// Vectors (or arrays) within bounds, one pair of bounds per scalar; an infinite bound is none.
    Box {
        /// The array's shape; its product is the row's width.
        shape: Vec<usize>,
        /// Lowest value of each scalar.
        low: Vec<f32>,
        /// Highest value of each scalar.
        high: Vec<f32>,
    },
    /// One of `n` choices.
    Discrete(usize),
    /// One choice from each of several sets.
    MultiDiscrete(Vec<usize>),
}

impl Space {
    /// A box with the same bounds for each of `width` scalars.
    pub fn uniform(width: usize, low: f32, high: f32) -> Self {
        Self::Box { shape: vec![width], low: vec![low; width], high: vec![high; width] }
    }
    /// A box with bounds of its own for each scalar, in the form [-bound, bound].
    pub fn symmetric(bounds: &[f32]) -> Self {
        Self::Box { shape: vec![bounds.len()], low: bounds.iter().map(|b| -b).collect(), high: bounds.to_vec() }
    }
    /// Scalars in a row of a batch.
    pub fn width(&self) -> usize {
        match self {
            Self::Box { shape, .. } => shape.iter().product(),
            Self::Discrete(_) => 1,
            Self::MultiDiscrete(sets) => sets.len(),
        }
    }
    /// Mask entries in a row: one per choice of each set; none for a box.
    pub fn choices(&self) -> usize {
        match self {
            Self::Box { .. } => 0,
            Self::Discrete(n) => *n,
            Self::MultiDiscrete(sets) => sets.iter().sum(),
        }
    }
    /// The sizes of the choice sets: one for discrete, several for multi-discrete, none for a box.
    pub fn sets(&self) -> &[usize] {
        match self {
            Self::Box { .. } => &[],
            Self::Discrete(n) => std::slice::from_ref(n),
            Self::MultiDiscrete(sets) => sets,
        }
    }
    /// A short name for messages: `box[4]`, `discrete(2)`.
    pub fn describe(&self) -> String {
        match self {
            Self::Box { shape, .. } => format!("box{shape:?}"),
            Self::Discrete(n) => format!("discrete({n})"),
            Self::MultiDiscrete(sets) => format!("multi-discrete{sets:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
