// The caption under the avatar: the whole sentence that is being said, lit word by word as it sounds.

import { el } from './dom.js';

export class Captions {
  // `told`: where a screen reader hears each sentence once; `place` changes with every word and is not read out.
  constructor(place, told) {
    this.place = place;
    this.told = told;
    this.says = []; // {text: [...code points], starts: Map utterance id -> code point where its clause begins, done, then}
    this.now = null;
    this.lit = 0;
  }

  // Words that nobody speaks: a question under way, an error.
  show(text) {
    this.pass(this.says.splice(0));
    this.take({ text: [...text], starts: new Map() });
  }

  // A sentence to come; it is on the screen at once unless another is being spoken or waits to be.
  add({ text, utterances }) {
    const say = { text: [...text], starts: new Map(), done: false, then: [] };
    let at = 0;
    for (const { id, text: clause } of utterances ?? []) {
      const found = text.indexOf(clause, at);
      if (found >= 0) at = found;
      say.starts.set(id, [...text.slice(0, at)].length);
      at += clause.length;
    }
    this.says.push(say);
    // several sentences may come before the first one sounds: each waits for its turn
    if (!this.now?.starts.size || this.now.done) this.take(say);
  }

  // What was to come will not be said; what stands may be replaced by the next sentence.
  drop() {
    this.pass(this.says.splice(0));
    if (this.now) this.now.done = true;
  }

  // `then` once all that has come so far stood on the screen, or she has let go of it.
  whenShown(then) {
    const last = this.says.at(-1);
    if (!last || last === this.now) then();
    else last.then.push(then);
  }

  pass(says) {
    for (const { then } of says) for (const work of then.splice(0)) work();
  }

  take(say) {
    this.now = say;
    this.lit = 0;
    this.told.textContent = say.text.join('');
    this.draw();
    this.pass(this.says.slice(0, this.says.indexOf(say) + 1));
  }

  // From the player: {kind: "start" | "word" | "fallback" | "end", id, text, start, length}
  hear({ kind, id, text, start, length }) {
    const say = this.says.find((candidate) => candidate.starts.has(id));
    if (say && say !== this.now) this.take(say);
    if (!this.now) return; // sound of a session before this page was opened
    const from = say?.starts.get(id) ?? 0;
    if (kind === 'word') this.lit = Math.max(this.lit, from + start + length);
    // No voice could be had in time: the words stay, fully lit, so that nothing is lost.
    if (kind === 'fallback' || kind === 'end') {
      this.lit = Math.max(this.lit, from + [...text ?? ''].length);
      if (say && id === [...say.starts.keys()].at(-1)) say.done = true;
    }
    this.draw();
  }

  draw() {
    const { text } = this.now;
    this.place.replaceChildren(el('span', { class: 'lit' }, text.slice(0, this.lit).join('')), text.slice(this.lit).join(''));
  }
}
