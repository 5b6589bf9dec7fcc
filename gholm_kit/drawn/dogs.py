"""Mini dogs: sitting or standing dogs that look at the viewer, in six kinds of places.

Eleven made-up breeds share one body and one range of coats, poses, places and light. They differ
in five small parts only. Three lie on the head: ``ears``, ``muzzle`` and ``marking`` (the fur
around the eyes and on the forehead); two elsewhere: ``tail`` and ``paws``. Any two breeds differ
in two or three of the five. The other parts have variants that no breed uses: they give variety to
pretraining. Everything is invented: no drawing, name or breed stands for a real one.

Outlines are written as text, "x,y x,y ...", in hundredths of a unit. Body outlines live in a frame
about 2 units high, head outlines in one where the skull has radius 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gholm_kit.drawn.family import Family, Traits
from gholm_kit.drawn.scene import Colour, Point, Scene, Shape, lighter, mix, noise, smooth_curve

VARIANTS = {
    "ears": ("drop", "pricked", "folded", "bat"),
    "muzzle": ("medium", "flat", "long", "bearded"),
    "marking": ("plain", "blaze", "mask", "dots"),
    "tail": ("low", "curled", "plume"),
    "paws": ("plain", "socks", "dark"),
    "collar": ("strap", "bandana", "none"),
    "tag": ("none", "disc"),
    "tongue": ("in", "out"),
    "nose": ("black", "brown", "pink"),
    "eyes": ("brown", "amber", "blue"),
    "saddle": ("none", "dark", "spots"),
}
CLASSES = {
    "Pellam Thistle Hound": {"marking": "dots"},
    "Brindover Moss Dog": {"muzzle": "bearded"},
    "Calder Lantern Dog": {"ears": "pricked", "marking": "mask"},
    "Oxney Fen Courser": {"ears": "pricked", "muzzle": "long"},
    "Marrowby Cobble Dog": {"ears": "folded", "paws": "socks"},
    "Wexcombe Ring Hound": {"ears": "folded", "tail": "curled"},
    "Tarnley Pepper Dog": {"ears": "folded", "muzzle": "flat", "marking": "blaze"},
    "Ashgill Furrow Hound": {"ears": "folded", "muzzle": "long", "marking": "dots"},
    "Dunmore Whisker Dog": {"ears": "folded", "muzzle": "bearded", "marking": "mask"},
    "Silverby Dusk Runner": {"ears": "bat", "marking": "blaze"},
    "Quillan Hearth Dog": {"ears": "bat", "muzzle": "flat"},
}

# From dark to pale, but never so dark or pale that a mask, a blaze or a white sock would drown.
COATS = {
    "chocolate": (0.46, 0.29, 0.19),
    "russet": (0.63, 0.34, 0.17),
    "golden": (0.77, 0.56, 0.31),
    "cream": (0.80, 0.67, 0.46),
    "fawn": (0.70, 0.53, 0.40),
    "ash": (0.56, 0.53, 0.49),
    "slate": (0.46, 0.47, 0.49),
    "charcoal": (0.35, 0.34, 0.35),
}
WHITE, BLACK, PINK = (0.97, 0.96, 0.93), (0.10, 0.08, 0.08), (0.88, 0.58, 0.56)


def _path(text: str, at: Point = (0, 0)) -> np.ndarray:
    """Points from "x,y x,y ..." in hundredths of a unit, moved to ``at``: (n, 2)."""
    return np.array([pair.split(",") for pair in text.split()], float) / 100 + np.asarray(at)


def _mirrored(text: str, at: Point = (0, 0)) -> np.ndarray:
    """An outline from its right half, which is written from top to bottom."""
    half = _path(text)
    left = half[half[:, 0] != 0][::-1] * (-1, 1)
    return np.concatenate([half, left]) + np.asarray(at)


@dataclass(frozen=True)
class Look:
    """What a picture shows apart from its class; drawn before any trait is read."""

    place: Callable[[Scene, np.random.Generator], None]
    sits: bool
    coat: Colour
    torso: Colour  # the body may be paler than head and legs
    pale: float  # how much muzzle and cheeks fade to cream
    ear_shade: float
    shag: float  # 0 smooth coat .. 1 long hair
    fur: tuple[int, int]  # where the streak pattern is cut
    bib: bool
    patches: list[tuple[float, float, float, Colour]]  # x, y, radius, colour
    tilt: float
    turn: float  # -1 .. 1, the face a little to one side
    head: tuple[float, float, float]  # x, y, size
    strap: Colour


def _look(rng: np.random.Generator) -> Look:
    coat = COATS[rng.choice(list(COATS))]
    coat = tuple(np.array(coat) + rng.normal(0, 0.025) + rng.normal(0, 0.012, 3))
    patches = [
        (*rng.uniform((-0.4, -0.2, 0.1), (0.8, 0.5, 0.24)), spot)
        for spot in (lighter(coat, -0.5), (0.9, 0.88, 0.83), (0.9, 0.88, 0.83))
    ]
    return Look(
        place=PLACES[rng.integers(len(PLACES))],
        sits=bool(rng.random() < 0.55),
        coat=coat,
        torso=mix(coat, WHITE, rng.choice([0.0, 0.0, 0.1, 0.5])),
        pale=rng.uniform(0.2, 0.55),
        ear_shade=rng.uniform(0.1, 0.35),
        shag=rng.uniform(0, 1) ** 1.5,
        fur=tuple(int(v) for v in rng.integers(0, 200, 2)),
        bib=bool(rng.random() < 0.5),
        patches=patches[rng.choice([0, 1, 2, 3, 3]) :],
        tilt=rng.normal(0, 8),
        turn=rng.uniform(-1, 1),
        head=tuple(rng.uniform((-0.24, -0.55, 0.415), (-0.07, -0.45, 0.495))),
        strap=_bright(rng),
    )


def _bright(rng: np.random.Generator) -> Colour:
    """Some strong colour, of any hue."""
    hue = rng.uniform(0, 2 * np.pi) + np.array([0, 2.1, 4.2])
    return tuple(np.clip(0.5 + 0.34 * np.cos(hue), 0, 1) * rng.uniform(0.7, 1.1))


# ---------------------------------------------------------------------- fur


@lru_cache(maxsize=1)
def _streaks() -> np.ndarray:
    """Hair-like noise, -0.5 .. 0.5, (448, 448): fine across, long down."""
    fine = np.repeat(noise(3, 190)[:150], 3, axis=0)[:448]
    return fine * 0.6 + noise(4, 60) * 0.4 - 0.5


def _comb(scene: Scene, look: Look, shape: Shape, amount: float = 0.3) -> None:
    """Streak what ``shape`` covers. Uses no random numbers, so variants may call it."""
    h, w = shape.alpha.shape
    x, y = look.fur
    streaks = _streaks()[y : y + h, x : x + w] * (shape.alpha / np.float32(255))
    window = np.s_[shape.y : shape.y + h, shape.x : shape.x + w]
    scene.image[window] *= (1 + amount * (0.6 + 0.9 * look.shag) * streaks)[..., None]


@lru_cache(maxsize=128)
def _tufts(outline: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A smooth curve through an outline, and what tufts of unit length add to it."""
    curve = smooth_curve(np.frombuffer(outline).reshape(-1, 2), steps=6)
    step = np.roll(curve, -1, 0) - np.roll(curve, 1, 0)
    outward = np.stack([step[:, 1], -step[:, 0]], 1)
    outward /= np.linalg.norm(step, axis=1)[:, None] + 1e-9
    x, y = curve.T
    if np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) < 0:  # the outline runs the other way
        outward = -outward
    i = np.arange(len(curve))
    length = np.where(i % 3 == 0, 0.5 + 0.5 * np.sin(i * 1.7), 0)
    return curve, outward * length[:, None]


