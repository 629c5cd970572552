// How the line is, said above the talk: why nothing comes, what she can do about it, and that it is back.

import { el } from './dom.js';

const BACK_STAYS_MS = 1500;

// tell(state) for states of connection.js. `again()` enters anew where the line does not come back by itself.
export function notice({ place, words, again, later = (work, ms) => setTimeout(work, ms) }) {
  let now;
  return (state) => {
    now = state;
    if (state === 'online') {
      place.replaceChildren(words.back);
      // lost again meanwhile: then what is said stays
      if (!place.hidden) later(() => { if (now === 'online') place.hidden = true; }, BACK_STAYS_MS);
      return;
    }
    place.hidden = false;
    place.replaceChildren(words[state]);
    if (state !== 'offline') place.append(' ', el('button', { type: 'button', class: 'action quiet', onclick: again }, words.sign_in_again));
  };
}
