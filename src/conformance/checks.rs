//! The checks, one function each.
use super::stage::{Stage, Tick};
use crate::{ActionBuffer, Element, Env, Error, Result, Rng, Space, Status, VecEnv, Vector, random_actions};

/// Ticks that most checks play.
const TICKS: usize = 300;
/// Ticks within which an episode is to end when there is no time limit.
const BUDGET: usize = 100_000;

type Make<'a, E> = &'a dyn Fn() -> E;

fn first_difference<O: Element>(a: &[Tick<O>], b: &[Tick<O>]) -> Option<usize> {
    a.iter().zip(b).position(|(a, b)| a != b).or((a.len() != b.len()).then(|| a.len().min(b.len())))
}

pub(super) fn spec<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let env = make();
    let (spec, again, other) = (env.spec(), env.spec(), make().spec());
    let show = |s: &crate::Spec| format!("{s:?}");
    if show(&spec) != show(&again) || show(&spec) != show(&other) {
        found.push("two calls gave two specs".into());
    }
    if spec.name.is_empty() {
        found.push("it has no name".into());
    }
    if spec.rows == 0 || spec.players == 0 || spec.rows > spec.players {
        found.push(format!("rows = {}, players = {}: 1 <= rows <= players", spec.rows, spec.players));
    }
    for (what, space) in [("obs", &spec.obs), ("act", &spec.act)] {
        match space {
            Space::Box { shape, low, high } => {
                let width: usize = shape.iter().product();
                if width == 0 || low.len() != width || high.len() != width {
                    found.push(format!(
                        "{what}: shape {shape:?} with {} low and {} high bounds",
                        low.len(),
                        high.len()
                    ));
                }
                if low.iter().zip(high).any(|(l, h)| l.is_nan() || h.is_nan() || l > h) {
                    found.push(format!("{what}: a low bound above its high one"));
                }
            }
            Space::MultiDiscrete(sets) if sets.is_empty() || sets.contains(&0) => {
                found.push(format!("{what}: an empty set of choices"))
            }
            Space::Discrete(0) if what == "obs" || spec.candidates.is_none() => {
                found.push(format!("{what}: no choice"))
            }
            _ => {}
        }
    }
    if spec.candidates == Some(0) || spec.time_limit == Some(0) {
        found.push("a width or limit of 0".into());
    }
    let width = spec.obs.width();
    let mut covered = vec![0; width];
    for field in &spec.fields {
        match covered.get_mut(field.range.clone()) {
            Some(part) if !part.is_empty() => part.iter_mut().for_each(|c| *c += 1),
            _ => found.push(format!("field {} at {:?} of a row of {width}", field.name, field.range)),
        }
    }
    if !spec.fields.is_empty() && covered.iter().any(|c| *c != 1) {
        found.push("the fields do not cover each scalar of the row once".into());
    }
    for fields in [&spec.fields, &spec.candidate_fields, &spec.hidden_fields] {
        for (i, field) in fields.iter().enumerate() {
            let Some(role) = field.role else { continue };
            if let Some(width) = role.width(spec.players).filter(|w| *w != field.range.len()) {
                let (name, players) = (&field.name, spec.players);
                found.push(format!("field {name}: {role:?} of {players} players needs {width} scalars"));
            }
            if fields[..i].iter().any(|f| f.role == field.role) {
                found.push(format!("field {}: another one is the {role:?} as well", field.name));
            }
        }
    }
    if let Some(goal) = &spec.goal
        && (goal.achieved.len() != goal.desired.len() || goal.achieved.end > width || goal.desired.end > width)
    {
        found.push(format!("goals at {:?} and {:?} of a row of {width}", goal.achieved, goal.desired));
    }
    Ok(())
}

pub(super) fn seed<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let play = |seed| Stage::new(make, seed, 1).play(TICKS);
    let (first, second) = (play(5)?, play(5)?);
    if let Some(t) = first_difference(&first, &second) {
        found.push(format!("the same seed and actions gave two trajectories, apart from tick {t} on"));
    }
    if make().spec().chance {
        let others = (6..26).map(play).collect::<Result<Vec<_>>>()?;
        if others.iter().all(|o| first_difference(&first, o).is_none()) {
            found.push("20 other seeds gave the same trajectory: it ignores its seed (or nothing is left to chance: then its spec says so)".into());
        }
    }
    if first.iter().all(|t| t.obs == first[0].obs) {
        found.push(format!("its observation is the same at {TICKS} ticks"));
    }
    Ok(())
}