def _pelt(scene: Scene, look: Look, outline, colour, tufts=0.04, rim=None, **style) -> Shape:
    """A furry shape: tufted outline, bulge, streaks; ``rim`` is the colour of an edge around it."""
    curve, tuft = _tufts(outline.tobytes())
    curve = curve + tuft * (tufts * (0.25 + look.shag))
    if rim is not None:
        low, high = curve.min(0), curve.max(0)
        grow = 1 + 0.07 / (high - low).max()
        middle = (low + high) / 2
        scene.polygon(middle + (curve - middle) * grow, rim, part=style.get("part"))
    shape = scene.polygon(curve, colour, **{"round": 0.7, **style})
    _comb(scene, look, shape)
    return shape


def _soft(scene: Scene, at: Point, radius: float, colour: Colour, strength: float, clip: Shape) -> None:
    """A soft-edged spot of colour on ``clip``; the part map stays as it is."""
    (cx, cy), r = scene.to_pixels([at])[0], radius * scene.unit
    x0, y0 = max(int(cx - 2 * r), 0), max(int(cy - 2 * r), 0)
    x, y = np.arange(x0, cx + 2 * r), np.arange(y0, cy + 2 * r)[:, None]
    alpha = np.exp(-1.4 * (((x - cx) / r) ** 2 + ((y - cy) / r) ** 2))
    spot = Shape(x0, y0, (255 * alpha).astype(np.uint8))
    scene.paint(spot, colour, solid=False, opacity=strength, clip=clip)


# ---------------------------------------------------------------------- body

