"""Mini cars: made-up car models in a front three-quarter view, drawn in true perspective.

Eleven invented models share one car. What tells them apart lies mostly at the front: the
``grille``, the ``headlamps`` and the ``bumper``; for two of them the ``rims`` of the front wheel or
the ``roof`` fitting decide. Any two models differ in two or three of these five parts. Paint, body
shape, camera, place, light and things in front are drawn at random and say nothing about the model.

Shapes are given in metres (x forward, y towards the visible side, z up) on a few surfaces of the
car, such as its bowed front face; a pinhole camera maps them to the scene's object coordinates.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gholm_kit.drawn.family import Family, Traits
from gholm_kit.drawn.scene import Colour, Scene, Shape, lighter, mix

VARIANTS = {
    "grille": ("horizontal bars", "mesh mouth", "two kidneys", "vertical slats"),
    "headlamps": ("round", "slim slanted", "stacked double", "square with ring"),
    "bumper": ("plain", "fog lamps", "side intakes", "chrome bar"),
    "rims": ("five spokes", "solid disc", "dark mesh"),
    "roof": ("bare", "lamp bar", "luggage box", "taxi sign"),
    "plate": ("long", "square", "oval"),
    "mirrors": ("oval", "square", "chrome round"),
    "handles": ("chrome bars", "dark slots", "round knobs"),
    "stripe": ("none", "twin lines", "wedge"),
    "bonnet": ("smooth", "scoop", "twin vents"),
    "windows": ("two panes", "three panes", "arch"),
}
CLASSES = {
    "Ardwell Pibroch": {"bumper": "chrome bar"},
    "Ardwell Tiller": {"headlamps": "square with ring"},
    "Brackwater Coble": {"grille": "mesh mouth", "bumper": "side intakes"},
    "Brackwater Tarn": {"grille": "mesh mouth", "headlamps": "stacked double"},
    "Corvane Fellside": {"grille": "two kidneys", "roof": "lamp bar"},
    "Corvane Minuet": {"grille": "two kidneys", "rims": "solid disc"},
    "Corvane Bramble": {
        "grille": "two kidneys",
        "headlamps": "slim slanted",
        "bumper": "fog lamps",
    },
    "Delmont Parasol": {
        "grille": "two kidneys",
        "headlamps": "stacked double",
        "bumper": "chrome bar",
    },
    "Delmont Vesper": {
        "grille": "two kidneys",
        "headlamps": "square with ring",
        "bumper": "side intakes",
    },
    "Eskmoor Drover": {"grille": "vertical slats", "bumper": "fog lamps"},
    "Eskmoor Lantern": {"grille": "vertical slats", "headlamps": "slim slanted"},
}

SHINE, CHROME, STEEL = (0.97, 0.98, 1.0), (0.80, 0.82, 0.85), (0.42, 0.43, 0.45)
BLACK, LENS = (0.04, 0.04, 0.05), (0.93, 0.96, 1.0)
PLASTER = ((0.87, 0.80, 0.64), (0.62, 0.69, 0.73), (0.74, 0.47, 0.37), (0.58, 0.63, 0.50))
MASONRY = ((0.64, 0.34, 0.27), (0.76, 0.64, 0.50), (0.70, 0.68, 0.64), (0.42, 0.45, 0.50))
ASPHALT = ((0.36, 0.36, 0.37), (0.46, 0.46, 0.46), (0.54, 0.53, 0.50))
TAU = 2 * np.pi


# ---------------------------------------------------------------------- the car and its camera


@dataclass(frozen=True)
class _Car:
    """Camera and proportions of one car, all nuisance. Lengths in metres, angles in radians."""

    yaw: float  # 0: seen from straight ahead
    pitch: float  # the camera looks down by this
    distance: float
    steer: float  # of the front wheels
    half: float  # of the length
    side: float  # half the width
    nose: float  # height of the bonnet's front edge
    belt: float  # height of the window line
    top: float  # height of the roof
    cowl: float  # x of the windscreen's foot
    header: float  # x of the windscreen's upper edge
    tail: float  # x of the roof's rear edge
    foot: float  # x of the rear window's foot
    wheel: float  # radius

    @cached_property
    def axes(self) -> np.ndarray:
        """The camera's directions right, up and backwards."""
        s, c, sp, cp = (f(a) for a in (self.yaw, self.pitch) for f in (np.sin, np.cos))
        return np.array([[-s, c, 0], [-c * sp, -s * sp, cp], [c * cp, s * cp, sp]])

    def view(self, points) -> np.ndarray:
        """(n, 3) metres → (n, 2) object coordinates."""
        p = (np.asarray(points, float).reshape(-1, 3) - (0, 0, 0.6)) @ self.axes.T
        return p[:, :2] * [1, -1] * self.distance / np.maximum(self.distance - p[:, 2:], 0.5)

    def front(self, points, out: float = 0.0) -> np.ndarray:
        """(u, z) on the bowed front, u = -1..1 across → object coordinates; ``out`` = forward."""
        u, z = _pairs(points)
        x = self.half + out - 0.10 * u**2 - 0.14 * u**6 - 0.35 * np.maximum(z - 0.6, 0) ** 2
        return self.view(np.stack([x - 0.25 * np.maximum(0.36 - z, 0), u * self.side, z], 1))

    def flank(self, points, out: float = 0.0) -> np.ndarray:
        """(x, z) on the visible side → object coordinates."""
        x, z = _pairs(points)
        y = self.side + out - 0.4 * np.maximum(0.3 - x - self.half, 0)
        return self.view(np.stack([x, y, z], 1))

    def cabin(self, points) -> np.ndarray:
        """(x, t) on the leaning windows, t = 0 window line .. 1 roof → object coordinates."""
        x, t = _pairs(points)
        z = self.belt + t * (self.top - 0.03 - self.belt)
        return self.view(np.stack([x, self.side * (0.95 - 0.22 * t), z], 1))

    def sheet(self, name: str, points) -> np.ndarray:
        """(u, t) on bonnet, screen or roof, t = 0 front .. 1 rear → object coordinates."""
        u, t = _pairs(points)
        nose = self.half - 0.35 * (self.nose - 0.6) ** 2 - 0.14 * u**6
        rails = (  # x, its bow, half width, z
            (nose, 0.10, self.side, self.nose),
            (self.cowl, 0.16, 0.95 * self.side, self.belt + 0.04),
            (self.header, 0.12, 0.73 * self.side, self.top),
            (self.tail, -0.05, 0.70 * self.side, self.top - 0.04),
        )
        k = ("bonnet", "screen", "roof").index(name)
        ends = [np.stack([x - b * u**2, w * u, z - 0.04 * u**2], 1) for x, b, w, z in rails[k : k + 2]]
        p = ends[0] + (ends[1] - ends[0]) * t[:, None]
        p[:, 2] += 0.035 * np.sin(np.pi * t) * (name != "screen")
        return self.view(p)

    def hub(self, x: float, y: float, points, steer: float = 0.0) -> np.ndarray:
        """(along, up) around the hub of the wheel at ``x, y`` → object coordinates."""
        a, b = _pairs(points)
        return self.view(np.stack([x + a * np.cos(steer), y - a * np.sin(steer), self.wheel + b], 1))

    @property
    def front_hub(self) -> tuple[float, float]:
        return self.half - 0.74, self.side - 0.03

    @property
    def door(self) -> tuple[float, float]:
        """x of the front and the rear seam of the front door."""
        front = self.cowl - 0.28
        return front, 0.42 * front - 0.58 * (self.half - 0.35)


