import assert from "node:assert/strict";
import test from "node:test";
import { Player } from "../../../static/player/player.js";
import * as send from "./stand_ins.mjs";

function stage({ locked = false } = {}) {
  const time = new send.Time();
  const voice = new send.Voice(time);
  if (locked) voice.lock();
  const canvas = new send.Stage();
  const captions = [];
  const states = [];
  const player = new Player({
    manifest: send.manifest,
    canvas,
    audio: voice,
    onCaption: (caption) => captions.push(caption),
    onState: (state) => states.push(state),
    now: time.now,
    raf: () => {},
  });
  const run = (ms, step = 20) => {
    for (let left = ms; left > 0; left -= step) {
      time.ms += Math.min(step, left);
      player.tick();
    }
  };
  return { time, voice, canvas, captions, states, player, run };
}

function sentence(player, generation, index, ms = 400) {
  player.push(send.start(generation, index));
  for (let at = 0; at < ms; at += 200) player.push(send.audio(generation, index, at, 200));
  player.push(send.patch(generation, index, 7));
  const list = [];
  for (let at = 0; at < ms; at += 40) list.push([at, at % 80 ? 7 : 8]);
  player.push(send.frames(generation, index, list));
  player.push(send.caption(generation, index, 0, 200, 0, "您"));
  player.push(send.caption(generation, index, 200, 400, 1, "好"));
  player.push(send.end(generation, index, ms));
}

test("speaks, shows, lights the words and rests", () => {
  const { player, run, states, captions, canvas } = stage();
  assert.equal(player.state, "idle");
  sentence(player, 5, 0);
  run(300);
  assert.equal(player.state, "speaking");
  assert.ok(player.stats().framesShown >= 4);
  assert.ok([7, 8].includes(player.stats().lastStateId));
  run(600);
  assert.deepEqual(states, ["speaking", "idle"]);
  assert.deepEqual(captions.map((c) => c.kind), ["start", "word", "word", "end"]);
  assert.deepEqual(captions.filter((c) => c.kind === "word").map((c) => [c.start, c.length, c.text]), [[0, 1, "您"], [1, 1, "好"]]);
  assert.deepEqual(canvas.scene.mouth, [["v1/0", 1]]);
  assert.equal(player.stats().audioMsPlayed, 400);
  assert.deepEqual(player.playhead(), { utterance: "5-0", pts_ms: 400 });
});

test("changes into another avatar, and keeps its own where the other's pictures cannot be had", async () => {
  const { player, canvas, run } = stage();
  await player.ready;
  sentence(player, 5, 0);
  run(600);
  assert.deepEqual(player.known().sort(), [0, 7]);
  const other = { ...send.manifest, name: "nurse", version: "v2" };
  canvas.open = async () => { throw new Error("no portrait"); };
  await assert.rejects(player.wear(other));
  assert.equal(player.manifest.name, "xiaolan");
  canvas.open = async () => {};
  await player.wear(other);
  run(600);
  assert.deepEqual(player.known(), [0]);
  assert.deepEqual(canvas.scene.mouth, [["v2/0", 1]]);
});

test("words are lit at their time, not before", () => {
  const { player, run, captions } = stage();
  sentence(player, 5, 0);
  run(80 + 180);
  assert.equal(captions.filter((c) => c.kind === "word").length, 1);
  run(60);
  assert.equal(captions.filter((c) => c.kind === "word").length, 2);
});

test("sentences join without a gap, to the sample", () => {
  const { player, voice } = stage();
  sentence(player, 5, 0);
  sentence(player, 5, 1);
  assert.equal(voice.started.length, 4);
  for (let i = 1; i < 4; i++) assert.ok(Math.abs(voice.started[i].at - voice.started[i - 1].end) < 1e-9);
});

