//! `Worlds`, the class that Python's environments are thin covers over.
use crate::{
    batch::{Autoreset, Batch, Out},
    errors::{panicked, raise},
    film::render::render,
    registry,
};
use numpy::{
    Element, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1,
    PyUntypedArrayMethods,
};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyTuple},
};
use rlx::{Actions, Column, ColumnMut, Scalars, Space, Spec};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, TryLockError},
};

/// Worlds that are stepped side by side. Environments for Gymnasium are made of it: `rlx.Env` and `rlx.VectorEnv`.
#[pyclass(frozen, subclass, module = "rlx._native")]
pub struct Worlds {
    batch: Mutex<Batch>,
    spec: Spec,
    n: usize,
    bytes: bool,
    /// Whether a step takes long enough for others to have the interpreter meanwhile.
    long: bool,
}

impl Worlds {
    /// Works on the worlds, the interpreter free for others meanwhile where that is worth it.
    fn with<R: Send>(
        &self,
        py: Python<'_>,
        long: bool,
        work: impl FnOnce(&mut Batch) -> rlx::Result<R> + Send,
    ) -> PyResult<R> {
        let mut batch = match self.batch.try_lock() {
            Ok(batch) => batch,
            Err(TryLockError::Poisoned(batch)) => batch.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(PyRuntimeError::new_err(
                    "another thread is in this environment: give each thread one of its own, or a lock",
                ));
            }
        };
        batch.enter().map_err(PyRuntimeError::new_err)?;
        let inside: &mut Batch = &mut batch;
        let done = catch_unwind(AssertUnwindSafe(|| if long { py.detach(|| work(inside)) } else { work(inside) }));
        match done {
            Ok(done) => {
                batch.leave();
                done.map_err(raise)
            }
            Err(cause) => Err(panicked(&*cause)),
        }
    }
}

fn slice<'a, T: Element>(array: &'a mut PyReadwriteArray1<'_, T>, what: &str, n: usize) -> PyResult<&'a mut [T]> {
    let found = array.len();
    if found != n {
        return Err(PyValueError::new_err(format!("{what}: {n} scalars are wanted, these are {found}")));
    }
    array.as_slice_mut().map_err(|e| PyValueError::new_err(format!("{what}: {e}")))
}

/// A one-dimensional array to be written.
fn writes<'py, T: Element>(array: &Bound<'py, PyAny>, what: &str) -> PyResult<PyReadwriteArray1<'py, T>> {
    let array = array.cast::<PyArray1<T>>().map_err(|e| PyTypeError::new_err(format!("{what}: {e}")))?;
    array.try_readwrite().map_err(|e| PyValueError::new_err(format!("{what}: {e}")))
}

/// One action for each world, as an array of ids or of numbers.
enum Held<'py> {
    Ids(PyReadonlyArray1<'py, i64>),
    Numbers(PyReadonlyArray1<'py, f32>),
}

impl<'py> Held<'py> {
    fn new(actions: &Bound<'py, PyAny>, space: &Space) -> PyResult<Self> {
        let wrong = |e: &dyn std::fmt::Display| PyTypeError::new_err(format!("actions: {e}"));
        match space {
            Space::Box { .. } => Ok(Self::Numbers(
                actions.cast::<PyArray1<f32>>().map_err(|e| wrong(&e))?.try_readonly().map_err(|e| wrong(&e))?,
            )),
            _ => Ok(Self::Ids(
                actions.cast::<PyArray1<i64>>().map_err(|e| wrong(&e))?.try_readonly().map_err(|e| wrong(&e))?,
            )),
        }
    }
    fn get(&self) -> PyResult<Actions<'_>> {
        let wrong = |_| PyValueError::new_err("actions: they must lie in memory one after another");
        Ok(match self {
            Self::Ids(a) => Actions::Discrete(a.as_slice().map_err(wrong)?),
            Self::Numbers(a) => Actions::Continuous(a.as_slice().map_err(wrong)?),
        })
    }
}

fn mode(name: &str) -> PyResult<Autoreset> {
    match name {
        "NextStep" => Ok(Autoreset::Next),
        "SameStep" => Ok(Autoreset::Same),
        "Disabled" => Ok(Autoreset::Disabled),
        other => Err(PyValueError::new_err(format!(
            "autoreset_mode = {other}: it must be one of NextStep, SameStep, Disabled"
        ))),
    }
}

fn numbers<'py>(py: Python<'py>, scalars: &Scalars) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    scalars.iter().try_for_each(|(name, value)| dict.set_item(name, value))?;
    Ok(dict)
}