/// What one world of a batch wrote in a tick: view, rewards as bits, ending.
type Seen<O> = (Vec<O>, Vec<u32>, Status);

/// What world `i` of a batch writes, its actions drawn from a stream of its own, its neighbours' from `neighbours`.
fn in_batch<E: Env>(
    make: Make<'_, E>,
    n: usize,
    threads: usize,
    i: usize,
    neighbours: u64,
) -> Result<Vec<Seen<E::Obs>>> {
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| Error::invalid(e.to_string()))?;
    let mut envs = VecEnv::new(n, 9, make).grain(4);
    let spec = envs.spec().clone();
    let mut slab = envs.slab(2);
    let mut act = ActionBuffer::new(&spec.act, n * spec.rows);
    let (mut own, mut others) = (Rng::named(3, "own", 0), Rng::named(neighbours, "others", 0));
    let mut out = Vec::new();
    pool.install(|| -> Result<()> {
        envs.reset(slab.frame_mut(0));
        for t in 0..TICKS / 3 {
            let frame = slab.frame(t % 2).with_candidates(envs.candidates());
            random_actions(&spec, frame, &mut others, &mut act);
            random_actions_for(&spec, frame, i, &mut own, &mut act);
            envs.step(act.get(), slab.frame_mut((t + 1) % 2))?;
            let f = slab.frame((t + 1) % 2);
            let wide = spec.rows * spec.obs.width();
            let obs = E::Obs::of(f.obs).unwrap_or_default();
            let pay = f.reward[i * spec.players..(i + 1) * spec.players].iter().map(|p| p.to_bits()).collect();
            out.push((obs[i * wide..(i + 1) * wide].to_vec(), pay, f.status[i]));
        }
        Ok(())
    })?;
    Ok(out)
}

/// Draws for the rows of world `i` only, so that its stream does not depend on how many others there are.
fn random_actions_for(spec: &crate::Spec, frame: crate::Frame<'_>, i: usize, rng: &mut Rng, out: &mut ActionBuffer) {
    let (rows, choices, wide) = (spec.rows, spec.act.choices(), spec.act.width());
    let offsets: Vec<u32> = match frame.candidates {
        Some(c) => c.offsets[i * rows..=(i + 1) * rows].iter().map(|o| o - c.offsets[i * rows]).collect(),
        None => Vec::new(),
    };
    let one = crate::Frame {
        mask: &frame.mask[i * rows * choices..(i + 1) * rows * choices],
        candidates: frame.candidates.map(|c| crate::Ragged { offsets: &offsets, ..c }),
        ..frame
    };
    let mut own = ActionBuffer::new(&spec.act, rows);
    random_actions(spec, one, rng, &mut own);
    match (out, own) {
        (ActionBuffer::Discrete(a), ActionBuffer::Discrete(m)) => {
            a[i * rows * wide..(i + 1) * rows * wide].copy_from_slice(&m)
        }
        (ActionBuffer::Continuous(a), ActionBuffer::Continuous(m)) => {
            a[i * rows * wide..(i + 1) * rows * wide].copy_from_slice(&m)
        }
        _ => {}
    }
}

pub(super) fn batch<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let base = in_batch(make, 3, 1, 2, 1)?;
    for (n, threads, neighbours) in [(3, 1, 2), (30, 1, 1), (30, 3, 1), (41, 2, 5)] {
        let other = in_batch(make, n, threads, 2, neighbours)?;
        if let Some(t) = base.iter().zip(&other).position(|(a, b)| a != b) {
            found.push(format!(
                "world 2 of {n} on {threads} threads is another than of 3 on 1, apart from tick {t} on: worlds share state"
            ));
        }
    }
    Ok(())
}

pub(super) fn rows<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let play = |poison| {
        let mut stage = Stage::new(make, 2, 3);
        stage.poison = poison;
        stage.play(TICKS)
    };
    let (first, second) = (play(false)?, play(true)?);
    if let Some(t) = first_difference(&first, &second) {
        let cells: Vec<usize> =
            first[t].obs.iter().zip(&second[t].obs).enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect();
        found.push(format!("tick {t}: scalars {cells:?} of its rows keep what was there before"));
    }
    Ok(())
}