test("other rates are brought to the device's as one curve", () => {
  const { player, voice } = stage();
  player.push(send.start(5, 0));
  for (let at = 0; at < 1000; at += 200) player.push(send.audio(5, 0, at, 200, 22050));
  const samples = voice.started.reduce((sum, sound) => sum + sound.samples.length, 0);
  assert.ok(Math.abs(samples - 24000) <= 3, String(samples));
  const value = Math.fround(1000 / 32768);
  for (const sound of voice.started.slice(1)) assert.ok(sound.samples.every((s) => Math.abs(s - value) < 1e-6));
  for (let i = 1; i < 5; i++) assert.ok(Math.abs(voice.started[i].at - voice.started[i - 1].end) < 1e-9);
});

test("an interrupt is immediate, and nothing stale comes back", () => {
  const { player, voice, run, canvas } = stage();
  sentence(player, 5, 0, 2000);
  run(400);
  player.interrupt();
  assert.equal(player.state, "idle");
  assert.equal(voice.sounding.length, 0);
  assert.equal(player.stats().generation, 6);
  const shown = player.stats().framesShown;
  player.push(send.audio(5, 0, 2000, 200)); // still on its way
  player.push(send.flush(5));
  sentence(player, 5, 1);
  run(600);
  assert.equal(player.stats().framesShown, shown);
  assert.equal(voice.sounding.length, 0);
  assert.equal(canvas.scene.mouth.at(-1)[0], "v1/0");
  player.push(send.flush(6));
  sentence(player, 6, 0);
  run(200);
  assert.equal(player.state, "speaking");
  assert.equal(voice.sounding.length, 2);
});

test("a flush from the server silences, and a newer generation does so by itself", () => {
  const { player, voice, run } = stage();
  sentence(player, 5, 0, 2000);
  run(300);
  player.push(send.flush(6));
  assert.equal(voice.sounding.length, 0);
  assert.equal(player.playhead(), null);
  sentence(player, 7, 0);
  assert.equal(player.stats().generation, 7);
});

test("after a reset any generation is taken", () => {
  const { player, run } = stage();
  player.interrupt(99);
  player.reset();
  player.push(send.flush(3));
  sentence(player, 3, 0);
  run(300);
  assert.equal(player.state, "speaking");
});

test("locked sound: mouth and captions run on the silent clock, then the voice joins where they are", async () => {
  const { player, voice, run, captions, time } = stage({ locked: true });
  sentence(player, 5, 0, 2000);
  run(600);
  assert.equal(player.state, "speaking");
  assert.ok(player.stats().framesShown > 8);
  assert.equal(captions.filter((c) => c.kind === "word").length, 2);
  assert.equal(voice.started.length, 0);
  const before = player.playhead().pts_ms;
  await player.resume();
  assert.ok(Math.abs(player.playhead().pts_ms - before) <= 1);
  const [first] = voice.sounding;
  assert.ok(first.samples.length < 4800, "begins within its chunk");
  const skipped = 200 - (1000 * first.samples.length) / 24000;
  assert.ok(Math.abs(400 + skipped - before) < 1.5, `${skipped} ${before}`);
  time.ms += 200;
  assert.ok(Math.abs(player.playhead().pts_ms - before - 200) <= 1);
});

test("a device that takes the sound away does not stop the stage", async () => {
  const { player, voice, run } = stage();
  sentence(player, 5, 0, 2000);
  run(300);
  const before = player.playhead().pts_ms;
  voice.lock();
  run(200);
  assert.equal(voice.sounding.length, 0);
  assert.ok(Math.abs(player.playhead().pts_ms - before - 200) <= 25);
  await player.resume();
  assert.ok(voice.sounding.length > 0);
});

test("a background tab: the sound goes on, and the picture is where the sound is on return", () => {
  const { player, time, run, states } = stage();
  sentence(player, 5, 0, 2000);
  run(200);
  time.ms += 1000; // no pictures are asked for
  assert.ok(Math.abs(player.playhead().pts_ms - 1120) <= 1);
  run(20);
  assert.equal(player.stats().lastStateId, 8);
  assert.ok(player.stats().droppedPictures >= 20);
  time.ms += 2000;
  player.playhead();
  assert.deepEqual(states, ["speaking", "idle"]);
});

