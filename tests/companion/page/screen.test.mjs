// When a sign-in has ended, nothing of hers stays on the screen.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { clearScreen } from '../../../static/app/screen.js';

const TEMPLATE = new URL('../../../companion/templates/companion/page.html', import.meta.url);
const MAIN = new URL('../../../static/app/main.js', import.meta.url);

function element() {
  return {
    children: ['陈玉兰'], value: '眼睛干涩', hidden: false, open: true,
    replaceChildren(...nodes) { this.children = nodes; },
    close() { this.open = false; },
  };
}

test('words, cards, names and what was being typed are gone', () => {
  const ids = [...readFileSync(TEMPLATE, 'utf8').matchAll(/id="([\w-]+)"/g)].map((found) => found[1]);
  const page = new Map(ids.map((id) => [id, element()]));
  clearScreen((id) => page.get(id) ?? null);
  // whatever the page writes into is empty; the network's line says that she is signed out
  const written = [...readFileSync(MAIN, 'utf8').matchAll(/\$\('([\w-]+)'\)\.(?:textContent|replaceChildren)/g)].map((found) => found[1]);
  for (const id of new Set([...written, 'caption', 'card', 'people'])) {
    if (id !== 'network') assert.deepEqual(page.get(id).children, [], id);
  }
  assert.equal(page.get('words').value, '');
  assert.equal(page.get('people').open, false);
  assert.ok(page.get('card').hidden && page.get('asked').hidden);
});

test('a page that lacks one of them is cleared all the same', () => {
  clearScreen(() => null);
});
