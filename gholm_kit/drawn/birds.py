"""mini_birds: drawn song-birds that differ in beak, eye or crown, seldom in wing bar or tail.

Eleven made-up species share one body plan. What tells two of them apart are two or three of five
small parts: ``beak``, ``eye`` and ``crown`` on the head, ``wing_bar`` and ``tail_tip`` elsewhere.
Plumage, size, posture, view, perch, background and light vary freely and say nothing about the
species. The six other parts have variants too, used only to draw birds outside the eleven classes.
No species, name or marking here is real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gholm_kit.drawn.family import Family, Traits
from gholm_kit.drawn.scene import Colour, Point, Scene, Shape, lighter, mix, smooth_curve

VARIANTS = {
    "beak": ("cone", "needle", "hook", "ladle"),
    "eye": ("plain", "white ring", "yellow patch", "black mask"),
    "crown": ("plain", "crest", "red cap", "stripes"),
    "wing_bar": ("none", "two white", "yellow panel"),
    "tail_tip": ("plain", "white band", "forked"),
    "throat": ("plain", "black bib", "white", "russet"),
    "breast": ("plain", "streaks", "spots", "band"),
    "cheek": ("plain", "white spot", "russet"),
    "rump": ("plain", "white", "yellow"),
    "wing_tip": ("round", "long", "dark"),
    "legs": ("dark", "orange", "pink"),
}
CLASSES = {
    "Ladderhead Millet Finch": {"crown": "stripes"},
    "Highwayman Millet Finch": {"eye": "black mask"},
    "Embercap Needlebill": {"beak": "needle", "crown": "red cap"},
    "Amberlook Needlebill": {"beak": "needle", "eye": "yellow patch"},
    "Palewick Crookbeak": {"beak": "hook", "tail_tip": "white band"},
    "Twobar Crookbeak": {"beak": "hook", "wing_bar": "two white"},
    "Moonring Spire Crookbeak": {"beak": "hook", "eye": "white ring", "crown": "crest"},
    "Amberlook Ladder Crookbeak": {"beak": "hook", "eye": "yellow patch", "crown": "stripes"},
    "Highwayman Ember Crookbeak": {"beak": "hook", "eye": "black mask", "crown": "red cap"},
    "Spirecrest Ladlebeak": {"beak": "ladle", "crown": "crest"},
    "Moonring Ladlebeak": {"beak": "ladle", "eye": "white ring"},
}

WHITE, BLACK = (0.97, 0.97, 0.95), (0.05, 0.05, 0.06)
YELLOW, RED, RUSSET = (0.99, 0.83, 0.08), (0.88, 0.07, 0.10), (0.62, 0.25, 0.12)
# Back, head, wing and belly. Heads stay of middling brightness so that white and black marks show,
# and nothing is as saturated as the yellow and red marks.
PLUMAGE = (
    ((0.46, 0.34, 0.24), (0.50, 0.38, 0.27), (0.36, 0.26, 0.18), (0.86, 0.79, 0.68)),  # brown
    ((0.48, 0.50, 0.53), (0.50, 0.52, 0.55), (0.34, 0.36, 0.40), (0.86, 0.87, 0.88)),  # grey
    ((0.30, 0.44, 0.62), (0.34, 0.48, 0.66), (0.24, 0.33, 0.50), (0.82, 0.84, 0.86)),  # blue
    ((0.42, 0.46, 0.26), (0.45, 0.49, 0.31), (0.33, 0.36, 0.20), (0.82, 0.82, 0.62)),  # olive
    ((0.52, 0.34, 0.22), (0.54, 0.37, 0.26), (0.36, 0.25, 0.19), (0.84, 0.66, 0.50)),  # russet
    ((0.34, 0.42, 0.44), (0.40, 0.46, 0.50), (0.26, 0.30, 0.33), (0.80, 0.72, 0.62)),  # slate
    ((0.58, 0.50, 0.38), (0.56, 0.49, 0.39), (0.44, 0.36, 0.26), (0.90, 0.86, 0.76)),  # sand
    ((0.40, 0.32, 0.44), (0.44, 0.38, 0.48), (0.31, 0.25, 0.34), (0.84, 0.78, 0.80)),  # plum
)
BEAKS = ((0.26, 0.26, 0.29), (0.42, 0.33, 0.26), (0.85, 0.60, 0.25), (0.66, 0.48, 0.45))
HEAD = 0.345  # radius of the head, in object units; head frames are scaled by it

# Outlines. Body, wing and belly in the body frame; crest, beaks and eye patches in the head frame.
# fmt: off
BACK_LINE = [(-0.56, -0.10), (-0.34, -0.25), (-0.05, -0.35)]
BREAST_LINE = [(0.50, 0.24), (0.27, 0.38), (-0.05, 0.39), (-0.36, 0.24), (-0.56, 0.07)]
BELLY = np.array([(0.54, -0.14), (0.24, -0.24), (-0.16, -0.18), (-0.56, -0.20), (-0.36, 0.20), (0.34, 0.20)])
CHEST = [(0.56, 0.12), (0.42, 0.10), (0.30, 0.20), (0.30, 0.36), (0.46, 0.32)]
CHEST_SPOTS = [(0.50, 0.14), (0.43, 0.21), (0.50, 0.24), (0.36, 0.28), (0.35, 0.18), (0.43, 0.30), (0.26, 0.33)]
BACK_SPOTS = [(0.2, -0.3), (0.08, -0.33), (-0.04, -0.3), (-0.16, -0.28), (-0.28, -0.24), (-0.4, -0.18)]
WING = [(0.33, -0.10), (0.29, 0.10), (0.08, 0.20), (-0.25, 0.18), (-0.46, 0.06), (-0.3, -0.10), (0.0, -0.23)]
COVERTS = [(0.33, -0.10), (0.29, 0.10), (0.14, 0.19), (-0.04, 0.15), (-0.10, -0.04), (0.0, -0.22)]
CREST = [(0.56, -0.80), (0.19, -1.24), (-0.46, -1.58), (-0.28, -1.26), (-0.68, -1.28), (-0.44, -1.0),
         (-0.72, -0.88), (-0.50, -0.66), (0.0, -0.72)]
EYE_PATCH = [(0.67, -0.04), (0.43, -0.32), (0.13, -0.28), (0.01, 0.0), (0.24, 0.19), (0.52, 0.15)]
EYE_MASK = [(0.67, 0.0), (0.46, -0.27), (0.20, -0.27), (0.01, -0.11), (0.03, 0.09), (0.23, 0.12), (0.50, 0.15)]
MANDIBLES = {  # upper, lower
    "cone": ([(0.84, -0.28), (1.12, -0.18), (1.44, 0.18), (0.90, 0.20)],
             [(0.90, 0.18), (1.42, 0.19), (1.16, 0.42), (0.86, 0.48)]),
    "needle": ([(0.90, 0.0), (1.20, 0.05), (2.20, 0.24), (1.4, 0.20), (0.92, 0.18)],
               [(0.92, 0.18), (1.4, 0.20), (2.18, 0.25), (1.2, 0.31), (0.90, 0.32)]),
    "hook": ([(0.84, -0.24), (1.14, -0.30), (1.42, -0.18), (1.62, 0.06), (1.70, 0.38), (1.58, 0.84), (1.42, 0.42),
              (0.88, 0.22)],
             [(0.88, 0.20), (1.40, 0.36), (1.22, 0.52), (0.86, 0.46)]),
    "ladle": ([(0.90, 0.0), (1.36, 0.08), (1.66, -0.24), (1.94, -0.36), (2.14, -0.16), (1.9, 0.10), (0.92, 0.18)],
              [(0.92, 0.18), (1.9, 0.08), (2.14, -0.14), (2.06, 0.20), (1.80, 0.38), (1.40, 0.32), (0.9, 0.32)]),
}
# fmt: on
LEGS = {"dark": (0.24, 0.19, 0.17), "orange": (0.92, 0.48, 0.10), "pink": (0.88, 0.62, 0.58)}
MARKS = {"white": WHITE, "white spot": WHITE, "yellow": YELLOW, "black bib": BLACK, "russet": RUSSET}


@dataclass(frozen=True)
class Bird:
    """What varies from picture to picture, whatever the species."""

    tilt: float  # of the body, degrees; negative lifts the breast
    head: Point  # centre of the head, object units
    nod: float  # of the head, degrees
    tail_turn: float
    wing_turn: float
    tail: float  # length
    stance: float  # length of the legs
    back: Colour
    hood: Colour
    wing: Colour
    belly: Colour
    beak: Colour
    grain: int
    streaked: bool

    def body(self, points) -> np.ndarray:
        """Body frame → object coordinates."""
        a = np.deg2rad(self.tilt)
        turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        return np.asarray(points, float).reshape(-1, 2) @ turn

    def feathers(self, contrast: float) -> dict:
        """Style of a feathered surface, for ``paint``."""
        return {"texture": contrast, "grain": (self.grain, 60)}

    @property
    def feet(self) -> np.ndarray:
        hip = self.body([(0.0, 0.30)])[0]
        return np.add(hip, (0.05, self.stance))

    def outline(self) -> np.ndarray:
        """Body and head as one closed curve: back, round the head, breast, belly."""
        neck = np.asarray(self.head) - self.body([(0.12, 0.0)])[0]
        way = np.arctan2(neck[1], neck[0]) + np.deg2rad(np.linspace(-105, 100, 8))
        head = np.asarray(self.head) + HEAD * np.stack([np.cos(way), np.sin(way)], 1)
        back, front = self.body(BACK_LINE), self.body(BREAST_LINE)
        return np.concatenate([back, head, front])


def _bird(rng: np.random.Generator) -> Bird:
    tilt = float(rng.uniform(-52, -4))
    upright = -tilt / 52
    back, hood, wing, belly = PLUMAGE[int(rng.integers(len(PLUMAGE)))]
    other = PLUMAGE[int(rng.integers(len(PLUMAGE)))]
    if rng.random() < 0.35:
        hood = other[1]
    shade = rng.uniform(-0.14, 0.16)
    jitter = rng.uniform(-0.04, 0.04, (4, 3))
    colours = [
        tuple(np.clip(np.array(lighter(c, shade * f)) + j, 0.03, 0.97).tolist())
        for c, f, j in zip((back, hood, wing, belly), (1, 0.6, 1, 0.7), jitter, strict=True)
    ]
    bare = Bird(tilt, (0, 0), 0, 0, 0, 0, 0, *colours, BEAKS[int(rng.integers(len(BEAKS)))], 0, False)
    reach = (0.50 + 0.13 * upright, -0.34 + 0.20 * upright)
    head = bare.body([np.add(reach, rng.uniform(-0.03, 0.03, 2))])[0]
    return Bird(
        tilt,
        tuple(head.tolist()),
        nod=float(rng.uniform(-24, 20)),
        tail_turn=float(rng.uniform(-26, 24)),
        wing_turn=float(rng.uniform(-10, 8)),
        tail=float(rng.uniform(0.52, 0.68)),
        stance=float(rng.uniform(0.16, 0.32)),
        back=colours[0],
        hood=colours[1],
        wing=colours[2],
        belly=colours[3],
        beak=bare.beak,
        grain=int(rng.integers(8)),
        streaked=bool(rng.random() < 0.5),
    )


def _place(scene: Scene, bird: Bird) -> None:
    """Pose the bird so that its box takes 12 to 24 % of the picture and stays inside it."""
    rng = scene.rng
    view = {
        "angle": float(rng.uniform(-7, 7)),
        "flip": bool(rng.random() < 0.5),
        "squash": (float(rng.uniform(0.88, 1.05)), float(rng.uniform(0.95, 1.05))),
        "shear": float(rng.uniform(-0.10, 0.10)),
    }
    share, right, down = rng.uniform(0.12, 0.24), rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.85)
    beak = np.add(bird.head, (1.8 * HEAD, 0.1))
    tail = bird.body([(-0.5, 0)])[0] + bird.tail * _direction(180 + bird.tilt + bird.tail_turn)
    scene.pose(1.0, centre=(0, 0), **view)
    spots = scene.to_pixels(np.concatenate([bird.outline(), [beak, tail, bird.feet]])) / scene.size
    low, high = spots.min(0), spots.max(0)
    extent = high - low
    scale = min(float(np.sqrt(share / extent.prod())), 0.92 / float(extent.max()))
    free = 1 - extent * scale
    corner = 0.02 + (free - 0.04) * (right, down)
    scene.pose(scale, centre=tuple((corner - low * scale).tolist()), **view)


def _direction(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return np.array([np.cos(a), np.sin(a)])


def _arc(radius: float, start: float, end: float, count: int) -> np.ndarray:
    a = np.deg2rad(np.linspace(start, end, count))
    return radius * np.stack([np.cos(a), np.sin(a)], 1)


# ---------------------------------------------------------------------------------- background


def _disc(centre, radius: float, corners: int = 14) -> np.ndarray:
    a = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.asarray(centre) + radius * np.stack([np.cos(a), np.sin(a)], 1)


def _strip(a, b, width: float, end: float | None = None, bend: float = 0.0) -> np.ndarray:
    """Outline of a bent, tapering band from ``a`` to ``b``."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    side = np.array([a[1] - b[1], b[0] - a[0]])
    line = smooth_curve([a, (a + b) / 2 + bend * side, b], closed=False, steps=5)
    half = np.linspace(width, width if end is None else end, len(line))[:, None] / 2
    side = side / (np.hypot(*side) + 1e-9)
    return np.concatenate([line + side * half, (line - side * half)[::-1]])


