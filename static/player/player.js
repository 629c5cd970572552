// The avatar on a page or in a mini-program: packets in; sound, picture and captions out, on one clock. Knows no DOM.

import { StageClock } from "./clock.js";
import { Face } from "./face.js";
import { JitterBuffer } from "./jitter.js";
import { decode, EYES, MOUTH, samplesOf } from "./protocol.js";
import { Resampler } from "./resampler.js";
import { Utterance } from "./utterance.js";

const STALL_S = 0.25; // sound that is late for longer closes the mouth

/**
 * `manifest`: GET /api/avatar/<name>/manifest.json. `canvas`, `audio`: adapters (canvas.js and webaudio.js, or
 * miniprogram.js). `onCaption({kind: "start"|"word"|"fallback"|"end", id, text, start, length, code})`: start and length
 * count code points. `onState("idle"|"speaking")`. `now`: a steady clock in ms; `raf`: asks for the next picture.
 */
export class Player {
  constructor({ manifest, canvas, audio, onCaption, onState, now, raf, onError }) {
    this.manifest = manifest;
    this.canvas = canvas;
    this.audio = audio;
    this.onCaption = onCaption ?? (() => {});
    this.onState = onState ?? (() => {});
    this.onError = onError ?? (() => {});
    const steady = now ?? (() => performance.now());
    this.raf = raf ?? globalThis.requestAnimationFrame?.bind(globalThis);
    this.clock = new StageClock(audio, steady);
    this.jitter = new JitterBuffer(this.clock, audio.sampleRateHz);
    this.generation = 0;
    this.floor = 0;
    this.state = "idle";
    this.count = { framesShown: 0, stale: 0, errors: 0, droppedPictures: 0, picturesMissing: 0 };
    this.lastStateId = null;
    this.playedMs = 0;
    this.knownStates = new Set();
    this.waiting = []; // utterances, in order; the first may be on stage
    this.receiving = null;
    this.sounds = []; // {at, end, samples, handle}: what sounds or will
    this.last = null; // where the last utterance stood when it left, for the playhead
    this.face = new Face(canvas, manifest, () => this.seen());
    this.pictures = 0;
    this.wasSounding = false;
    this.ready = this.wear(manifest);
    this.running = false;
  }

  /** Shows this avatar from now on. Rejects where its portrait cannot be had; then the one before stays. */
  async wear(manifest) {
    await this.canvas.open(manifest);
    if (manifest !== this.manifest) {
      this.manifest = manifest;
      this.knownStates.clear();
      this.face.wear(manifest);
    }
    for (const id of this.canvas.preloaded ?? []) this.knownStates.add(id);
  }

  // --- what a page calls -------------------------------------------------------------------------------------------
  /** A message from the socket: ArrayBuffer, view, or base64 text. A damaged one is counted and skipped. */
  push(data) {
    let packets;
    try {
      packets = decode(data);
    } catch (error) {
      this.count.errors++;
      this.onError(error);
      return;
    }
    for (const packet of packets) this.take(packet);
  }

  /** Silence at once: whatever is older than `generation` (default: everything so far) is neither heard nor shown. */
  interrupt(generation = this.generation + 1) {
    this.floor = Math.max(this.floor, generation);
    if (generation > this.generation) this.flush(generation);
  }

  /** A new connection: the server tells the generation anew. */
  reset() {
    this.floor = 0;
    this.flush(0);
  }

  /** What has been heard, for the server's flow control: {utterance, pts_ms}, or null before anything was. */
  playhead() {
    this.advance();
    const [current] = this.waiting;
    if (current?.begun) return { utterance: current.id, pts_ms: Math.round(Math.min(current.position(this.seen()), current.heardMs)) };
    return this.last;
  }

  /** Unlock the sound; call it from a tap. Resolves to whether it is heard now. */
  async resume() {
    const heard = await this.audio.resume();
    this.advance();
    return heard;
  }

  setVolume(volume) {
    this.audio.setVolume(Math.max(0, Math.min(1, volume)));
  }

  /** The mood between utterances. */
  setMood(mood) {
    this.face.restingMood = mood;
    if (this.state === "idle") this.face.feel(mood);
  }

  nod() {
    this.face.noddedAt = this.clock.now();
  }

  /** State ids that need not be sent again, for `hello`'s known_patches. */
  known() {
    return [...this.knownStates];
  }

