use super::*;
use rlx::{Judged, Space};
use std::sync::Arc;

/// A point in the unit square; rows are (position, noise that means nothing, desired position).
fn spec() -> Spec {
    let mut spec = Spec::solo("square", Space::uniform(6, -9.0, 9.0), Space::uniform(2, -1.0, 1.0));
    let judge = Arc::new(|a: &[f32], d: &[f32]| {
        let success = (a[0] - d[0]).hypot(a[1] - d[1]) < 0.05;
        Judged { reward: if success { 0.0 } else { -1.0 }, terminated: false, success }
    });
    spec.goal = Some(Goal { achieved: 0..2, desired: 4..6, judge });
    spec
}

fn auxiliary(method: Method, form: Form) -> Auxiliary {
    let config = Config {
        auxiliary: method,
        auxiliary_form: form,
        auxiliary_hidden: vec![64, 64],
        auxiliary_width: 16,
        ..Config::default()
    };
    Auxiliary::new(&config, &spec(), 4, 0.95, 1).unwrap().unwrap()
}

/// Lets four points walk straight, .04 a step, and turn at the walls, twenty-five steps an episode.
fn walk(auxiliary: &mut Auxiliary, ticks: usize, rng: &mut Rng) {
    let mut at: Vec<[f32; 2]> = (0..4).map(|_| [rng.unit() as f32, rng.unit() as f32]).collect();
    let mut heading: Vec<f64> = (0..4).map(|_| rng.uniform(0.0, std::f64::consts::TAU)).collect();
    for t in 0..ticks {
        let mut rows = Vec::new();
        for (at, heading) in at.iter_mut().zip(&mut heading) {
            let step = [0.04 * heading.cos() as f32, 0.04 * heading.sin() as f32];
            let next = [at[0] + step[0], at[1] + step[1]];
            if next.iter().all(|x| (0.0..=1.0).contains(x)) {
                *at = next;
            } else {
                *heading = rng.uniform(0.0, std::f64::consts::TAU);
            }
            rows.extend([at[0], at[1], rng.normal() as f32, rng.normal() as f32, 0.5, 0.5]);
        }
        let status = if t % 25 == 24 { Status::Truncated } else { Status::Running };
        let shown = rows.clone();
        if status == Status::Truncated {
            at.iter_mut().for_each(|at| *at = [rng.unit() as f32, rng.unit() as f32]);
            heading.iter_mut().for_each(|h| *h = rng.uniform(0.0, std::f64::consts::TAU));
        }
        auxiliary.observe(&shown, &rows, &[status; 4]);
    }
}

fn ranks(x: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let mut rank = vec![0.0; x.len()];
    order.iter().enumerate().for_each(|(r, i)| rank[*i] = r as f64);
    rank
}

/// Spearman's rho, where there are no ties.
fn spearman(a: &[f32], b: &[f32]) -> f64 {
    let (a, b, n) = (ranks(a), ranks(b), a.len() as f64);
    1.0 - 6.0 * a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / (n * (n * n - 1.0))
}

