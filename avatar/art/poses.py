"""The atlas: which mouths and eyes are rendered, and which facial units of the mesh make each of them.

A mouth is five numbers that speech understands, the same as in ``rig.json``: ``jaw`` 0 closed .. 1 an open *a*; ``width`` -1 narrow
.. 1 spread as in *i*; ``round`` 0 .. 1 pursed as in *u*; ``press`` 0 .. 1 lips shut hard as in *b p m*; ``tongue`` 0 .. 1 tip behind
the upper teeth as in *l n d t*; and ``roll`` 0 .. 1, the lower lip under the upper teeth as in *f*.
"""

from dataclasses import dataclass

Units = dict[str, float]

# How much the lips overlap at rest.
CLOSED = 0.34
# Resting lips are a little drawn together: the plain mouth reads to FaceMesh as parted by a hair (gap 0.021 of its width against
# 0.006), and its reading then wavers as the head sways.
AT_EASE = 0.33

# Her face when she says nothing: lips just closed, a hint of a smile, the eyes relaxed.
REST: Units = {
    "mouth-corner-puller": 0.22,
    "mouth-parling": -CLOSED,
    "eye-left-slit": 0.10,
    "eye-right-slit": 0.10,
}

# Her eyes are larger than the mesh's own, so that its lids must travel further.
LID_REACH = 1.2

MOOD_MOUTH: dict[str, Units] = {
    "neutral": {},
    "smile": {"mouth-corner-puller": 0.34, "mouth-retraction": 0.10},
    "concern": {"mouth-corner-puller": -0.10, "mouth-depression": 0.10, "mouth-compression": 0.06},
}

MOOD_EYES: dict[str, Units] = {
    "neutral": {},
    "smile": {"eye-slit": 0.42, "eyebrows-up": 0.10, "cheek": 0.5},
    "concern": {"eyebrows-inner-up": 1.0, "eyebrows-down": 0.25, "eye-slit": 0.12},
}


@dataclass(frozen=True)
class Mouth:
    jaw: float = 0.0
    width: float = 0.0
    round: float = 0.0
    press: float = 0.0
    tongue: float = 0.0
    roll: float = 0.0
    mood: str = "neutral"


@dataclass(frozen=True)
class Eyes:
    blink: float
    mood: str = "neutral"


def _add(total: Units, more: Units) -> None:
    for name, weight in more.items():
        total[name] = total.get(name, 0.0) + weight


def mouth_units(mouth: Mouth) -> Units:
    """Facial units of a mouth, on top of the resting face."""
    units = dict(REST)
    _add(units, MOOD_MOUTH[mouth.mood])
    jaw, rounded = mouth.jaw, AT_EASE if mouth == Mouth() else mouth.round
    # The lips part before the jaw drops; rounding opens them by itself, so that a round mouth needs less of both.
    parting = min(1.0, jaw / 0.20)
    _add(units, {"mouth-parling": parting * (CLOSED + 0.42 * (1 - rounded) * (1 - 0.4 * jaw))})
    _add(units, {"mouth-open": 0.40 * jaw * (1 - 0.40 * rounded)})
    _add(units, {"mouth-pursing": 0.16 * jaw, "mouth-upward-retraction": 0.14 * parting * (1 - rounded)})
    spread, narrow = max(mouth.width, 0.0), max(-mouth.width, 0.0)
    _add(
        units, {"mouth-retraction": 0.85 * spread, "mouth-corner-puller": 0.18 * spread, "mouth-pursing": 0.30 * narrow}
    )
    _add(
        units,
        {
            "mouth-pursing": 0.78 * rounded,
            "mouth-protusion": 0.12 * rounded * parting,
            "mouth-corner-puller": -0.10 * rounded,
        },
    )
    _add(units, {"mouth-compression": 0.45 * mouth.press, "mouth-parling": -0.25 * mouth.press})
    _add(units, {"mouth-upward-retraction": 0.16 * mouth.roll})
    return units


def eye_units(eyes: Eyes) -> Units:
    """Facial units of a pair of eyes with its brows and upper cheeks, on top of the resting face."""
    units = dict(REST)
    for name, weight in MOOD_EYES[eyes.mood].items():
        if name == "cheek":
            continue
        group, _, rest = name.partition("-")
        _add(units, {f"{group}-{side}-{rest}": weight for side in ("left", "right")})
    slit = units["eye-left-slit"]
    for side in ("left", "right"):
        units[f"eye-{side}-slit"] = slit * (1 - 0.6 * eyes.blink)
        units[f"eye-{side}-closure"] = eyes.blink * LID_REACH
    return units


JAWS = (0.0, 0.08, 0.15, 0.24, 0.34, 0.46, 0.60, 0.78, 1.0)
FEW_JAWS = (0.0, 0.12, 0.28, 0.50, 0.80)
SHAPES = ((0.0, 1.0), (0.0, 0.66), (0.0, 0.33), (0.0, 0.0), (0.5, 0.0), (1.0, 0.0))
FEW_SHAPES = ((0.0, 0.9), (0.0, 0.45), (0.0, 0.0), (0.8, 0.0))


def mouths() -> list[Mouth]:
    """Every mouth of the atlas, the resting one first."""
    states: list[Mouth] = []
    for mood in ("neutral", "smile", "concern"):
        full = mood == "neutral"
        jaws, shapes = (JAWS, SHAPES) if full else (FEW_JAWS, FEW_SHAPES)
        for width, rounded in ((0.0, 0.0), *shapes):
            for jaw in jaws:
                # Nobody opens wide with pursed or spread lips.
                if jaw * rounded <= 0.45 and jaw * width <= 0.6:
                    states.append(Mouth(jaw, width, rounded, mood=mood))
        for jaw in (0.0, 0.15, 0.34) if full else ():
            states.append(Mouth(jaw, -0.5, mood=mood))
        closed = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.0, 1.0)) if full else ((0.0, 0.0), (0.0, 0.6))
        for width, rounded in closed:
            # As FaceMesh measures them: rounded lips shut at half a press and part again at a whole one; a spread mouth
            # shuts tighter than a plain one, and a concerned one is shut by itself.
            if rounded or (width if full else mood == "smile"):
                states.append(Mouth(0.0, width, rounded, press=0.5 if full and rounded else 1.0, mood=mood))
            states.append(Mouth(0.10, width, rounded, roll=1.0, mood=mood))
        lifted = ((0.0, 0.0), (0.6, 0.0), (0.0, 0.5)) if full else ((0.0, 0.0), (0.0, 0.5))
        for width, rounded in lifted:
            for jaw in (0.15, 0.30, 0.50) if full else (0.15, 0.35):
                for tongue in (0.5, 1.0) if full else (1.0,):
                    states.append(Mouth(jaw, width, rounded, tongue=tongue, mood=mood))
    return list(dict.fromkeys(states))


def eyes() -> list[Eyes]:
    """Every pair of eyes of the atlas, the open neutral one first."""
    return [Eyes(blink, mood) for mood in ("neutral", "smile", "concern") for blink in (0.0, 0.25, 0.5, 0.75, 1.0)]