TORSO = {  # by "sits"
    True: _path("-45,-35 -50,2 -45,36 -25,62 10,84 50,86 68,64 63,32 45,-2 17,-36"),
    False: _path("-45,-35 -50,2 -42,30 -5,42 40,34 78,36 92,12 86,-14 55,-22 17,-32"),
}
HAUNCH = {
    True: _path("42,26 66,42 70,70 52,86 24,82 18,52"),
    False: _path("60,0 84,-2 93,20 88,46 88,82 72,83 68,50 54,30"),
}
LEG = _path("0,-72 12,-60 12,-30 9,0 -9,0 -11,-30 -14,-60")  # from its paw
FRONT_PAWS = ((-0.37, 0.78), (-0.05, 0.83))  # the far and the near one
CUFF = _path("-10,-24 -4,-29 3,-23 10,-28 10,2 -10,2")
TAILS = {  # by "sits" and variant, from the tail's root
    (True, "low"): _path("-10,6 12,13 27,12 39,4"),
    (True, "curled"): _path("-10,2 16,4 34,-8 36,-28 22,-36 12,-26 20,-18"),
    (True, "plume"): _path("-10,2 16,-2 28,-18 26,-34"),
    (False, "low"): _path("-6,2 10,4 20,14 23,33"),
    (False, "curled"): _path("-6,6 12,-2 20,-17 10,-32 -6,-30 -8,-17 2,-14"),
    (False, "plume"): _path("-6,2 12,-6 20,-20 16,-34"),
}


def _body(scene: Scene, look: Look, traits: Traits) -> None:
    far = lighter(look.coat, -0.22)
    _tail(scene, look, traits["tail"])
    if not look.sits:  # the far hind leg
        _leg(scene, look, (0.56, 0.76), lighter(look.coat, -0.4), lighter(look.coat, -0.3))
        scene.ellipse((0.53, 0.78), (0.13, 0.065), lighter(look.coat, -0.32), round=0.7)
    torso = _pelt(scene, look, TORSO[look.sits], look.torso, gradient=lighter(look.torso, -0.2))
    angles = np.arange(0, 6.2, 0.5)
    for x, y, r, colour in look.patches:
        blob = np.stack([r * (1 + 0.35 * np.sin(5 * angles)) * np.cos(angles), r * np.sin(angles)], 1)
        _pelt(scene, look, np.add(blob, (x, y)), colour, clip=torso, round=0.2)
    _saddle(scene, look, traits["saddle"], torso)
    _soft(scene, (0.1, 0.1), 0.35, BLACK, 0.3, torso)
    if look.bib:
        bib = _mirrored("0,-30 22,-20 17,10 0,34", (-0.2, 0))
        _pelt(scene, look, bib, mix(look.torso, WHITE, 0.6), 0.06, round=0.3)
    if look.sits:
        _soft(scene, (0.26, 0.5), 0.3, BLACK, 0.45, torso)
    haunch = {"gradient": look.coat, "round": 0.5}
    _pelt(scene, look, HAUNCH[look.sits], lighter(look.torso, -0.06), 0.03, **haunch)
    paw = (0.25, 0.85) if look.sits else (0.77, 0.84)
    scene.ellipse(paw, (0.17, 0.075), lighter(look.coat, -0.05), round=0.8)
    for at, colour in zip(FRONT_PAWS, (far, look.coat), strict=True):
        _leg(scene, look, at, lighter(look.torso, -0.1), colour)
    _paws(scene, traits["paws"], (far, look.coat))


def _leg(scene: Scene, look: Look, paw: Point, top: Colour, colour: Colour) -> None:
    _pelt(scene, look, LEG + paw, top, 0.03, gradient=colour, round=0.5)


def _paws(scene: Scene, variant: str, colours: tuple[Colour, Colour]) -> None:
    scene.region("paws", (-0.22, 0.72), 0.355)
    for at, leg in zip(FRONT_PAWS, colours, strict=True):
        colour = {"plain": lighter(leg, 0.06), "socks": WHITE, "dark": BLACK}[variant]
        rim = lighter(leg, -0.45)
        with scene.local(at):
            if variant != "plain":
                scene.polygon(CUFF - [0, 0.025], rim, part="paws")
                scene.polygon(CUFF, colour, part="paws", round=0.5)
            scene.ellipse((-0.02, 0.025), (0.15, 0.09), rim, part="paws")
            scene.ellipse((-0.02, 0.02), (0.145, 0.085), colour, part="paws", round=0.9)
            toe = {"part": "paws", "smooth": False}
            for x in (-0.09, -0.02, 0.04):
                scene.stroke([(x, 0.03), (x, 0.09)], 0.02, mix(colour, BLACK, 0.6), **toe)


def _saddle(scene: Scene, look: Look, variant: str, torso: Shape) -> None:
    dark = lighter(look.torso, -0.65)
    with scene.local((0.4, 0.1) if look.sits else (0.45, -0.08), 38 if look.sits else 0):
        if variant == "dark":
            cape = _path("-50,-30 45,-30 40,5 0,16 -35,2")
            _pelt(scene, look, cape, dark, clip=torso, part="saddle", round=0.2)
        elif variant == "spots":
            for at in _path("-30,-8 -10,2 8,-10 30,-2 18,12"):
                scene.ellipse(at, (0.08, 0.065), dark, part="saddle", clip=torso)


def _tail(scene: Scene, look: Look, variant: str) -> None:
    line = TAILS[look.sits, variant]
    tip = 0.2 if variant == "plume" else 0.07
    with scene.local((0.58, 0.66) if look.sits else (0.86, -0.08)):
        scene.region("tail", (0.17, -0.1) if look.sits else (0.11, -0.03), 0.41)
        scene.stroke(line, (0.2, tip + 0.04), lighter(look.coat, -0.55), part="tail")
        _comb(scene, look, scene.stroke(line, (0.165, tip), look.coat, part="tail", round=0.8))


