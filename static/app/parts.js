// What cards are made of.

import { el } from './dom.js';

export const button = (label, onclick, kind = '') => el('button', { type: 'button', class: `action ${kind}`, onclick }, label);
export const actions = (...children) => el('div', { class: 'actions' }, ...children);
export const row = (name, ...value) =>
  (value.some(Boolean) ? el('div', { class: 'row' }, el('span', {}, name), el('span', { class: 'value' }, ...value)) : null);
export const note = (text) => (text ? el('p', { class: 'note' }, text) : null);
export const list = (items) => (items?.length ? el('ul', {}, items.map((item) => el('li', {}, item))) : null);
