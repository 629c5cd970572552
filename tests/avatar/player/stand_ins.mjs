// A clock that is turned by hand, a voice and a stage that write down what they are told, and packets as the server makes them.

export class Time {
  ms = 1000;
  now = () => this.ms;
}

export class Voice {
  sampleRateHz = 24000;
  running = true;
  latency = 0;
  started = [];
  frozen = 0;

  constructor(time) {
    this.time = time;
    this.from = time.ms;
  }

  get currentTime() {
    return this.running ? (this.time.ms - this.from) / 1000 : this.frozen;
  }

  lock() {
    this.frozen = this.currentTime;
    this.running = false;
  }

  async resume() {
    if (!this.running) this.from = this.time.ms - this.frozen * 1000;
    this.running = true;
    return true;
  }

  setVolume() {}

  schedule(samples, at) {
    const sound = { samples, at, end: at + samples.length / this.sampleRateHz, stopped: false };
    this.started.push(sound);
    return { stop: () => (sound.stopped = true) };
  }

  get sounding() {
    return this.started.filter((sound) => !sound.stopped && sound.end > this.currentTime);
  }
}

export class Stage {
  loaded = [];
  scenes = [];
  preloaded = [0];

  async open(manifest) {
    this.manifest = manifest;
  }

  load(key) {
    this.loaded.push(key);
  }

  draw(scene) {
    this.scenes.push(scene);
    return 0;
  }

  get scene() {
    return this.scenes.at(-1);
  }
}

export const manifest = {
  name: "xiaolan",
  version: "v1",
  size_px: [512, 512],
  mouth: { box_px: [180, 300, 150, 110], rest: { neutral: 0, smile: 50, concern: 60 } },
  eyes: {
    box_px: [120, 180, 270, 90],
    states: {
      neutral: [{ id: 100, blink: 0 }, { id: 101, blink: 1 }],
      smile: [{ id: 110, blink: 0 }],
      concern: [{ id: 120, blink: 0 }],
    },
  },
  idle: {
    sway_x_px: [[1.5, 7300, 0]],
    sway_y_px: [[0.8, 6100, 0.21]],
    sway_deg: [[0.45, 8900, 0.11]],
    breath_px: [[1.6, 4100, 0]],
    blink: { slot_ms: 4000, earliest_ms: 400, latest_ms: 3200, close_ms: 90, shut_ms: 50, open_ms: 160, twice_every: 8, twice_after_ms: 420 },
    nod: { px: 5, ms: 900 },
  },
};

function packet(kind, generation, index, ptsMs, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(16);
  head.writeUInt8(1, 0);
  head.writeUInt8(kind, 1);
  head.writeUInt16LE(payload.length, 2);
  head.writeUInt32LE(generation, 4);
  head.writeUInt32LE(index, 8);
  head.writeUInt32LE(ptsMs, 12);
  return Buffer.concat([head, payload]);
}

const json = (value) => Buffer.from(JSON.stringify(value));

export const flush = (generation) => packet(9, generation, 0, 0);
export const start = (generation, index, text = "您好", mood = "neutral") =>
  packet(1, generation, index, 0, json({ id: `${generation}-${index}`, text, avatar: "xiaolan", mood, rig: "v1" }));
export const end = (generation, index, ptsMs) => packet(7, generation, index, ptsMs);
export const fallback = (generation, index, ptsMs, text, readMs) =>
  packet(8, generation, index, ptsMs, json({ id: `${generation}-${index}`, code: "worker_silent", text, read_ms: readMs }));

export function audio(generation, index, ptsMs, ms, rateHz = 24000, value = 1000) {
  const samples = Math.round((ms * rateHz) / 1000);
  const payload = Buffer.alloc(12 + 2 * samples);
  payload.writeUInt32LE(rateHz, 4);
  payload.writeUInt32LE(samples, 8);
  for (let i = 0; i < samples; i++) payload.writeInt16LE(value, 12 + 2 * i);
  return packet(2, generation, index, ptsMs, payload);
}

export function frames(generation, index, list) {
  const payload = Buffer.alloc(4 + 7 * list.length);
  payload.writeUInt16LE(list.length, 2);
  let before = list[0][0];
  list.forEach(([ptsMs, state, weight = 255], i) => {
    payload.writeUInt16LE(ptsMs - before, 4 + 7 * i);
    payload.writeUInt32LE(state, 6 + 7 * i);
    payload.writeUInt8(weight, 10 + 7 * i);
    before = ptsMs;
  });
  return packet(4, generation, index, list[0][0], payload);
}

export function patch(generation, index, state) {
  const payload = Buffer.alloc(12);
  payload.writeUInt32LE(state, 0);
  payload.set([0xff, 0xd8, 0xff, 0xd9], 8);
  return packet(3, generation, index, 0, payload);
}

export function caption(generation, index, ptsMs, endMs, at, text) {
  const payload = Buffer.alloc(8);
  payload.writeUInt16LE(at, 0);
  payload.writeUInt16LE([...text].length, 2);
  payload.writeUInt32LE(endMs, 4);
  return packet(6, generation, index, ptsMs, Buffer.concat([payload, Buffer.from(text)]));
}
