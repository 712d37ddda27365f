//! Pages and pictures in a real browser: Debian's Chromium by its driver, whose protocol (WebDriver) is HTTP and JSON. Skipped where the two
//! are not installed (`tools/browser.sh`).
use crate::common::{TempDir, ok};
use rlx_plot::charts::{Axis, Column, Field, Lines, Series, heat_map, intervals};
use rlx_stats::scores::Interval;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A browser that is told what to do; it ends with this.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// None where there is none, which is said.
    fn start(more: &[&str]) -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let spawned = Command::new("chromium").arg("--version").output().and_then(|_| command.spawn());
        let Ok(mut driver) = spawned else {
            println!("skipped: no browser is here (Debian's packages chromium and chromium-driver are needed)");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|l| l.ok()?.split("successfully on port ").nth(1)?.trim_end_matches('.').parse().ok())
            .unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let profile = TempDir::new();
        let own = format!("--user-data-dir={}", profile.0.display());
        let all = [
            "--headless",
            "--no-sandbox",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,800",
        ];
        let arguments: Vec<&str> = all.iter().chain(more).copied().chain([own.as_str()]).collect();
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        let options = json!({"args": arguments, "binary": "/usr/bin/chromium"});
        let made = browser.ask(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}),
        );
        browser.session = made["sessionId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        Some(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n");
        write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
        // The driver keeps the connection: an answer is as long as its head says.
        let mut answer = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while answer.read_line(&mut line).unwrap() > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["value"].take()
    }

    fn of_session(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{path}", self.session), body)
    }

    fn open(&self, file: &Path) {
        let said = self.of_session("url", &json!({"url": format!("file://{}", file.display())}));
        assert!(said.is_null(), "{said}");
    }

    fn run(&self, script: &str) -> Value {
        let said = self.of_session("execute/sync", &json!({"script": script, "args": []}));
        assert!(said.get("error").is_none(), "{said}");
        said
    }

    /// What the page does when it is asked to by the protocol of its developer tools.
    fn tool(&self, command: &str, parameters: &Value) {
        let said = self.of_session("goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
        assert!(said.get("error").is_none(), "{said}");
    }

    /// Asks until it holds.
    fn wait_for(&self, script: &str) {
        for _ in 0..200 {
            if self.run(script) == true {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it did not come to hold: {script}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn e1_the_page_of_a_film_plays_each_time_it_is_loaded() {
    let Some(browser) = Browser::start(&["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]) else { return };
    let dir = TempDir::new();
    ok(&dir.0, &["record", "reach", "-o", "film.html"]);
    for load in 0..20 {
        browser.open(&dir.0.join("film.html"));
        browser.wait_for("return time > 0.5");
        let [badge, hidden] = ["step", "missing"].map(|id| format!("document.getElementById('{id}')"));
        assert!(browser.run(&format!("return {badge}.textContent")).as_str().unwrap().starts_with("step "), "{load}");
        assert_eq!(browser.run(&format!("return {hidden}.hidden")), true, "the scene is drawn");
    }
    // The first stamp of a frame may lie before the call that began to play: seen in 6 of 16 loads of a page that did not expect it.
    let early = "time = 0; play(true); tick(before - 40); return [time, playing]";
    assert_eq!(browser.run(early), json!([0, true]));
    browser.wait_for("return time > 0.5");
    // Behind another tab no frame is drawn: the film goes on where it was.
    let first = browser.ask("GET", &format!("/session/{}/window", browser.session), &Value::Null);
    browser.run("document.getElementById('speed').value = '.25'; time = 0; play(true)");
    let other = browser.of_session("window/new", &json!({"type": "tab"}))["handle"].clone();
    for tab in [other, first] {
        browser.of_session("window", &json!({"handle": tab}));
        browser.tool("Page.bringToFront", &json!({}));
        std::thread::sleep(Duration::from_secs(3));
    }
    let after = browser.run("return time").as_f64().unwrap();
    // Three seconds at a quarter of the speed are 19 of these steps of 40 ms: those that it was seen, and not those that it was hidden.
    assert!((1.0..28.0).contains(&after), "it is at step {after}");
    browser.wait_for(&format!("return time > {after}"));
}

#[test]
fn e1_a_browser_that_cannot_draw_the_scene_says_so() {
    let Some(browser) = Browser::start(&["--disable-3d-apis"]) else { return };
    let dir = TempDir::new();
    ok(&dir.0, &["record", "cartpole", "-o", "film.html"]);
    browser.open(&dir.0.join("film.html"));
    browser.wait_for("return time > 0.5");
    assert_eq!(browser.run("return document.getElementById('missing').hidden"), false);
    let seen =
        "const r = document.getElementById('missing').getBoundingClientRect(); return r.width > 100 && r.height > 10";
    assert_eq!(browser.run(seen), true);
}

/// Pairs of texts that lie over each other, and texts that leave the picture, of every picture of a page.
const TEXTS: &str = "
const out = [];
for (const svg of document.querySelectorAll('svg')) {
  const frame = svg.getBoundingClientRect();
  const all = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim());
  const boxes = all.map(t => { const b = t.getBoundingClientRect(); return [b.left + 1, b.top + 2, b.right - 1, b.bottom - 2, t.textContent]; });
  boxes.forEach((a, i) => {
    if (a[0] < frame.left || a[1] < frame.top || a[2] > frame.right || a[3] > frame.bottom) out.push(a[4] + ' leaves the picture');
    boxes.slice(0, i).forEach(b => {
      if (a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]) out.push(a[4] + ' over ' + b[4]);
    });
  });
}
return out;";

#[test]
fn e12_no_text_of_a_picture_lies_over_another_or_leaves_it() {
    let Some(browser) = Browser::start(&["--disable-gpu"]) else { return };
    let dir = TempDir::new();
    let point = |x: f64, v: f64| (x, Interval { value: v, low: v - 10.0, high: v + 12.0 });
    let long = "a method with a long name, and settings=of-its-own";
    let series = |number: usize| Series {
        number,
        label: format!("{long} {number} (10 seeds)"),
        points: (0..40).map(|i| point(20_480.0 + 2_500.0 * f64::from(i), f64::from(i * number as i32))).collect(),
    };
    let lines = Lines {
        title: "eval/episodic_return: mountain-car-continuous".into(),
        note: "line: IQM over seeds 0 to 9; band: its 95 % bootstrap interval, pointwise; the 10 best of 14 methods"
            .into(),
        x: Axis::of("environment steps"),
        y: Axis::of("share of episodes in which the whole chain succeeds"),
        series: (0..8).map(series).collect(),
        level: Some((120.0, "threshold 120".into())),
    };
    let methods: Vec<(usize, String)> = (0..6).map(|i| (i, format!("{long} {i}"))).collect();
    let column = |label: &str, scale: f64| Column {
        label: label.into(),
        values: (0..6).map(|i| (i != 3).then(|| point(0.0, scale * f64::from(i)).1)).collect(),
        level: Some(0.0),
    };
    let names: Vec<String> = (0..6).map(|i| format!("{long} {i}")).collect();
    let tasks = ["pick-place", "mountain-car-continuous", "drawer-open", "reach"].map(String::from);
    let values = vec![vec![Some(0.25), None, Some(-0.125), Some(1.0)]; 6];
    let rows: Vec<Vec<f64>> =
        (0..21).map(|j| (0..21).map(|i| 1e4 * f64::from(i - 10).hypot(f64::from(j - 10))).collect()).collect();
    let field = Field {
        title: "learnt distance of reach-tdrp-first-s0",
        note: "from the first state of an episode to goals around it, at the height of the goal that was set; lines join equal distances",
        labels: ["goal, x from the start (cm)", "goal, y from the start (cm)", "estimated transitions"],
        reach: 20.0,
        rows: &rows,
        marks: &[((0.0, 0.0), "start"), ((12.0, -9.0), "goal of the episode")],
    };
    let columns = [column("IQM (score)", 1.0), column("median (score)", 1e4), column("optimality gap", 1e-3)];
    let pictures = [
        ("lines", lines.draw()),
        ("intervals", intervals("eval/return: aggregates", "95 % intervals", &methods, &columns)),
        ("heat", heat_map("eval/return: score by method and task", "IQM over 10 seeds", &names, &tasks, &values)),
        ("field", field.draw()),
    ];
    for (name, picture) in pictures {
        let path = dir.0.join(format!("{name}.svg"));
        fs::write(&path, picture.file()).unwrap();
        browser.open(&path);
        assert_eq!(browser.run(TEXTS), json!([]), "{name}");
    }
    // A report as people open it, at both widths; what is wider than a phone scrolls within its frame, never the page.
    let spec = "format = 1\nabout = \"a\"\nseeds = 2\n[base]\nenv = \"cartpole\"\nalgo = \"ppo\"\nsteps = 4000\nnum_steps = 64\nepochs = 1\n\
                log_every = 1000\neval_every = 2000\neval_episodes = 2\n[grid]\nlearning_rate = [1e-3, 3e-4]\n";
    fs::write(dir.0.join("e.toml"), spec).unwrap();
    ok(&dir.0, &["experiment", "run", "e.toml", "-q"]);
    ok(&dir.0, &["experiment", "report", "e.toml"]);
    for width in [1280, 390] {
        browser.tool(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
        browser.open(&dir.0.join("runs/experiments/e/report/report.html"));
        assert_eq!(browser.run(TEXTS), json!([]), "{width}");
        assert_eq!(browser.run("return document.documentElement.scrollWidth <= innerWidth"), true, "{width}");
    }
}
