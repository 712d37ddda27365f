"use strict";
const film = JSON.parse(document.getElementById("film").textContent);
const $ = id => document.getElementById(id);
const root = document.documentElement, view = $("view");

// Vectors and matrices (column by column).
const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const add = (a, b, k = 1) => [a[0] + k * b[0], a[1] + k * b[1], a[2] + k * b[2]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = a => { const l = Math.hypot(...a) || 1; return a.map(x => x / l); };
const times = (a, b) => Array.from({ length: 16 }, (_, i) => {
  let s = 0;
  for (let k = 0; k < 4; k++) s += a[i % 4 + 4 * k] * b[k + 4 * (i >> 2)];
  return s;
});
const look = (eye, target, up) => {
  const z = unit(sub(eye, target)), x = unit(cross(up, z)), y = cross(z, x);
  return [x[0], y[0], z[0], 0, x[1], y[1], z[1], 0, x[2], y[2], z[2], 0, -dot(x, eye), -dot(y, eye), -dot(z, eye), 1];
};
const perspective = (angle, aspect, near, far) => {
  const f = 1 / Math.tan(angle / 2);
  return [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, 2 * far * near / (near - far), 0];
};
const box = (r, near, far) => [1 / r, 0, 0, 0, 0, 1 / r, 0, 0, 0, 0, 2 / (near - far), 0, 0, 0, (far + near) / (near - far), 1];
const placed = (p, q) => {
  const [x, y, z, w] = q;
  return [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y), 0,
    2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x), 0,
    2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y), 0, p[0], p[1], p[2], 1];
};

// Shapes as triangles: x, y, z and the normal of every corner.
const AROUND = 32, RINGS = 8;
const turned = profile => {
  const out = [];
  const corner = ([r, h, nr, nh], k) => {
    const t = 2 * Math.PI * (k % AROUND) / AROUND, s = Math.sin(t), c = Math.cos(t);
    return [r * c, h, r * s, nr * c, nh, nr * s];
  };
  for (let i = 0; i + 1 < profile.length; i++)
    for (let k = 0; k < AROUND; k++) {
      const q = [corner(profile[i], k), corner(profile[i + 1], k), corner(profile[i + 1], k + 1), corner(profile[i], k + 1)];
      for (const j of [0, 1, 2, 0, 2, 3]) out.push(...q[j]);
    }
  return out;
};
const dome = (r, half) => {
  const point = (k, lift) => {
    const t = -Math.PI / 2 + Math.PI * k / (2 * RINGS), s = Math.sin(t), c = Math.cos(t);
    return [r * c, r * s + lift, c, s];
  };
  const out = [];
  for (let k = 0; k <= RINGS; k++) out.push(point(k, -half));
  for (let k = RINGS; k <= 2 * RINGS; k++) out.push(point(k, half));
  return turned(out);
};
const cuboid = half => {
  const out = [];
  for (let axis = 0; axis < 3; axis++)
    for (const side of [-1, 1]) {
      const u = (axis + 1) % 3, v = (axis + 2) % 3;
      const q = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => {
        const p = [0, 0, 0], n = [0, 0, 0];
        p[axis] = side * half[axis]; p[u] = a * side * half[u]; p[v] = b * half[v]; n[axis] = side;
        return [...p, ...n];
      });
      for (const j of [0, 1, 2, 0, 2, 3]) out.push(...q[j]);
    }
  return out;
};
const solid = s => {
  if (s.box) return cuboid(s.box);
  if (s.ball) return dome(s.ball, 0);
  if (s.capsule) return dome(...s.capsule);
  if (s.cylinder) {
    const [r, h] = s.cylinder;
    return [[[r, -h, 1, 0], [r, h, 1, 0]], [[0, -h, 0, -1], [r, -h, 0, -1]], [[r, h, 0, 1], [0, h, 0, 1]]].flatMap(turned);
  }
  const [points, triangles] = s.mesh;
  return triangles.flatMap(t => {
    const [a, b, c] = t.map(i => points[i]), n = unit(cross(sub(b, a), sub(c, a)));
    return [...a, ...n, ...b, ...n, ...c, ...n];
  });
};

// Poses: whole numbers, 7 a frame.
const bodies = film.bodies.map(b => {
  const bytes = Uint8Array.from(atob(b.poses), c => c.charCodeAt(0));
  return { shape: b.shape, colours: b.colours, poses: new Uint16Array(bytes.buffer) };
});
const pose = (body, i) => {
  const at = body.poses.length > 7 ? 7 * i : 0, p = body.poses;
  return [[0, 1, 2].map(k => film.low[k] + film.step * p[at + k]), unit([3, 4, 5, 6].map(k => p[at + k] / 65535 * 2 - 1))];
};
// Between two frames: the shorter way round.
const between = (body, t) => {
  const i = Math.floor(t), f = t - i, [p, q] = pose(body, i);
  if (f === 0 || i + 1 >= film.frames.length || body.poses.length <= 7) return placed(p, q);
  const [p1, q1] = pose(body, i + 1), sign = q.reduce((s, x, k) => s + x * q1[k], 0) < 0 ? -1 : 1;
  return placed(p.map((x, k) => x + f * (p1[k] - x)), unit(q.map((x, k) => (1 - f) * x + f * sign * q1[k])));
};
const colour = (body, i) => body.colours[Math.min(i, body.colours.length - 1)].map(c => c / 255);