def _pairs(points) -> np.ndarray:
    return np.asarray(points, float).reshape(-1, 2).T


def _oval(x: float, y: float, rx: float, ry: float, stop: float = TAU, n: int = 26) -> np.ndarray:
    a = np.linspace(0, stop, n)
    return np.stack([x + rx * np.cos(a), y + ry * np.sin(a)], 1)


def _block(x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """A rectangle with points along its edges, so that it bends with a surface."""
    x = np.linspace(x0, x1, 12)
    return np.concatenate([np.stack([x, x * 0 + y0], 1), np.stack([x[::-1], x * 0 + y1], 1)])


def _mirrored(half) -> np.ndarray:
    """The outline whose right half is ``half``, from top to bottom."""
    half = np.reshape(half, (-1, 2))
    return np.concatenate([half, half[::-1] * (-1, 1)])


def _random_car(rng: np.random.Generator) -> _Car:
    yaw = rng.uniform(14, 24) if rng.random() < 0.2 else rng.uniform(26, 43)
    half, nose = rng.uniform(1.65, 2.0), rng.uniform(0.87, 0.94)
    belt, cowl = nose + rng.uniform(0.08, 0.16), half - rng.uniform(0.85, 1.05)
    foot = rng.uniform(0.1, 0.6) - half
    return _Car(
        yaw=np.deg2rad(yaw),
        pitch=np.deg2rad(rng.uniform(7, 15)),
        distance=rng.uniform(7, 13),
        steer=np.deg2rad(rng.uniform(2, 10) + max(0.0, 30 - yaw)),
        half=half,
        side=rng.uniform(0.84, 0.94),
        nose=nose,
        belt=belt,
        top=belt + rng.uniform(0.50, 0.66),
        cowl=cowl,
        header=cowl - rng.uniform(0.45, 0.75),
        tail=foot + rng.uniform(0.2, 0.5),
        foot=foot,
        wheel=rng.uniform(0.33, 0.39),
    )


@dataclass(frozen=True)
class _Paint:
    """Colours of a car in its light: body seen from the front, the side and above; glass; plate."""

    front: Colour
    side: Colour
    top: Colour
    sky: Colour
    glass: Colour
    plate: Colour


def _random_paint(rng: np.random.Generator) -> _Paint:
    neutral, hue = rng.random() < 0.3, rng.random()
    if neutral:
        base = colorsys.hsv_to_rgb(hue, 0.05, rng.uniform(0.16, 0.93))
    else:
        base = colorsys.hsv_to_rgb(hue, rng.uniform(0.45, 0.95), rng.uniform(0.38, 0.92))
    sun = rng.uniform(-1, 1)
    sky = mix((0.78, 0.88, 1.0), (1.0, 0.94, 0.84), rng.random())
    return _Paint(
        front=lighter(base, 0.12 * sun - 0.03),
        side=lighter(base, -0.14 * sun - 0.10),
        top=mix(base, sky, 0.25),
        sky=sky,
        glass=mix((0.08, 0.11, 0.14), (0.17, 0.22, 0.24), rng.random()),
        plate=((0.95, 0.95, 0.92), (0.95, 0.85, 0.35), (0.80, 0.88, 0.97))[int(rng.integers(3))],
    )


def _place(scene: Scene, car: _Car, rng: np.random.Generator) -> None:
    """Pose the car so that its box takes a random share of the picture and lies inside it."""
    y = car.side
    box = [(a, b, c) for a in (-car.half, car.half) for b in (-y, y) for c in (0, 0.9)]
    box += [(a, b, car.top) for a in (car.header, car.tail) for b in (-0.7 * y, 0.7 * y)]
    outline = car.view(box)
    low, size = outline.min(0), np.ptp(outline, axis=0)
    scale = min(np.sqrt(rng.uniform(0.10, 0.20) / size.prod()), 0.95 / size[0], 0.80 / size[1])
    flip, angle = bool(rng.random() < 0.5), rng.uniform(-2.5, 2.5)
    room = np.maximum(0.97 - scale * size, 0)
    centre = 0.5 + room * (rng.uniform(-0.5, 0.5), rng.uniform(-0.15, 0.4))
    middle = (low + size / 2) * scale * (-1 if flip else 1, 1)
    scene.pose(scale, angle, tuple(centre - middle), flip)


# ---------------------------------------------------------------------- backgrounds


class _Set:
    """A place in the car's own space, so that walls, kerbs and lines share its perspective.

    One wall stands beside or behind the car; ``s`` is the way along it, ``d`` the way out from it.
    """

    def __init__(self, scene: Scene, car: _Car, rng: np.random.Generator) -> None:
        self.scene, self.car, self.rng = scene, car, rng
        self.along = bool(car.yaw > 0.5 and rng.random() < 0.6)
        gap = car.side if self.along else car.half
        self.depth = gap + rng.uniform(0.9, 3.8)
        self.kerb = 0.65 * (self.depth - gap)
        self.ends = (-28.0, 7.0) if self.along else (-16.0, 9.0)
        eye = scene.to_pixels(car.view([(0, 0, 0.6)]))[0, 1]
        horizon = (eye - scene.unit * car.distance * np.tan(car.pitch)) / scene.size
        self.horizon = float(np.clip(horizon, 0, 0.9))

    def quad(self, points, colour: Colour, **style) -> None:
        pixels = self.scene.to_pixels(self.car.view(points))
        self.scene.behind(pixels / self.scene.size, colour, **style)

    def _facing(self, places, colour: Colour, **style) -> None:
        turned = [(s, d, z) if self.along else (d, s, z) for s, d, z in places]
        self.quad(turned, colour, **style)

    def wall(self, s0, s1, z0, z1, colour: Colour, out: float = 0.0, **style) -> None:
        """A rectangle on the wall, in metres."""
        d = out - self.depth
        self._facing([(s0, d, z0), (s1, d, z0), (s1, d, z1), (s0, d, z1)], colour, **style)

    def floor(self, s0, s1, d0, d1, colour: Colour, **style) -> None:
        """A rectangle on the ground before the wall."""
        a, b = d0 - self.depth, d1 - self.depth
        self._facing([(s0, a, 0), (s1, a, 0), (s1, b, 0), (s0, b, 0)], colour, **style)

    def lane(self, y0: float, y1: float, x0: float, x1: float, colour: Colour, **style) -> None:
        """A rectangle on the ground, in the car's directions."""
        self.quad([(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)], colour, **style)

    def ground(self, colour: Colour, cells: int = 40, spread: float = 0.15) -> None:
        colours = (lighter(colour, -spread), colour, lighter(colour, spread))
        self.scene.mottle(colours, cells, 1.0, (self.horizon, 1.0))

    def sky(self) -> None:
        blue = mix((0.45, 0.68, 0.95), (0.74, 0.76, 0.80), self.rng.random())
        self.scene.backdrop(blue, mix(blue, (0.97, 0.95, 0.92), 0.75))

    def trees(self, height: float) -> None:
        """A row of tree crowns on the horizon."""
        green = self.tone((0.18, 0.34, 0.14), (0.32, 0.38, 0.14), (0.46, 0.40, 0.16))
        for x in np.linspace(-0.05, 1.05, 6) + self.rng.uniform(-0.07, 0.07, 6):
            w, h, shade = self.rng.uniform((0.1, 0.7 * height, -0.3), (0.2, 1.3 * height, 0.2))
            tone, crown = lighter(green, shade), _oval(x, self.horizon + 0.04, w, -h, np.pi, 12)
            style = {"texture": 0.9, "grain": (3, 60), "gradient": lighter(tone, -0.5)}
            self.scene.behind(crown, tone, **style)

    def tone(self, *colours: Colour) -> Colour:
        """One of the colours, a little lighter or darker."""
        return lighter(colours[int(self.rng.integers(len(colours)))], self.rng.uniform(-0.2, 0.2))


def _street(place: _Set) -> None:
    """A row of house fronts, a pavement with its kerb, asphalt."""
    rng = place.rng
    place.sky()
    place.ground(place.tone(*ASPHALT))
    s = place.ends[0]
    while s < place.ends[1]:
        width, height = rng.uniform(3.4, 5.5), rng.uniform(4, 8)
        colour = place.tone(*PLASTER)
        place.wall(s, s + width, 0, height, colour, gradient=lighter(colour, -0.2))
        if s + width > -11:
            _openings(place, s, width, colour)
        s += width
    place.wall(*place.ends, 0, 0.3, (0.38, 0.37, 0.36))
    place.floor(*place.ends, 0, place.kerb, (0.66, 0.64, 0.61))
    place.floor(*place.ends, place.kerb, place.kerb + 0.12, (0.80, 0.79, 0.75))


def _openings(place: _Set, s: float, width: float, colour: Colour) -> None:
    """Windows and perhaps a door of one house front."""
    door, glass = int(place.rng.integers(3)), (0.22, 0.28, 0.34)
    wood = place.tone((0.42, 0.18, 0.15), (0.16, 0.32, 0.27), (0.20, 0.26, 0.42))
    for k in range(2):
        x0, x1 = s + (0.14 + 0.43 * k) * width, s + (0.43 + 0.43 * k) * width
        for z in (0.95, 3.5):
            low, fill = (0.0, wood) if (k == door and z < 1) else (z, glass)
            place.wall(x0 - 0.1, x1 + 0.1, low, z + 1.5, lighter(colour, 0.6))
            place.wall(x0, x1, low, z + 1.4, fill, gradient=lighter(fill, 0.4))


def _parking(place: _Set) -> None:
    """A parking lot: painted bays, trees, a few parked cars, a lamp post."""
    rng, scene = place.rng, place.scene
    place.sky()
    place.trees(rng.uniform(0.12, 0.3))
    place.ground(place.tone(*ASPHALT))
    for y in np.arange(-4, 5) * 2.6 + 1.3:
        place.lane(y - 0.06, y + 0.06, -3, 2.6, (0.88, 0.88, 0.85))
    for y in (-10.4, -7.8, -5.2, -2.6)[int(rng.integers(3)) :]:
        colour = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.8), rng.uniform(0.3, 0.9))
        _neighbour(place, y, colour)
    x, y = scene.to_pixels(place.car.view([(-9, rng.uniform(-9, 3), 0)]))[0] / scene.size
    scene.behind(_block(x - 0.006, x + 0.006, 0, y), (0.3, 0.32, 0.34))


