// A floor drawn from its geometry, with the way over it: pictures where people would rather look than read.

import { el, svg } from './dom.js';

const points = (list) => list.map(([x, y]) => `${x},${y}`).join(' ');

const AROUND = 12; // metres shown beside the way
const LEAST = 34; // metres across that are shown at least

const range = (list, pad) => {
  const xs = list.map(([x]) => x);
  const ys = list.map(([, y]) => y);
  return [Math.min(...xs) - pad, Math.max(...xs) + pad, Math.min(...ys) - pad, Math.max(...ys) + pad];
};

// [low, high] widened to `least` and moved into [first, last].
function within(low, high, first, last, least) {
  const half = Math.max(high - low, least) / 2;
  const middle = (low + high) / 2;
  if (half * 2 >= last - first) return [first, last];
  const shift = Math.max(first - (middle - half), 0) + Math.min(last - (middle + half), 0);
  return [middle - half + shift, middle + half + shift];
}

// Of a room, the part that is in the picture.
function box(polygon, [first, last, above, below]) {
  const [west, east, north, south] = range(polygon, 0);
  const [left, right, top, bottom] = [Math.max(west, first), Math.min(east, last), Math.max(north, above), Math.min(south, below)];
  return { x: (left + right) / 2, y: (top + bottom) / 2, width: right - left, height: bottom - top };
}

// A name in its room, in as many lines as it needs; none where it could only be written too small to read.
function label(room, { largest, smallest, always, view }) {
  const { x, y, width, height } = box(room.polygon, view);
  if (width <= 0 || height <= 0) return null;
  const name = [...room.name];
  for (let size = largest; size >= smallest || always; size *= 0.9) {
    const perLine = Math.floor((width * 0.94) / size);
    const lines = perLine ? Math.ceil(name.length / perLine) : 0;
    if (!lines || lines * size * 1.15 > height * 0.96) {
      if (size < smallest / 4) return null;
      continue;
    }
    const each = Math.ceil(name.length / lines);
    const text = svg('text', { x, y, 'font-size': size, 'font-weight': always ? 700 : 400 });
    for (let line = 0; line < lines; line += 1) {
      const part = svg('tspan', { x, y: y + (line - (lines - 1) / 2) * size * 1.15 });
      part.textContent = name.slice(line * each, (line + 1) * each).join('');
      text.append(part);
    }
    return text;
  }
  return null;
}

// floor: {building, floor, geometry: {outline, rooms: [{code, name, polygon}]}, path: [[x, y], ...]}
export function drawFloor(floor, { goal = '', first = false, last = false } = {}) {
  const { outline = [], rooms = [] } = floor.geometry ?? {};
  const path = floor.path ?? [];
  const every = [...outline, ...rooms.flatMap((room) => room.polygon), ...path];
  if (!every.length) return null;
  const whole = range(every, 2);
  // only the part that she walks through, large enough to read on a phone
  const near = path.length > 1 ? range(path, AROUND) : whole;
  const [top, bottom] = within(near[2], near[3], whole[2], whole[3], LEAST / 2);
  const [left, right] = within(near[0], near[1], whole[0], whole[1], Math.max(LEAST, (bottom - top) * 1.4));
  const [width, height] = [right - left, bottom - top];
  const text = width / 24; // about 15 px on a phone
  const picture = svg('svg', {
    viewBox: `${left} ${top} ${width} ${height}`,
    role: 'img',
    'aria-label': `${floor.building}${floor.floor}平面图`,
  });
  if (outline.length) picture.append(svg('polygon', { class: 'outline', points: points(outline) }));
  for (const room of rooms) {
    picture.append(svg('polygon', { class: room.code === goal ? 'room goal' : 'room', points: points(room.polygon) }));
  }
  if (path.length > 1) picture.append(svg('polyline', { class: 'path', points: points(path) }));
  for (const room of rooms) {
    const named = label(room, { largest: text, smallest: text * 0.66, always: room.code === goal, view: [left, right, top, bottom] });
    if (named) picture.append(named);
  }
  if (path.length) {
    if (first) picture.append(svg('circle', { class: 'start', cx: path[0][0], cy: path[0][1], r: text * 0.45 }));
    const [x, y] = path[path.length - 1];
    if (last) picture.append(svg('circle', { class: 'end', cx: x, cy: y, r: text * 0.45 }));
  }
  return el('figure', { class: 'floor' }, el('figcaption', {}, `${floor.building} ${floor.floor}`), picture);
}
