// The stage on a canvas: portrait, mouth and eyes composed in face space, then moved as the head breathes and sways.
//
// WebGL bends the face smoothly about the neck; without it, or where reduced motion is asked for, the face stands still.

const DECODED = 160; // bitmaps kept ready; the JPEGs of the others wait
const STORED = 2000;

export class CanvasStage {
  /**
   * `canvas`: an HTMLCanvasElement, an OffscreenCanvas or a mini-program's canvas node. `ratio`: device pixels a CSS pixel.
   * `makeCanvas(width, height)` and `decode(bytes or address, canvas)` -> Promise of an image replace the browser's own.
   */
  constructor({ canvas, ratio = globalThis.devicePixelRatio ?? 1, reducedMotion = false, webgl = true, makeCanvas, decode }) {
    this.canvas = canvas;
    this.ratio = ratio;
    this.makeCanvas = makeCanvas ?? browserCanvas(canvas);
    this.decode = decode ?? browserDecode(canvas);
    this.still = reducedMotion;
    this.mayBend = webgl && !reducedMotion;
    this.stored = new Map(); // key -> JPEG bytes
    this.images = new Map(); // key -> image, least recently shown first
    this.busy = new Set();
    this.preloaded = [];
    this.composed = "";
    this.lastMouth = null;
    this.manifest = null;
  }

  /** Loads what the idle face needs. Rejects where the portrait cannot be had; what was open before stays. */
  async open(manifest) {
    const before = this.manifest;
    try {
      await this.loadFace(manifest);
    } catch (error) {
      this.manifest = before;
      throw error;
    }
  }

  async loadFace(manifest) {
    this.manifest = manifest;
    const [width, height] = manifest.size_px;
    const rests = Object.values(manifest.mouth.rest);
    const lids = Object.values(manifest.eyes.states).flatMap((states) => states.map((state) => state.id));
    const [portrait, mask] = await Promise.all([
      this.decode(manifest.portrait),
      this.mayBend ? this.decode(manifest.mask).catch(() => null) : null,
      ...[...new Set([...rests, ...lids])].map((id) => this.fetch(`${manifest.version}/${id}`)),
    ]);
    this.preloaded = [...new Set(rests)].filter((id) => this.images.has(`${manifest.version}/${id}`));
    this.portrait = portrait;
    this.face = this.makeCanvas(width, height);
    this.pen = this.face.getContext("2d");
    this.bend = mask ? Bend.on(this.canvas, manifest, mask) : null;
    if (!this.bend) this.flat = this.canvas.getContext("2d");
    this.composed = "";
  }

  /** The page's size of the canvas in CSS pixels, and its ratio where that has changed. */
  resize(width, height, ratio = this.ratio) {
    this.ratio = ratio;
    const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
    if (this.canvas.width !== w) this.canvas.width = w;
    if (this.canvas.height !== h) this.canvas.height = h;
    this.composed = "";
  }

  setReducedMotion(reduced) {
    this.still = reduced;
  }

  async load(key, jpeg, part, { once = false } = {}) {
    if (!once) this.store(key, jpeg.slice());
    await this.ready(key, jpeg);
  }

  /** Pictures that will be shown soon and whose bitmaps may have gone. */
  prepare(keys) {
    for (const key of keys) {
      if (this.images.has(key) || this.busy.has(key)) continue;
      const jpeg = this.stored.get(key);
      if (jpeg) this.ready(key, jpeg);
    }
  }

  store(key, jpeg) {
    this.stored.set(key, jpeg);
    if (this.stored.size > STORED) this.stored.delete(this.stored.keys().next().value);
  }

  async ready(key, source) {
    this.busy.add(key);
    try {
      const image = await this.decode(source);
      this.images.set(key, image);
      if (this.images.size > DECODED) {
        const [oldest, gone] = this.images.entries().next().value;
        this.images.delete(oldest);
        gone.close?.();
      }
    } catch {
      this.images.delete(key); // a damaged picture is a missing one: the mouth keeps its shape
    } finally {
      this.busy.delete(key);
    }
  }

  /** A state of this manifest that neither came nor stayed. */
  async fetch(key) {
    const [version, id] = key.split("/");
    if (version !== this.manifest.version || this.busy.has(key)) return;
    await this.ready(key, this.manifest.patch_url.replace("{id}", id));
  }

  image(key) {
    const image = this.images.get(key);
    if (image) {
      this.images.delete(key);
      this.images.set(key, image);
    }
    return image;
  }

  /** `mouth`, `eyes`: [[key, alpha], ...] from below; returns how many of them were not there. */
  draw({ mouth, eyes, pose }) {
    if (!this.portrait) return 0;
    let missing = 0;
    const drawn = { mouth: [], eyes: [] };
    for (const [part, layers] of [["mouth", mouth], ["eyes", eyes]]) {
      for (const [key, alpha] of layers) {
        const image = this.image(key);
        if (image) drawn[part].push([key, Math.round(alpha * 32) / 32, image]);
        else {
          missing++;
          if (this.stored.has(key)) this.prepare([key]);
          else this.fetch(key);
        }
      }
    }
    if (drawn.mouth.length) this.lastMouth = drawn.mouth.at(-1);
    else if (this.lastMouth) drawn.mouth.push(this.lastMouth);
    const composition = [...drawn.mouth, ...drawn.eyes].map(([key, alpha]) => `${key}@${alpha}`).join();
    const fresh = composition !== this.composed;
    if (fresh) {
      this.composed = composition;
      this.compose(drawn);
    }
    if (this.bend?.alive) this.bend.draw(this.face, fresh, this.still ? STILL : pose);
    else if (this.flat && fresh) {
      const { x, y, scale } = cover(this.canvas, this.manifest.size_px);
      this.flat.drawImage(this.face, x, y, this.manifest.size_px[0] * scale, this.manifest.size_px[1] * scale);
    }
    return missing;
  }

