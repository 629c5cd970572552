// The jitter buffer: gives each chunk of sound its moment on stage, gapless where the stream is, later where the network was.

const START_S = 0.08;
const MOST_S = 0.5;
const CALM_S = 20;
const TOUCHING_MS = 5; // pts are whole milliseconds; sound that meets within them is one stretch

export class JitterBuffer {
  /** `place(chunk)` is told of every chunk that is to sound: {at, samples, end}, stage seconds. */
  constructor(clock, rateHz) {
    this.clock = clock;
    this.rateHz = rateHz;
    this.delay = START_S;
    this.underruns = 0;
    this.reset();
  }

  reset() {
    this.cursor = 0;
    this.nextPts = null;
    this.calmSince = this.clock.now();
  }

  /** A new utterance: its time counts from 0, its sound follows the last one's without a gap. */
  begin() {
    this.nextPts = null;
  }

  /** Stage time at which these samples (device rate) sound; `anchored` where pts and stage time are tied anew. */
  place(ptsMs, durationMs, count) {
    const now = this.clock.now();
    let anchored = this.nextPts === null;
    if (this.nextPts !== null && ptsMs - this.nextPts > TOUCHING_MS) {
      this.cursor += (ptsMs - this.nextPts) / 1000;
      anchored = true;
    }
    if (this.cursor < now + 0.005) {
      if (this.nextPts !== null) {
        this.underruns++;
        this.delay = Math.min(MOST_S, this.delay * 1.6);
        this.calmSince = now;
      } else if (now - this.calmSince > CALM_S) {
        this.delay = Math.max(START_S, this.delay / 1.6);
        this.calmSince = now;
      }
      this.cursor = now + this.delay;
      anchored = true;
    }
    const at = this.cursor;
    this.cursor += count / this.rateHz;
    this.nextPts = ptsMs + durationMs;
    return { at, end: this.cursor, anchored };
  }

  /** Keep the stage for something silent (a text to be read) until `t`. */
  hold(t) {
    this.cursor = Math.max(this.cursor, t);
  }
}