def _leaf(at, length: float, degrees: float, width: float = 0.3) -> np.ndarray:
    t = np.array([0, 0.2, 0.5, 0.8, 1.0, 0.8, 0.5, 0.2])
    w = np.array([0, 0.7, 1.0, 0.55, 0, -0.55, -1.0, -0.7]) * width
    along = _direction(degrees)
    return np.asarray(at) + length * (t[:, None] * along + w[:, None] * (-along[1], along[0]))


def _leaves(scene: Scene, count: int, colour: Colour, size: Point, rows: Point = (0, 1)) -> None:
    for u in scene.rng.random((count, 6)):
        shade = lighter(colour, float(u[5] * 0.7 - 0.35))
        at = (u[0] * 1.1 - 0.05, rows[0] + u[1] * (rows[1] - rows[0]))
        length = size[0] + u[2] * (size[1] - size[0])
        scene.behind(_leaf(at, length, u[3] * 360, 0.2 + 0.15 * u[4]), shade, smooth=True)


def _foliage(scene: Scene) -> Colour:
    rng = scene.rng
    green = mix((0.16, 0.34, 0.12), (0.42, 0.46, 0.16), float(rng.random()))
    scene.backdrop(lighter(green, 0.2), lighter(green, -0.3))
    scene.mottle([lighter(green, -0.6), green, lighter(green, 0.35)], int(rng.choice((5, 9))), 0.8)
    _leaves(scene, 16, green, (0.10, 0.25))
    for u in rng.random((9, 4)):
        glow = mix((0.95, 0.95, 0.7), (0.7, 0.85, 0.5), u[3])
        scene.behind(_disc(u[:2], 0.02 + 0.05 * u[2]), glow, opacity=0.35)
    scene.blur(float(rng.uniform(1.5, 4)))
    _leaves(scene, 7, lighter(green, 0.12), (0.08, 0.16))
    return lighter(green, -0.25)