pub(super) fn episodes<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let after = |actor: u64, ticks: usize| -> Result<Vec<Tick<E::Obs>>> {
        let mut stage = Stage::new(make, 4, actor);
        stage.play(ticks)?;
        // The same chance and the same actions from here on, whatever was played before.
        stage.rng = Rng::named(7, "world", 0);
        stage.actor = Rng::named(8, "actor", 0);
        stage.play(TICKS)
    };
    let fresh = after(0, 0)?;
    for (actor, ticks) in [(1, 7), (2, 50), (3, TICKS)] {
        if let Some(t) = first_difference(&fresh, &after(actor, ticks)?) {
            found.push(format!("after {ticks} ticks of another episode, the next one is another from tick {t} on"));
        }
    }
    Ok(())
}

pub(super) fn legal<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let mut stage = Stage::new(make, 1, 1);
    stage.reset();
    for t in 0..TICKS {
        let (spec, now) = (&stage.spec, &stage.now);
        // An episode that is over offers nothing.
        if spec.candidates.is_some() && now.status == crate::Status::Running {
            if now.counts.len() != spec.rows || now.counts.contains(&0) {
                found.push(format!("tick {t}: candidates {:?} for {} rows", now.counts, spec.rows));
                return Ok(());
            }
            let width = spec.candidates.unwrap_or(0);
            if now.rows.len() != width * now.counts.iter().sum::<u32>() as usize {
                found.push(format!(
                    "tick {t}: {} scalars for {:?} candidates of width {width}",
                    now.rows.len(),
                    now.counts
                ));
                return Ok(());
            }
        }
        let mut start = 0;
        for row in 0..spec.rows {
            for &n in spec.act.sets() {
                if n > 0 && !now.mask[start..start + n].contains(&true) {
                    found.push(format!("tick {t}: row {row} has no allowed action"));
                    return Ok(());
                }
                start += n;
            }
        }
        if stage.over() {
            stage.reset();
        } else {
            stage.draw();
            stage.step()?;
        }
    }
    Ok(())
}

pub(super) fn values<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let mut stage = Stage::new(make, 6, 2);
    let spec = stage.spec.clone();
    for (t, tick) in stage.play(TICKS * 3)?.iter().enumerate() {
        if let Some(p) = tick.pay.iter().map(|p| f32::from_bits(*p)).find(|p| !p.is_finite()) {
            found.push(format!("tick {t}: a reward of {p}"));
        }
        let Space::Box { low, high, .. } = &spec.obs else { continue };
        for (i, x) in tick.obs.iter().map(|x| x.to_f32()).enumerate() {
            let (low, high) = (low[i % low.len()], high[i % high.len()]);
            if !x.is_finite() || x < low || x > high {
                found.push(format!("tick {t}: scalar {i} is {x}, its bounds are {low} and {high}"));
            }
        }
    }
    Ok(())
}

pub(super) fn seats<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let mut stage = Stage::new(make, 6, 3);
    let players = stage.spec.players;
    for (t, tick) in stage.play(TICKS)?.iter().enumerate() {
        if let Some(seat) = tick.seat.iter().find(|s| usize::from(**s) >= players) {
            found.push(format!("tick {t}: seat {seat} of {players}"));
        }
    }
    Ok(())
}

pub(super) fn snapshot<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    for before in [0, 1, 5, 40, 120] {
        let mut stage = Stage::new(make, 8, 4);
        stage.play(before)?;
        let mut bytes = Vec::new();
        stage.env.save(&mut bytes);
        let mut other = Stage::new(make, 99, 99);
        // Into a world that has been elsewhere.
        other.play(13)?;
        other.env.load(&bytes)?;
        (other.rng, other.actor, other.now, other.ticks) =
            (stage.rng.clone(), stage.actor.clone(), stage.now.clone(), stage.ticks);
        let mut again = Vec::new();
        other.env.save(&mut again);
        if again != bytes {
            found.push(format!("after {before} ticks: a loaded state saves as other bytes"));
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        stage.go_on(TICKS, &mut a)?;
        other.go_on(TICKS, &mut b)?;
        if let Some(t) = first_difference(&a, &b) {
            found.push(format!("after {before} ticks: what is loaded goes on otherwise, apart from tick {t} on"));
        }
        for cut in 0..bytes.len().min(64) {
            let mut victim = make();
            if victim.load(&bytes[..cut]).is_ok() {
                found.push(format!("the first {cut} of {} bytes are taken for a state", bytes.len()));
                break;
            }
        }
        let mut noise = Rng::stream(before as u64, 1);
        for _ in 0..50 {
            let mut wrong = bytes.clone();
            if let Some(i) = (!wrong.is_empty()).then(|| noise.below(wrong.len())) {
                wrong[i] ^= 1 << noise.below(8);
            }
            // An error or another state: both are fine, a panic is not.
            let _ = make().load(&wrong);
        }
    }
    Ok(())
}

