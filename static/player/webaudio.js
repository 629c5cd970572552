// The voice through Web Audio: chunks at the device's rate, each started at its own sample, so that nothing is heard between.

const FADE_S = 0.008;

export class WebAudioVoice {
  /** `context`: an AudioContext, or a mini-program's WebAudioContext; made here where none is given. */
  constructor({ context } = {}) {
    const Context = globalThis.AudioContext ?? globalThis.webkitAudioContext;
    this.context = context ?? new Context({ latencyHint: "interactive" });
    this.volume = this.context.createGain();
    this.volume.connect(this.context.destination);
    this.bus = null;
  }

  get sampleRateHz() {
    return this.context.sampleRate;
  }

  get running() {
    return this.context.state === "running";
  }

  get currentTime() {
    return this.context.currentTime;
  }

  /** Seconds from the audio clock to the ear. */
  get latency() {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  /** Call from a tap: until then browsers keep sound locked. Resolves to whether it is heard. */
  async resume() {
    if (!this.running) {
      const spark = this.context.createBufferSource(); // older phones unlock with the first sound started in a tap
      spark.buffer = this.context.createBuffer(1, 1, this.context.sampleRate);
      spark.connect(this.context.destination);
      spark.start(0);
      await Promise.resolve(this.context.resume()).catch(() => undefined);
    }
    return this.running;
  }

  setVolume(volume) {
    this.volume.gain.value = volume;
  }

  /** `samples`: Float32Array at sampleRateHz, to sound at `at` on the audio clock. `stop()` ends it and its neighbours softly. */
  schedule(samples, at) {
    const { context } = this;
    if (!this.bus) {
      this.bus = context.createGain();
      this.bus.connect(this.volume);
    }
    const bus = this.bus;
    const buffer = context.createBuffer(1, samples.length, context.sampleRate);
    buffer.getChannelData(0).set(samples);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(bus);
    source.start(Math.max(0, Math.round(at * context.sampleRate) / context.sampleRate));
    source.onended = () => source.disconnect();
    return {
      stop: () => {
        const now = context.currentTime;
        if (this.bus === bus) {
          this.bus = null;
          bus.gain.setValueAtTime(1, now);
          bus.gain.linearRampToValueAtTime(0, now + FADE_S);
        }
        try {
          source.stop(now + FADE_S);
        } catch {
          // it has ended already, which older browsers call an error
        }
      },
    };
  }
}
