//! The local engine: a pool of worker processes, one run each, in one view. A worker that dies is replaced and its cell goes on from
//! its checkpoint.
use crate::{
    cells::{Cell, Cells},
    results::{Record, Results, Status},
    worker::Said,
};
use anyhow::{Context, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rlx::say;
use rlx_runs::interrupt::Stop;
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, IsTerminal, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

/// A cell whose worker dies this often is taken for the cause.
const DEATHS: u32 = 3;

/// How the pool is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Workers.
    pub jobs: usize,
    /// Threads of a run: the cores that a worker is pinned to.
    pub threads: usize,
    /// Whether workers are pinned.
    pub pin: bool,
    /// Whether failed cells are tried again.
    pub retry_failed: bool,
    /// The program and the arguments that make it a worker.
    pub program: PathBuf,
    /// See `program`.
    pub arguments: Vec<String>,
    /// Show nothing but warnings and errors.
    pub quiet: bool,
}

/// What came of it all.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Cells finished now.
    pub finished: u64,
    /// Cells that were finished before.
    pub already: u64,
    /// Cells that another process is running.
    pub elsewhere: Vec<u64>,
    /// Cells that were stopped and can go on.
    pub interrupted: u64,
    /// Cells that failed, now or before: number and error.
    pub failed: Vec<(u64, String)>,
}

/// What is still to be run, in order; numbers only, so that a grid of any size costs nothing.
struct Queue {
    next: u64,
    len: u64,
    again: Vec<u64>,
    deaths: HashMap<u64, u32>,
    closed: bool,
}

struct Shared<'a> {
    cells: &'a Cells<'a>,
    records: HashMap<String, Record>,
    queue: Mutex<Queue>,
    inputs: Vec<Mutex<Option<ChildStdin>>>,
    options: &'a Options,
    stop: Stop,
}

enum Event {
    Began(usize, Box<Cell>),
    Said(usize, u64, Said),
    Note(String),
    Skipped(u64, Option<String>),
}

fn hold<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared<'_> {
    /// The next cell to run. What is finished, or failed and not to be tried again, is passed over.
    fn next(&self, tell: &mpsc::Sender<Event>) -> Result<Option<Cell>> {
        let mut queue = hold(&self.queue);
        loop {
            if queue.closed {
                return Ok(None);
            }
            if let Some(index) = queue.again.pop() {
                return self.cells.get(index).map(Some);
            }
            if queue.next >= queue.len {
                return Ok(None);
            }
            let cell = self.cells.get(queue.next)?;
            queue.next += 1;
            let status = if self.records.is_empty() { None } else { self.records.get(&cell.id()) };
            match status {
                Some(r) if r.status == Status::Failed && !self.options.retry_failed => {
                    let error = r.error.clone().unwrap_or_default();
                    drop(tell.send(Event::Skipped(cell.index, Some(error))));
                }
                // A finished cell is looked at again only where its config can be checked cheaply: by its worker, when asked by number.
                Some(r) if r.status == Status::Finished => drop(tell.send(Event::Skipped(cell.index, None))),
                _ => return Ok(Some(cell)),
            }
        }
    }

    fn spawn(&self, slot: usize, tell: &mpsc::Sender<Event>) -> Result<(Child, BufReader<ChildStdout>)> {
        let o = self.options;
        let mut command = Command::new(&o.program);
        command.args(&o.arguments);
        if o.pin {
            command.args(["--pin", &format!("{},{}", slot * o.threads, o.threads)]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", o.program.display()))?;
        *hold(&self.inputs[slot]) = child.stdin.take();
        let out = child.stdout.take().context("the worker's output")?;
        if let Some(err) = child.stderr.take() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(err).lines().map_while(Result::ok) {
                    drop(tell.send(Event::Note(line)));
                }
            });
        }
        Ok((child, BufReader::new(out)))
    }

    /// What a slot of the pool does: hands cells to its worker until there are none.
    fn serve(&self, slot: usize, tell: &mpsc::Sender<Event>) -> Result<()> {
        let mut worker: Option<(Child, BufReader<ChildStdout>)> = None;
        while let Some(cell) = self.next(tell)? {
            let mut live = match worker.take() {
                Some(w) => w,
                None => self.spawn(slot, tell)?,
            };
            let index = cell.index;
            drop(tell.send(Event::Began(slot, Box::new(cell))));
            if let Some(input) = hold(&self.inputs[slot]).as_mut() {
                // A worker that died meanwhile is noticed by the end of its output.
                let _ = writeln!(input, "{index}").and_then(|()| input.flush());
            }
            let mut line = String::new();
            loop {
                line.clear();
                if live.1.read_line(&mut line).unwrap_or(0) == 0 {
                    let status = live.0.wait().context("waiting for a worker")?;
                    self.died(slot, index, &status.to_string(), tell);
                    break;
                }
                let Ok(said) = serde_json::from_str::<Said>(&line) else {
                    drop(tell.send(Event::Note(line.trim_end().to_owned())));
                    continue;
                };
                // Asked to stop by itself, and not with the pool: what it saved goes on in another one.
                if matches!(&said, Said::Ended { how, .. } if how == "interrupted") && !self.stop.asked() {
                    *hold(&self.inputs[slot]) = None;
                    live.0.wait().context("waiting for a worker")?;
                    self.died(slot, index, "a signal to stop", tell);
                    break;
                }
                let ended = matches!(said, Said::Ended { .. });
                drop(tell.send(Event::Said(slot, index, said)));
                if ended {
                    worker = Some(live);
                    break;
                }
            }
        }
        *hold(&self.inputs[slot]) = None;
        if let Some((mut child, _)) = worker {
            child.wait().context("waiting for a worker")?;
        }
        Ok(())
    }

    fn died(&self, slot: usize, index: u64, status: &str, tell: &mpsc::Sender<Event>) {
        let mut queue = hold(&self.queue);
        let deaths = queue.deaths.entry(index).or_default();
        *deaths += 1;
        let error = format!("its worker died {deaths} times, last with {status}");
        if *deaths < DEATHS && !queue.closed {
            queue.again.push(index);
            let text =
                format!("warning: the worker of cell {index} died ({status}): a new one goes on from its checkpoint");
            drop(tell.send(Event::Note(text)));
        } else {
            let how = if queue.closed { "interrupted" } else { "failed" };
            drop(tell.send(Event::Said(
                slot,
                index,
                Said::Ended { how: how.into(), error: Some(error), elapsed_s: 0.0 },
            )));
        }
    }
}