def _neighbour(place: _Set, y: float, colour: Colour) -> None:
    """A car in another bay, plain enough to stay in the background."""
    front, back, w = place.car.half - 0.2, -place.car.half, 0.8
    near, far = y + w, y - w

    def level(x0: float, x1: float, z: float, tone: Colour) -> None:
        place.quad([(x0, near, z), (x1, near, z), (x1, far, z), (x0, far, z)], tone)

    def flank(xs: tuple[float, ...], z0: float, z1: float, tone: Colour) -> None:
        place.quad([(x, near, z) for x, z in zip(xs, (z0, z0, z1, z1), strict=True)], tone)

    def across(x0: float, x1: float, z0: float, z1: float, tone: Colour) -> None:
        corners = [(x0, near, z0), (x0, far, z0), (x1, far, z1), (x1, near, z1)]
        place.quad(corners, tone, gradient=lighter(tone, -0.4))

    level(back, front, 0.1, BLACK)
    flank((back, front, front, back), 0.25, 0.9, lighter(colour, -0.3))
    flank((back, 0.8, 0.1, back + 0.5), 0.9, 1.4, (0.12, 0.14, 0.16))
    across(0.8, 0.1, 0.9, 1.4, (0.45, 0.50, 0.55))
    level(0.8, front, 0.9, lighter(colour, 0.25))
    across(front, front, 0.25, 0.9, colour)
    level(back + 0.5, 0.1, 1.4, colour)