#[pymethods]
impl Worlds {
    /// `n` worlds of that name with that config, a JSON object; `limit` truncates episodes earlier than the world does.
    #[new]
    #[pyo3(signature = (name, config, n, limit=None))]
    fn new(name: &str, config: &str, n: usize, limit: Option<u32>) -> PyResult<Self> {
        let wrong = |e: serde_json::Error| PyValueError::new_err(format!("config: {e}"));
        let made = catch_unwind(|| {
            let world = registry()?.find_world(name).map_err(raise)?;
            Batch::new(world, serde_json::from_str(config).map_err(wrong)?, n, limit).map_err(raise)
        });
        let batch = made.map_err(|cause| panicked(&*cause))??;
        let spec = batch.spec().clone();
        let long = n > 1 || spec.grain < 16;
        Ok(Self { bytes: batch.bytes(), batch: Mutex::new(batch), spec, n, long })
    }

    /// What the worlds are: spaces, goal, limit, named parts of an observation.
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (s, dict) = (&self.spec, PyDict::new(py));
        dict.set_item("name", &s.name)?;
        dict.set_item("obs", space(py, &s.obs)?)?;
        dict.set_item("act", space(py, &s.act)?)?;
        dict.set_item("bytes", self.bytes)?;
        dict.set_item("time_limit", s.time_limit)?;
        let goal = |g: &rlx::Goal| [(g.achieved.start, g.achieved.end), (g.desired.start, g.desired.end)];
        dict.set_item("goal", s.goal.as_ref().map(goal))?;
        let skills: Vec<_> = s.skills.iter().map(|k| (k.name.clone(), goal(&k.goal))).collect();
        dict.set_item("skills", skills)?;
        dict.set_item("fields", crate::fields(py, &s.fields)?)?;
        dict.set_item("bots", &s.bots)?;
        let drawn = self.with(py, false, |b| Ok(b.draw(0).map(|d| d.tick_s)))?;
        dict.set_item("fps", drawn.map(|s| (1.0 / s).round()))?;
        Ok(dict)
    }

    /// Starts episodes and writes their first observations into `obs`, in all worlds or where `only` is set; afresh where a seed is given.
    #[pyo3(signature = (obs, seeds=None, only=None))]
    fn reset(
        &self,
        py: Python<'_>,
        obs: &Bound<'_, PyAny>,
        seeds: Option<Vec<Option<u64>>>,
        only: Option<Vec<bool>>,
    ) -> PyResult<()> {
        let (n, size) = (self.n, self.n * self.spec.obs.width());
        let odd = seeds.as_ref().map(Vec::len).into_iter().chain(only.as_ref().map(Vec::len)).find(|k| *k != n);
        if let Some(k) = odd {
            return Err(PyValueError::new_err(format!("{k} seeds or flags for {n} environments: one each is wanted")));
        }
        let seeds = seeds.unwrap_or_else(|| vec![None; n]);
        let start = |batch: &mut Batch, obs: ColumnMut<'_>| batch.reset(only.as_deref(), &seeds, obs);
        if self.bytes {
            let mut obs = writes::<u8>(obs, "obs")?;
            let obs = slice(&mut obs, "obs", size)?;
            self.with(py, true, |b| start(b, ColumnMut::U8(obs)))
        } else {
            let mut obs = writes::<f32>(obs, "obs")?;
            let obs = slice(&mut obs, "obs", size)?;
            self.with(py, true, |b| start(b, ColumnMut::F32(obs)))
        }
    }

    /// Advances every world by its action and writes what came of it into the arrays; `success` is empty for worlds without a goal.
    /// Returns how many episodes ended.
    #[allow(clippy::too_many_arguments)] // the arrays of a step
    fn step(
        &self,
        py: Python<'_>,
        actions: &Bound<'_, PyAny>,
        autoreset: &str,
        obs: &Bound<'_, PyAny>,
        reward: &Bound<'_, PyAny>,
        terminated: &Bound<'_, PyAny>,
        truncated: &Bound<'_, PyAny>,
        success: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let (n, size, mode) = (self.n, self.n * self.spec.obs.width(), mode(autoreset)?);
        let held = Held::new(actions, &self.spec.act)?;
        let act = held.get()?;
        let (mut reward, mut terminated) =
            (writes::<f64>(reward, "reward")?, writes::<bool>(terminated, "terminated")?);
        let (mut truncated, mut success) =
            (writes::<bool>(truncated, "truncated")?, writes::<bool>(success, "success")?);
        let goals = if self.spec.goal.is_some() { n } else { 0 };
        let reward = slice(&mut reward, "reward", n)?;
        let terminated = slice(&mut terminated, "terminated", n)?;
        let truncated = slice(&mut truncated, "truncated", n)?;
        let success = slice(&mut success, "success", goals)?;
        let mut step = |batch: &mut Batch, obs: ColumnMut<'_>| {
            batch.step(act, mode, Out { obs, reward, terminated, truncated, success })
        };
        if self.bytes {
            let mut obs = writes::<u8>(obs, "obs")?;
            let obs = slice(&mut obs, "obs", size)?;
            self.with(py, self.long, |b| step(b, ColumnMut::U8(obs)))
        } else {
            let mut obs = writes::<f32>(obs, "obs")?;
            let obs = slice(&mut obs, "obs", size)?;
            self.with(py, self.long, |b| step(b, ColumnMut::F32(obs)))
        }
    }

    /// Advances the only world: (observation, reward, terminated, truncated, success). The observation is an array, or three where there
    /// is a goal: what is no goal, the achieved one, the desired one.
    fn step_one<'py>(&self, py: Python<'py>, action: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        if self.bytes {
            self.one::<u8>(py, action, |x| ColumnMut::U8(x))
        } else {
            self.one::<f32>(py, action, |x| ColumnMut::F32(x))
        }
    }

    /// Starts an episode in the only world and returns its observation, as `step_one` does.
    #[pyo3(signature = (seed=None))]
    fn reset_one<'py>(&self, py: Python<'py>, seed: Option<u64>) -> PyResult<Bound<'py, PyAny>> {
        if self.bytes {
            let mut row = vec![0u8; self.spec.obs.width()];
            self.with(py, self.long, |b| b.reset(None, &[seed], ColumnMut::U8(&mut row)))?;
            self.shown(py, &row)
        } else {
            let mut row = vec![0f32; self.spec.obs.width()];
            self.with(py, self.long, |b| b.reset(None, &[seed], ColumnMut::F32(&mut row)))?;
            self.shown(py, &row)
        }
    }

    /// The worlds whose episodes ended in the last step: pairs of a world's number and a copy of its final observation.
    fn finals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let w = self.spec.obs.width();
        let rows = self.with(py, false, |b| {
            let row = |i: usize| b.last().slice(i * w..(i + 1) * w).to_column();
            Ok(b.ended().map(|i| (i, row(i))).collect::<Vec<_>>())
        })?;
        let list = PyList::empty(py);
        for (i, row) in &rows {
            let shown = match row {
                Column::F32(x) => self.shown(py, x),
                Column::U8(x) => self.shown(py, x),
                Column::I64(x) => self.shown(py, x),
            };
            list.append((*i, shown?))?;
        }
        Ok(list)
    }

    /// What the worlds whose episodes ended in the last step say of them: pairs of a world's number and a dict.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all = self.with(py, false, |b| Ok(b.metrics().to_vec()))?;
        let list = PyList::empty(py);
        for (i, scalars) in &all {
            list.append((*i, numbers(py, scalars)?))?;
        }
        Ok(list)
    }

    /// Which choices are allowed, `[n, choices]`.
    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<bool>>> {
        let mask = self.with(py, false, |b| Ok(b.mask().to_vec()))?;
        PyArray1::from_vec(py, mask).reshape([self.n, self.spec.act.choices()])
    }

    /// Rewards, terminations and successes that the world's own judgement gives (achieved, desired) rows.
    fn judge<'py>(
        &self,
        py: Python<'py>,
        achieved: PyReadonlyArray2<'py, f32>,
        desired: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let Some(goal) = &self.spec.goal else {
            return Err(PyValueError::new_err(format!("{} has no goal", self.spec.name)));
        };
        let (w, n) = (goal.achieved.len(), achieved.shape()[0]);
        if achieved.shape() != [n, w] || desired.shape() != [n, w] {
            let (a, d) = (achieved.shape(), desired.shape());
            return Err(PyValueError::new_err(format!("goals of shapes {a:?} and {d:?}: both must be [n, {w}]")));
        }
        let wrong = |_| PyValueError::new_err("goals: they must lie in memory one after another");
        let (a, d) = (achieved.as_slice().map_err(wrong)?, desired.as_slice().map_err(wrong)?);
        let judge = || a.chunks_exact(w).zip(d.chunks_exact(w)).map(|(a, d)| (goal.judge)(a, d)).collect::<Vec<_>>();
        let judged = catch_unwind(AssertUnwindSafe(|| py.detach(judge))).map_err(|cause| panicked(&*cause))?;
        let reward = PyArray1::from_iter(py, judged.iter().map(|j| f64::from(j.reward)));
        let terminated = PyArray1::from_iter(py, judged.iter().map(|j| j.terminated));
        let success = PyArray1::from_iter(py, judged.iter().map(|j| j.success));
        (reward, terminated, success).into_pyobject(py)
    }

    /// A picture of world `i`, a fresh array of `[height, width, 3]` bytes; None where nothing is to be seen.
    fn draw<'py>(
        &self,
        py: Python<'py>,
        i: usize,
        width: usize,
        height: usize,
    ) -> PyResult<Option<Bound<'py, PyArray3<u8>>>> {
        if i >= self.n || width == 0 || height == 0 {
            return Err(PyValueError::new_err(format!("a picture of {width} x {height} of environment {i}")));
        }
        let picture = self.with(py, true, |b| Ok(b.draw(i).map(|d| render(&d, width, height).rgb)))?;
        picture.map(|rgb| PyArray1::from_vec(py, rgb).reshape([height, width, 3])).transpose()
    }

    /// Keeps how a world looked when its episode ended, from now on.
    fn film(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, false, |b| {
            b.film();
            Ok(())
        })
    }

    /// What the world's own player of that number would do now: an action for each world.
    fn bot<'py>(&self, py: Python<'py>, number: usize, seed: u64) -> PyResult<Bound<'py, PyAny>> {
        let act = self.with(py, self.long, |b| b.bot(number, seed))?;
        Ok(match act {
            rlx::ActionBuffer::Discrete(a) => PyArray1::from_vec(py, a).into_any(),
            rlx::ActionBuffer::Continuous(a) => PyArray1::from_vec(py, a).into_any(),
        })
    }

    /// Steps the worlds alone in Rust, by the rows of `actions` in turn, for `rlx.bench`; they must be reset afterwards.
    fn alone(&self, py: Python<'_>, actions: &Bound<'_, PyAny>, ticks: usize) -> PyResult<()> {
        let held = Held::new(actions, &self.spec.act)?;
        let act = held.get()?;
        if act.len() < self.n * self.spec.act.width() {
            return Err(PyValueError::new_err("actions: at least one row is wanted"));
        }
        self.with(py, true, |b| b.alone(act, ticks))
    }

    /// Everything as bytes: `load` of them goes on bit for bit.
    fn save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.with(py, self.long, |b| Ok(b.save()))?))
    }

    /// Takes over what `save` gave.
    fn load(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        self.with(py, self.long, |b| b.load(state))
    }

    /// Bytes of observations that this package copied from one place to another since the worlds were made.
    #[getter]
    fn copied(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, false, |b| Ok(b.copied()))
    }
}

