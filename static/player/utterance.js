// One utterance on stage: how its own milliseconds lie on stage time, and what of it is shown, lit and heard when.

import { EYES, MOUTH } from "./protocol.js";

export class Utterance {
  constructor({ index, utteranceId, text, mood, rig }) {
    this.index = index;
    this.id = utteranceId;
    this.text = text;
    this.mood = mood;
    this.rig = rig;
    this.anchors = []; // [stage seconds, pts ms], rising
    this.frames = { [MOUTH]: [], [EYES]: [] }; // [pts ms, key, weight], rising
    this.captions = [];
    this.heardMs = 0; // sound placed so far
    this.soundEnd = null; // stage time of its end
    this.ended = false;
    this.fallback = null;
    this.begun = false;
  }

  sound(at, end, anchored, ptsMs, durationMs) {
    if (anchored) this.anchors.push([at, ptsMs]);
    this.heardMs = Math.max(this.heardMs, ptsMs + durationMs);
    this.soundEnd = end;
  }

  get startsAt() {
    return this.anchors.length ? this.anchors[0][0] : null;
  }

  /** Stage time when it is over, null while more may come. */
  get endsAt() {
    if (!this.ended) return null;
    const end = this.soundEnd ?? this.startsAt;
    return this.fallback ? (this.fallback.at ?? end) + this.fallback.readMs / 1000 : end;
  }

  /** Its own time at stage time `t`; beyond `heardMs` only once it has ended, for the frames that close the mouth. */
  position(t) {
    let [at, pts] = this.anchors[0];
    let until = Infinity;
    for (let i = 1; i < this.anchors.length; i++) {
      if (this.anchors[i][0] > t) {
        until = this.anchors[i][1]; // the gap before it stands still
        break;
      }
      [at, pts] = this.anchors[i];
    }
    const now = Math.min(until, pts + (t - at) * 1000);
    return this.ended ? now : Math.min(now, this.heardMs);
  }

  /** The last frame of `part` that is due; those before it are gone. Null when none is new. */
  due(part, ms) {
    const frames = this.frames[part];
    let n = 0;
    while (n < frames.length && frames[n][0] <= ms) n++;
    if (!n) return null;
    const found = frames[n - 1];
    found.passed = n;
    frames.splice(0, n);
    return found;
  }

  words(ms) {
    let n = 0;
    while (n < this.captions.length && this.captions[n].ptsMs <= ms) n++;
    return this.captions.splice(0, n);
  }
}
