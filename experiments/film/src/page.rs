//! An episode as a page of HTML that needs nothing else: solids in WebGL, a camera to turn, a slider of time.
use crate::episode::Film;
use base64::{Engine, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, PreEscaped, html};
use rlx::{Body, Shape};
use serde_json::{Value, json};

/// Steps of a position's scale: a millimetre is 20 of them in a world that is 3 m wide.
const STEPS: f32 = 65_535.0;

/// Whole numbers as text.
fn packed(numbers: impl Iterator<Item = u16>) -> String {
    BASE64_STANDARD.encode(numbers.flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Box(half) => json!({"box": half}),
        Shape::Ball { radius } => json!({"ball": radius}),
        Shape::Cylinder { radius, half } => json!({"cylinder": [radius, half]}),
        Shape::Capsule { radius, half } => json!({"capsule": [radius, half]}),
        Shape::Mesh { points, triangles } => json!({"mesh": [points, triangles]}),
    }
}

/// How positions are cut: the lowest of each axis, and the size of a step.
struct Scale {
    low: [f32; 3],
    step: f32,
}

impl Scale {
    fn of(film: &Film) -> Self {
        let (mut low, mut high) = ([f32::MAX; 3], [f32::MIN; 3]);
        for body in film.frames.iter().flat_map(|f| &f.drawing.bodies) {
            for k in 0..3 {
                low[k] = low[k].min(body.at[k]);
                high[k] = high[k].max(body.at[k]);
            }
        }
        let wide = (0..3).map(|k| high[k] - low[k]).fold(1e-3, f32::max);
        Self { low, step: wide / STEPS }
    }

    fn pose<'a>(&'a self, body: &'a Body) -> impl Iterator<Item = u16> + 'a {
        let at = (0..3).map(|k| ((body.at[k] - self.low[k]) / self.step).round().clamp(0.0, STEPS) as u16);
        at.chain(body.turn.iter().map(|q| ((q * 0.5 + 0.5) * STEPS).round().clamp(0.0, STEPS) as u16))
    }
}

/// The film as data: bodies that never move have one pose, the others one a frame.
fn data(film: &Film) -> Value {
    let scale = Scale::of(film);
    let first = &film.frames[0].drawing;
    let bodies: Vec<Value> = (0..first.bodies.len())
        .map(|i| {
            let all: Vec<&Body> = film.frames.iter().filter_map(|f| f.drawing.bodies.get(i)).collect();
            let poses: Vec<Vec<u16>> = all.iter().map(|b| scale.pose(b).collect()).collect();
            let colours: Vec<[u8; 4]> = all.iter().map(|b| b.colour).collect();
            let still = poses.iter().all(|p| *p == poses[0]);
            let plain = colours.iter().all(|c| *c == colours[0]);
            json!({
                "shape": shape(&all[0].shape),
                "poses": packed(if still { &poses[..1] } else { &poses[..] }.iter().flatten().copied()),
                "colours": if plain { &colours[..1] } else { &colours[..] },
            })
        })
        .collect();
    let frames: Vec<Value> = film
        .frames
        .iter()
        .map(|f| json!([(f.reward * 1e4).round() / 1e4, (f.total * 1e4).round() / 1e4, f.success, f.notes]))
        .collect();
    json!({
        "bodies": bodies,
        "low": scale.low,
        "step": scale.step,
        "camera": {"eye": first.camera.eye, "target": first.camera.target, "angle": first.camera.angle},
        "tick": first.tick_s,
        "frames": frames,
    })
}

/// The page.
pub fn page(film: &Film, title: &str) -> String {
    // A word of a world could close the element that holds the data.
    let data = data(film).to_string().replace('<', "\\u003c");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                header {
                    h1 { (title) }
                    button #theme type="button" aria-label="Light or dark" title="Light or dark" { "\u{25D0}" }
                }
                main {
                    canvas #view tabindex="0" aria-label="The scene: drag to turn, with the right button or two fingers to move, wheel or pinch to come closer" {}
                    p #badge role="status" {}
                    p #missing hidden { "This browser has no WebGL 2, which draws the scene." }
                }
                footer {
                    div .row {
                        button #play type="button" aria-label="Play or pause" { "\u{25B6}" }
                        input #time type="range" min="0" value="0" step="1" aria-label="Step";
                        output #step for="time" {}
                    }
                    canvas #curve height="40" aria-label="Reward of each step" {}
                    div .row {
                        span #numbers {}
                        span .space {}
                        label { "Speed " select #speed {
                            option value=".25" { "\u{00BC}" }
                            option value=".5" { "\u{00BD}" }
                            option value="1" selected { "1" }
                            option value="2" { "2" }
                        } }
                        button #home type="button" { "Reset view" }
                    }
                }
                script #film type="application/json" { (PreEscaped(data)) }
                script {
                    (PreEscaped(concat!(include_str!("page.js"), include_str!("page_view.js"), include_str!("page_control.js"))))
                }
            }
        }
    }
    .into_string()
}