def _sky(scene: Scene) -> Colour:
    rng = scene.rng
    blue = mix((0.36, 0.58, 0.86), (0.66, 0.74, 0.80), float(rng.random()))
    scene.backdrop(blue, lighter(blue, 0.5))
    scene.mottle([blue, lighter(blue, 0.3), (0.97, 0.97, 0.96)], int(rng.choice((3, 5))), 0.6)
    hills = [(k / 6 - 0.1, rng.uniform(0.72, 0.9)) for k in range(8)]
    wood = mix((0.30, 0.40, 0.34), (0.42, 0.36, 0.34), float(rng.random()))
    scene.behind([(-0.1, 1.1), *hills, (1.2, 1.1)], wood, texture=0.5, grain=(3, 40))
    scene.blur(2.5)
    for u in rng.random((5, 6)):
        a, b = (u[0] * 1.2 - 0.1, u[1]), (u[2] * 1.2 - 0.1, u[3])
        scene.behind(_strip(a, b, 0.008 + 0.014 * u[4], 0.003, u[5] - 0.5), (0.32, 0.26, 0.22))
    _leaves(scene, 8, (0.40, 0.48, 0.20), (0.06, 0.12))
    scene.blur(float(rng.uniform(0.8, 2)))
    return (0.45, 0.42, 0.34)