/// Runs all cells that are left. On Ctrl-C every worker saves and stops.
///
/// # Errors
/// When workers cannot be started, or a record of a cell whose workers die cannot be written.
pub fn run(cells: &Cells<'_>, results: &Results, options: &Options, stop: &Stop) -> Result<Tally> {
    let records = results.records()?;
    let queue = Queue { next: 0, len: cells.len(), again: Vec::new(), deaths: HashMap::new(), closed: false };
    let inputs = (0..options.jobs).map(|_| Mutex::new(None)).collect();
    let shared = Arc::new(Shared { cells, records, queue: Mutex::new(queue), inputs, options, stop: stop.clone() });
    let (tx, rx) = mpsc::channel();
    let mut view = View::new(cells.len(), options);
    let mut tally = Tally::default();
    std::thread::scope(|scope| -> Result<()> {
        let slots: Vec<_> = (0..options.jobs)
            .map(|slot| {
                let (shared, tx) = (shared.clone(), tx.clone());
                scope.spawn(move || shared.serve(slot, &tx))
            })
            .collect();
        drop(tx);
        loop {
            match rx.recv_timeout(Duration::from_millis(100)) {
                Ok(event) => {
                    count(&event, &mut tally);
                    if let Event::Said(_, index, Said::Ended { how, error: Some(error), .. }) = &event
                        && how == "failed"
                    {
                        record_death(cells, results, *index, error)?;
                    }
                    view.show(event);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => view.tick(),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            // The system's Ctrl-C reaches the workers too; a scheduler's SIGTERM may reach this process alone.
            if stop.asked() && !std::mem::replace(&mut hold(&shared.queue).closed, true) {
                view.note("stopping: every run saves a checkpoint first; a second Ctrl-C stops at once");
                for input in &shared.inputs {
                    if let Some(input) = hold(input).as_mut() {
                        let _ = writeln!(input, "stop").and_then(|()| input.flush());
                    }
                }
            }
        }
        for slot in slots {
            slot.join().map_err(|_| anyhow::anyhow!("a thread of the pool panicked"))??;
        }
        Ok(())
    })?;
    view.end();
    Ok(tally)
}

fn count(event: &Event, tally: &mut Tally) {
    match event {
        Event::Skipped(index, Some(error)) => tally.failed.push((*index, error.clone())),
        Event::Skipped(_, None) => tally.already += 1,
        Event::Said(_, index, Said::Ended { how, error, .. }) => match how.as_str() {
            "finished" => tally.finished += 1,
            "already" => tally.already += 1,
            "elsewhere" => tally.elsewhere.push(*index),
            "interrupted" => tally.interrupted += 1,
            _ => tally.failed.push((*index, error.clone().unwrap_or_default())),
        },
        _ => {}
    }
}

/// A cell whose worker wrote no record of its failing has one written for it.
fn record_death(cells: &Cells<'_>, results: &Results, index: u64, error: &str) -> Result<()> {
    let cell = cells.get(index)?;
    let Some(_lock) = results.lock(&cell, Duration::ZERO)? else { return Ok(()) };
    match results.record(&cell.id())? {
        Some(mut record) if record.status == Status::Started => {
            record.status = Status::Failed;
            record.error = Some(error.to_owned());
            results.write(&record)
        }
        _ => Ok(()),
    }
}

/// What a person sees: a bar for all cells and a line for each worker on a terminal, a line per ended cell when piped.
struct View {
    all: ProgressBar,
    lines: Vec<ProgressBar>,
    cells: Vec<Option<Box<Cell>>>,
    values: Vec<Option<f64>>,
    many: Option<MultiProgress>,
    total: u64,
    ended: u64,
    failed: u64,
    quiet: bool,
    spoke: Instant,
}

impl View {
    fn new(total: u64, options: &Options) -> Self {
        let live = !options.quiet && std::io::stderr().is_terminal();
        let many = live.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let style = |t: &str| ProgressStyle::with_template(t).unwrap_or_else(|_| ProgressStyle::default_bar());
        let add = |bar: ProgressBar| many.as_ref().map_or_else(ProgressBar::hidden, |m| m.add(bar));
        let all = add(ProgressBar::new(total));
        all.set_style(style("{bar:24} {pos}/{len} cells {msg}  {elapsed} gone, ETA {eta}"));
        let line = |_| {
            let bar = add(ProgressBar::new(1));
            bar.set_style(style("  {bar:22} {percent:>3}%  {msg}"));
            bar
        };
        let lines = (0..options.jobs).map(line).collect();
        let (cells, values) = (vec![None; options.jobs], vec![None; options.jobs]);
        Self {
            all,
            lines,
            cells,
            values,
            many,
            total,
            ended: 0,
            failed: 0,
            quiet: options.quiet,
            spoke: Instant::now(),
        }
    }

    fn note(&self, text: &str) {
        match &self.many {
            Some(many) => drop(many.println(text)),
            None => say!("{text}"),
        }
    }

    fn tick(&mut self) {
        self.all.tick();
        if self.many.is_none() && !self.quiet && self.spoke.elapsed() > Duration::from_secs(60) {
            self.spoke = Instant::now();
            say!("{} of {} cells ended, {} failed", self.ended, self.total, self.failed);
        }
    }

    fn show(&mut self, event: Event) {
        match event {
            Event::Note(text) => self.note(&text),
            Event::Skipped(..) => {
                self.ended += 1;
                self.all.set_position(self.ended);
            }
            Event::Began(slot, cell) => {
                self.lines[slot].set_length(1);
                self.lines[slot].set_position(0);
                self.lines[slot].set_message(format!("{} {} seed {}", cell.task, cell.method, cell.seed));
                self.cells[slot] = Some(cell);
                self.values[slot] = None;
            }
            Event::Said(slot, _, Said::Tick { step, steps, value }) => {
                self.lines[slot].set_length(steps.max(1));
                self.lines[slot].set_position(step.min(steps));
                self.values[slot] = value;
                if let (Some(cell), Some(value)) = (&self.cells[slot], value) {
                    let text = format!("{} {} seed {}  return {value:.1}", cell.task, cell.method, cell.seed);
                    self.lines[slot].set_message(text);
                }
            }
            Event::Said(slot, index, Said::Ended { how, error, elapsed_s }) => {
                self.ended(slot, index, &how, error, elapsed_s)
            }
        }
    }

    fn ended(&mut self, slot: usize, index: u64, how: &str, error: Option<String>, elapsed_s: f64) {
        self.ended += 1;
        self.all.set_position(self.ended);
        let bad = matches!(how, "failed" | "refused" | "failed before");
        self.failed += u64::from(bad);
        if self.failed > 0 {
            self.all.set_message(format!("({} failed)", self.failed));
        }
        if self.quiet && !bad {
            return;
        }
        let what =
            self.cells[slot].as_ref().map_or_else(String::new, |c| format!("{} {} seed {}", c.task, c.method, c.seed));
        let value = self.values[slot].map_or(String::new(), |v| format!(", return {v:.1}"));
        let why = error.map_or(String::new(), |e| format!(": {e}"));
        self.note(&format!("[{}/{}] cell {index} {how}: {what}{value}, {elapsed_s:.1} s{why}", self.ended, self.total));
    }

    fn end(&self) {
        for line in &self.lines {
            line.finish_and_clear();
        }
        self.all.finish_and_clear();
    }
}