pub(super) fn ends<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let mut stage = Stage::new(make, 1, 5);
    stage.reset();
    for _ in 0..BUDGET {
        if stage.over() {
            return Ok(());
        }
        stage.draw();
        stage.step()?;
    }
    found.push(format!("no episode ended in {BUDGET} ticks, and there is no time limit"));
    Ok(())
}

pub(super) fn endings<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let mut stage = Stage::new(make, 1, 6);
    let Some(limit) = stage.spec.time_limit else { return Ok(()) };
    // The world alone, with nobody to keep its limit: one that keeps it itself ends there, every time.
    let (mut at_limit, mut beyond, mut as_death) = (0, 0, 0);
    let mut ticks = 0;
    while ticks < BUDGET && at_limit + beyond < 5 {
        stage.reset();
        while stage.now.status == Status::Running && stage.ticks <= limit {
            stage.draw();
            stage.step()?;
            ticks += 1;
        }
        at_limit += u32::from(stage.ticks == limit);
        as_death += u32::from(stage.ticks == limit && stage.now.status == Status::Terminated);
        beyond += u32::from(stage.ticks > limit);
    }
    if at_limit >= 2 && beyond == 0 {
        let how = if as_death > 0 { "as a death" } else { "by itself" };
        found.push(format!("all {at_limit} episodes that reached the time limit of {limit} ended there {how}: leave it to the vector, which tells it as a time-out"));
    }
    Ok(())
}

pub(super) fn goal<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let mut stage = Stage::new(make, 3, 7);
    let Some(goal) = stage.spec.goal.clone() else { return Ok(()) };
    stage.reset();
    for t in 0..TICKS {
        stage.draw();
        let tick = stage.step()?;
        let row: Vec<f32> = tick.obs.iter().map(|x| x.to_f32()).collect();
        let judged = (goal.judge)(&row[goal.achieved.clone()], &row[goal.desired.clone()]);
        if judged.reward.to_bits() != tick.pay[0] {
            found.push(format!(
                "tick {t}: a reward of {}, the judge says {}",
                f32::from_bits(tick.pay[0]),
                judged.reward
            ));
        }
        if judged.terminated != (tick.status == Status::Terminated) {
            found.push(format!("tick {t}: {:?}, the judge says terminated = {}", tick.status, judged.terminated));
        }
        if stage.over() {
            stage.reset();
        }
    }
    Ok(())
}

pub(super) fn refusals<E: Env>(make: Make<'_, E>, found: &mut Vec<String>) -> Result<()> {
    let mut stage = Stage::new(make, 3, 8);
    stage.reset();
    let limits = match stage.spec.candidates {
        Some(_) => stage.now.counts.clone(),
        None => stage.spec.act.sets().iter().map(|n| *n as u32).collect(),
    };
    let bad: Vec<ActionBuffer> = match &stage.act {
        ActionBuffer::Discrete(ids) => {
            let high = limits.iter().max().copied().unwrap_or(0);
            [-1, i64::from(high), i64::MAX].map(|id| ActionBuffer::Discrete(vec![id; ids.len()])).into()
        }
        ActionBuffer::Continuous(x) => {
            [f32::NAN, f32::INFINITY].map(|v| ActionBuffer::Continuous(vec![v; x.len()])).into()
        }
    };
    for mut act in bad {
        stage.reset();
        // Another deal may offer more: one past the end is counted anew.
        if let (ActionBuffer::Discrete(ids), Some(_)) = (&mut act, stage.spec.candidates) {
            let high = i64::from(stage.now.counts.iter().max().copied().unwrap_or(0));
            ids.iter_mut().filter(|id| (0..i64::MAX).contains(*id)).for_each(|id| *id = high);
        }
        stage.act = act;
        let shown = format!("{:?}", stage.act);
        if stage.step().is_ok() {
            found.push(format!("{shown} was taken for an action"));
        }
    }
    Ok(())
}