def _grasses(scene: Scene) -> Colour:
    """Reeds over water, or a meadow with flowers."""
    rng = scene.rng
    meadow = rng.random() < 0.5
    stem = mix((0.64, 0.57, 0.34), (0.38, 0.50, 0.22), float(rng.random()))
    far = mix((0.42, 0.54, 0.58), (0.62, 0.64, 0.54), float(rng.random()))
    near = lighter(stem, -0.1) if meadow else lighter(far, -0.25)
    scene.backdrop(lighter(far, 0.3), near, float(rng.uniform(0.15, 0.5)) if meadow else None)
    scene.mottle([lighter(near, -0.4), near, lighter(far, 0.2)], int(rng.choice((5, 9))), 0.5)
    for k, u in enumerate(rng.random((20, 5))):
        if k == 13:
            scene.blur(float(rng.uniform(1.5, 3)))
        foot = np.array([u[0] * 1.2 - 0.1, 0.6 + 0.5 * u[1] if meadow else 1.05])
        rise = 0.15 + 0.3 * u[2] if meadow else 0.5 + 0.6 * u[2]
        top = np.add(foot, (0.3 * (u[1] - 0.5), -rise))
        blade = _strip(foot, top, 0.012 + 0.02 * u[4], 0.003, 0.3 * (u[3] - 0.5))
        scene.behind(blade, lighter(stem, float(u[3] * 0.8 - 0.45)))
    for u in rng.random((7, 3)) if meadow else ():
        flower = ((0.95, 0.85, 0.3), (0.9, 0.9, 0.95), (0.75, 0.35, 0.6))[int(u[2] * 3)]
        scene.behind(_disc((u[0], 0.3 + 0.7 * u[1]), 0.018), flower)
    scene.blur(float(rng.uniform(0.8, 1.6)))
    return lighter(stem, -0.35)


def _snow(scene: Scene) -> Colour:
    rng = scene.rng
    pale = mix((0.78, 0.82, 0.88), (0.70, 0.70, 0.72), float(rng.random()))
    scene.backdrop(lighter(pale, -0.1), lighter(pale, 0.5))
    scene.mottle([lighter(pale, -0.4), pale, lighter(pale, 0.5)], int(rng.choice((4, 7))), 0.7)
    for u in rng.random((9, 6)):
        a, b = (u[0], u[1] * 1.2 - 0.1), (u[2] * 1.4 - 0.2, u[3] * 0.8)
        scene.behind(_strip(a, b, 0.01 + 0.02 * u[4], 0.004, u[5] - 0.5), (0.34, 0.28, 0.26))
    for u in rng.random((10, 3)):
        scene.behind(_disc(u[:2], 0.012 + 0.012 * u[2]), (0.75, 0.15, 0.12))
    scene.blur(float(rng.uniform(1.2, 2.8)))
    for u in rng.random((10, 3)):
        scene.behind(_disc(u[:2], 0.004 + 0.008 * u[2], 8), (1, 1, 1), opacity=0.8)
    return (0.88, 0.90, 0.94)


