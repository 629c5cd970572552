"""Mandarin phonemes to visemes to ARKit blendshape curves, with coarticulation: gestures that hold, and glides between them.

A phoneme becomes gestures (an initial one, a final its medial, nucleus and coda). A gesture holds a shape for a while;
an axis it does not care about (NaN) glides on from the gesture before to the one behind, which is how a rounded vowel is
seen through the consonant in front of it. Lips are shut for the whole hold of b p m, before the release. Pauses under
120 ms hold, up to 350 ms relax, longer ones close; after the last sound the mouth is at rest within 200 ms.

The shapes are ours, tuned by eye and by FaceMesh on rendered films; the timing figures are those that animators use.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.timeline import BLENDSHAPES, FPS, BlendshapeTrack, Phoneme, VisemeSpan

HOLD_PAUSE_MS, RELAX_PAUSE_MS = 120, 350
REST_MS = 160  # from the last sound to the closed mouth
CLOSURE_MS = 64  # a closure is held at least so long, so that a picture at 25 Hz falls into it
EARLIEST_MS = 60  # how much earlier than its sound a closure may begin
REACH_MS = 200  # a shape shows so much ahead of its hold at most, through however many sounds that do not care
FADE_MS = 60  # a sound is left so much before its end at most
# What lies further ahead cannot change a frame. The furthest is the kind of a pause: it shows from FADE_MS before the
# sound's end on, and is known RELAX_PAUSE_MS behind it. A sound to come shows REACH_MS + EARLIEST_MS before its start.
LOOK_AHEAD_MS = 420

Shape = npt.NDArray[np.float32]
_AT = {name: n for n, name in enumerate(BLENDSHAPES)}
_LIPS = ("mouthFunnel", "mouthPucker", "mouthStretch")


def _shape(free: tuple[str, ...] = (), **values: float) -> Shape:
    """A shape; axes named in ``free`` are left to the neighbours."""
    shape = np.zeros(len(BLENDSHAPES), np.float32)
    for name, value in values.items():
        shape[_AT[name]] = value
    for name in free:
        shape[_AT[name]] = np.nan
    return shape


# sound -> (viseme, shape). Lower-case keys are vowels and codas as they occur inside finals.
_SOUNDS: dict[str, tuple[str, Shape]] = {
    "": ("sil", _shape()),
    # lips shut; what they will be next may already show in their rounding
    "b p m": ("PP", _shape(("mouthFunnel", "mouthPucker"), mouthClose=1.0, mouthPress=0.75, jawOpen=0.04)),
    "f": ("FF", _shape(("mouthFunnel", "mouthPucker"), mouthRollLower=0.9, jawOpen=0.1, mouthUpperUp=0.25)),
    "d t": ("DD", _shape(_LIPS, jawOpen=0.17, tongueUp=0.9)),
    "n l": ("nn", _shape(_LIPS, jawOpen=0.2, tongueUp=1.0)),
    "g k h": ("kk", _shape(_LIPS, jawOpen=0.22)),
    "j q x": ("CH", _shape(("mouthFunnel", "mouthPucker"), jawOpen=0.13, mouthStretch=0.5)),
    "zh ch sh": ("CH", _shape(("mouthPucker",), jawOpen=0.14, mouthFunnel=0.42)),
    "r": ("RR", _shape(("mouthPucker",), jawOpen=0.17, mouthFunnel=0.36, tongueUp=0.2)),
    "z c s": ("SS", _shape(("mouthFunnel", "mouthPucker"), jawOpen=0.11, mouthStretch=0.45)),
    "a": ("aa", _shape(jawOpen=0.74, mouthStretch=0.12, mouthUpperUp=0.25)),
    "o": ("O", _shape(jawOpen=0.42, mouthFunnel=0.6, mouthPucker=0.5)),
    "e": ("E", _shape(jawOpen=0.36, mouthStretch=0.22)),
    "ê": ("E", _shape(jawOpen=0.38, mouthStretch=0.45)),
    "i": ("I", _shape(jawOpen=0.22, mouthStretch=0.72)),
    "u": ("U", _shape(jawOpen=0.24, mouthPucker=1.0, mouthFunnel=0.35)),
    "v": ("U", _shape(jawOpen=0.2, mouthPucker=1.0, mouthFunnel=0.2)),
    "er": ("RR", _shape(jawOpen=0.36, mouthFunnel=0.28, tongueUp=0.35)),
    "apical-s": ("SS", _shape(jawOpen=0.18, mouthStretch=0.5)),
    "apical-sh": ("CH", _shape(jawOpen=0.18, mouthFunnel=0.42)),
    "-n": ("nn", _shape(_LIPS, jawOpen=0.22, tongueUp=0.9)),
    "-ng": ("kk", _shape(_LIPS, jawOpen=0.27)),
}
_OF = {name: sound for names, sound in _SOUNDS.items() for name in names.split() or [""]}

# final -> its parts and how they share its time. Canonical spelling: ü is v, iu ui un are written out.
_FINALS: dict[str, tuple[tuple[str, float], ...]] = {
    "a": (("a", 1),),
    "o": (("o", 1),),
    "e": (("e", 1),),
    "ê": (("ê", 1),),
    "i": (("i", 1),),
    "u": (("u", 1),),
    "v": (("v", 1),),
    "er": (("er", 1),),
    "m": (("m", 1),),
    "n": (("-n", 1),),
    "ng": (("-ng", 1),),
    "ai": (("a", 0.6), ("i", 0.4)),
    "ei": (("ê", 0.5), ("i", 0.5)),
    "ao": (("a", 0.6), ("u", 0.4)),
    "ou": (("o", 0.55), ("u", 0.45)),
    "an": (("a", 0.68), ("-n", 0.32)),
    "en": (("e", 0.6), ("-n", 0.4)),
    "ang": (("a", 0.68), ("-ng", 0.32)),
    "eng": (("e", 0.6), ("-ng", 0.4)),
    "ong": (("u", 0.66), ("-ng", 0.34)),
    "ia": (("i", 0.3), ("a", 0.7)),
    "io": (("i", 0.3), ("o", 0.7)),
    "ie": (("i", 0.3), ("ê", 0.7)),
    "iai": (("i", 0.25), ("a", 0.4), ("i", 0.35)),
    "iao": (("i", 0.22), ("a", 0.45), ("u", 0.33)),
    "iou": (("i", 0.28), ("o", 0.38), ("u", 0.34)),
    "ian": (("i", 0.26), ("ê", 0.44), ("-n", 0.3)),
    "in": (("i", 0.6), ("-n", 0.4)),
    "iang": (("i", 0.22), ("a", 0.48), ("-ng", 0.3)),
    "ing": (("i", 0.6), ("-ng", 0.4)),
    "iong": (("v", 0.3), ("u", 0.4), ("-ng", 0.3)),
    "ua": (("u", 0.3), ("a", 0.7)),
    "uo": (("u", 0.35), ("o", 0.65)),
    "uai": (("u", 0.22), ("a", 0.45), ("i", 0.33)),
    "uei": (("u", 0.28), ("ê", 0.34), ("i", 0.38)),
    "uan": (("u", 0.26), ("a", 0.46), ("-n", 0.28)),
    "uen": (("u", 0.32), ("e", 0.36), ("-n", 0.32)),
    "uang": (("u", 0.22), ("a", 0.5), ("-ng", 0.28)),
    "ueng": (("u", 0.3), ("e", 0.4), ("-ng", 0.3)),
    "ve": (("v", 0.36), ("ê", 0.64)),
    "van": (("v", 0.28), ("ê", 0.44), ("-n", 0.28)),
    "vn": (("v", 0.6), ("-n", 0.4)),
}
INITIALS = frozenset("b p m f d t n l g k h j q x zh ch sh r z c s".split())
FINALS = frozenset(_FINALS)
_CONTRACTED = {"iu": "iou", "ui": "uei", "un": "uen"}


def canonical_final(final: str, initial: str = "") -> str:
    """The final as it sounds: written out, with ü as v. Understands y and w as initials too. Raises ``KeyError``.

    >>> canonical_final("un", "x"), canonical_final("iu", "l"), canonical_final("an", "y"), canonical_final("ei", "w")
    ('vn', 'iou', 'ian', 'uei')
    """
    name = final.replace("ü", "v")
    if name == "g" and initial == "n":  # the interjection ng, which looks like an initial with a final
        return "ng"
    if initial in ("j", "q", "x", "y") and name.startswith("u"):
        name = "v" + name[1:]
    elif initial == "y" and not name.startswith(("i", "v")):
        name = "iou" if name == "ou" else f"i{name}"
    elif initial == "w" and not name.startswith("u"):
        name = f"u{name}"
    name = _CONTRACTED.get(name, name)
    if name not in _FINALS:
        raise KeyError(final)
    return name


def parts(name: str, initial: str = "") -> tuple[tuple[str, float], ...]:
    """The sounds of one phoneme and how they share its time; a name that is no Mandarin sound is read by its letters."""
    if name in INITIALS and name != "m" and name != "n":
        return ((name, 1.0),)
    if name in ("m", "n") and not initial:
        return ((name, 1.0),)
    if name == "y":
        return (("i", 1.0),)
    if name == "w":
        return (("u", 1.0),)
    if name in ("i", "-i") and initial in ("z", "c", "s"):
        return (("apical-s", 1.0),)
    if name in ("i", "-i") and initial in ("zh", "ch", "sh", "r"):
        return (("apical-sh", 1.0),)
    if not name or name == "sil":
        return (("", 1.0),)
    try:
        # an initial y or w has its own phoneme: what is left of its final begins behind the glide
        found = _FINALS[canonical_final(name, initial)]
    except KeyError:
        letters = [letter for letter in name.lower() if letter in _OF]
        return tuple((letter, 1 / len(letters)) for letter in letters) or (("e", 1.0),)
    if initial in ("y", "w") and len(found) > 1 and found[0][0] in ("i", "u", "v") and name[:1] not in "iuvü":
        rest = found[1:]
        whole = sum(share for _sound, share in rest)
        return tuple((sound, share / whole) for sound, share in rest)
    return found


def viseme_of(name: str, initial: str = "") -> str:
    """The viseme of a phoneme: a final's is that of its nucleus, the most open of its vowels."""
    sounds = parts(name, initial)
    sounds = tuple(part for part in sounds if not part[0].startswith("-")) or sounds
    nucleus = max(sounds, key=lambda part: float(_OF[part[0]][1][_AT["jawOpen"]]))[0]
    return _OF[nucleus][0]


