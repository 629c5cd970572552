// The avatar on this page: the player with the browser's canvas and sound, and what it reports back.

import { CanvasStage } from '../player/canvas.js';
import { Player } from '../player/player.js';
import { untilHad } from './patience.js';
import { WebAudioVoice } from '../player/webaudio.js';

const PLAYHEAD_EVERY_MS = 400;
const FIRST = 'xiaolan';

async function manifestOf(name) {
  const answer = await fetch(`/api/avatar/${encodeURIComponent(name)}/manifest.json`);
  if (!answer.ok) throw new Error(`manifest of ${name}: ${answer.status}`);
  return answer.json();
}


export async function makePlayer({ canvas, onCaption, onState, onLocked, onPlayhead, onWaiting }) {
  const manifest = await untilHad(() => manifestOf(FIRST), { failed: onWaiting });
  const motion = matchMedia('(prefers-reduced-motion: reduce)');
  const stage = new CanvasStage({ canvas, reducedMotion: motion.matches });
  const voice = new WebAudioVoice();
  const player = new Player({ manifest, canvas: stage, audio: voice, onCaption, onState });
  await player.ready.catch(() => untilHad(() => player.wear(manifest), { failed: onWaiting }));

  const fit = () => {
    const { width, height } = canvas.getBoundingClientRect();
    if (width) stage.resize(width, height, devicePixelRatio);
  };
  new ResizeObserver(fit).observe(canvas);
  motion.addEventListener('change', () => stage.setReducedMotion(motion.matches));
  fit();
  player.start();

  let told = null;
  setInterval(() => {
    // also what keeps a background tab's sound, captions and flow control going, where no picture is asked for
    const head = player.playhead();
    if (head && player.state === 'speaking') onPlayhead(head.utterance, head.pts_ms);
    const locked = player.state === 'speaking' && !voice.running;
    if (locked !== told) onLocked((told = locked));
  }, PLAYHEAD_EVERY_MS);
  return Object.assign(player, {
    mouthPixels: () => mouthPixels(stage, player.manifest),
    async change(name) {
      if (name && name !== player.manifest.name) await player.wear(await manifestOf(name)).catch(() => {});
    },
  });
}

// What the mouth shows, in face space (before breathing and sway move the head): a checksum of its pixels.
function mouthPixels(stage, manifest) {
  const [x, y, width, height] = manifest.mouth.box_px;
  const { data } = stage.pen.getImageData(x, y, width, height);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum = (sum * 31 + data[i] + data[i + 1] * 3 + data[i + 2] * 7) % 4294967291;
  return sum;
}