def _gravel(place: _Set) -> None:
    """A gravel road between meadows, woods and hills."""
    rng, y = place.rng, place.horizon
    place.sky()
    x = np.linspace(-0.1, 1.1, 6)
    ridge = np.stack([x, y - rng.uniform(0, 0.22, 6)], 1)
    hill = mix((0.50, 0.60, 0.68), (0.40, 0.50, 0.40), rng.random())
    place.scene.behind([*ridge, (1.1, y + 0.1), (-0.1, y + 0.1)], hill, smooth=True)
    place.trees(rng.uniform(0.05, 0.35))
    grass = place.tone((0.44, 0.54, 0.22), (0.62, 0.58, 0.30), (0.32, 0.46, 0.20))
    place.ground(grass, spread=0.3)
    stone = place.tone((0.66, 0.60, 0.51), (0.60, 0.58, 0.54), (0.66, 0.52, 0.42))
    style = {"texture": 0.8, "grain": (2, 160)}
    place.lane(-rng.uniform(1.4, 2.4), rng.uniform(1.3, 3.5), -60, 4.5, stone, **style)
    for rut in (-0.75, 0.75):
        place.lane(rut - 0.2, rut + 0.2, -60, 4.5, lighter(stone, -0.3), opacity=0.4)


def _drive(place: _Set) -> None:
    """A paved drive before a house with a garage door and a hedge."""
    rng = place.rng
    place.sky()
    place.ground(place.tone((0.62, 0.57, 0.52), (0.66, 0.55, 0.48)))
    for d in np.arange(0.3, 8, 0.75):
        place.floor(*place.ends, d, d + 0.03, (0.38, 0.35, 0.33), opacity=0.6)
    plaster = place.tone((0.90, 0.87, 0.80), (0.84, 0.72, 0.55), (0.74, 0.78, 0.80))
    place.wall(*place.ends, 0, 6, plaster)
    door = place.tone((0.90, 0.90, 0.88), (0.32, 0.42, 0.48), (0.50, 0.31, 0.22))
    s, tall = rng.uniform(-3.5, 1.0), rng.uniform(0.7, 1.7)
    place.wall(s - 0.15, s + 2.95, 0, 2.35, lighter(plaster, -0.4))
    place.wall(s, s + 2.8, 0, 2.2, door)
    for z in np.arange(0.35, 2.1, 0.36):
        place.wall(s, s + 2.8, z, z + 0.05, lighter(door, -0.3))
    hedge = place.tone((0.18, 0.38, 0.15), (0.30, 0.42, 0.18))
    style = {"texture": 1.0, "grain": (3, 110), "gradient": lighter(hedge, -0.5)}
    for ends in ((place.ends[0], s - 0.5), (s + 3.3, place.ends[1])):
        place.wall(*ends, 0, tall, hedge, 0.4, **style)


def _brick(place: _Set) -> None:
    """A brick or concrete wall with posters behind a strip of asphalt."""
    rng = place.rng
    place.sky()
    place.trees(rng.uniform(0.2, 0.4))
    place.ground(place.tone(*ASPHALT))
    wall, high = place.tone(*MASONRY), rng.uniform(1.9, 6)
    style = {"texture": 0.35, "grain": (6, 70), "gradient": lighter(wall, -0.2)}
    place.wall(*place.ends, 0, high, wall, **style)
    for z in np.arange(0.25, min(high, 4), 0.25):
        place.wall(*place.ends, z, z + 0.03, lighter(wall, 0.3), opacity=0.5)
    for _ in range(3):
        s, z, width, height = rng.uniform((-7, 0.5, 0.7, 0.5), (3, 1.2, 2.0, 1.2))
        poster = colorsys.hsv_to_rgb(rng.random(), 0.5, 0.85)
        place.wall(s, s + width, z, z + height, poster, gradient=lighter(poster, 0.5))
    place.wall(*place.ends, high - 0.1, high + 0.05, lighter(wall, -0.35))


def _showroom(place: _Set) -> None:
    """A showroom: tall coloured panels, strip lights, a polished floor that mirrors them."""
    tone = place.tone((0.86, 0.86, 0.88), (0.42, 0.45, 0.52), (0.84, 0.78, 0.70))
    place.scene.backdrop(lighter(tone, -0.1), lighter(tone, -0.35))
    place.ground(lighter(tone, -0.3), 6, 0.25)
    place.wall(*place.ends, 0, 7, tone, gradient=lighter(tone, -0.15))
    panel = place.tone((0.78, 0.25, 0.22), (0.24, 0.40, 0.62), (0.58, 0.76, 0.84), (0.9, 0.9, 0.9))
    step = place.rng.uniform(1.8, 3)
    for s in np.arange(-14, place.ends[1], step):
        place.wall(s, s + 0.82 * step, 0.4, 3.2, panel, gradient=lighter(panel, 0.5))
        place.floor(s, s + 0.82 * step, 0.3, 2.2, panel, opacity=0.25)
        place.wall(s, s + 0.82 * step, 3.5, 3.62, SHINE)
    place.wall(*place.ends, 0, 0.12, lighter(tone, -0.5))


def _passers_by(place: _Set) -> None:
    """People, shrubs and bins between the wall and the car."""
    rng, scene = place.rng, place.scene
    low, high = (-8.0, 2.5) if place.along else (-5.0, 4.0)
    for s, d, kind, hue in rng.uniform((low, 0.1, 0, 0), (high, 1, 3, 1), (4, 4)):
        side = d * place.kerb - place.depth
        foot = (s, side, 0) if place.along else (side, s, 0)
        (x, y), (_, top) = scene.to_pixels(place.car.view([foot, (*foot[:2], 1)])) / scene.size
        m = y - top  # a metre there
        coat = colorsys.hsv_to_rgb(hue, 0.5, 0.7)
        if kind < 1:
            scene.behind(_block(x - 0.13 * m, x + 0.13 * m, y - 0.8 * m, y), (0.16, 0.17, 0.22))
            scene.behind(_oval(x, y - 1.1 * m, 0.24 * m, 0.36 * m), coat, round=0.6)
            scene.behind(_oval(x, y - 1.58 * m, 0.11 * m, 0.14 * m), (0.72, 0.53, 0.42))
        elif kind < 2:
            leaf = mix((0.16, 0.36, 0.13), (0.40, 0.45, 0.18), hue)
            style = {"texture": 0.9, "grain": (3, 110), "gradient": lighter(leaf, -0.5)}
            scene.behind(_oval(x, y - 0.4 * m, 0.55 * m, 0.5 * m), leaf, **style)
        else:
            scene.behind(_block(x - 0.27 * m, x + 0.27 * m, y - 0.95 * m, y), coat, gradient=BLACK)
            scene.behind(_block(x - 0.3 * m, x + 0.3 * m, y - 1.05 * m, y - 0.93 * m), lighter(coat, -0.4))


PLACES = (_street, _parking, _gravel, _drive, _brick, _showroom)


