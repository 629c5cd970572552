import assert from "node:assert/strict";
import test from "node:test";
import { CanvasStage, cover } from "../../../static/player/canvas.js";
import { blink, blinkStarts, nod, pose } from "../../../static/player/idle.js";
import { onMiniProgram, toBase64 } from "../../../static/player/miniprogram.js";
import { fromText } from "../../../static/player/protocol.js";
import { Resampler } from "../../../static/player/resampler.js";
import { WebAudioVoice } from "../../../static/player/webaudio.js";
import { manifest } from "./stand_ins.mjs";

const full = {
  ...manifest,
  portrait: "portrait.jpg",
  mask: "mask.png",
  patch_url: "patches/{id}.jpg",
  head: { pivot_px: [256, 420] },
};

function paper(width = 512, height = 512) {
  const strokes = [];
  const pen = { globalAlpha: 1, drawImage: (image, ...where) => strokes.push([image, pen.globalAlpha, ...where]) };
  return { width, height, strokes, getContext: (kind) => (kind === "2d" ? pen : null) };
}

async function stage(decode = async (source) => ({ source })) {
  const canvas = paper(300, 400);
  const face = paper();
  const made = new CanvasStage({ canvas, ratio: 2, makeCanvas: () => face, decode });
  await made.open(full);
  return { canvas, face, made };
}

const scene = (mouth, eyes = [["v1/100", 1]]) => ({ mouth, eyes, pose: { xPx: 0, yPx: 0, angle: 0, breathPx: 0 } });

test("composes portrait, eyes and mouth in their boxes, only when something changed", async () => {
  const { made, face, canvas } = await stage();
  assert.equal(made.draw(scene([["v1/0", 1]])), 0);
  assert.deepEqual(face.strokes.map(([image]) => image.source), ["portrait.jpg", "patches/100.jpg", "patches/0.jpg"]);
  assert.deepEqual(face.strokes[2].slice(2), full.mouth.box_px);
  assert.equal(canvas.strokes.length, 1);
  made.draw(scene([["v1/0", 1]]));
  assert.equal(face.strokes.length, 3);
  made.draw(scene([["v1/0", 1], ["v1/50", 0.5]]));
  assert.equal(face.strokes.at(-1)[1], 0.5);
});

test("a missing mouth keeps the last one, and is fetched; a stored one is decoded again", async () => {
  const { made, face } = await stage();
  made.draw(scene([["v1/0", 1]]));
  assert.equal(made.draw(scene([["v1/33", 1]])), 1);
  assert.equal(face.strokes.at(-1)[0].source, "patches/0.jpg");
  await new Promise(setImmediate);
  assert.equal(made.draw(scene([["v1/33", 1]])), 0);
  await made.load("v1/34", Uint8Array.of(0xff, 0xd8), "mouth");
  assert.equal(made.draw(scene([["v1/34", 1]])), 0);
});

test("bitmaps are bounded", async () => {
  const { made } = await stage();
  for (let i = 1000; i < 1500; i++) await made.load(`v1/${i}`, Uint8Array.of(0xff, 0xd8), "mouth");
  assert.ok(made.images.size <= 160);
});

test("a damaged picture is a missing one", async () => {
  const { made } = await stage(async (source) => {
    if (typeof source !== "string") throw new Error("damaged");
    return { source };
  });
  await made.load("v1/77", Uint8Array.of(0xff, 0xd8), "mouth");
  assert.equal(made.draw(scene([["v1/77", 1]])), 1);
});

test("device pixels and cover", async () => {
  const { made, canvas } = await stage();
  made.resize(360, 480, 3);
  assert.deepEqual([canvas.width, canvas.height], [1080, 1440]);
  assert.deepEqual(cover({ width: 1080, height: 1440 }, [512, 512]), { x: -180, y: 0, scale: 1440 / 512 });
});

