// Time, and what one does with it.
const last = film.frames.length - 1, slider = $("time"), curve = $("curve");
let time = 0, playing = false, before = 0, stale = true;
slider.max = last;
const text = x => String(Math.round(x * 100) / 100).replace("-", "\u2212");
const theme = name => { root.dataset.theme = name; stale = true; };
const darkness = matchMedia("(prefers-color-scheme: dark)");
theme(darkness.matches ? "dark" : "light");
darkness.addEventListener("change", e => theme(e.matches ? "dark" : "light"));
$("theme").onclick = () => theme(root.dataset.theme === "dark" ? "light" : "dark");

const plot = () => {
  const c = curve.getContext("2d"), scale = window.devicePixelRatio || 1, w = curve.clientWidth, h = 40;
  [curve.width, curve.height] = [Math.max(1, w * scale), h * scale];
  c.scale(scale, scale);
  const rewards = film.frames.slice(1).map(f => f[0]), style = getComputedStyle(root);
  const low = Math.min(0, ...rewards), high = Math.max(0, ...rewards), span = high - low || 1;
  const y = r => 4 + (h - 8) * (high - r) / span, x = i => 8 + (w - 16) * i / Math.max(1, last);
  c.strokeStyle = style.getPropertyValue("--line");
  c.beginPath(); c.moveTo(0, y(0)); c.lineTo(w, y(0)); c.stroke();
  c.strokeStyle = style.getPropertyValue("--mark");
  c.lineWidth = 1.5;
  c.beginPath();
  rewards.forEach((r, i) => { c[i ? "lineTo" : "moveTo"](x(i), y(r)); c.lineTo(x(i + 1), y(r)); });
  c.stroke();
  c.strokeStyle = style.getPropertyValue("--ink");
  c.beginPath(); c.moveTo(x(time), 0); c.lineTo(x(time), h); c.stroke();
};
const show = () => {
  const i = Math.max(0, Math.min(Math.floor(time), last)), [reward, total, success, notes] = film.frames[i];
  slider.value = i;
  $("step").textContent = `step ${i} of ${last}`;
  $("numbers").textContent = [`reward ${text(reward)}`, `return ${text(total)}`, ...notes.map(n => n.join(" "))].join("   \u00b7   ");
  $("badge").textContent = success === null ? "" : success ? "success" : "not yet";
  $("badge").style.background = success ? "var(--good)" : "var(--wait)";
  draw(time);
  plot();
};
const play = on => {
  playing = on;
  if (on && time >= last) time = 0;
  before = performance.now();
  $("play").textContent = on ? "\u275A\u275A" : "\u25B6";
};
const seek = t => { play(false); time = Math.max(0, Math.min(last, t)); stale = true; };
$("play").onclick = () => play(!playing);
slider.oninput = () => seek(Number(slider.value));
$("home").onclick = () => { home(); stale = true; };
const pick = e => { const r = curve.getBoundingClientRect(); seek(Math.round((e.clientX - r.left - 8) / (r.width - 16) * last)); };
curve.onpointerdown = e => { curve.setPointerCapture(e.pointerId); pick(e); };
curve.onpointermove = e => { if (e.buttons) pick(e); };
document.onkeydown = e => {
  if (e.target.tagName === "SELECT" || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === " " && e.target.tagName !== "BUTTON") { play(!playing); e.preventDefault(); }
  if (e.target === slider) return;
  if (e.key === "ArrowRight") seek(Math.floor(time) + 1);
  if (e.key === "ArrowLeft") seek(Math.ceil(time) - 1);
};

// The camera: one finger or button turns, two or the right button move, pinch and wheel go closer.
const fingers = new Map();
const move = (dx, dy) => {
  const z = unit(sub(eye(), orbit.target)), x = unit(cross([0, 0, 1], z)), y = cross(z, x);
  const k = 2 * orbit.far * Math.tan(film.camera.angle / 2) / view.clientHeight;
  orbit.target = add(add(orbit.target, x, -k * dx), y, k * dy);
};
const closer = by => { orbit.far = Math.max(0.15, Math.min(8, orbit.far * by)); stale = true; };
view.onpointerdown = e => { view.setPointerCapture(e.pointerId); fingers.set(e.pointerId, [e.clientX, e.clientY]); };
view.onpointerup = view.onpointercancel = e => fingers.delete(e.pointerId);
view.onpointermove = e => {
  const was = fingers.get(e.pointerId);
  if (!was) return;
  const now = [e.clientX, e.clientY], [dx, dy] = [now[0] - was[0], now[1] - was[1]];
  if (fingers.size === 2) {
    const other = [...fingers].find(([id]) => id !== e.pointerId)[1], gap = p => Math.hypot(p[0] - other[0], p[1] - other[1]);
    closer(gap(was) / Math.max(1, gap(now)));
    move(dx / 2, dy / 2);
  } else if (e.shiftKey || e.buttons & 2) {
    move(dx, dy);
  } else {
    orbit.turn -= dx * 0.008;
    orbit.lift = Math.max(-0.3, Math.min(1.55, orbit.lift + dy * 0.008));
  }
  fingers.set(e.pointerId, now);
  stale = true;
};
view.oncontextmenu = e => e.preventDefault();
view.addEventListener("wheel", e => { e.preventDefault(); closer(Math.exp(e.deltaY * (e.deltaMode ? 0.04 : 0.0012))); }, { passive: false });
new ResizeObserver(() => { stale = true; }).observe(view);

// Milliseconds that pass between two frames at most: behind a hidden tab there are none, and the film goes on where it was.
const LONGEST = 250;
const tick = now => {
  // Asked for first, so that a frame that fails is not the last one.
  requestAnimationFrame(tick);
  if (playing) {
    // The first stamp may lie before the call that set `before`: it is that of the frame, which has begun already.
    const passed = Math.min(LONGEST, Math.max(0, now - before));
    time = Math.min(last, time + passed / 1000 / film.tick * Number($("speed").value));
    before = now;
    stale = true;
    if (time >= last) play(false);
  }
  if (stale) { stale = false; show(); }
};
// Who wants less motion starts it himself.
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play(true);
requestAnimationFrame(tick);