test("late sound: the mouth closes, the rest follows later, and the buffer grows", () => {
  const { player, run, canvas } = stage();
  player.push(send.start(5, 0));
  player.push(send.audio(5, 0, 0, 200));
  player.push(send.frames(5, 0, [[0, 7], [160, 8]]));
  run(800);
  assert.equal(canvas.scene.mouth.at(-1)[0], "v1/0");
  assert.equal(player.state, "speaking");
  assert.equal(player.playhead().pts_ms, 200);
  player.push(send.audio(5, 0, 200, 200));
  player.push(send.end(5, 0, 400));
  assert.equal(player.stats().underruns, 1);
  run(128 + 100);
  assert.ok(player.playhead().pts_ms > 200);
  run(500);
  assert.equal(player.state, "idle");
});

test("a fallback is shown for its reading time, then the next sentence speaks", () => {
  const { player, run, captions, voice, time } = stage();
  player.push(send.start(5, 0));
  player.push(send.fallback(5, 0, 0, "您好", 440));
  sentence(player, 5, 1);
  run(60);
  assert.deepEqual(captions.map((c) => c.kind), ["start", "fallback"]);
  assert.equal(captions[1].code, "worker_silent");
  const begins = voice.started[0].at - (time.ms - 1000) / 1000;
  assert.ok(Math.abs(begins - 0.38) < 0.01, String(begins));
  run(900);
  assert.equal(player.state, "idle");
});

test("frames fade into each other, moods too, and idle follows without a jump", () => {
  const { player, run, canvas } = stage();
  player.push(send.start(5, 0, "您好", "smile"));
  player.push(send.audio(5, 0, 0, 400));
  player.push(send.frames(5, 0, [[0, 7], [40, 8], [80, 9, 128]]));
  player.push(send.end(5, 0, 400));
  const alphas = [];
  for (let i = 0; i < 60; i++) {
    run(10, 10);
    const layers = canvas.scene.mouth;
    assert.ok(layers.length === 1 || layers[0][1] === 1);
    alphas.push(layers.at(-1));
  }
  assert.ok(alphas.some(([key, alpha]) => key === "v1/8" && alpha > 0.1 && alpha < 0.9));
  assert.ok(alphas.every(([key, alpha]) => key !== "v1/9" || alpha <= 128 / 255 + 1e-9));
  assert.equal(canvas.scene.mouth.at(-1)[0], "v1/50"); // a smile stays a while
  assert.equal(canvas.scene.eyes.at(-1)[0], "v1/110");
  run(4000);
  assert.equal(canvas.scene.mouth.at(-1)[0], "v1/0");
  assert.ok(["v1/100", "v1/101"].includes(canvas.scene.eyes.at(-1)[0]));
});

test("she blinks, and knows which pictures need not be sent again", async () => {
  const { player, run, canvas } = stage();
  run(12000);
  assert.ok(canvas.scenes.some((scene) => scene.eyes.at(-1)[0] === "v1/101"));
  await player.ready;
  sentence(player, 5, 0);
  assert.deepEqual(player.known().sort(), [0, 7]);
  assert.ok(canvas.loaded.includes("v1/7"));
});

test("damaged messages are counted, never thrown", () => {
  const { player, run } = stage();
  player.push(new Uint8Array([1, 2, 3]));
  player.push("not base64!");
  player.push(send.audio(5, 3, 0, 100)); // of an utterance that never began
  sentence(player, 5, 0);
  run(300);
  assert.equal(player.stats().errors, 2);
  assert.equal(player.state, "speaking");
});

test("memory does not grow over many sentences", () => {
  const { player, run } = stage();
  for (let i = 0; i < 300; i++) {
    sentence(player, 5, i);
    run(400, 40);
  }
  run(2000);
  assert.equal(player.sounds.length, 0);
  assert.equal(player.waiting.length, 0);
  assert.equal(player.stats().audioMsPlayed, 300 * 400);
});
