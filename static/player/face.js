// What the face shows: the mouth's picture, the lids and the mood, each fading from one to the next. Knows no sound.

import { blink, nod, pose } from "./idle.js";

const FRAME_FADE_S = 0.04;
const REST_FADE_S = 0.16;
const MOOD_FADE_S = 0.35;
const MOOD_STAYS_S = 2.5;

export class Face {
  /** `seen()`: the moment that is seen now, in seconds on stage. */
  constructor(canvas, manifest, seen) {
    this.canvas = canvas;
    this.manifest = manifest;
    this.seen = seen;
    this.mood = { from: "neutral", to: "neutral", since: -1 };
    this.restingMood = "neutral";
    this.backAt = Infinity; // when it takes the resting mood again
    this.eyes = null; // lids that an utterance has set
    this.noddedAt = -Infinity;
    this.mouth = this.atRest();
  }

  wear(manifest) {
    this.manifest = manifest;
    this.eyes = null;
    this.mouth = this.atRest();
  }

  atRest() {
    return { from: null, to: this.restKey("neutral"), since: -1, fade: REST_FADE_S, weight: 1 };
  }

  restKey(mood) {
    return `${this.manifest.version}/${this.manifest.mouth.rest[mood]}`;
  }

  rest() {
    this.show(this.restKey(this.mood.to), REST_FADE_S, 1);
  }

  speak(key, weight) {
    this.show(key, FRAME_FADE_S, weight);
  }

  show(key, fade, weight) {
    if (key === this.mouth.to) return;
    this.mouth = { from: this.mouth.to, to: key, since: this.seen(), fade, weight };
  }

  /** This mood while an utterance lasts. */
  enter(mood) {
    this.backAt = Infinity;
    this.feel(mood);
  }

  /** Nothing is said any more: the mouth closes, the mood stays a while. */
  relax() {
    this.rest();
    this.backAt = this.seen() + MOOD_STAYS_S;
  }

  settle() {
    if (this.seen() < this.backAt) return;
    this.backAt = Infinity;
    this.feel(this.restingMood);
  }

  feel(mood) {
    if (mood === this.mood.to || !(mood in this.manifest.mouth.rest)) return;
    const resting = this.mouth.to === this.restKey(this.mood.to);
    this.mood = { from: this.mood.to, to: mood, since: this.seen() };
    if (resting) this.show(this.restKey(mood), MOOD_FADE_S, 1);
  }

  lids(mood, shut) {
    const states = this.manifest.eyes.states[mood] ?? this.manifest.eyes.states.neutral;
    let nearest = states[0];
    for (const state of states) if (Math.abs(state.blink - shut) < Math.abs(nearest.blink - shut)) nearest = state;
    return `${this.manifest.version}/${nearest.id}`;
  }

  /** One picture. Returns how many of its parts were not there to be drawn. */
  draw() {
    const t = this.seen();
    const { mouth, mood } = this;
    const { idle } = this.manifest;
    const shut = blink(idle, t * 1000);
    const layers = [];
    const alpha = mouth.weight * Math.min(1, Math.max(0, (t - mouth.since) / mouth.fade));
    if (mouth.from && alpha < 1) layers.push([mouth.from, 1]);
    layers.push([mouth.to, mouth.from ? alpha : 1]);
    const changed = Math.min(1, Math.max(0, (t - mood.since) / MOOD_FADE_S));
    const eyes = changed < 1 ? [[this.lids(mood.from, shut), 1]] : [];
    eyes.push([this.eyes ?? this.lids(mood.to, shut), changed]);
    const still = pose(idle, t * 1000);
    still.yPx += nod(idle, (t - this.noddedAt) * 1000);
    return this.canvas.draw({ mouth: layers, eyes, pose: still }) || 0;
  }
}
