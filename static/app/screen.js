// The signed-in screen: where what is hers stands.

const SHOWN = ['asked', 'caption', 'told', 'news', 'alarm', 'sources', 'card', 'options', 'people', 'person-name'];
const FIELDS = ['words'];
const HIDDEN = ['asked', 'sources', 'card'];

// When her sign-in has ended nothing of hers stays to be read by whoever holds the phone next. `byId`: an element, or null.
export function clearScreen(byId) {
  const people = byId('people');
  if (people?.open) people.close();
  for (const id of SHOWN) byId(id)?.replaceChildren();
  for (const id of FIELDS) if (byId(id)) byId(id).value = '';
  for (const id of HIDDEN) if (byId(id)) byId(id).hidden = true;
}
