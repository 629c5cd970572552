// What a screen reader says of the card: its headings when it comes, afterwards only what changed in meaning.

// `news` is read out when she is silent, `alarm` at once. `place`: the card; parts of it that are told as they change carry
// `data-told`, with the words to say where those on the screen do not stand alone.
export function announcer({ news, alarm }) {
  let shown = null;
  let before = [];
  return (kind, place) => {
    const parts = [...place.querySelectorAll('h2, [data-told]')].map((node) => node.getAttribute('data-told') || node.textContent.trim());
    const headings = [...place.querySelectorAll('h2')].map((node) => node.textContent.trim());
    const urgent = kind === 'emergency';
    const say = urgent ? parts : kind === shown ? parts.filter((part) => !before.includes(part)) : headings;
    [shown, before] = [kind, parts];
    alarm.textContent = urgent ? say.join('。') : '';
    if (say.length || urgent) news.textContent = urgent ? '' : say.join('。');
  };
}