  start() {
    if (this.running) return;
    this.running = true;
    const step = () => {
      if (!this.running) return;
      this.tick();
      this.raf(step);
    };
    this.raf(step);
  }

  stop() {
    this.running = false;
    this.flush(this.generation);
  }

  stats() {
    return {
      state: this.state,
      generation: this.generation,
      framesShown: this.count.framesShown,
      lastStateId: this.lastStateId,
      audioMsPlayed: Math.round(this.playedMs + this.playedOfCurrent()),
      droppedPictures: this.count.droppedPictures,
      picturesMissing: this.count.picturesMissing,
      stalePackets: this.count.stale,
      errors: this.count.errors,
      underruns: this.jitter.underruns,
      bufferedMs: Math.max(0, Math.round((this.jitter.cursor - this.clock.now()) * 1000)),
      sounding: this.audio.running,
    };
  }

  // --- packets -----------------------------------------------------------------------------------------------------
  take(packet) {
    if (packet.kind === "FLUSH") {
      if (packet.generation >= this.floor) this.flush(packet.generation);
      return;
    }
    if (packet.generation < Math.max(this.generation, this.floor)) {
      this.count.stale++;
      return;
    }
    if (packet.generation > this.generation) this.flush(packet.generation);
    if (packet.kind === "START") return void this.begin(packet);
    const u = this.receiving;
    if (!u || u.index !== packet.index) {
      this.count.stale++;
      return;
    }
    this[packet.kind](packet, u);
  }

  begin(packet) {
    // The same utterance once more: a new connection tells it from its beginning.
    this.waiting = this.waiting.filter((u) => u.index !== packet.index || u.begun);
    for (const u of this.waiting) if (u.index === packet.index) u.ended = true;
    this.receiving = new Utterance(packet);
    this.waiting.push(this.receiving);
    this.resampler = null;
    this.jitter.begin();
  }

  AUDIO(packet, u) {
    if (!this.resampler || this.rateHz !== packet.sampleRateHz) {
      this.rateHz = packet.sampleRateHz;
      this.resampler = new Resampler(packet.sampleRateHz, this.audio.sampleRateHz);
    }
    const samples = this.resampler.push(samplesOf(packet));
    const durationMs = (1000 * packet.samples) / packet.sampleRateHz;
    const { at, end, anchored } = this.jitter.place(packet.ptsMs, durationMs, samples.length);
    u.sound(at, end, anchored, packet.ptsMs, durationMs);
    const sound = { at, end, samples, handle: null };
    this.sounds.push(sound);
    this.advance();
    if (this.clock.sounding && !sound.handle) this.schedule(sound);
  }

  PATCH(packet, u) {
    const key = `${u.rig}/${packet.state}`;
    if (u.rig === this.manifest.version) this.knownStates.add(packet.state);
    this.canvas.load(key, packet.jpeg, packet.part === MOUTH ? "mouth" : "eyes");
  }

  FRAMES(packet, u) {
    const frames = packet.frames.map(([ptsMs, state, weight]) => [ptsMs, `${u.rig}/${state}`, weight / 255, state]);
    u.frames[packet.part].push(...frames);
    this.canvas.prepare?.(frames.map((frame) => frame[1]));
  }

  PICTURE(packet, u) {
    const key = `picture/${this.pictures++}`;
    this.canvas.load(key, packet.jpeg, packet.part === MOUTH ? "mouth" : "eyes", { once: true });
    u.frames[packet.part].push([packet.ptsMs, key, 1, null]);
  }

  CAPTION(packet, u) {
    u.captions.push(packet);
  }

  END(packet, u) {
    u.ended = true;
    if (u.startsAt === null) u.anchors.push([Math.max(this.clock.now(), this.jitter.cursor), 0]);
    this.receiving = null;
  }

  FALLBACK(packet, u) {
    const at = Math.max(this.clock.now(), this.jitter.cursor);
    if (u.startsAt === null) u.anchors.push([at, packet.ptsMs]);
    u.ended = true;
    u.fallback = { at, code: packet.code, text: packet.text, readMs: packet.readMs, told: false };
    this.jitter.hold(at + packet.readMs / 1000);
    this.receiving = null;
  }

  flush(generation) {
    this.generation = generation;
    const [current] = this.waiting;
    if (current?.begun) this.leave(current);
    this.playedMs += this.playedOfCurrent();
    for (const sound of this.sounds) sound.handle?.stop();
    this.sounds = [];
    this.waiting = [];
    this.receiving = null;
    this.last = null;
    this.jitter.reset();
    this.face.rest();
    this.become("idle");
  }

