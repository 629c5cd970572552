// The same player inside a mini-program: its canvas nodes make images from data URIs, its Web Audio is the browser's in small.
//
//   const player = new Player({ manifest, ...onMiniProgram(wx, canvasNode, { origin: "https://..." }) });

import { CanvasStage } from "./canvas.js";
import { WebAudioVoice } from "./webaudio.js";

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** `platform`: `wx` (or an object of the same shape); `canvas`: a node of type 2d; `origin`: where addresses begin. */
export function onMiniProgram(platform, canvas, { origin = "", ratio } = {}) {
  const stage = new CanvasStage({
    canvas,
    ratio: ratio ?? platform.getSystemInfoSync?.().pixelRatio ?? 1,
    webgl: false,
    makeCanvas: (width, height) => platform.createOffscreenCanvas({ type: "2d", width, height }),
    decode: (source) =>
      new Promise((resolve, reject) => {
        const image = canvas.createImage();
        image.onload = () => resolve(image);
        image.onerror = reject;
        image.src = typeof source === "string" ? origin + source : `data:image/jpeg;base64,${toBase64(source)}`;
      }),
  });
  return {
    canvas: stage,
    audio: platform.createWebAudioContext
      ? new WebAudioVoice({ context: platform.createWebAudioContext() })
      : new SilentVoice(),
    now: () => Date.now(),
    raf: (step) => canvas.requestAnimationFrame(step),
  };
}

/** A platform without sound of ours: mouth and captions run on the silent clock. */
export class SilentVoice {
  sampleRateHz = 16000;
  running = false;
  currentTime = 0;
  latency = 0;

  async resume() {
    return false;
  }

  setVolume() {}

  schedule() {
    return { stop() {} };
  }
}

export function toBase64(bytes) {
  let out = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [a, b = 0, c = 0] = bytes.subarray(at, at + 3);
    const bits = (a << 16) | (b << 8) | c;
    const left = bytes.length - at;
    out += DIGITS[bits >> 18] + DIGITS[(bits >> 12) & 63];
    out += left > 1 ? DIGITS[(bits >> 6) & 63] : "=";
    out += left > 2 ? DIGITS[bits & 63] : "=";
  }
  return out;
}
