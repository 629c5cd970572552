// The caption is lit word by word for who sees it, and told once a sentence to who has the screen read out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { place } from './document.mjs';
import { Captions } from '../../../static/app/captions.js';

function page() {
  const seen = place();
  const told = place();
  const heard = [];
  Object.defineProperty(told, 'textContent', { set: (text) => heard.push(text) });
  return { captions: new Captions(seen, told), seen, heard };
}

const SAY = { text: '您好,我是小岚。', utterances: [{ id: 'u1', text: '您好,' }, { id: 'u2', text: '我是小岚。' }] };

test('a sentence is read out once, however many of its words are lit', () => {
  const { captions, seen, heard } = page();
  captions.add(SAY);
  captions.hear({ kind: 'start', id: 'u1', text: '您好,' });
  captions.hear({ kind: 'word', id: 'u1', start: 0, length: 2 });
  assert.equal(seen.named('span')[0].textContent, '您好');
  captions.hear({ kind: 'word', id: 'u2', start: 0, length: 2 });
  assert.equal(seen.named('span')[0].textContent, '您好,我是');
  assert.equal(seen.textContent, SAY.text);
  assert.deepEqual(heard, [SAY.text]);
});

test('the next sentence is read out when it begins to sound', () => {
  const { captions, heard } = page();
  captions.add(SAY);
  captions.add({ text: '请坐。', utterances: [{ id: 'u3', text: '请坐。' }] });
  assert.deepEqual(heard, [SAY.text]);
  captions.hear({ kind: 'start', id: 'u3', text: '请坐。' });
  assert.deepEqual(heard, [SAY.text, '请坐。']);
});

test('words that nobody speaks are read out too', () => {
  const { captions, heard } = page();
  captions.show('正在想……');
  assert.deepEqual(heard, ['正在想……']);
});

test('what waits until it is shown waits for its own sentence, and no longer than she lets it', () => {
  const { captions } = page();
  const shown = [];
  captions.add(SAY);
  captions.whenShown(() => shown.push('first'));
  assert.deepEqual(shown, ['first'], 'it stands there');
  captions.add({ text: '请坐。', utterances: [{ id: 'u3', text: '请坐。' }] });
  captions.add({ text: '轮到您了。', utterances: [{ id: 'u4', text: '轮到您了。' }] });
  captions.whenShown(() => shown.push('third'));
  captions.hear({ kind: 'start', id: 'u3', text: '请坐。' });
  assert.deepEqual(shown, ['first']);
  captions.hear({ kind: 'start', id: 'u4', text: '轮到您了。' });
  assert.deepEqual(shown, ['first', 'third']);
  captions.hear({ kind: 'start', id: 'u4', text: '轮到您了。' });
  assert.deepEqual(shown, ['first', 'third'], 'once');
});

test('a sentence that never sounded holds up nothing that stands behind it', () => {
  const { captions } = page();
  const shown = [];
  captions.add(SAY);
  captions.add({ text: '请坐。', utterances: [{ id: 'u3', text: '请坐。' }] });
  captions.whenShown(() => shown.push('second'));
  captions.add({ text: '轮到您了。', utterances: [{ id: 'u4', text: '轮到您了。' }] });
  captions.hear({ kind: 'start', id: 'u4', text: '轮到您了。' });
  assert.deepEqual(shown, ['second']);
});

for (const [what, then] of [['cuts it off', (captions) => captions.drop()], ['asks something', (captions) => captions.show('正在想……')]]) {
  test(`who ${what} has let go of the rest`, () => {
    const { captions } = page();
    const shown = [];
    captions.add(SAY);
    captions.add({ text: '请坐。', utterances: [{ id: 'u3', text: '请坐。' }] });
    captions.whenShown(() => shown.push('second'));
    then(captions);
    assert.deepEqual(shown, ['second']);
  });
}