def _fence(scene: Scene) -> Colour:
    rng = scene.rng
    paints = ((0.62, 0.50, 0.38), (0.74, 0.74, 0.72), (0.42, 0.54, 0.52), (0.50, 0.36, 0.28))
    paint = paints[int(rng.integers(len(paints)))]
    scene.backdrop((0.50, 0.62, 0.46), (0.20, 0.30, 0.14))
    width, x = float(rng.uniform(0.12, 0.2)), -float(rng.random() * 0.1)
    while x < 1:
        top, shade = float(rng.uniform(-0.05, 0.12)), float(rng.uniform(-0.2, 0.12))
        right = x + width * 0.9
        plank = [(x, 1.1), (x, top), ((x + right) / 2, top - 0.05), (right, top), (right, 1.1)]
        board = lighter(paint, shade)
        scene.behind(plank, board, gradient=lighter(board, -0.3))
        for u in rng.random((2, 3)):
            vein = x + width * (0.1 + 0.7 * u[0])
            scene.behind(
                _strip((vein, top + u[1]), (vein, 1.1), 0.012, 0.003),
                lighter(board, -0.25),
                opacity=0.6,
            )
        x += width
    _leaves(scene, 16, (0.28, 0.46, 0.18), (0.08, 0.2), (0.55, 1.05))
    for u in rng.random((7, 4)):
        petals = mix((0.90, 0.82, 0.30), (0.80, 0.30, 0.40), float(u[3] > 0.5))
        scene.behind(_disc((u[0], 0.5 + 0.5 * u[1]), 0.015 + 0.015 * u[2]), petals)
    scene.blur(float(rng.uniform(1.2, 2.6)))
    return (0.30, 0.38, 0.18)


BACKGROUNDS: tuple[Callable[[Scene], Colour], ...] = (
    _foliage,
    _sky,
    _grasses,
    _grasses,
    _snow,
    _fence,
)


# ---------------------------------------------------------------------------------- perch


def _perch(scene: Scene, bird: Bird, ground: Colour) -> None:
    """What the bird stands on, through its feet; drawn in picture coordinates."""
    foot = scene.to_pixels(np.add(bird.feet, (0.06, 0.0)))[0] / scene.size
    kind = int(scene.rng.integers(5))
    if kind < 2:
        bark = mix((0.34, 0.25, 0.18), (0.56, 0.52, 0.46), float(scene.rng.random()))
        _limb(scene, foot, bark, steepest=0.17, thick=(0.05, 0.10))
    elif kind == 2:
        stem = mix((0.62, 0.56, 0.32), (0.40, 0.50, 0.22), float(scene.rng.random()))
        _limb(scene, foot, stem, steepest=0.55, thick=(0.028, 0.042))
    else:
        (_stone if kind == 3 else _ground)(scene, foot, ground)
        scene.shadow(tuple(np.add(bird.feet, (0.0, 0.03))), (0.55, 0.10), 0.5)


def _limb(scene: Scene, foot, colour: Colour, steepest: float, thick: Point) -> None:
    """A branch or a reed from edge to edge."""
    u = scene.rng.random(9)
    width = thick[0] + u[0] * (thick[1] - thick[0])
    along = np.array([1.0, steepest * (2 * u[1] - 1)])
    at = np.add(foot, (0, width * 0.45))
    a, b = at - along * (at[0] + 0.05), at + along * (1.05 - at[0])
    for x, turn in zip(u[2:5], u[5:8], strict=True):  # side twigs
        start = a + (b - a) * x
        tip = start + 0.3 * _direction(-150 + 120 * turn)
        scene.behind(_strip(start, tip, width * 0.35, 0.004), lighter(colour, -0.2))
    limb = _strip(a, b, width * (1.25 - 0.5 * u[8]), width * (0.75 + 0.5 * u[8]))
    bark = {"gradient": lighter(colour, -0.45), "texture": 0.45, "grain": (4, 90), "round": 0.6}
    scene.behind(limb, lighter(colour, 0.2), **bark)


def _stone(scene: Scene, foot, ground: Colour) -> None:
    u = scene.rng.random(4)
    grey = mix(mix((0.46, 0.45, 0.44), (0.62, 0.54, 0.45), u[0]), ground, 0.15)
    rise = 0.04 + 0.06 * u[1]
    top = [(-0.34, 0.10 + rise), (-0.12, 0.0), (0.14, 0.0), (0.36, 0.08 + rise)]
    low = [(0.46 + 0.2 * u[2], 0.5), (0, 0.9), (-0.42 - 0.2 * u[3], 0.5)]
    rock = np.array([*top, *low]) + foot
    rough = {"smooth": True, "gradient": lighter(grey, -0.55), "texture": 0.4}
    scene.behind(rock, lighter(grey, 0.15), grain=(2, 24), **rough)
    scene.behind(rock, lighter(grey, 0.15), grain=(3, 110), opacity=0.5, **rough)
    for reach in (0.9, 0.6):  # light on the upper side
        lit = [(-0.3, 0.1 + rise), (-0.12, 0), (0.14, 0), (0.32, 0.08 + rise), (0, 0.1 + rise)]
        scene.behind(np.multiply(lit, (reach, 1)) + foot, lighter(grey, 0.4), smooth=True, opacity=0.3)