  compose({ mouth, eyes }) {
    const [width, height] = this.manifest.size_px;
    this.pen.globalAlpha = 1;
    this.pen.drawImage(this.portrait, 0, 0, width, height);
    for (const [layers, box] of [[eyes, this.manifest.eyes.box_px], [mouth, this.manifest.mouth.box_px]]) {
      for (const [, alpha, image] of layers) {
        this.pen.globalAlpha = alpha;
        this.pen.drawImage(image, ...box);
      }
    }
  }
}

const STILL = { xPx: 0, yPx: 0, angle: 0, breathPx: 0 };

/** Where a face of `size` lies on the canvas: it covers it, centred, its top at the top. */
export function cover({ width, height }, [w, h]) {
  const scale = Math.max(width / w, height / h);
  return { x: (width - w * scale) / 2, y: 0, scale };
}

const VERTEX = `
attribute vec2 corner;
uniform vec2 spread, shift;
varying vec2 at;
void main() { at = corner * spread + shift; gl_Position = vec4(corner.x * 2.0 - 1.0, 1.0 - corner.y * 2.0, 0.0, 1.0); }`;

// The backward map of avatar/idle.py: where each pixel of the moved face comes from.
const FRAGMENT = `
precision highp float;
uniform sampler2D face, mask;
uniform vec2 size, pivot, sway;
uniform float turn, breath;
varying vec2 at;
void main() {
  float head = texture2D(mask, at).r;
  vec2 p = at * size;
  float below = clamp((p.y - pivot.y) / max(1.0, size.y - pivot.y) * 2.0, 0.0, 1.0);
  float body = (1.0 - head) * below * below * (3.0 - 2.0 * below);
  vec2 arm = p - pivot;
  vec2 from = p - head * sway + head * turn * vec2(arm.y, -arm.x);
  from.y += (body + 0.35 * head) * breath;
  gl_FragColor = vec4(texture2D(face, from / size).rgb, 1.0);
}`;

class Bend {
  static on(canvas, manifest, mask) {
    const gl = canvas.getContext("webgl", { alpha: false, antialias: false, preserveDrawingBuffer: true });
    return gl ? new Bend(canvas, gl, manifest, mask) : null;
  }

  constructor(canvas, gl, manifest, mask) {
    Object.assign(this, { canvas, gl, manifest, mask, alive: false });
    this.build();
    canvas.addEventListener?.("webglcontextlost", (event) => {
      event.preventDefault();
      this.alive = false;
    });
    canvas.addEventListener?.("webglcontextrestored", () => this.build());
  }

  build() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    this.place = (name) => gl.getUniformLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, Float32Array.of(0, 0, 1, 0, 0, 1, 1, 1), gl.STATIC_DRAW);
    const corner = gl.getAttribLocation(program, "corner");
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
    this.texture(1, this.mask);
    this.texture(0, null);
    gl.uniform1i(this.place("face"), 0);
    gl.uniform1i(this.place("mask"), 1);
    gl.uniform2fv(this.place("size"), this.manifest.size_px);
    gl.uniform2fv(this.place("pivot"), this.manifest.head.pivot_px);
    this.fresh = true;
    this.alive = true;
  }

  texture(unit, image) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [name, value] of [
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE],
      [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
      [gl.TEXTURE_MIN_FILTER, gl.LINEAR],
      [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
    ]) {
      gl.texParameteri(gl.TEXTURE_2D, name, value);
    }
    if (image) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
  }

  draw(face, fresh, { xPx, yPx, angle, breathPx }) {
    const { gl, canvas } = this;
    if (fresh || this.fresh) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, face);
    this.fresh = false;
    const [w, h] = this.manifest.size_px;
    const { x, y, scale } = cover(canvas, this.manifest.size_px);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.uniform2f(this.place("spread"), canvas.width / (w * scale), canvas.height / (h * scale));
    gl.uniform2f(this.place("shift"), -x / (w * scale), -y / (h * scale));
    gl.uniform2f(this.place("sway"), xPx, yPx);
    gl.uniform1f(this.place("turn"), angle);
    gl.uniform1f(this.place("breath"), breathPx);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}

function browserCanvas(canvas) {
  return (width, height) => {
    if (typeof OffscreenCanvas !== "undefined") return new OffscreenCanvas(width, height);
    return Object.assign(canvas.ownerDocument.createElement("canvas"), { width, height });
  };
}

function browserDecode(canvas) {
  return async (source) => {
    let blob;
    if (typeof source === "string") {
      const answer = await fetch(source);
      if (!answer.ok) throw new Error(`${source}: ${answer.status}`);
      blob = await answer.blob();
    } else {
      blob = new Blob([source], { type: "image/jpeg" });
    }
    if (typeof createImageBitmap === "function") return createImageBitmap(blob);
    const image = canvas.ownerDocument.createElement("img");
    image.src = URL.createObjectURL(blob);
    try {
      await image.decode();
    } finally {
      URL.revokeObjectURL(image.src);
    }
    return image;
  };
}