impl Worlds {
    fn one<'py, T: Element + Copy + Default + Send>(
        &self,
        py: Python<'py>,
        action: &Bound<'py, PyAny>,
        wrap: fn(&mut [T]) -> ColumnMut<'_>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        if self.n != 1 {
            return Err(PyValueError::new_err(format!("{} environments take as many actions", self.n)));
        }
        let id;
        let held;
        let act = if matches!(self.spec.act, Space::Discrete(_)) {
            id = [action.extract::<i64>()?];
            Actions::Discrete(&id)
        } else {
            held = Held::new(action, &self.spec.act)?;
            held.get()?
        };
        let mut row = vec![T::default(); self.spec.obs.width()];
        let (mut reward, mut ends, mut success) = ([0.0], [[false], [false]], [false]);
        let goals = usize::from(self.spec.goal.is_some());
        let obs = wrap(&mut row);
        self.with(py, self.long, |b| {
            let [terminated, truncated] = &mut ends;
            let out = Out { obs, reward: &mut reward, terminated, truncated, success: &mut success[..goals] };
            b.step(act, Autoreset::Disabled, out)
        })?;
        (self.shown(py, &row)?, reward[0], ends[0][0], ends[1][0], success[0]).into_pyobject(py)
    }

    /// An observation for Python: arrays of its own.
    fn shown<'py, T: Element + Copy>(&self, py: Python<'py>, row: &[T]) -> PyResult<Bound<'py, PyAny>> {
        let Some(goal) = &self.spec.goal else { return Ok(PyArray1::from_slice(py, row).into_any()) };
        let (a, d) = (&goal.achieved, &goal.desired);
        let first = a.start.min(d.start);
        let rest = if first + a.len() + d.len() == row.len() {
            PyArray1::from_slice(py, &row[..first])
        } else {
            let other = |i: &usize| !a.contains(i) && !d.contains(i);
            PyArray1::from_iter(py, (0..row.len()).filter(other).map(|i| row[i]))
        };
        let part = |r: &std::ops::Range<usize>| PyArray1::from_slice(py, &row[r.clone()]);
        Ok((rest, part(a), part(d)).into_pyobject(py)?.into_any())
    }
}

/// A space as Python builds it.
fn space<'py>(py: Python<'py>, space: &Space) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    match space {
        Space::Box { shape, low, high } => {
            dict.set_item("shape", PyTuple::new(py, shape)?)?;
            dict.set_item("low", PyArray1::from_slice(py, low))?;
            dict.set_item("high", PyArray1::from_slice(py, high))?;
        }
        Space::Discrete(n) => dict.set_item("n", n)?,
        Space::MultiDiscrete(sets) => dict.set_item("sets", PyArray1::from_iter(py, sets.iter().map(|n| *n as i64)))?,
    }
    Ok(dict)
}