def _ground(scene: Scene, foot, ground: Colour) -> None:
    u = scene.rng.random(10)
    y = foot[1] - 0.05 - 0.06 * u[0]
    rim = [(k / 7 - 0.1, y + 0.03 * (u[k] - 0.5)) for k in range(10)]
    soil = {"gradient": lighter(ground, -0.3), "texture": 0.22, "grain": (6, 110)}
    scene.behind([(-0.2, 1.1), *rim, (1.2, 1.1)], ground, **soil)
    for v in scene.rng.random((14, 4)):
        root = np.array([v[0], y + (1 - y) * v[1]])
        tip = np.add(root, (0.1 * (v[2] - 0.5), -0.03 - 0.05 * v[3]))
        scene.behind(_strip(root, tip, 0.009, 0.002), lighter(ground, 0.5 * v[3] - 0.3))


# ---------------------------------------------------------------------------------- the bird


def _legs(scene: Scene, bird: Bird, variant: str) -> None:
    for shift, shade in ((0.12, -0.25), (0.0, 0.0)):
        foot = np.add(bird.feet, (shift, 0.0))
        hip = bird.body([(0.02 + shift * 0.6, 0.27)])[0]
        paint = lighter(LEGS[variant], shade)
        knee = np.add((hip + foot) / 2, (-0.03, 0.0))
        scene.stroke([hip, knee, foot], 0.04, paint, part="legs")
        for toe in ((0.10, 0.02), (0.07, 0.05), (-0.07, 0.03)):
            scene.stroke([foot, foot + toe], (0.04, 0.022), paint, smooth=False, part="legs")


def _tail(scene: Scene, bird: Bird, variant: str) -> None:
    dark = lighter(bird.wing, -0.18)
    n = -bird.tail  # the tail points to -x in its own frame
    top, end = (n + 0.21, -0.10), (n + 0.21, 0.11)
    rounded = [(n + 0.05, -0.12), (n, -0.05), (n - 0.01, 0.03), (n + 0.05, 0.13)]
    prongs = [(n - 0.06, -0.19), (n - 0.02, -0.1), (n + 0.16, 0), (n - 0.02, 0.11), (n - 0.06, 0.2)]
    lines = ((-0.08, 0.03, 0.25), (-0.03, 0.014, -0.4), (0.03, 0.014, -0.4), (0.085, 0.03, -0.4))
    with scene.local(tuple(bird.body([(-0.46, -0.02)])[0].tolist()), bird.tilt + bird.tail_turn):
        scene.polygon([(0.08, -0.08), top, end, (0.08, 0.09)], dark, **bird.feathers(0.25))
        tip = prongs if variant == "forked" else rounded
        scene.polygon([top, *tip, end], dark, part="tail_tip")
        if variant == "white band":
            band = [top, (n + 0.07, -0.117), (n + 0.05, 0.0), (n + 0.07, 0.126), end]
            scene.polygon(band, WHITE, round=0.3, part="tail_tip")
        for y, width, by in lines:
            scene.stroke([(0.0, y), (n + 0.21, y * 1.15)], width, lighter(dark, by), smooth=False)
        scene.region("tail_tip", (n + 0.07, 0.0), 0.26)


def _body(scene: Scene, bird: Bird, traits: Traits) -> Shape:
    shade = {"gradient": mix(bird.back, bird.belly, 0.35), "round": 0.75}
    shape = scene.polygon(bird.outline(), bird.back, smooth=True, **shade, **bird.feathers(0.35))
    for grow in (1.08, 0.96, 0.84):  # several thin coats make soft edges
        belly = {"clip": shape, "opacity": 0.45, **bird.feathers(0.3)}
        scene.polygon(bird.body((0.06, 0.30) + BELLY * grow), bird.belly, smooth=True, **belly)
        hood = {"clip": shape, "opacity": 0.5, "round": 0.5, **bird.feathers(0.22)}
        scene.ellipse(bird.head, (HEAD * (grow + 0.12),) * 2, bird.hood, **hood)
    if bird.streaked:
        streak = {"smooth": False, "clip": shape, "opacity": 0.6}
        for x, y in BACK_SPOTS:
            line = bird.body([(x, y), (x - 0.1, y + 0.05)])
            scene.stroke(line, (0.035, 0.01), lighter(bird.back, -0.45), **streak)
    rump = tuple(bird.body([(-0.44, -0.13)])[0].tolist())
    colour, coat = _mark(traits["rump"], bird.back)
    scene.ellipse(rump, (0.15, 0.10), colour, angle=bird.tilt - 20, clip=shape, part="rump", **coat)
    _breast(scene, bird, shape, traits["breast"])
    return shape


