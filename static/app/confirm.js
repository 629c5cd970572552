// What was said unasked is confirmed once she could see or hear it: until then the server takes it for lost on its way.

// `noticed()`: whether she can see the page or hear it just now. `look()` is called when that may have changed.
export function confirmation({ captions, noticed, send }) {
  const shown = [];
  const look = () => { if (noticed()) for (const number of shown.splice(0)) send(number); };
  return { look, told: (number) => captions.whenShown(() => { shown.push(number); look(); }) };
}