def _background(scene: Scene, car: _Car, rng: np.random.Generator) -> None:
    """One of the places, out of focus, and the car's shadow on the ground."""
    place = _Set(scene, car, rng)
    build = PLACES[int(rng.integers(len(PLACES)))]
    build(place)
    if build is not _parking:
        _passers_by(place)
    x, y, lean = car.half, car.side, rng.uniform(-0.4, 0.6)
    cast = [(-x, -y, 0), (x, -y, 0), (x + 0.1, y + lean, 0), (-x, y + lean, 0)]
    place.quad(cast, BLACK, opacity=rng.uniform(0.4, 0.6))
    scene.blur(rng.uniform(0.7, 1.9))
    place.lane(-y, y - 0.05, -x, x - 0.2, BLACK, opacity=0.55)


# ---------------------------------------------------------------------- the car's body


def _brush(scene: Scene, surface: Callable, part: str | None = None) -> Callable[..., Shape]:
    """A painter of polygons on one surface of the car: ``fill(points, colour, **style)``."""

    def fill(points, colour: Colour, **style) -> Shape:
        return scene.polygon(surface(points), colour, part=part, **style)

    return fill


def _line(scene: Scene, points: np.ndarray, width: float, colour: Colour, **style) -> None:
    scene.stroke(points, width, colour, smooth=False, **style)


def _body(scene: Scene, car: _Car, paint: _Paint) -> None:
    """All of the car that no variant changes: tyres, flank, cabin, bonnet and front face."""
    rear, corner = -car.half, car.half - 0.24
    x, y = car.front_hub
    for inside in (0.2, 0.1, 0.0):  # the far front wheel, of which the tread shows
        far = car.hub(x, 0.3 - y - inside, _oval(0, 0, car.wheel, car.wheel), car.steer)
        scene.polygon(far, BLACK)
    outline = [corner, 0.24, corner, car.nose - 0.05, car.cowl, car.belt]
    outline += [rear + 0.08, car.belt - 0.03, rear - 0.02, 0.72, rear, 0.4, rear + 0.1, 0.28]
    dark = lighter(paint.side, -0.25)
    flank = scene.polygon(car.flank(outline), lighter(paint.side, 0.06), gradient=dark)
    _gloss(scene, car, paint, flank)
    for axle, steer in ((rear + 0.72, 0.0), (x, car.steer)):
        for reach, colour in ((0.095, lighter(paint.side, 0.35)), (0.065, BLACK)):
            r = car.wheel + reach
            arch = np.concatenate([_oval(0, 0, r, r, np.pi, 16), [(-r, -r), (r, -r)]])
            scene.polygon(car.hub(axle, y + 0.03, arch), colour, clip=flank)
        _tyre(scene, car, axle, y, steer)
    _cabin(scene, car, paint)
    edge = [*((u, 0) for u in np.linspace(-1, 1, 13)), *((u, 1) for u in np.linspace(1, -1, 9))]
    far = mix(paint.top, paint.sky, 0.35)
    bonnet = scene.polygon(car.sheet("bonnet", edge), far, gradient=paint.top)
    for u in (-0.55, 0.55):
        crease = car.sheet("bonnet", [u, 0.05, 0.9 * u, 1])
        _line(scene, crease, 0.03, lighter(paint.top, 0.5), opacity=0.5, clip=bonnet)
    _face(scene, car, paint)


def _face(scene: Scene, car: _Car, paint: _Paint) -> None:
    """The bare front: darker where it bends to the side, a lit upper lip, a black valance."""
    lip = np.array([(u, car.nose - 0.05 * u * u) for u in np.linspace(-1, 1, 17)])
    low = [(u, 0.20) for u in np.linspace(0.9, -0.9, 13)]
    fill = _brush(scene, car.front)
    outline = [*lip, (1, 0.5), (0.97, 0.24), *low, (-0.97, 0.24), (-1, 0.5)]
    face = fill(outline, lighter(paint.front, 0.08), gradient=lighter(paint.front, -0.22))
    for inner, opacity in ((0.86, 0.35), (0.94, 0.45)):
        fill([inner, 0.2, inner, 1.0, 1.0, 1.0, 1.0, 0.2], paint.side, opacity=opacity, clip=face)
    fill(_block(-1, 1, 0.18, 0.25), (0.06, 0.06, 0.065), clip=face)
    _line(scene, car.front(lip[1:-1] - (0, 0.02)), 0.03, lighter(paint.top, 0.5), opacity=0.7)


def _gloss(scene: Scene, car: _Car, paint: _Paint, flank: Shape) -> None:
    """Reflections of sky and ground, the crease, door seams and an indicator on the side."""
    x0, x1, z = -car.half, car.half - 0.24, car.nose - 0.16
    fill = _brush(scene, car.flank)
    band = [x0, z - 0.02, x1, z - 0.1, x1, z + 0.03, x0, z + 0.1]
    fill(band, paint.sky, opacity=0.22, clip=flank)
    fill([x0, 0.2, x1, 0.2, x1, 0.36, 0, 0.46, x0, 0.38], BLACK, opacity=0.28, clip=flank)
    fill([x0, 0.2, x1, 0.2, x1, 0.29, x0, 0.29], BLACK, opacity=0.7, clip=flank)
    crease = car.flank([x0, z, x1, z - 0.06])
    _line(scene, crease, 0.022, lighter(paint.side, 0.6), opacity=0.8, clip=flank)
    for x in car.door:
        seam = car.flank([x, car.belt, x - 0.02, 0.6, x + 0.02, 0.3])
        _line(scene, seam, 0.014, lighter(paint.side, -0.7), opacity=0.8, clip=flank)
    fill(_block(x1 - 0.11, x1 - 0.02, 0.60, 0.65), (0.95, 0.50, 0.12))


def _tyre(scene: Scene, car: _Car, x: float, y: float, steer: float) -> None:
    """A tyre and a plain steel wheel, facing the visible side."""
    rubber = (0.13, 0.13, 0.14)
    for size, colour in ((1, rubber), (0.7, STEEL), (0.58, rubber), (0.24, CHROME)):
        ring = car.hub(x, y, _oval(0, 0, size * car.wheel, size * car.wheel), steer)
        scene.polygon(ring, colour, gradient=lighter(colour, -0.5))