@dataclass(frozen=True, slots=True)
class Gesture:
    """A shape that is held from ``hold_ms`` to ``release_ms``; its sound spans ``start_ms`` to ``end_ms``."""

    viseme: str
    shape: Shape
    start_ms: float
    end_ms: float
    hold_ms: float
    release_ms: float


def _initial_before(phonemes: list[Phoneme], n: int) -> str:
    """The initial that belongs to the final at ``n``: the phoneme before it, of the same written piece, without a gap."""
    if n == 0:
        return ""
    before, now = phonemes[n - 1], phonemes[n]
    glued = now.start_ms - before.end_ms <= 1 and before.text == now.text
    return before.phoneme if glued and (before.phoneme in INITIALS or before.phoneme in ("y", "w")) else ""


def gestures(phonemes: list[Phoneme]) -> list[Gesture]:
    """What the mouth does, in order, without the pauses."""
    found: list[Gesture] = []
    for n, phoneme in enumerate(phonemes):
        start = float(phoneme.start_ms)
        span = max(1.0, phoneme.end_ms - start)
        for sound, share in parts(phoneme.phoneme, _initial_before(phonemes, n)):
            end = start + span * share
            found.append(_gesture(sound, start, end))
            start = end
    return found


def _gesture(sound: str, start: float, end: float) -> Gesture:
    viseme, shape = _OF[sound]
    span = end - start
    if viseme == "PP":
        # shut before the sound's release, and long enough to be seen
        hold = min(start, max(start - EARLIEST_MS, end - 4 - CLOSURE_MS))
        return Gesture(viseme, shape, start, end, hold, max(end - 4, hold + CLOSURE_MS - 4))
    if sound in INITIALS or sound.startswith("-"):
        return Gesture(viseme, shape, start, end, start + 0.25 * span, end - min(0.2 * span, FADE_MS))
    # A short vowel does not reach its full opening.
    reach = min(1.0, 0.62 + span / 260)
    shape = shape.copy()
    shape[_AT["jawOpen"]] *= reach
    return Gesture(viseme, shape, start, end, start + min(0.3 * span, 70), end - min(0.28 * span, FADE_MS))


