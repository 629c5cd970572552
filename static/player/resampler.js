// One stretch of speech brought to the device's rate as one curve: chunk borders leave no click.

export class Resampler {
  constructor(fromHz, toHz) {
    this.step = fromHz / toHz;
    this.kept = new Float32Array(3); // the last samples of what came before
    this.at = 3; // position of the next output sample, in samples of `kept` + input
  }

  /** Float32Array in -1..1 -> Float32Array at the device's rate (Catmull-Rom between samples). */
  push(samples) {
    if (this.step === 1) return samples;
    const all = new Float32Array(3 + samples.length);
    all.set(this.kept);
    all.set(samples, 3);
    const end = all.length - 2; // the curve needs two samples behind its interval: they come with the next chunk
    const count = Math.max(0, Math.ceil((end - this.at) / this.step));
    const out = new Float32Array(count);
    let at = this.at;
    for (let n = 0; n < count; n++, at += this.step) {
      const i = Math.min(end - 1, Math.floor(at));
      const t = at - i;
      const a = all[i - 1], b = all[i], c = all[i + 1], d = all[i + 2];
      out[n] = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
    }
    this.at = at - samples.length;
    this.kept = all.slice(all.length - 3);
    return out;
  }
}
