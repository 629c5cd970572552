// What a living head does by itself, with the manifest's parameters: the same sums of sines and the same hash as in films.

/** {xPx, yPx, angle (radians), breathPx} at `ms`. */
export function pose(idle, ms) {
  return {
    xPx: waves(idle.sway_x_px, ms),
    yPx: waves(idle.sway_y_px, ms),
    angle: (waves(idle.sway_deg, ms) * Math.PI) / 180,
    breathPx: waves(idle.breath_px, ms),
  };
}

/** Pixels down, `ms` after a nod began. */
export function nod(idle, ms) {
  if (!(ms >= 0 && ms < idle.nod.ms)) return 0;
  const t = ms / idle.nod.ms;
  return idle.nod.px * Math.sin(Math.PI * t) * Math.sin(2 * Math.PI * t) ** 2 * (1.5 - t);
}

/** How far the lids are shut at `ms`, 0..1. */
export function blink(idle, ms) {
  const slot = Math.floor(ms / idle.blink.slot_ms);
  let shut = 0;
  for (const number of [slot - 1, slot]) {
    if (number < 0) continue;
    for (const start of blinkStarts(idle, number)) shut = Math.max(shut, lid(idle.blink, ms - start));
  }
  return shut;
}

export function blinkStarts({ blink: rhythm }, slot) {
  const value = hash(slot);
  const first = slot * rhythm.slot_ms + rhythm.earliest_ms + (value % (rhythm.latest_ms - rhythm.earliest_ms));
  return (value >>> 16) % rhythm.twice_every === 0 ? [first, first + rhythm.twice_after_ms] : [first];
}

function lid(rhythm, since) {
  if (since < 0) return 0;
  if (since < rhythm.close_ms) return smooth(since / rhythm.close_ms);
  since -= rhythm.close_ms + rhythm.shut_ms;
  return since < 0 ? 1 : smooth(Math.max(0, 1 - since / rhythm.open_ms));
}

function hash(slot) {
  let value = (slot + 0x9e3779b9) >>> 0;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b) >>> 0;
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35) >>> 0;
  return (value ^ (value >>> 16)) >>> 0;
}

function smooth(t) {
  return t * t * (3 - 2 * t);
}

function waves(sum, ms) {
  let value = 0;
  for (const [amplitude, period, phase] of sum) value += amplitude * Math.sin(2 * Math.PI * (ms / period + phase));
  return value;
}
