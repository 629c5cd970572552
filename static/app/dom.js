// Elements from plain values. Text is always text: nothing that came over the socket is ever parsed as HTML.

export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'class') node.className = value;
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ''));
  return node;
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(props)) node.setAttribute(key, value);
  node.append(...children.flat());
  return node;
}

export const yuan = (fen) => `${(fen / 100).toFixed(2)}元`;

const WEEKDAYS = ['周日', '周一', '周二', '周三', '周四', '周五', '周六'];

// "2026-11-24T09:30:00+08:00" → 「11月24日 周二 09:30」, in the hospital's own time whatever the phone's zone is.
export function when(iso) {
  const [, year, month, day, clock] = /^(\d+)-(\d+)-(\d+)T(\d+:\d+)/.exec(iso) ?? [];
  if (!year) return iso;
  const weekday = WEEKDAYS[new Date(Date.UTC(+year, month - 1, +day)).getUTCDay()];
  return `${+month}月${+day}日 ${weekday} ${clock}`;
}