_REST = _shape()


def _with_pauses(spoken: list[Gesture], known_until_ms: float, finished: bool) -> list[Gesture]:
    """The gestures with what the mouth does between and behind them."""
    result: list[Gesture] = []
    for n, gesture in enumerate(spoken):
        result.append(gesture)
        after = spoken[n + 1].start_ms if n + 1 < len(spoken) else None
        end = gesture.end_ms
        pause = (after if after is not None else (np.inf if finished else known_until_ms)) - end
        if pause <= HOLD_PAUSE_MS:
            continue
        if after is not None and pause <= RELAX_PAUSE_MS:
            relaxed = np.nan_to_num(gesture.shape * 0.35)
            relaxed[_AT["mouthClose"]] = relaxed[_AT["mouthPress"]] = 0.0
            middle = end + pause / 2
            result.append(Gesture("sil", relaxed.astype(np.float32), end, after, middle - 10, middle + 10))
        elif after is not None:
            shut = max(end + REST_MS, after - 110)
            result.append(Gesture("sil", _REST, end, after, end + REST_MS, shut))
        else:
            result.append(Gesture("sil", _REST, end, end + REST_MS, end + REST_MS, np.inf))
    return result


class _Curves:
    """The axes' courses: knots (time, value) an axis, joined by smooth steps."""

    def __init__(self, moves: list[Gesture]) -> None:
        first = moves[0].start_ms - 100 if moves else 0.0
        self._knots: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
        for axis in range(len(BLENDSHAPES)):
            times, values = [first - 1.0, first], [0.0, 0.0]
            for move in moves:
                value = float(move.shape[axis])
                if np.isnan(value):
                    continue
                hold = max(move.hold_ms, times[-1] + 1.0)
                if hold - times[-1] > REACH_MS:
                    times.append(hold - REACH_MS)
                    values.append(values[-1])
                times += [hold, max(move.release_ms, hold + 1.0)]
                values += [value, value]
            self._knots.append((np.array(times), np.array(values)))

    def at(self, times_ms: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        values = np.empty((len(times_ms), len(BLENDSHAPES)), np.float32)
        for axis, (times, heights) in enumerate(self._knots):
            right = np.clip(np.searchsorted(times, times_ms, side="right"), 1, len(times) - 1)
            t0, t1 = times[right - 1], times[right]
            with np.errstate(invalid="ignore"):
                u = np.clip((times_ms - t0) / (t1 - t0), 0.0, 1.0)
            u = np.where(np.isfinite(t1), u, 0.0)
            values[:, axis] = heights[right - 1] + (heights[right] - heights[right - 1]) * u * u * (3 - 2 * u)
        return values


class BlendshapeStream:
    """The curves of one utterance while its phonemes still come: what has been handed out never changes.

    Phonemes are pushed in order, before or with their sound. A frame leaves once what can still change it is known:
    everything up to LOOK_AHEAD_MS behind it, or the utterance's end.
    """

    def __init__(self, fps: float = FPS) -> None:
        self.fps = fps
        self._phonemes: list[Phoneme] = []
        self._next = 0
        self._curves: _Curves | None = None
        self._known_ms = 0.0

    def push(self, phonemes: Iterable[Phoneme]) -> None:
        before = len(self._phonemes)
        self._phonemes += phonemes
        if len(self._phonemes) > before:
            self._curves = None

    def frames_until(self, ms: float) -> BlendshapeTrack:
        """The frames before ``ms`` of sound heard, as far as they are certain."""
        known = max(ms, self._phonemes[-1].end_ms if self._phonemes else 0.0)
        if known != self._known_ms:
            self._known_ms, self._curves = known, None
        return self._cut(min(ms, known - LOOK_AHEAD_MS), finished=False)

    def finish(self, duration_ms: float) -> BlendshapeTrack:
        """The rest, down to the mouth at rest behind ``duration_ms``."""
        self._curves = None
        last = self._phonemes[-1].end_ms if self._phonemes else 0.0
        return self._cut(max(duration_ms, last) + REST_MS + 1000.0 / self.fps, finished=True)

    def _cut(self, until_ms: float, *, finished: bool) -> BlendshapeTrack:
        first, step = self._next, 1000.0 / self.fps
        count = max(0, int(np.ceil(until_ms / step)) - first)
        if self._curves is None:
            self._curves = _Curves(_with_pauses(gestures(self._phonemes), self._known_ms, finished))
        self._next = first + count
        return BlendshapeTrack(round(first * step), self.fps, self._curves.at((first + np.arange(count)) * step))


def blendshapes(phonemes: Iterable[Phoneme], duration_ms: int, fps: float = FPS) -> BlendshapeTrack:
    """The whole utterance's curves: float32, shape (frames, len(BLENDSHAPES)), from 0 to the mouth at rest."""
    stream = BlendshapeStream(fps)
    stream.push(phonemes)
    return stream.finish(duration_ms)


def viseme_spans(phonemes: Iterable[Phoneme], duration_ms: int) -> list[VisemeSpan]:
    """The visemes over the whole utterance without gaps or overlaps, silence included; equal neighbours are one span."""
    spans: list[VisemeSpan] = []

    def add(viseme: str, start: int, end: int) -> None:
        if end <= start:
            return
        if spans and spans[-1].viseme == viseme and spans[-1].end_ms == start:
            spans[-1] = VisemeSpan(viseme, spans[-1].start_ms, end)
        else:
            spans.append(VisemeSpan(viseme, start, end))

    at = 0
    for gesture in gestures(list(phonemes)):
        add("sil", at, round(gesture.start_ms))
        add(gesture.viseme, max(at, round(gesture.start_ms)), round(gesture.end_ms))
        at = max(at, round(gesture.end_ms))
    add("sil", at, duration_ms)
    return spans