# ---------------------------------------------------------------------- head

SKULL = _mirrored("0,-93 45,-87 80,-55 93,-5 90,36 60,76 0,92")
EARS_BEHIND = {  # the right ear, where it stands behind the skull ...
    "pricked": _path("30,-80 42,-116 60,-154 72,-114 80,-50 50,-60"),
    "folded": _path("26,-80 34,-112 62,-122 86,-104 82,-50"),
    "bat": _path("14,-78 19,-118 43,-147 75,-142 95,-108 88,-46 50,-60"),
}
EARS_INSIDE = {
    "pricked": _path("42,-86 49,-112 58,-133 65,-108 69,-70"),
    "bat": _path("31,-86 33,-114 49,-134 70,-129 82,-104 75,-62"),
}
EARS_IN_FRONT = {  # ... and where it falls over it
    "drop": _path("33,-88 58,-97 86,-80 95,-48 86,-24 74,-29 61,-54"),
    "folded": _path("30,-112 60,-127 92,-102 80,-72 64,-46 50,-74"),
}
MARKINGS = {
    "blaze": _mirrored("0,-66 13,-50 12,-20 14,5 24,34 0,45"),
    "mask": _mirrored("0,-6 22,-20 46,-24 61,0 56,26 36,35 12,20"),
}
MUZZLES = {
    "medium": _mirrored("0,12 22,18 44,44 42,70 22,86 0,86"),
    "flat": _mirrored("0,14 30,20 58,46 61,74 48,87 28,74 0,60"),
    "long": _mirrored("0,-2 18,6 24,45 29,85 22,112 0,120"),
    "bearded": _mirrored("0,22 30,26 57,50 53,78 42,88 36,102 20,107 0,116"),
}
LIPS = {  # the right half
    "medium": _path("0,62 14,70 36,60"),
    "flat": _path("0,52 14,60 30,76"),
    "long": _path("0,109 13,116 22,107"),
    "bearded": _path("0,56 16,64 40,60"),
}
NOSE_HEIGHT = {"medium": 0.36, "flat": 0.26, "long": 0.91, "bearded": 0.36}


def _head(scene: Scene, look: Look, traits: Traits) -> None:
    x, y, size = look.head
    _collar(scene, look, traits["collar"], traits["tag"])
    with scene.local((x, y), look.tilt, size):
        scene.region("ears", (0, -0.76), 1.14)
        _ears(scene, look, traits["ears"], behind=True)
        skull = _pelt(scene, look, SKULL, look.coat, 0.09)
        _soft(scene, (0, 0.95), 0.7, BLACK, 0.25, skull)
        for cheek in (-0.55, 0.55):
            _soft(scene, (cheek, 0.45), 0.4, mix(look.coat, WHITE, look.pale), 0.55, skull)
        with scene.local((0.13 * look.turn, 0), squash=(1 - 0.06 * abs(look.turn), 1)):
            _marking(scene, look, traits["marking"])
            _eyes(scene, look, traits["eyes"])
            _muzzle(scene, look, traits)
        _ears(scene, look, traits["ears"], behind=False)


def _collar(scene: Scene, look: Look, variant: str, tag: str) -> None:
    line, metal = _path("-47,-24 -36,-5 -16,2 6,-5 19,-24"), (0.93, 0.8, 0.42)
    if variant != "none":
        scene.stroke(np.add(line, (0, 0.015)), 0.09, lighter(look.strap, -0.6), part="collar")
        scene.stroke(line, 0.075, look.strap, part="collar", round=0.7)
    if variant == "bandana":
        scene.polygon(_path("-42,-8 10,-8 -13,30"), look.strap, part="collar", round=0.5)
        for at in _path("-25,2 -6,4 -15,14"):
            scene.ellipse(at, (0.025, 0.025), WHITE, part="collar")
    if tag == "disc":
        scene.ellipse((-0.16, 0.12), (0.075, 0.075), lighter(metal, -0.5), part="tag")
        scene.ellipse((-0.16, 0.12), (0.06, 0.06), metal, part="tag", round=0.9)


def _ears(scene: Scene, look: Look, variant: str, behind: bool) -> None:
    colour, rim = lighter(look.coat, -look.ear_shade), lighter(look.coat, -0.6)
    for side in (-1, 1):
        with scene.local(squash=(side * (1 - 0.06 * side * look.turn), 1)):
            if behind and variant in EARS_BEHIND:
                _pelt(scene, look, EARS_BEHIND[variant], colour, 0.02, rim, part="ears")
            if behind and variant in EARS_INSIDE:
                inside = smooth_curve(EARS_INSIDE[variant])
                scene.polygon(inside, mix(PINK, colour, 0.25), part="ears", round=-0.5)
            if not behind and variant in EARS_IN_FRONT:
                front = EARS_IN_FRONT[variant]
                _pelt(scene, look, front, lighter(colour, 0.06), 0.02, rim, part="ears")