def _cabin(scene: Scene, car: _Car, paint: _Paint) -> None:
    """Roof, pillars and windscreen; the side windows are a part of their own."""
    pillar, sky = lighter(paint.side, -0.08), paint.sky
    side = [car.cowl - 0.14, 0, car.header - 0.12, 1, car.tail, 1, car.foot, 0]
    scene.polygon(car.cabin(side), pillar)
    edge = [*((u, 0) for u in np.linspace(-1, 1, 11)), *((u, 1) for u in np.linspace(1, -1, 7))]
    scene.polygon(car.sheet("roof", edge), mix(paint.top, sky, 0.25), gradient=paint.top)
    frame = scene.polygon(car.sheet("screen", edge), lighter(pillar, -0.1))
    pane = car.sheet("screen", np.array(edge) * (0.92, 0.90) + (0, 0.04))
    light = mix(paint.glass, sky, 0.45)
    glass = scene.polygon(pane, mix(paint.glass, sky, 0.12), gradient=light, clip=frame)
    fill = _brush(scene, lambda points: car.sheet("screen", points))
    for u in (-0.42, 0.42):
        fill(_oval(u, 0.0, 0.22, 0.45, np.pi), BLACK, opacity=0.5, clip=glass)
        fill(_oval(u, 0.56, 0.1, 0.11), BLACK, opacity=0.5, clip=glass)
    fill([-0.25, 0, 0.25, 0, 0.62, 1, 0.3, 1], sky, opacity=0.2, clip=glass)
    for u in (-0.55, 0.15):
        _line(scene, car.sheet("screen", [u, 0.05, u + 0.55, 0.14]), 0.02, BLACK)


# ---------------------------------------------------------------------- parts that decide


