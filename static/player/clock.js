// Stage time: the audio clock where sound is allowed, a silent clock until then, and never a step back between them.

export class StageClock {
  /** `audio`: {running, currentTime} in seconds; `now`: a steady clock in milliseconds. */
  constructor(audio, now) {
    this.audio = audio;
    this.steady = now;
    this.sounding = false;
    this.base = 0;
    this.mark = now() / 1000;
  }

  reading() {
    return this.sounding ? this.audio.currentTime : this.steady() / 1000;
  }

  /** Seconds on stage. */
  now() {
    if (this.sounding !== this.audio.running) {
      // An audio clock that has just stopped cannot be trusted to have counted the pause: go on from where it stood.
      this.base = Math.max(this.base, this.base + this.reading() - this.mark);
      this.sounding = this.audio.running;
      this.mark = this.reading();
    }
    return this.base + Math.max(0, this.reading() - this.mark);
  }

  /** The audio clock's time at which stage time `t` sounds; only while `sounding`. */
  toAudio(t) {
    return this.mark + (t - this.base);
  }
}
