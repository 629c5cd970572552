// The avatar's messages, decoded as strictly as on the server; docs/protocol.md tells them to the byte.

export const VERSION = 1;
export const MESSAGE_BYTES = 65536;
export const HEADER_BYTES = 16;
export const PCM_S16LE = 0;
export const IMA_ADPCM = 1;
export const MOUTH = 0;
export const EYES = 1;

const ADPCM_BLOCK_BYTES = 512;
const ADPCM_BLOCK_SAMPLES = (ADPCM_BLOCK_BYTES - 4) * 2 + 1;
const MOODS = ["neutral", "smile", "concern"];
const KINDS = ["", "START", "AUDIO", "PATCH", "FRAMES", "PICTURE", "CAPTION", "END", "FALLBACK", "FLUSH"];

/** `code` is the server's: message_truncated, message_too_large, unknown_version, unknown_kind, bad_field, protocol_error. */
export class ProtocolError extends Error {
  constructor(code, message = code) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
  }
}

/** Bytes of `samples` in ADPCM blocks; the last block ends with its last sample's byte. */
export function adpcmBytes(samples) {
  const whole = Math.floor(samples / ADPCM_BLOCK_SAMPLES);
  const rest = samples % ADPCM_BLOCK_SAMPLES;
  return whole * ADPCM_BLOCK_BYTES + (rest ? 4 + Math.floor(rest / 2) : 0);
}

/**
 * The packets of one message. `data`: ArrayBuffer, a view of one, or base64 text where a platform has no binary frames.
 * Byte fields (data, jpeg) are views into the message. Throws ProtocolError and nothing else.
 */
export function decode(data) {
  const bytes = typeof data === "string" ? fromText(data) : asBytes(data);
  if (bytes.length > MESSAGE_BYTES) throw new ProtocolError("message_too_large");
  if (bytes.length === 0) throw new ProtocolError("message_truncated", "the message is empty");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packets = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < HEADER_BYTES) throw new ProtocolError("message_truncated");
    if (view.getUint8(at) !== VERSION) throw new ProtocolError("unknown_version");
    const kind = KINDS[view.getUint8(at + 1)];
    const length = view.getUint16(at + 2, true);
    const head = {
      kind,
      generation: view.getUint32(at + 4, true),
      index: view.getUint32(at + 8, true),
      ptsMs: view.getUint32(at + 12, true),
    };
    at += HEADER_BYTES;
    if (bytes.length - at < length) throw new ProtocolError("message_truncated");
    if (!kind) throw new ProtocolError("unknown_kind");
    const payload = new DataView(bytes.buffer, bytes.byteOffset + at, length);
    packets.push(Object.assign(head, READERS[kind](payload, head)));
    at += length;
  }
  return packets;
}

const READERS = {
  START(payload, { ptsMs }) {
    const value = object(payload, ["id", "text", "avatar", "mood", "rig"]);
    check(
      ptsMs === 0 &&
        text(value.id, 1, 64) &&
        text(value.text, 1, 2000) &&
        text(value.avatar, 1, 64) &&
        MOODS.includes(value.mood) &&
        text(value.rig, 0, 64),
    );
    return { utteranceId: value.id, text: value.text, avatar: value.avatar, mood: value.mood, rig: value.rig };
  },
  AUDIO(payload) {
    need(payload, 12);
    zero(payload, 1, 4);
    const codec = payload.getUint8(0);
    const sampleRateHz = payload.getUint32(4, true);
    const samples = payload.getUint32(8, true);
    const size = codec === PCM_S16LE ? samples * 2 : codec === IMA_ADPCM ? adpcmBytes(samples) : -1;
    check(sampleRateHz >= 8000 && sampleRateHz <= 48000 && samples > 0 && size === payload.byteLength - 12);
    return { codec, sampleRateHz, samples, data: rest(payload, 12) };
  },
  PATCH(payload) {
    need(payload, 8);
    zero(payload, 5, 8);
    const found = { state: payload.getUint32(0, true), part: payload.getUint8(4), jpeg: rest(payload, 8) };
    check(found.part <= EYES && isJpeg(found.jpeg));
    return found;
  },
  FRAMES(payload, { ptsMs }) {
    need(payload, 4);
    zero(payload, 1, 2);
    const part = payload.getUint8(0);
    const count = payload.getUint16(2, true);
    check(part <= EYES && count > 0 && payload.byteLength === 4 + 7 * count);
    const frames = [];
    for (let i = 0, at = 4, time = ptsMs; i < count; i++, at += 7) {
      time += payload.getUint16(at, true);
      frames.push([time, payload.getUint32(at + 2, true), payload.getUint8(at + 6)]);
    }
    check(frames[count - 1][0] <= 0xffffffff);
    return { part, frames };
  },
  PICTURE(payload) {
    need(payload, 4);
    zero(payload, 1, 4);
    const found = { part: payload.getUint8(0), jpeg: rest(payload, 4) };
    check(found.part <= EYES && isJpeg(found.jpeg));
    return found;
  },
  CAPTION(payload, { ptsMs }) {
    need(payload, 8);
    const found = {
      start: payload.getUint16(0, true),
      length: payload.getUint16(2, true),
      endMs: payload.getUint32(4, true),
      text: utf8(rest(payload, 8)),
    };
    check(found.endMs >= ptsMs && found.length > 0 && text(found.text, 1, 256));
    return found;
  },
  END(payload) {
    check(payload.byteLength === 0);
    return {};
  },
  FALLBACK(payload) {
    const value = object(payload, ["id", "code", "text", "read_ms"]);
    check(
      text(value.id, 1, 64) &&
        text(value.code, 1, 64) &&
        text(value.text, 0, 2000) &&
        Number.isInteger(value.read_ms) &&
        value.read_ms >= 0 &&
        value.read_ms <= 3600000,
    );
    return { utteranceId: value.id, code: value.code, text: value.text, readMs: value.read_ms };
  },
  FLUSH(payload, { index, ptsMs }) {
    check(payload.byteLength === 0 && index === 0 && ptsMs === 0);
    return {};
  },
};