  // --- sound -------------------------------------------------------------------------------------------------------
  schedule(sound) {
    const now = this.clock.now();
    const skip = Math.max(0, Math.ceil((now - sound.at) * this.audio.sampleRateHz));
    if (skip >= sound.samples.length) return;
    const samples = skip ? sound.samples.subarray(skip) : sound.samples;
    sound.handle = this.audio.schedule(samples, this.clock.toAudio(sound.at + skip / this.audio.sampleRateHz));
  }

  /** Sound that was unlocked, or cut off by the device, is put on the audio clock from where the stage stands. */
  followLock() {
    this.clock.now();
    if (this.clock.sounding === this.wasSounding) return;
    this.wasSounding = this.clock.sounding;
    for (const sound of this.sounds) {
      sound.handle?.stop();
      sound.handle = null;
      if (this.wasSounding) this.schedule(sound);
    }
  }

  playedOfCurrent() {
    const now = this.clock.now();
    let seconds = 0;
    for (const sound of this.sounds) if (sound.handle) seconds += Math.max(0, Math.min(now, sound.end) - sound.at);
    return seconds * 1000;
  }

  /** What is seen now sounds now: the stage's time less the way from the audio clock to the ear. */
  seen() {
    return this.clock.now() - (this.clock.sounding ? this.audio.latency ?? 0 : 0);
  }

  // --- time --------------------------------------------------------------------------------------------------------
  /** Bring everything but the picture up to now; also runs where no picture is asked for, as in a background tab. */
  advance() {
    this.followLock();
    const now = this.clock.now();
    const t = this.seen();
    while (this.sounds.length && this.sounds[0].end < now) {
      const sound = this.sounds.shift();
      if (sound.handle) this.playedMs += (sound.end - sound.at) * 1000;
    }
    for (;;) {
      const [current, next] = this.waiting;
      if (!current || current.startsAt === null || current.startsAt > t) break;
      if (!current.begun) this.enter(current);
      this.play(current, t);
      const end = current.endsAt;
      if (end === null || t < end) break;
      // It keeps the stage for the frames that close the mouth, unless somebody speaks on.
      if (!(next && next.startsAt !== null && next.startsAt <= t) && current.frames[MOUTH].length && t < end + 0.3) break;
      this.leave(current);
      this.waiting.shift();
    }
    const onStage = this.waiting[0]?.begun === true;
    const following = this.waiting.some((u) => u.startsAt !== null);
    if (!onStage && !following && this.state === "speaking") {
      this.face.relax();
      this.become("idle");
    }
    this.face.settle();
  }

  enter(u) {
    u.begun = true;
    this.become("speaking");
    this.face.enter(u.mood);
    this.onCaption({ kind: "start", id: u.id, text: u.text });
  }

  play(u, t) {
    const ms = u.position(t);
    for (const word of u.words(ms)) {
      this.onCaption({ kind: "word", id: u.id, text: word.text, start: word.start, length: word.length });
    }
    const fallback = u.fallback;
    if (fallback && !fallback.told && t >= fallback.at) {
      fallback.told = true;
      this.face.rest();
      this.onCaption({ kind: "fallback", id: u.id, text: fallback.text, code: fallback.code });
    }
    const frame = u.due(MOUTH, ms);
    if (frame) {
      this.count.framesShown++;
      this.count.droppedPictures += frame.passed - 1;
      this.lastStateId = frame[3];
      this.face.speak(frame[1], frame[2]);
    } else if (!u.ended && t - u.soundEnd > STALL_S) {
      this.face.rest();
    }
    const lids = u.due(EYES, ms);
    if (lids) this.face.eyes = lids[1];
  }

  leave(u) {
    for (const word of u.words(u.heardMs)) {
      if (u.ended) this.onCaption({ kind: "word", id: u.id, text: word.text, start: word.start, length: word.length });
    }
    this.last = { utterance: u.id, pts_ms: Math.round(u.heardMs) };
    this.face.eyes = null;
    this.onCaption({ kind: "end", id: u.id });
  }

  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.onState(state);
  }

  /** One picture. */
  tick() {
    this.advance();
    this.count.picturesMissing += this.face.draw();
  }
}