/// Every method ranks points of an open square by how far they are; those in units of transitions also get the size.
#[test]
fn distances_rank_states_by_the_way_that_is_left() {
    // More threads than one fight each other over matrices this small.
    rlx_nn::threads::set(1);
    let mut rng = Rng::stream(3, 1);
    let rows: Vec<f32> = (0..300)
        .flat_map(|_| [rng.unit(), rng.unit(), rng.normal(), rng.normal(), rng.unit(), rng.unit()].map(|x| x as f32))
        .collect();
    let way: Vec<f32> = rows.chunks(6).map(|r| (r[0] - r[4]).hypot(r[1] - r[5]) / 0.04).collect();
    for (method, least, unit) in [
        (Method::Tdrp, 0.95, true),
        (Method::Ddl, 0.85, true),
        (Method::Qrl, 0.9, true),
        (Method::Laplacian, 0.85, false),
    ] {
        let mut auxiliary = auxiliary(method, Form::Potential);
        walk(&mut auxiliary, 4000, &mut Rng::stream(2, 2));
        for _ in 0..1000 {
            auxiliary.learn().unwrap();
        }
        let mut found = Vec::new();
        auxiliary.goal_distances(&rows, &mut found).unwrap();
        let rho = spearman(&found, &way);
        let ratio = found.iter().sum::<f32>() / way.iter().sum::<f32>();
        assert!(rho > least, "{method:?}: rho {rho}");
        assert!(!unit || (0.6..1.6).contains(&ratio), "{method:?}: {ratio} of the true distance");
        // The nearest of a set is the smallest of the distances to each; of no rows there are none.
        let mut nearest = vec![0.0];
        auxiliary.set_distances(&[], &rows[60..84], &mut nearest).unwrap();
        assert!(nearest.is_empty());
        auxiliary.set_distances(&rows[..12], &rows[60..84], &mut nearest).unwrap();
        for (row, nearest) in rows[..12].chunks(6).zip(&nearest) {
            let each = rows[60..84].chunks(6).map(|s| {
                let asked: Vec<f32> = [&row[..4], &s[..2]].concat();
                let mut d = Vec::new();
                auxiliary.goal_distances(&asked, &mut d).unwrap();
                d[0]
            });
            let least = each.fold(f32::INFINITY, f32::min);
            assert!((least - nearest).abs() < 1e-3 * least.max(1.0), "{least} {nearest}");
        }
    }
}

/// Lets four hands, columns 2 and 3, go to their blocks, columns 0 and 1, and carry them to places of their own, .04 a step.
fn carry(auxiliary: &mut Auxiliary, ticks: usize, rng: &mut Rng) {
    fn towards(at: &mut [f32], to: [f32; 2]) -> bool {
        let gap = [to[0] - at[0], to[1] - at[1]];
        let far = gap[0].hypot(gap[1]);
        let step = (0.04 / far.max(1e-6)).min(1.0);
        at.iter_mut().zip(gap).for_each(|(at, gap)| *at += step * gap);
        far <= 0.04
    }
    let mut random = |n| (0..n).map(|_| rng.unit() as f32).collect::<Vec<f32>>();
    // Block, hand, and where to.
    let mut worlds: Vec<(Vec<f32>, [f32; 2])> = (0..4).map(|_| (random(4), [0.0; 2])).collect();
    for _ in 0..ticks {
        let (mut rows, mut shown, mut status) = (Vec::new(), Vec::new(), [Status::Running; 4]);
        for ((at, to), status) in worlds.iter_mut().zip(&mut status) {
            let (block, hand) = at.split_at_mut(2);
            let mut there = false;
            if towards(hand, [block[0], block[1]]) {
                there = towards(block, *to);
                hand.copy_from_slice(block);
            }
            rows.extend(at.iter().chain(&[0.5, 0.5]));
            if there {
                *status = Status::Truncated;
                let new = random(6);
                (*at, *to) = (new[..4].to_vec(), [new[4], new[5]]);
            }
            shown.extend(at.iter().chain(&[0.5, 0.5]));
        }
        auxiliary.observe(&shown, &rows, &status);
    }
}

/// Where nothing is ever moved there is nothing to learn from: no loss, and no reward by networks that know nothing.
#[test]
fn what_never_moves_teaches_nothing() {
    let mut auxiliary = auxiliary(Method::Tdrp, Form::Potential);
    let rows = [0.3, 0.4, 0.9, 0.8, 0.5, 0.5].repeat(4);
    (0..200).for_each(|_| auxiliary.observe(&rows, &rows, &[Status::Running; 4]));
    (0..20).for_each(|_| auxiliary.learn().unwrap());
    assert_eq!(auxiliary.loss, (0.0, 20));
    let (now, next) = ([0.1, 0.1, 0.0, 0.0, 0.9, 0.9], [0.2, 0.1, 0.0, 0.0, 0.9, 0.9]);
    let mut reward = [-1.0];
    auxiliary.shape(&now, &next, &[0.95], &mut reward).unwrap();
    assert_eq!(reward, [-1.0]);
}