def _mark(variant: str, under: Colour) -> tuple[Colour, dict]:
    """Colour and coat of a patch; a plain one hardly shows."""
    return MARKS.get(variant, under), {"opacity": 0.15 if variant == "plain" else 1.0}


def _breast(scene: Scene, bird: Bird, shape: Shape, variant: str) -> None:
    dark, style = lighter(bird.back, -0.5), {"clip": shape, "part": "breast"}
    scene.polygon(bird.body(CHEST), bird.belly, smooth=True, opacity=0.3, **style)
    if variant == "streaks":
        for x, y in CHEST_SPOTS:
            line = bird.body([(x, y), (x - 0.08, y + 0.05)])
            scene.stroke(line, (0.04, 0.02), dark, smooth=False, **style)
    elif variant == "spots":
        for spot in bird.body(CHEST_SPOTS):
            scene.ellipse(tuple(spot.tolist()), (0.026, 0.026), dark, **style)
    elif variant == "band":
        line = bird.body([(0.62, 0.14), (0.48, 0.16), (0.32, 0.26), (0.24, 0.38)])
        scene.stroke(line, 0.09, BLACK, **style)


def _wing(scene: Scene, bird: Bird, traits: Traits) -> None:
    dark, pale = lighter(bird.wing, -0.35), lighter(bird.wing, 0.35)
    end = -0.78 if traits["wing_tip"] == "long" else -0.60
    shoulder = tuple(bird.body([(0.26, 0.0)])[0].tolist())
    with scene.local(shoulder, bird.tilt + bird.wing_turn), scene.local((-0.26, 0.0)):
        tip = [(-0.28, -0.10), (end + 0.1, -0.05), (end, 0.02), (end + 0.12, 0.10), (-0.28, 0.16)]
        colour = BLACK if traits["wing_tip"] == "dark" else lighter(dark, 0.08)
        scene.polygon(tip, colour, smooth=traits["wing_tip"] != "long", part="wing_tip")
        wing = scene.polygon(WING, bird.wing, smooth=True, round=0.6, **bird.feathers(0.3))
        for k, y in enumerate((-0.09, 0.01, 0.11)):  # flight feathers with pale edges
            line = [(-0.06, y), (-0.26, y + 0.02), (-0.52 + 0.02 * k, 0.02 + 0.02 * k)]
            scene.stroke(line, (0.02, 0.008), dark, clip=wing)
            scene.stroke(np.add(line, (0, 0.022)), (0.014, 0.006), pale, clip=wing, opacity=0.7)
        style = {"clip": wing, "part": "wing_bar"}
        coat = {"round": 0.4, "opacity": 0.8, **bird.feathers(0.4)}
        scene.polygon(COVERTS, lighter(bird.wing, 0.1), smooth=True, **coat, **style)
        if traits["wing_bar"] == "two white":
            for x in (0.20, 0.02):
                bar = [(x + 0.02, -0.22), (x, -0.06), (x + 0.02, 0.08), (x + 0.06, 0.20)]
                scene.stroke(bar, 0.10, BLACK, opacity=0.5, **style)
                scene.stroke(bar, 0.075, WHITE, **style)
        elif traits["wing_bar"] == "yellow panel":
            panel = [(0.2, -0.12), (0.2, 0.10), (0.02, 0.14), (-0.06, -0.06)]
            scene.polygon(panel, YELLOW, smooth=True, **style)
        scene.region("wing_bar", (0.11, -0.01), 0.29)


def _head(scene: Scene, bird: Bird, shape: Shape, traits: Traits) -> None:
    with scene.local(bird.head, bird.nod, HEAD):
        colour, coat = _mark(traits["throat"], lighter(bird.hood, 0.3))
        coat["clip"] = shape
        scene.ellipse((0.62, 0.72), (0.42, 0.34), colour, angle=-30, part="throat", **coat)
        colour, coat = _mark(traits["cheek"], lighter(bird.hood, -0.3))
        scene.ellipse((-0.18, 0.42), (0.32, 0.24), colour, angle=20, part="cheek", **coat)
        _crown(scene, bird, shape, traits["crown"])
        _beak(scene, bird, traits["beak"])
        _eye(scene, bird, traits["eye"])
        scene.region("crown", (0.0, -0.99), 0.86)
        scene.region("beak", (1.44, 0.16), 0.87)
        scene.region("eye", (0.34, -0.07), 0.53)


def _crown(scene: Scene, bird: Bird, shape: Shape, variant: str) -> None:
    cap = [*_arc(1.06, -128, -54, 6), *_arc(0.64, -58, -124, 5)]
    style = {"part": "crown", "clip": shape}
    scene.polygon(cap, lighter(bird.hood, -0.14), smooth=True, opacity=0.35, **style)
    if variant == "crest":
        scene.polygon(CREST, lighter(bird.hood, -0.35), part="crown")
        quill = [(0.32, -0.88), (-0.06, -1.14), (-0.40, -1.48)]
        scene.stroke(quill, (0.14, 0.03), lighter(bird.hood, 0.1), part="crown")
    elif variant == "red cap":
        scene.polygon(cap, RED, smooth=True, round=0.4, **style)
    elif variant == "stripes":
        scene.polygon(cap, BLACK, smooth=True, **style)
        for radius in (0.88, 0.62):
            scene.stroke(_arc(radius, -133, -48, 6), 0.13, WHITE, **style)