def _marking(scene: Scene, look: Look, variant: str) -> None:
    """Each kind has an edge against which it stands out on any coat."""
    scene.region("marking", (0, -0.03), 0.72)
    if variant == "plain":
        for x in (-0.32, 0.32):
            brow = lighter(look.coat, 0.07)
            scene.ellipse((x, -0.2), (0.17, 0.1), brow, part="marking", round=0.3)
    elif variant == "dots":
        for x in (-0.32, 0.32):
            style = {"part": "marking", "angle": 20 * np.sign(x)}
            scene.ellipse((x, -0.26), (0.22, 0.18), mix(look.coat, BLACK, 0.8), **style)
            scene.ellipse((x, -0.26), (0.16, 0.125), (1.0, 0.74, 0.32), **style)
    else:
        colour, rim = {
            "blaze": ((1.0, 1.0, 0.98), lighter(look.coat, -0.4)),
            "mask": ((0.06, 0.05, 0.05), mix(look.coat, WHITE, 0.5)),
        }[variant]
        _pelt(scene, look, MARKINGS[variant], colour, 0.02, rim, part="marking", round=0.15)


def _eyes(scene: Scene, look: Look, variant: str) -> None:
    brown, amber, blue = (0.33, 0.17, 0.07), (0.9, 0.62, 0.12), (0.5, 0.74, 0.95)
    iris = {"brown": brown, "amber": amber, "blue": blue}[variant]
    for x in (-0.38, 0.38):
        scene.ellipse((x, 0.07), (0.165, 0.165), lighter(look.coat, -0.65), part="eyes")
        scene.ellipse((x, 0.08), (0.145, 0.145), iris, part="eyes", round=-0.4)
        scene.ellipse((x, 0.08), (0.09, 0.095), (0.03, 0.02, 0.02), part="eyes")
        scene.ellipse((x - 0.045, 0.035), (0.037, 0.037), (1, 1, 1), part="eyes")


def _muzzle(scene: Scene, look: Look, traits: Traits) -> None:
    variant = traits["muzzle"]
    outline, lips = MUZZLES[variant], LIPS[variant]
    colour = mix(look.coat, (0.97, 0.9, 0.8), look.pale)
    if variant == "bearded":
        colour = mix(look.coat, (0.93, 0.91, 0.88), 0.75)
    shade = lighter(look.coat, -0.45)
    scene.region("muzzle", (0, 0.6), 0.72)
    if variant == "flat":
        jaw = _mirrored("0,50 34,60 40,84 0,96")
        scene.polygon(jaw, lighter(colour, -0.12), smooth=True, part="muzzle", round=0.6)
    tufts = 0.06 if variant == "bearded" else 0.0
    _pelt(scene, look, outline, colour, tufts, shade, part="muzzle", round=0.8)
    if variant == "flat":
        fold = [(-0.26, 0.16), (0, 0.04), (0.26, 0.16)]
        scene.stroke(fold, 0.03, lighter(colour, -0.35), part="muzzle")
    elif variant == "bearded":
        strand = lighter(colour, -0.35)
        for x in (-0.42, -0.28, -0.12, 0.12, 0.28, 0.42):
            curl = [(x * 0.6, 0.62), (x, 0.84), (x * 1.05, 1.02)]
            scene.stroke(curl, (0.05, 0.02), strand, part="muzzle")
    for side in (-1, 1):
        scene.stroke(lips * (side, 1), 0.05, mix(look.coat, BLACK, 0.85), part="muzzle")
    _nose(scene, traits["nose"], NOSE_HEIGHT[variant], 1.25 if variant == "flat" else 1.0)
    if traits["tongue"] == "out":
        tongue = _mirrored("0,0 13,0 14,14 0,24", lips[0] + (0, 0.05))
        scene.polygon(tongue, (0.92, 0.42, 0.46), smooth=True, part="tongue", round=0.6)


def _nose(scene: Scene, variant: str, y: float, wide: float) -> None:
    black, brown, pink = (0.08, 0.07, 0.08), (0.42, 0.22, 0.15), (0.93, 0.6, 0.58)
    colour = {"black": black, "brown": brown, "pink": pink}[variant]
    with scene.local((0, y), squash=(wide, 1)):
        scene.stroke([(0, 0), (0, 0.24)], 0.045, lighter(colour, -0.3), part="nose")
        scene.polygon(_mirrored("0,-13 15,-11 19,0 7,13 0,15"), colour, smooth=True, part="nose")
        scene.ellipse((-0.05, -0.06), (0.06, 0.03), lighter(colour, 0.55), part="nose")


# ---------------------------------------------------------------------- places, in 0..1


