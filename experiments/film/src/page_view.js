// What the camera sees. WebGL 2, with a map of what the sun sees for the shadows.
const gl = view.getContext("webgl2", { antialias: true });
const SUN = 2048, sun = unit([0.35, -0.45, 1]);
const program = (vertex, fragment) => {
  const p = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const s = gl.createShader(kind);
    gl.shaderSource(s, "#version 300 es\nprecision highp float;precision highp sampler2DShadow;\n" + text);
    gl.compileShader(s);
    if (!gl.getShaderParameter(s, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(s));
    gl.attachShader(p, s);
  }
  gl.bindAttribLocation(p, 0, "at");
  gl.bindAttribLocation(p, 1, "normal");
  gl.linkProgram(p);
  return new Proxy({}, { get: (_, name) => name === "use" ? gl.useProgram(p) : gl.getUniformLocation(p, name) });
};
let lit, dark, shadow, target;
if (gl) {
  lit = program(
    `in vec3 at,normal;uniform mat4 model,camera,light;out vec3 p,n;out vec4 l;
void main(){vec4 w=model*vec4(at,1);p=w.xyz;n=mat3(model)*normal;l=light*vec4(p+normalize(n)*.002,1);gl_Position=camera*w;}`,
    `in vec3 p,n;in vec4 l;uniform sampler2DShadow shadow;uniform vec3 sun,eye;uniform vec4 colour;out vec4 o;
void main(){vec3 m=normalize(n),v=normalize(eye-p);
if(colour.a<1.){o=vec4(colour.rgb*(.7+.3*abs(dot(m,v)))*colour.a,colour.a);return;}
float s=0.;vec3 q=l.xyz*.5+.5;for(int i=-1;i<2;i++)for(int j=-1;j<2;j++)s+=texture(shadow,vec3(q.xy+vec2(i,j)/${SUN}.,q.z-.0012));
if(any(lessThan(q,vec3(0)))||any(greaterThan(q,vec3(1))))s=9.;
float f=max(dot(m,sun),0.),g=f>0.?.1*pow(max(dot(m,normalize(sun+v)),0.),24.):0.;
o=vec4(colour.rgb*(.6+.08*m.z+.06*m.x+s/9.*(.4*f+g)),1);}`);
  dark = program(
    "in vec3 at;uniform mat4 model,light;void main(){gl_Position=light*model*vec4(at,1);}",
    "void main(){}");
  shadow = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, shadow);
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.DEPTH_COMPONENT24, SUN, SUN);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_COMPARE_MODE, gl.COMPARE_REF_TO_TEXTURE);
  for (const k of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, k, gl.LINEAR);
  for (const k of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, k, gl.CLAMP_TO_EDGE);
  target = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, target);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, shadow, 0);
  for (const body of bodies) {
    const corners = new Float32Array(solid(body.shape));
    body.count = corners.length / 6;
    body.array = gl.createVertexArray();
    gl.bindVertexArray(body.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, corners, gl.STATIC_DRAW);
    for (const k of [0, 1]) {
      gl.enableVertexAttribArray(k);
      gl.vertexAttribPointer(k, 3, gl.FLOAT, false, 24, 12 * k);
    }
  }
} else {
  $("missing").hidden = false;
}

// The camera goes around a point.
let orbit;
const home = () => {
  const away = sub(film.camera.eye, film.camera.target), far = Math.hypot(...away);
  orbit = { target: [...film.camera.target], far, turn: Math.atan2(away[1], away[0]), lift: Math.asin(away[2] / far) };
};
home();
const eye = () => add(orbit.target, [Math.cos(orbit.lift) * Math.cos(orbit.turn), Math.cos(orbit.lift) * Math.sin(orbit.turn), Math.sin(orbit.lift)], orbit.far);

const draw = t => {
  if (!gl) return;
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  const [w, h] = [view.clientWidth, view.clientHeight].map(x => Math.max(1, Math.round(x * scale)));
  if (view.width !== w || view.height !== h) [view.width, view.height] = [w, h];
  const at = eye(), i = Math.min(Math.floor(t), film.frames.length - 1);
  const models = bodies.map(b => between(b, t)), colours = bodies.map(b => colour(b, i));
  const centre = film.camera.target;
  const light = times(box(1.25, 0.5, 5.5), look(add(centre, sun, 3), centre, [0, 1, 0]));
  const show = (p, k) => {
    gl.uniformMatrix4fv(p.model, false, models[k]);
    gl.bindVertexArray(bodies[k].array);
    gl.drawArrays(gl.TRIANGLES, 0, bodies[k].count);
  };
  gl.enable(gl.DEPTH_TEST);
  gl.disable(gl.BLEND);
  gl.bindFramebuffer(gl.FRAMEBUFFER, target);
  gl.viewport(0, 0, SUN, SUN);
  gl.depthMask(true);
  gl.clear(gl.DEPTH_BUFFER_BIT);
  dark.use;
  gl.uniformMatrix4fv(dark.light, false, light);
  bodies.forEach((_, k) => colours[k][3] === 1 && show(dark, k));
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  gl.viewport(0, 0, w, h);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  lit.use;
  // The whole of what a picture of 4 to 3 shows, however narrow the window is.
  const tall = 2 * Math.atan(Math.tan(film.camera.angle / 2) * Math.max(1, 4 / 3 * h / w));
  gl.uniformMatrix4fv(lit.camera, false, times(perspective(tall, w / h, 0.02, 30), look(at, orbit.target, [0, 0, 1])));
  gl.uniformMatrix4fv(lit.light, false, light);
  gl.uniform3fv(lit.sun, sun);
  gl.uniform3fv(lit.eye, at);
  gl.bindTexture(gl.TEXTURE_2D, shadow);
  for (const mark of [false, true]) {
    if (mark) { gl.enable(gl.BLEND); gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA); gl.depthMask(false); gl.enable(gl.CULL_FACE); }
    bodies.forEach((_, k) => {
      const a = colours[k][3];
      if (a > 0 && (a < 1) === mark) { gl.uniform4fv(lit.colour, colours[k]); show(lit, k); }
    });
  }
  gl.disable(gl.CULL_FACE);
  gl.depthMask(true);
};