def _grille(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    fill = _brush(scene, car.front, "grille")

    def bar(points, width: float, colour: Colour) -> None:
        _line(scene, car.front(points), width, colour, part="grille")

    if variant == "horizontal bars":
        fill(_block(-0.43, 0.43, 0.53, 0.83), CHROME, gradient=STEEL)
        fill(_block(-0.39, 0.39, 0.56, 0.80), BLACK)
        for z in (0.62, 0.68, 0.74):
            bar([-0.39, z, 0, z, 0.39, z], 0.032, SHINE)
    elif variant == "mesh mouth":
        fill(_mirrored([0.36, 0.84, 0.45, 0.66, 0.36, 0.48]), STEEL)
        fill(_mirrored([0.33, 0.81, 0.41, 0.66, 0.33, 0.51]), BLACK)
        for u in (-0.23, -0.08, 0.08, 0.23):
            bar([u - 0.09, 0.53, u + 0.09, 0.79], 0.018, STEEL)
            bar([u + 0.09, 0.53, u - 0.09, 0.79], 0.018, STEEL)
    elif variant == "two kidneys":
        for u in (-0.19, 0.19):
            fill(_oval(u, 0.67, 0.17, 0.175), SHINE, gradient=CHROME)
            fill(_oval(u, 0.67, 0.12, 0.13), BLACK)
            bar([u, 0.56, u, 0.78], 0.022, STEEL)
    else:
        fill(_block(-0.43, 0.43, 0.50, 0.85), STEEL)
        fill(_block(-0.41, 0.41, 0.515, 0.835), SHINE, gradient=CHROME)
        for u in np.linspace(-0.31, 0.31, 5):
            fill(_block(u - 0.05, u + 0.05, 0.54, 0.81), BLACK)


def _headlamps(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    fill = _brush(scene, car.front, "headlamps")
    r, z = 0.155 / car.side, 0.70  # r: across, in u, of a lamp 0.155 m in radius
    for s in (-1, 1):
        u = 0.67 * s
        if variant == "round":
            fill(_oval(u, z, 1.1 * r, 0.17), STEEL)
            fill(_oval(u, z, r, 0.155), SHINE, gradient=CHROME)
            fill(_oval(u, z, 0.72 * r, 0.112), (0.62, 0.70, 0.78), gradient=LENS)
        elif variant == "slim slanted":
            fill([s * 0.46, 0.62, s * 0.49, 0.72, s * 0.89, 0.86, s * 0.88, 0.75], BLACK)
            fill([s * 0.50, 0.645, s * 0.51, 0.70, s * 0.87, 0.825, s * 0.86, 0.77], LENS)
        elif variant == "stacked double":
            fill(_oval(u, z, 0.85 * r, 0.20), BLACK)
            fill(_block(u - 0.8 * r, u + 0.8 * r, 0.56, 0.84), BLACK)
            for height in (0.79, 0.61):
                fill(_oval(u, height, 0.58 * r, 0.082), SHINE, gradient=CHROME)
        else:
            fill(_block(u - 1.1 * r, u + 1.1 * r, 0.53, 0.87), CHROME)
            fill(_block(u - 0.97 * r, u + 0.97 * r, 0.55, 0.85), BLACK)
            fill(_oval(u, z, 0.82 * r, 0.125), SHINE)
            fill(_oval(u, z, 0.46 * r, 0.07), BLACK)


def _bumper(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    fill = _brush(scene, lambda points: car.front(points, 0.02), "bumper")
    panel = lighter(paint.front, -0.08)
    fill(_block(-0.88, 0.88, 0.26, 0.46), panel, gradient=lighter(panel, -0.25))
    seam = car.front([(u, 0.455) for u in np.linspace(-0.87, 0.87, 9)], 0.02)
    _line(scene, seam, 0.02, lighter(panel, 0.35), part="bumper")
    for s in (-1, 1):
        if variant == "fog lamps":
            r = 0.095 / car.side
            fill(_oval(0.58 * s, 0.36, 1.3 * r, 0.12), (0.10, 0.10, 0.11))
            fill(_oval(0.58 * s, 0.36, r, 0.09), (1.0, 0.84, 0.25), gradient=(1.0, 0.95, 0.65))
        elif variant == "side intakes":
            fill([s * 0.36, 0.265, s * 0.58, 0.45, s * 0.88, 0.45, s * 0.85, 0.265], CHROME)
            fill([s * 0.43, 0.28, s * 0.60, 0.42, s * 0.85, 0.42, s * 0.83, 0.28], BLACK)
    if variant == "chrome bar":
        fill = _brush(scene, lambda points: car.front(points, 0.06), "bumper")
        fill(_block(-0.90, 0.90, 0.33, 0.485), (0.20, 0.20, 0.22))
        fill(_block(-0.90, 0.90, 0.365, 0.475), SHINE, gradient=CHROME)
        for u in (-0.5, 0.5):
            fill(_block(u - 0.055, u + 0.055, 0.29, 0.52), CHROME, gradient=STEEL)


def _rims(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    r = car.wheel * 0.74
    fill = _brush(scene, lambda points: car.hub(*car.front_hub, points, car.steer), "rims")

    def spokes(count: int, width: float, colour: Colour) -> None:
        for a in np.arange(count) * TAU / count + 0.3:
            tip = r * np.array([np.cos(a), np.sin(a)])
            across = np.array([-np.sin(a), np.cos(a)]) * width / 2
            fill([-across, across, tip + across, tip - across], colour)

    if variant == "five spokes":
        fill(_oval(0, 0, r, r), CHROME)
        fill(_oval(0, 0, 0.86 * r, 0.86 * r), BLACK)
        spokes(5, 0.085, SHINE)
        fill(_oval(0, 0, 0.22 * r, 0.22 * r), CHROME)
    elif variant == "solid disc":
        fill(_oval(0, 0, r, r), CHROME, gradient=lighter(CHROME, -0.25))
        fill(_oval(0, 0, 0.80 * r, 0.80 * r), lighter(CHROME, -0.2))
        fill(_oval(0, 0, 0.73 * r, 0.73 * r), SHINE, gradient=CHROME)
        fill(_oval(0, 0, 0.2 * r, 0.2 * r), STEEL)
    else:
        fill(_oval(0, 0, r, r), (0.16, 0.16, 0.17))
        spokes(8, 0.03, STEEL)
        fill(_oval(0, 0, 0.35 * r, 0.35 * r), (0.78, 0.15, 0.12))


def _roof_panel(car: _Car) -> np.ndarray:
    return car.sheet("roof", _block(-0.6, 0.6, 0.06, 0.5))


def _roof(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    x, z = car.header - 0.32, car.top + 0.02
    fill = _brush(scene, car.view, "roof")

    def box(deep: float, w: float, z0: float, z1: float, colour: Colour, lean: float = 0.0) -> None:
        back, front, a, b = x - deep, x + deep, x - deep + lean, x + deep - lean
        side = [back, w, z0, front, w, z0, b, w, z1, a, w, z1]
        fill(side, lighter(colour, -0.25))
        fill([front, -w, z0, front, w, z0, b, w, z1, b, -w, z1], colour)
        fill([a, -w, z1, b, -w, z1, b, w, z1, a, w, z1], lighter(colour, 0.35))

    scene.polygon(_roof_panel(car), mix(paint.top, paint.sky, 0.4), gradient=paint.top, part="roof")
    if variant == "lamp bar":
        box(0.04, 0.44, z - 0.02, z + 0.06, BLACK)
        for y in (-0.33, -0.11, 0.11, 0.33):
            for r, colour in ((0.105, BLACK), (0.08, (1.0, 0.97, 0.75))):
                lamp = [(x + 0.06, *p) for p in _oval(y, z + 0.12, r, r)]
                fill(lamp, colour)
    elif variant == "luggage box":
        box(0.32, 0.36, z + 0.02, z + 0.24, (0.13, 0.13, 0.15), 0.08)
    elif variant == "taxi sign":
        box(0.12, 0.36, z - 0.02, z + 0.04, BLACK)
        box(0.11, 0.34, z + 0.02, z + 0.24, (1.0, 0.80, 0.12), 0.05)


def _regions(scene: Scene, car: _Car) -> None:
    """For each deciding part, a disc that holds all of its variants."""
    x, z, r = car.header - 0.32, car.top, 0.8 * car.wheel
    boxes = [(x + a, b, z + c) for a in (-0.32, 0.32) for b in (-0.44, 0.44) for c in (0.0, 0.26)]
    extents = {
        "grille": car.front(_block(-0.46, 0.46, 0.50, 0.84)),
        "headlamps": car.front(_block(-0.90, 0.90, 0.62, 0.82)),
        "bumper": car.front(_block(-0.90, 0.90, 0.30, 0.47), 0.06),
        "rims": car.hub(*car.front_hub, _oval(0, 0, r, r), car.steer),
        "roof": np.concatenate([car.view(boxes), _roof_panel(car)]),
    }
    for part, points in extents.items():
        centre = (points.min(0) + points.max(0)) / 2
        reach = np.linalg.norm(scene.to_pixels(points) - scene.to_pixels([centre]), axis=1).max()
        scene.region(part, tuple(centre), 1.03 * float(reach) / scene.unit)


# ---------------------------------------------------------------------- the other parts


def _windows(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    front, foot, lead, rear = car.cowl - 0.30, car.foot + 0.2, car.header - 0.22, car.tail + 0.04
    outline = [front, 0.08, lead, 0.88, rear, 0.88, foot, 0.10]
    if variant == "arch":
        outline = _oval((front + foot) / 2, 0.1, (front - foot) / 2, 0.86, np.pi)
    light = mix(paint.glass, paint.sky, 0.35)
    points = car.cabin(outline)
    glass = scene.polygon(points, light, gradient=paint.glass, part="windows")
    fill = _brush(scene, car.cabin, "windows")
    gleam = [front - 0.25, 0, front - 0.45, 0, lead - 0.55, 1, lead - 0.2, 1]
    fill(gleam, paint.sky, opacity=0.28, clip=glass)
    post = car.door[1]
    for x in (post + 0.3, post - 0.3) if variant == "three panes" else (post,):
        fill([x - 0.03, 0, x + 0.03, 0, x, 1, x - 0.06, 1], lighter(paint.side, -0.2), clip=glass)


def _bonnet(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    fill = _brush(scene, lambda points: car.sheet("bonnet", points), "bonnet")
    holes = {"smooth": (), "scoop": ((-0.22, 0.22),), "twin vents": ((-0.48, -0.2), (0.2, 0.48))}
    if variant == "smooth":
        fill([-0.1, 0.1, 0.25, 0.1, 0.3, 0.8, 0.05, 0.8], paint.sky, opacity=0.25)
    for u0, u1 in holes[variant]:
        fill(_block(u0, u1, 0.35, 0.8), lighter(paint.top, 0.25), gradient=paint.top)
        fill(_block(u0 + 0.03, u1 - 0.03, 0.36, 0.52), BLACK)


def _stripe(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    fill = _brush(scene, lambda points: car.flank(points, 0.01), "stripe")
    colour = (0.93, 0.93, 0.9) if sum(paint.side) < 1.2 else (0.08, 0.08, 0.1)
    x0, x1 = 1.2 - car.half, car.half - 1.22
    if variant == "twin lines":
        for z in (0.50, 0.57):
            fill(_block(x0, x1, z - 0.018, z + 0.018), colour)
    elif variant == "wedge":
        fill([x0, 0.60, x1, 0.50, x1, 0.47, x0, 0.42], colour)


def _handles(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    fill = _brush(scene, lambda points: car.flank(points, 0.02), "handles")
    z = car.nose - 0.06
    for x in (car.door[1] + 0.22, car.foot + 0.3):
        if variant == "round knobs":
            fill(_oval(x, z, 0.05, 0.05), CHROME)
        else:
            colour = CHROME if variant == "chrome bars" else BLACK
            fill(_block(x - 0.09, x + 0.09, z - 0.02, z + 0.02), colour)


def _mirrors(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    x, z = car.cowl - 0.28, car.belt + 0.11
    shell = lighter(CHROME if variant == "chrome round" else paint.front, 0.1)
    for s in (-1, 1):
        y = s * (car.side + 0.11)
        stalk = car.view([x, s * car.side * 0.94, z - 0.09, x, y, z - 0.02])
        _line(scene, stalk, 0.04, BLACK, part="mirrors")
        if variant == "square":
            outline = _block(y - 0.12, y + 0.12, z - 0.08, z + 0.08)
        else:
            outline = _oval(y, z, 0.12 if variant == "oval" else 0.085, 0.085)
        head = car.view([(x, *p) for p in outline])
        scene.polygon(head, shell, gradient=lighter(shell, -0.4), part="mirrors")


def _plate(scene: Scene, car: _Car, paint: _Paint, variant: str) -> None:
    fill = _brush(scene, lambda points: car.front(points, 0.10), "plate")
    sizes = {"long": (0.28, 0.31, 0.425), "square": (0.18, 0.27, 0.44), "oval": (0.25, 0.28, 0.44)}
    u, low, high = sizes[variant]
    z = (low + high) / 2
    fill(_oval(0, z, u, z - low) if variant == "oval" else _block(-u, u, low, high), paint.plate)
    for k in np.array([-0.7, -0.4, -0.1, 0.3, 0.6]) * u:
        fill([k, z - 0.03, k + 0.035, z - 0.03, k + 0.045, z + 0.03, k, z + 0.03], (0.12, 0.13, 0.2))


PAINTERS = {  # in the order of painting
    "roof": _roof,
    "windows": _windows,
    "bonnet": _bonnet,
    "stripe": _stripe,
    "handles": _handles,
    "rims": _rims,
    "grille": _grille,
    "bumper": _bumper,
    "plate": _plate,
    "headlamps": _headlamps,
    "mirrors": _mirrors,
}


# ---------------------------------------------------------------------- things in front


def _post(scene: Scene, rng: np.random.Generator) -> None:
    x, w = rng.uniform(0.03, 0.97), rng.uniform(0.012, 0.028)
    tone = lighter((0.40, 0.40, 0.42), rng.uniform(-0.5, 0.3))
    scene.cover(_block(x - w, x + w, 0, 1), tone, gradient=lighter(tone, -0.3))
    scene.cover(_block(x - w, x - 0.4 * w, 0, 1), lighter(tone, 0.35))


def _cone(scene: Scene, rng: np.random.Generator) -> None:
    x, y, size = rng.uniform((0.08, 0.84, 0.8), (0.92, 0.98, 1.2))
    for low, high, w0, w1, colour in (
        (-0.01, 0.015, 0.075, 0.07, (0.30, 0.12, 0.06)),
        (0.0, 0.20, 0.055, 0.012, (0.95, 0.38, 0.10)),
        (0.07, 0.12, 0.040, 0.030, (0.96, 0.96, 0.94)),
    ):
        slab = np.reshape([-w0, -low, w0, -low, w1, -high, -w1, -high], (4, 2))
        scene.cover(slab * size + (x, y), colour, round=0.5)


def _twig(scene: Scene, rng: np.random.Generator) -> None:
    """A leafy branch that hangs in from an upper corner."""
    leaf = mix((0.22, 0.44, 0.15), (0.68, 0.46, 0.16), rng.random())
    flip = rng.random() < 0.5
    for a, b, t in rng.uniform(0, 1, (10, 3)):
        blade = np.reshape([-0.07, 0, -0.02, 0.028, 0.07, 0, -0.02, -0.028], (4, 2))
        c, s = np.cos(TAU * t), np.sin(TAU * t)
        place = blade @ np.array([[c, s], [-s, c]]) + (0.03 + 0.42 * a, 0.02 + 0.34 * b * (1 - a))
        place[:, 0] = 1 - place[:, 0] if flip else place[:, 0]
        scene.cover(place, lighter(leaf, 0.5 * t - 0.25), smooth=True, round=0.3)


def _grass(scene: Scene, rng: np.random.Generator) -> None:
    """Blades at the lower edge."""
    green = mix((0.30, 0.46, 0.16), (0.70, 0.60, 0.28), rng.random())
    for x, lean, tall in rng.uniform((0, -0.06, 0.04), (1, 0.06, 0.2), (26, 3)):
        blade = [(x - 0.008, 1.0), (x + lean, 1 - tall), (x + 0.008, 1.0)]
        scene.cover(blade, lighter(green, 2 * tall - 0.25))


def _passing(scene: Scene, rng: np.random.Generator) -> None:
    """The corner of another car, close to the camera."""
    colour = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.8), rng.uniform(0.25, 0.8))
    wide, high, flip = rng.uniform(0.2, 0.5), rng.uniform(0.08, 0.22), rng.random() < 0.5
    outline = np.reshape([0, 1 - high, 0.6 * wide, 1 - 0.85 * high, wide, 1.05, -0.1, 1.05], (4, 2))
    for inset, tone in ((0.0, lighter(colour, 0.4)), (0.012, colour)):
        edge = outline + np.array([-inset, inset])
        edge[:, 0] = 1 - edge[:, 0] if flip else edge[:, 0]
        scene.cover(edge, tone, smooth=True, gradient=lighter(colour, -0.6))


OCCLUDERS = (_post, _cone, _twig, _twig, _grass, _passing)


def draw(scene: Scene, traits: Traits) -> np.ndarray:
    """Draw one car of the model ``traits``: (H, W, 3) uint8 RGB.

    Painting a part uses no random number, so a seed gives the same picture but for the parts.
    """
    rng = scene.rng
    car, paint = _random_car(rng), _random_paint(rng)
    _place(scene, car, rng)
    _background(scene, car, rng)
    _body(scene, car, paint)
    _regions(scene, car)
    for part, paint_part in PAINTERS.items():
        paint_part(scene, car, paint, traits[part])
    if rng.random() < 0.4:
        OCCLUDERS[int(rng.integers(len(OCCLUDERS)))](scene, rng)
    return scene.finish(
        light=rng.uniform(0.86, 1.14),
        warmth=rng.uniform(-0.08, 0.08),
        contrast=rng.uniform(0.85, 1.15),
        grain=rng.uniform(0.015, 0.07),
        defocus=rng.uniform(0, 2.0),
    )


FAMILY = Family(name="mini_cars", kind="car", variants=VARIANTS, classes=CLASSES, draw=draw)