/** int16 samples of an AUDIO packet as numbers in -1..1. */
export function samplesOf(packet) {
  const pcm = packet.codec === IMA_ADPCM ? decodeAdpcm(packet.data, packet.samples) : plain(packet);
  const out = new Float32Array(pcm.length);
  for (let i = 0; i < pcm.length; i++) out[i] = pcm[i] / 32768;
  return out;
}

function plain({ data, samples }) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const out = new Int16Array(samples);
  for (let i = 0; i < samples; i++) out[i] = view.getInt16(2 * i, true);
  return out;
}

const CHANGES = [-1, -1, -1, -1, 2, 4, 6, 8];
const STEPS = Int16Array.of(
  7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107,
  118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963,
  1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894,
  6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794,
  32767,
);

/** IMA ADPCM in blocks of 512 bytes that each stand alone -> Int16Array(samples). */
export function decodeAdpcm(data, samples) {
  const out = new Int16Array(samples);
  let n = 0;
  for (let block = 0; n < samples; block += ADPCM_BLOCK_BYTES) {
    let value = ((data[block] | (data[block + 1] << 8)) << 16) >> 16;
    let index = Math.min(88, data[block + 2]);
    out[n++] = value;
    const end = Math.min(block + ADPCM_BLOCK_BYTES, data.length);
    for (let at = block + 4; at < end && n < samples; at++) {
      for (let nibble = data[at] & 15, half = 0; half < 2 && n < samples; nibble = data[at] >> 4, half++) {
        const step = STEPS[index];
        let change = step >> 3;
        if (nibble & 1) change += step >> 2;
        if (nibble & 2) change += step >> 1;
        if (nibble & 4) change += step;
        value = Math.max(-32768, Math.min(32767, nibble & 8 ? value - change : value + change));
        index = Math.max(0, Math.min(88, index + CHANGES[nibble & 7]));
        out[n++] = value;
      }
    }
  }
  return out;
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Standard base64 -> bytes; written out because mini-programs have no atob. */
export function fromText(encoded) {
  if (encoded.length % 4) throw new ProtocolError("protocol_error", "the text is no base64");
  const padding = encoded.endsWith("==") ? 2 : encoded.endsWith("=") ? 1 : 0;
  const out = new Uint8Array((encoded.length / 4) * 3 - padding);
  for (let at = 0, n = 0; at < encoded.length; at += 4) {
    let bits = 0;
    for (let i = 0; i < 4; i++) {
      const padded = at + i >= encoded.length - padding;
      const digit = padded ? 0 : BASE64.indexOf(encoded[at + i]);
      if (digit < 0) throw new ProtocolError("protocol_error", "the text is no base64");
      bits = bits * 64 + digit;
    }
    for (let shift = 16; shift >= 0 && n < out.length; shift -= 8) out[n++] = (bits >> shift) & 255;
  }
  return out;
}

function asBytes(data) {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}

function rest(payload, from) {
  return new Uint8Array(payload.buffer, payload.byteOffset + from, payload.byteLength - from);
}

function check(ok) {
  if (!ok) throw new ProtocolError("bad_field");
}

function need(payload, size) {
  if (payload.byteLength < size) throw new ProtocolError("message_truncated", "the payload is too short for its kind");
}

function zero(payload, from, to) {
  for (let i = from; i < to; i++) check(payload.getUint8(i) === 0);
}

function isJpeg(bytes) {
  return bytes.length >= 2 && bytes[0] === 0xff && bytes[1] === 0xd8;
}

/** Lengths count code points, as on the server. */
function text(value, least, most) {
  if (typeof value !== "string") return false;
  let length = 0;
  for (const character of value) {
    const code = character.codePointAt(0);
    if (code >= 0xd800 && code <= 0xdfff) return false;
    length++;
  }
  return length >= least && length <= most;
}

function object(payload, keys) {
  let value;
  try {
    value = JSON.parse(utf8(rest(payload, 0)));
  } catch (error) {
    throw new ProtocolError("bad_field", error.message);
  }
  check(value !== null && typeof value === "object" && !Array.isArray(value));
  check(Object.keys(value).join() === keys.join());
  return value;
}

/** Strict UTF-8 without TextDecoder, which mini-programs lack. */
export function utf8(bytes) {
  let out = "";
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    if (first < 0x80) {
      out += String.fromCharCode(first);
      continue;
    }
    const more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xc2 && first < 0xe0 ? 1 : 0;
    check(more > 0 && at + more <= bytes.length);
    let code = first & (0x3f >> more);
    for (let i = 0; i < more; i++) {
      check((bytes[at] & 0xc0) === 0x80);
      code = (code << 6) | (bytes[at++] & 0x3f);
    }
    check(code >= [0, 0x80, 0x800, 0x10000][more] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff));
    out += String.fromCodePoint(code);
  }
  return out;
}