/// The way of a block is the hand's way to it and then its own: where the hand is counts although the block has not moved, and not at all
/// where the block is at its goal. With what is reached as a pair like the others rho is .70, without the error of logarithms .92.
#[test]
fn the_distance_of_a_block_knows_where_the_hand_is() {
    rlx_nn::threads::set(1);
    let mut auxiliary = auxiliary(Method::Tdrp, Form::Potential);
    carry(&mut auxiliary, 8000, &mut Rng::stream(2, 2));
    (0..2000).for_each(|_| auxiliary.learn().unwrap());
    let mut rng = Rng::stream(3, 1);
    let rows: Vec<f32> = (0..500).flat_map(|_| [0; 6].map(|_| rng.unit() as f32)).collect();
    let apart = |a: &[f32], b: &[f32]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let rows: Vec<f32> = rows.chunks(6).filter(|r| apart(r, &r[4..]) > 0.1).flatten().copied().collect();
    let way: Vec<f32> = rows.chunks(6).map(|r| (apart(&r[2..], r) + apart(r, &r[4..])) / 0.04).collect();
    let mut found = Vec::new();
    auxiliary.goal_distances(&rows, &mut found).unwrap();
    let rho = spearman(&found, &way);
    let ratio = found.iter().sum::<f32>() / way.iter().sum::<f32>();
    assert!(rho > 0.93, "rho {rho}");
    assert!((0.7..1.4).contains(&ratio), "{ratio} of the true distance");
    auxiliary.goal_distances(&[0.3, 0.4, 0.9, 0.8, 0.31, 0.41], &mut found).unwrap();
    assert_eq!(found, [0.0]);
}

/// Potentials telescope: over an episode that terminates the discounted auxiliary rewards sum to minus the first potential, whatever
/// the networks say, so no best policy changes (Ng et al. 1999).
#[test]
fn the_potential_form_changes_no_best_policy() {
    let mut auxiliary = auxiliary(Method::Tdrp, Form::Potential);
    let mut rng = Rng::stream(4, 4);
    walk(&mut auxiliary, 200, &mut rng);
    (0..20).for_each(|_| auxiliary.learn().unwrap());
    let row = |rng: &mut Rng| [rng.unit() as f32, rng.unit() as f32, 0.1, 0.2, 0.7, 0.7];
    for _ in 0..20 {
        let states: Vec<[f32; 6]> = (0..8).map(|_| row(&mut rng)).collect();
        let mut d = Vec::new();
        auxiliary.goal_distances(&states[0], &mut d).unwrap();
        let (mut sum, mut weight) = (0.0, 1.0);
        for t in 0..7 {
            let discount = if t == 6 { 0.0 } else { 0.95 };
            let mut reward = [0.0];
            auxiliary.shape(&states[t], &states[t + 1], &[discount], &mut reward).unwrap();
            sum += weight * reward[0];
            weight *= 0.95;
        }
        assert!((sum + auxiliary.potential(d[0])).abs() < 1e-3, "{sum} {}", auxiliary.potential(d[0]));
    }
}

#[test]
fn the_raw_form_pays_minus_the_distance() {
    let mut auxiliary = auxiliary(Method::Ddl, Form::Raw);
    walk(&mut auxiliary, 100, &mut Rng::stream(1, 1));
    let (now, next) = ([0.1, 0.1, 0.0, 0.0, 0.9, 0.9], [0.2, 0.1, 0.0, 0.0, 0.9, 0.9]);
    let mut d = Vec::new();
    auxiliary.goal_distances(&next, &mut d).unwrap();
    let mut reward = [-1.0];
    auxiliary.shape(&now, &next, &[0.95], &mut reward).unwrap();
    assert!((reward[0] + 1.0 + d[0] / 50.0).abs() < 1e-6);
}