test("idle motion is small, lids fall fully, a nod ends where it began", () => {
  let shut = 0;
  for (let ms = 0; ms < 40000; ms += 10) {
    const at = pose(manifest.idle, ms);
    assert.ok(Math.abs(at.xPx) <= 1.5 && Math.abs(at.breathPx) <= 1.6 && Math.abs(at.angle) < 0.01);
    shut = Math.max(shut, blink(manifest.idle, ms));
  }
  assert.equal(shut, 1);
  assert.equal(nod(manifest.idle, 0), 0);
  assert.equal(nod(manifest.idle, 900), 0);
  if (process.env.AVATAR_BLINKS) {
    const expected = JSON.parse(process.env.AVATAR_BLINKS); // the film's, from avatar/idle.py
    assert.deepEqual(expected.map((_, slot) => blinkStarts(manifest.idle, slot)), expected);
  }
});

test("resampling a tone leaves a tone across chunk borders", () => {
  const tone = (n, hz) => Math.sin((2 * Math.PI * 300 * n) / hz);
  const source = Float32Array.from({ length: 22050 }, (_, n) => tone(n, 22050));
  const resampler = new Resampler(22050, 48000);
  const out = [];
  for (let at = 0; at < source.length; at += 1764) out.push(...resampler.push(source.subarray(at, at + 1764)));
  assert.ok(Math.abs(out.length - 48000) <= 4);
  const step = 22050 / 48000;
  for (let n = 100; n < out.length - 100; n++) {
    assert.ok(Math.abs(out[n] - tone(n * step, 22050)) < 2e-3, `${n}`);
  }
});

test("the voice starts chunks on whole samples and stops them softly", async () => {
  const nodes = [];
  const node = (extra) => {
    const made = { connect() {}, disconnect() {}, ...extra };
    nodes.push(made);
    return made;
  };
  const context = {
    sampleRate: 48000,
    currentTime: 1,
    state: "suspended",
    destination: {},
    resume: async () => (context.state = "running"),
    createGain: () => node({ gain: { value: 1, setValueAtTime() {}, linearRampToValueAtTime(value) { this.end = value; } } }),
    createBuffer: (_, length) => ({ getChannelData: () => new Float32Array(length) }),
    createBufferSource: () => node({ start(at) { this.at = at; }, stop(at) { this.stopped = at; } }),
  };
  const voice = new WebAudioVoice({ context });
  assert.equal(voice.running, false);
  assert.equal(await voice.resume(), true);
  const handle = voice.schedule(new Float32Array(480), 2.00000799);
  const source = nodes.at(-1);
  assert.equal(source.at * 48000, Math.round(source.at * 48000));
  const bus = voice.bus;
  handle.stop();
  assert.equal(bus.gain.end, 0);
  assert.ok(source.stopped > 1);
  voice.schedule(new Float32Array(480), 3);
  assert.notEqual(voice.bus, bus);
});

test("a mini-program draws from data URIs and runs silent where it has no Web Audio", async () => {
  const bytes = Uint8Array.of(0xff, 0xd8, 1, 2, 3, 4, 5);
  for (let n = 0; n <= 7; n++) assert.deepEqual(fromText(toBase64(bytes.subarray(0, n))), bytes.slice(0, n));
  const sources = [];
  const canvas = Object.assign(paper(), {
    createImage() {
      const image = {};
      return Object.defineProperty(image, "src", { set(value) { sources.push(value); queueMicrotask(() => image.onload()); } });
    },
    requestAnimationFrame() {},
  });
  const platform = { createOffscreenCanvas: () => paper(), getSystemInfoSync: () => ({ pixelRatio: 3 }) };
  const { canvas: made, audio } = onMiniProgram(platform, canvas, { origin: "https://example.test" });
  await made.open({ ...full, portrait: "/p.jpg", patch_url: "/patches/{id}.jpg" });
  await made.load("v1/9", bytes, "mouth");
  assert.equal(sources[0], "https://example.test/p.jpg");
  assert.ok(sources.at(-1).startsWith("data:image/jpeg;base64,/9gB"));
  assert.equal(audio.running, false);
  assert.equal(made.draw(scene([["v1/9", 1]])), 0);
});