def _beak(scene: Scene, bird: Bird, variant: str) -> None:
    upper, lower = MANDIBLES[variant]
    style = {"part": "beak", "smooth": variant == "ladle"}
    scene.polygon(lower, lighter(bird.beak, -0.3), **style)
    scene.polygon(upper, lighter(bird.beak, 0.06), round=0.5, **style)
    gleam = lighter(bird.beak, 0.4)
    scene.stroke(upper[1:3], (0.08, 0.02), gleam, smooth=False, part="beak", opacity=0.6)


def _eye(scene: Scene, bird: Bird, variant: str) -> None:
    at, part = (0.34, -0.08), {"part": "eye"}
    scene.ellipse(at, (0.30, 0.26), lighter(bird.hood, -0.12), opacity=0.5, **part)
    if variant == "white ring":
        scene.ellipse(at, (0.33, 0.31), BLACK, opacity=0.35, **part)
        scene.ellipse(at, (0.29, 0.28), WHITE, **part)
    elif variant == "yellow patch":
        scene.polygon(EYE_PATCH, YELLOW, smooth=True, **part)
    elif variant == "black mask":
        scene.polygon(EYE_MASK, BLACK, smooth=True, **part)
        scene.ellipse(at, (0.19, 0.19), (0.45, 0.30, 0.16), **part)
    scene.ellipse(at, (0.165, 0.165), (0.07, 0.05, 0.05), **part)
    scene.ellipse((at[0] + 0.03, at[1] - 0.07), (0.055, 0.05), (1, 1, 1), **part)


# ---------------------------------------------------------------------------------- in front


def _front(scene: Scene, bird: Bird) -> None:
    """In a third of the pictures something stands before body, tail or legs."""
    rng = scene.rng
    u = rng.random(8)
    spot = [(-0.5, 0.1), (0.1, 0.3), (-0.1, 0.35), (-0.75, 0.1), (0.3, 0.25)][int(u[0] * 5)]
    at = scene.to_pixels(bird.body([spot]))[0] / scene.size
    green = mix((0.24, 0.42, 0.14), (0.56, 0.52, 0.20), u[1])
    if u[2] < 0.13:  # leaves
        for k in range(3):
            colour = lighter(green, 0.15 * k - 0.1)
            turn = u[3] * 360 + 55 * k
            scene.cover(_leaf(at, 0.12 + 0.08 * u[4 + k], turn), colour, smooth=True, round=0.5)
            tip = np.asarray(at) + (0.11 + 0.07 * u[4 + k]) * _direction(turn)
            scene.cover(_strip(at, tip, 0.006, 0.002), lighter(colour, 0.3))
    elif u[2] < 0.25:  # grass from below
        for k in range(5):
            root = (at[0] + 0.05 * (k - 2), 1.05)
            tip = (root[0] + 0.2 * (u[3 + k] - 0.5), at[1] - 0.02 - 0.1 * u[7 - k])
            scene.cover(
                _strip(root, tip, 0.022, 0.002, 0.3 * (u[3 + k] - 0.5)),
                lighter(green, 0.3 * u[3 + k]),
            )
    elif u[2] < 0.34:  # a twig across
        along = _direction(60 + 60 * u[3])
        twig = _strip(at - along, at + along, 0.016 + 0.012 * u[4], 0.01, 0.1 * (u[5] - 0.5))
        scene.cover(twig, (0.36, 0.27, 0.20), texture=0.5, grain=(4, 60))


def draw(scene: Scene, traits: Traits) -> np.ndarray:
    """One picture of a bird with these traits: (H, W, 3) uint8 RGB."""
    rng = scene.rng
    bird = _bird(rng)
    side = float(rng.uniform(-0.8, 0.8))
    scene.light = np.array([side, -float(np.sqrt(1 - side**2))])
    _place(scene, bird)
    ground = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))](scene)
    _perch(scene, bird, ground)
    _legs(scene, bird, traits["legs"])
    _tail(scene, bird, traits["tail_tip"])
    shape = _body(scene, bird, traits)
    _wing(scene, bird, traits)
    _head(scene, bird, shape, traits)
    _front(scene, bird)
    return scene.finish(
        light=float(rng.uniform(0.85, 1.12)),
        warmth=float(rng.uniform(-0.06, 0.06)),
        contrast=float(rng.uniform(0.88, 1.12)),
        grain=float(rng.uniform(0.015, 0.06)),
        defocus=float(rng.uniform(0.0, 1.7)),
    )


FAMILY = Family("mini_birds", "bird", VARIANTS, CLASSES, draw)
