// A floor drawn from its geometry, with the way over it: pictures where people would rather look than read.

import { el, svg } from './dom.js';

const points = (list) => list.map(([x, y]) => `${x},${y}`).join(' ');

function centre(polygon) {
  const xs = polygon.map(([x]) => x);
  const ys = polygon.map(([, y]) => y);
  return [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2];
}

// floor: {building, floor, geometry: {outline, rooms: [{code, name, polygon}]}, path: [[x, y], ...]}
export function drawFloor(floor, { goal = '', first = false, last = false } = {}) {
  const { outline = [], rooms = [] } = floor.geometry ?? {};
  const path = floor.path ?? [];
  const every = [...outline, ...rooms.flatMap((room) => room.polygon), ...path];
  if (!every.length) return null;
  const xs = every.map(([x]) => x);
  const ys = every.map(([, y]) => y);
  const pad = 2;
  const [left, top] = [Math.min(...xs) - pad, Math.min(...ys) - pad];
  const [width, height] = [Math.max(...xs) - left + pad, Math.max(...ys) - top + pad];
  const text = Math.max(1.6, width / 42);
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
    const [x, y] = centre(room.polygon);
    const span = Math.max(...room.polygon.map(([px]) => px)) - Math.min(...room.polygon.map(([px]) => px));
    const size = Math.min(text, (span / Math.max(2, room.name.length)) * 0.95);
    const label = svg('text', { x, y, style: `font-size:${size}px${room.code === goal ? ';font-weight:700' : ''}` });
    label.textContent = room.name;
    picture.append(label);
  }
  if (path.length) {
    if (first) picture.append(svg('circle', { class: 'start', cx: path[0][0], cy: path[0][1], r: text * 0.7 }));
    const [x, y] = path[path.length - 1];
    if (last) picture.append(svg('circle', { class: 'end', cx: x, cy: y, r: text * 0.7 }));
  }
  return el('figure', { class: 'floor' }, el('figcaption', {}, `${floor.building} ${floor.floor}`), picture);
}