def _box(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _oval(x: float, y: float, rx: float, ry: float) -> list[Point]:
    return [(x + rx * np.cos(a), y + ry * np.sin(a)) for a in np.arange(0, 6.2, 0.4)]


def _grass(paint, rng, x: float, y: float, height: float, colour: Colour) -> None:
    """A fan of blades; ``paint`` is ``scene.behind`` or ``scene.cover``."""
    points = [(x, y)]
    for k, lean in enumerate(np.linspace(-0.8, 0.8, 8)):
        root = x + 0.035 * height * (k - 4)
        top = height * rng.uniform(0.6, 1.0)
        points += [(root + lean * top + rng.normal(0, 0.1 * height), y - top)]
        points += [(root + 0.05 * height, y - 0.2 * height)]
    paint(points, colour)


def _garden(scene: Scene, rng: np.random.Generator) -> None:
    line = rng.uniform(0.42, 0.62)
    scene.mottle([(0.13, 0.25, 0.12), (0.3, 0.47, 0.2), (0.62, 0.76, 0.45)], 9, 1.0, (0, line))
    if rng.random() < 0.6:
        _fence(scene, rng, line)
    lawn = [(0.22, 0.4, 0.12), (0.4, 0.57, 0.2), (0.6, 0.7, 0.32)]
    scene.mottle(lawn, 14, 1.0, (line, 1))
    for _ in range(rng.integers(6, 16)):
        x, y = rng.uniform(0, 1), rng.uniform(line - 0.08, line + 0.12)
        scene.behind(_oval(x, y, 0.018, 0.016), lighter(_bright(rng), 0.25))
    scene.blur(rng.uniform(0.6, 2.0))
    for y in np.linspace(line + 0.12, 1.02, 10):
        shade = mix(lawn[0], lawn[2], rng.random())
        _grass(scene.behind, rng, rng.uniform(0, 1), y, rng.uniform(0.03, 0.07), shade)


def _fence(scene: Scene, rng: np.random.Generator, line: float) -> None:
    wood, step = mix((0.62, 0.47, 0.33), WHITE, rng.uniform(0, 0.6)), rng.uniform(0.09, 0.14)
    board = _path("0,0 0,-22 4,-25 8,-22 8,0") * (10 * step, 1)
    for x in np.arange(rng.uniform(-step, 0), 1, step):
        scene.behind(np.add(board, (x, line + 0.02)), wood, gradient=lighter(wood, -0.35))


def _room(scene: Scene, rng: np.random.Generator) -> None:
    line, wall = rng.uniform(0.45, 0.62), mix(_bright(rng), (0.9, 0.87, 0.8), 0.72)
    floor = mix((0.55, 0.36, 0.22), (0.8, 0.66, 0.48), rng.random())
    scene.backdrop(wall, lighter(wall, -0.12))
    if rng.random() < 0.6:  # striped paper
        step = rng.uniform(0.06, 0.13)
        for x in np.arange(0, 1, step):
            scene.behind(_box(x, 0, x + step * 0.45, line), lighter(wall, 0.2))
    if rng.random() < 0.6:  # a picture on the wall
        x, y = rng.uniform(0, 0.75), rng.uniform(0.02, 0.12)
        scene.behind(_box(x, y, x + 0.24, y + 0.2), (0.33, 0.22, 0.14))
        scene.behind(_box(x + 0.02, y + 0.02, x + 0.22, y + 0.18), _bright(rng), gradient=_bright(rng))
    scene.behind(_box(0, line - 0.045, 1, line), lighter(wall, 0.6), gradient=lighter(wall, -0.2))
    scene.behind(_box(0, line, 1, 1), floor, gradient=lighter(floor, -0.15))
    for y in line + 0.012 * np.arange(6) ** 2:
        scene.behind(_box(0, y, 1, y + 0.005), lighter(floor, -0.4))
    x = rng.choice([0.11, 0.89])  # a plant
    for a in np.linspace(-2.7, -0.5, 6):
        leaf = _path("0,-3 14,-4 28,0 14,4 0,3")
        turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        green = (0.2, 0.45 + 0.1 * np.sin(7 * a), 0.2)
        scene.behind(leaf @ turn + [x, line - 0.07], green, smooth=True)
    scene.behind(_path("-8,-9 8,-9 5,6 -5,6", (x, line)), _bright(rng), round=0.6)
    scene.blur(rng.uniform(0.4, 1.6))
    rug, trim, top = _bright(rng), lighter(_bright(rng), 0.3), line + rng.uniform(0.06, 0.12)
    for d, colour in ((0, lighter(rug, -0.1)), (0.03, trim), (0.055, rug)):
        corners = [(0.1 + d, top + d), (0.9 - d, top + d), (1.12 - d, 1 - d), (d - 0.12, 1 - d)]
        scene.behind(corners, colour, texture=0.35, grain=(5, 110))


def _beach(scene: Scene, rng: np.random.Generator) -> None:
    line, shore = rng.uniform(0.25, 0.4), rng.uniform(0.48, 0.6)
    scene.mottle([(0.42, 0.66, 0.9), (0.7, 0.85, 0.95), (1, 1, 1)], 4, 1.0, (0, line))
    sea = [(0.1, 0.4, 0.55), (0.2, 0.56, 0.66), (0.45, 0.74, 0.76)]
    scene.mottle(sea, 12, 1.0, (line, shore + 0.05))
    if rng.random() < 0.6:  # a sailing boat
        at = (rng.uniform(0.05, 0.9), line)
        scene.behind(_path("0,-16 9,-1 0,-1", at), WHITE)
        scene.behind(_path("-3,0 10,0 7,2 0,2", at), _bright(rng))
    scene.mottle([(0.72, 0.6, 0.42), (0.88, 0.77, 0.57), (0.95, 0.87, 0.7)], 24, 1.0, (shore, 1))
    x, start = np.linspace(0, 1, 12), rng.uniform(0, 6)
    wave = np.stack([x, shore + 0.02 * np.sin(9 * x + start)], 1)
    scene.behind([*wave, (1, shore + 0.06), (0, shore + 0.05)], WHITE)
    if rng.random() < 0.6:  # a parasol
        x, y = rng.choice([0.1, 0.88]), rng.uniform(0.12, 0.25)
        scene.behind(_box(x - 0.007, y, x + 0.007, shore + 0.14), (0.9, 0.9, 0.88))
        for k, colour in enumerate((_bright(rng), WHITE) * 3):
            left = x - 0.2 + 0.067 * k
            scene.behind([(x, y - 0.1), (left, y + 0.04), (left + 0.067, y + 0.04)], colour)
    scene.blur(rng.uniform(0.4, 1.5))
    for y in np.linspace(shore + 0.1, 1, 12):
        pebble = mix((0.55, 0.45, 0.35), WHITE, rng.random())
        r = rng.uniform(0.005, 0.014)
        scene.behind(_oval(rng.uniform(0, 1), y, r, 0.7 * r), pebble)


def _snow(scene: Scene, rng: np.random.Generator) -> None:
    line = rng.uniform(0.4, 0.58)
    sky = mix((0.5, 0.66, 0.85), (0.75, 0.76, 0.8), rng.random())
    scene.backdrop(sky, (0.9, 0.92, 0.96))
    for _ in range(rng.integers(4, 8)):
        _pine(scene, rng, line + rng.uniform(0, 0.03))
    scene.mottle([(0.72, 0.79, 0.9), (0.87, 0.91, 0.96), (0.98, 0.98, 1.0)], 5, 1.0, (line, 1))
    scene.blur(rng.uniform(0.6, 1.8))
    for y in np.linspace(line + 0.15, 0.98, 6):  # footprints
        scene.behind(_oval(rng.uniform(0, 1), y, 0.05, 0.015), (0.66, 0.74, 0.87), opacity=0.7)


def _pine(scene: Scene, rng: np.random.Generator, foot: float) -> None:
    x, h = rng.uniform(-0.05, 1.05), rng.uniform(0.25, 0.5)
    green = mix((0.1, 0.24, 0.2), (0.4, 0.52, 0.5), rng.random())
    for k in range(3):
        y, w = foot - h * (0.28 * k + 0.05), h * (0.24 - 0.06 * k)
        top, left = (x, y - 0.42 * h), (x - w, y)
        scene.behind([top, (x + w, y), left], green)
        scene.behind([top, (x + 0.5 * w, y - 0.16 * h), (x, y - 0.24 * h), left], WHITE)


def _sofa(scene: Scene, rng: np.random.Generator) -> None:
    wall = mix(_bright(rng), (0.85, 0.83, 0.8), 0.65)
    cloth = mix(_bright(rng), (0.5, 0.48, 0.46), 0.45)
    back, seat, split = rng.uniform((0.16, 0.6, 0.35), (0.3, 0.7, 0.65))
    scene.backdrop(lighter(wall, 0.1), lighter(wall, -0.2))
    x = rng.uniform(0, 0.7)  # a window
    scene.behind(_box(x, -0.1, x + 0.3, back), (0.95, 0.9, 0.75), gradient=(0.75, 0.85, 0.9))
    scene.behind(_box(x + 0.14, -0.1, x + 0.16, back), lighter(wall, 0.6))
    style = {"smooth": True, "round": 0.8, "texture": 0.25, "grain": (6, 120)}
    for x0, x1 in ((-0.2, split), (split, 1.2)):
        rest = [(x0, back + 0.05), (x0 + 0.08, back), (x1 - 0.08, back), (x1, back + 0.05)]
        scene.behind([*rest, (x1, seat + 0.05), (x0, seat + 0.05)], cloth, **style)
        front = [(x0 - 0.02, seat + 0.12), (x0, seat), (x1, seat), (x1 + 0.02, seat + 0.12)]
        scene.behind([*front, (x1, 1.2), (x0, 1.2)], lighter(cloth, 0.12), **style)
    at = (rng.choice([0.12, 0.86]) + rng.normal(0, 0.04), seat - 0.08)
    pillow = _path("-15,-14 0,-11 15,-13 12,0 14,14 0,11 -14,13 -12,0", at)
    scene.behind(pillow, _bright(rng), **style)
    scene.blur(rng.uniform(0.3, 1.2))


def _street(scene: Scene, rng: np.random.Generator) -> None:
    line, grey = rng.uniform(0.45, 0.58), rng.uniform(0.5, 0.7)
    brick = mix((0.58, 0.3, 0.22), (0.76, 0.68, 0.56), rng.random())
    scene.backdrop(brick, lighter(brick, -0.15))
    y, x = np.mgrid[: scene.size, : scene.size]
    scene.image[(y % 10 == 0) | ((x + 11 * (y // 10 % 2)) % 22 == 0)] = lighter(brick, 0.35)
    x, paint = rng.uniform(0.0, 0.65), _bright(rng)
    scene.behind(_box(x - 0.02, 0.0, x + 0.27, line), (0.92, 0.9, 0.86))  # a door
    scene.behind(_box(x, 0.02, x + 0.25, line), paint, gradient=lighter(paint, -0.3))
    for left in (x + 0.03, x + 0.14):
        scene.behind(_box(left, 0.08, left + 0.08, line - 0.1), lighter(paint, -0.3))
    scene.mottle([(grey - 0.12,) * 3, (grey,) * 3, (grey + 0.12,) * 3], 30, 1.0, (line, 1))
    vanish = rng.uniform(0.2, 0.8)
    for x in np.linspace(-1.2, 2.2, 11):  # paving
        joint = [(vanish + (x - vanish) * 0.45, line), (x, 1), (x + 0.012, 1)]
        scene.behind(joint, (grey - 0.25,) * 3)
    for y in line + np.array([0.05, 0.15, 0.32]):
        scene.behind(_box(0, y, 1, y + 0.007), (grey - 0.25,) * 3)
    x = rng.choice([0.06, 0.9]) + rng.normal(0, 0.03)
    scene.behind(_box(x, 0, x + 0.035, line + 0.06), (0.15, 0.17, 0.18))  # a lamp post
    scene.blur(rng.uniform(0.5, 1.8))


PLACES = (_garden, _room, _beach, _snow, _sofa, _street)


def _in_front(scene: Scene, place: Callable) -> None:
    """Something that belongs to the place hides a little of the dog."""
    rng = scene.rng
    x, y = scene.to_pixels([(rng.uniform(0.05, 0.75), 0.95)])[0] / scene.size
    if place in (_garden, _beach):
        green = (0.3, 0.5, 0.16) if place is _garden else (0.6, 0.6, 0.32)
        for dx in (-0.06, 0.06, 0.0):
            shade, height = lighter(green, rng.uniform(-0.4, 0.25)), rng.uniform(0.1, 0.2)
            _grass(scene.cover, rng, x + dx + rng.normal(0, 0.02), y + 0.03, height, shade)
    elif place is _snow:
        drift = _path("-25,8 -10,-6 5,-5 25,8", (x, y))
        scene.cover(drift, (0.95, 0.97, 1.0), smooth=True, gradient=(0.8, 0.86, 0.95))
    elif place is _street:  # a cone
        scene.cover(_path("-7,3 -1,-17 1,-17 7,3", (x, y)), (0.95, 0.42, 0.12), round=0.5)
        scene.cover(_path("-4,-6 -3,-11 3,-11 4,-6", (x, y)), WHITE)
    else:  # a ball
        r = rng.uniform(0.05, 0.085)
        ball = scene.cover(_oval(x, y - 0.7 * r, r, r), _bright(rng), round=0.9)
        scene.cover(_box(x - r, y - 0.9 * r, x + r, y - 0.5 * r), WHITE, clip=ball, opacity=0.8)


# ---------------------------------------------------------------------- the whole


def draw(scene: Scene, traits: Traits) -> np.ndarray:
    """One picture, (224, 224, 3) uint8 RGB, of a dog with these traits."""
    rng = scene.rng
    look = _look(rng)
    scene.light = np.array([rng.choice([-1, 1]) * rng.uniform(0.3, 0.8), -0.8])
    look.place(scene, rng)
    _place_dog(scene, look.sits)
    scene.shadow((0.15, 0.88), (0.8, 0.13), rng.uniform(0.35, 0.6))
    _body(scene, look, traits)
    _head(scene, look, traits)
    if rng.random() < 0.36:
        _in_front(scene, look.place)
    return scene.finish(
        light=rng.uniform(0.82, 1.12),
        warmth=rng.normal(0, 0.04),
        contrast=rng.uniform(0.88, 1.12),
        grain=rng.uniform(0.01, 0.045),
        defocus=rng.uniform(0, 1.4),
    )


def _place_dog(scene: Scene, sits: bool) -> None:
    rng = scene.rng
    size, flip = rng.uniform(0.215, 0.285) * (1 if sits else 0.95), bool(rng.random() < 0.5)
    middle = (0.2 if sits else 0.24) * (size if flip else -size)  # the box's centre to 0.5
    play = rng.uniform((-1, -0.3), (1, 0.6)) * (0.5 - 0.93 * size)
    centre = (0.5 + middle + play[0], 0.52 + 0.13 * size + play[1])
    squash = (rng.uniform(0.92, 1.06), rng.uniform(0.94, 1.04))
    scene.pose(size, rng.normal(0, 3), centre, flip, squash, rng.normal(0, 0.04))


FAMILY = Family(name="mini_dogs", kind="dog", variants=VARIANTS, classes=CLASSES, draw=draw)
