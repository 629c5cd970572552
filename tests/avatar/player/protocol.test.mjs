import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { decode, decodeAdpcm, fromText, ProtocolError, samplesOf, utf8 } from "../../../static/player/protocol.js";

const path = process.env.AVATAR_VECTORS ?? new URL("../vectors/messages.json", import.meta.url);
const vectors = JSON.parse(readFileSync(path, "utf8"));
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

const told = (packet) =>
  Object.fromEntries(
    Object.entries(packet).map(([key, value]) => [key, value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value]),
  );

for (const { name, hex, packets } of vectors.messages) {
  test(`decodes: ${name}`, () => {
    assert.deepEqual(decode(bytes(hex)).map(told), packets);
    assert.deepEqual(decode(bytes(hex).buffer).map(told), packets);
    assert.deepEqual(decode(Buffer.from(hex, "hex").toString("base64")).map(told), packets);
  });
}

for (const { name, hex, code } of vectors.refused) {
  test(`refuses: ${name}`, () => {
    assert.throws(() => decode(bytes(hex)), (error) => error instanceof ProtocolError && error.code === code);
  });
}

test("adpcm gives the numbers of the reference", () => {
  const { hex, samples, decoded } = vectors.adpcm;
  assert.deepEqual([...decodeAdpcm(bytes(hex), samples)], decoded);
});

test("plain samples keep their sign", () => {
  const [audio] = decode(bytes(vectors.messages.find((vector) => vector.name === "audio, plain").hex));
  assert.deepEqual([...samplesOf(audio)], [0, 1 / 32768, -1 / 32768, 32767 / 32768].map(Math.fround));
});

test("text: base64 and UTF-8 are strict", () => {
  assert.equal(utf8(fromText("5L2g5aW98J+YgA==")), "你好😀");
  for (const bad of ["a", "!!!!", "AAA*"]) assert.throws(() => fromText(bad), ProtocolError);
  for (const bad of [[0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe4, 0xbd]]) {
    assert.throws(() => utf8(Uint8Array.from(bad)), ProtocolError);
  }
});

test("random damage gives packets or a ProtocolError", () => {
  let seed = 12345;
  const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32;
  for (let round = 0; round < 3000; round++) {
    const { hex } = vectors.messages[Math.floor(random() * vectors.messages.length)];
    const damaged = bytes(hex);
    for (let i = 0; i < 3; i++) damaged[Math.floor(random() * damaged.length)] = Math.floor(random() * 256);
    try {
      decode(damaged.subarray(0, 1 + Math.floor(random() * damaged.length)));
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error));
    }
  }
});
