"""``mini_aircraft``: passenger jets in the air and on the apron, drawn in three-quarter view.

Aircraft, airlines and names are made up. Five small parts decide the class: fin, tailplane and
rear engine, which crowd together at the tail, and wing tip and nose, which lie apart. Livery,
place, size, attitude, viewpoint, weather, airport and what stands in front are chance.

The aircraft looks to the left, nose at x = -1, tail at x = 1. A point also has a span ``z``,
positive towards the viewer; :meth:`Look.at` lays it into the picture plane as this picture's
viewpoint asks. No drawing of a variant uses randomness: pictures of one seed differ only where the
variants do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gholm_kit.drawn.family import Family, Traits
from gholm_kit.drawn.scene import Colour, Point, Scene, Shape, lighter, mix, smooth_curve

VARIANTS = {
    "fin": ("swept", "filleted", "squared", "rounded"),
    "tailplane": ("low", "cross", "tee", "end_plates"),
    "rear_engine": ("none", "pod", "long_ringed", "fin_root_intake"),
    "wing_tip": ("plain", "winglet", "tank"),
    "nose": ("round", "needle", "droop"),
    "wing_engine": ("single", "twin", "slim"),
    "wing": ("tapered", "kinked", "fairings"),
    "gear": ("pair", "bogie", "tall"),
    "cabin_windows": ("ovals", "band", "panes", "double_row"),
    "cargo_door": ("forward", "aft", "wide"),
    "hump": ("none", "blade", "dome"),
}

CLASSES = {
    "Corvane Meridian": {"rear_engine": "fin_root_intake"},
    "Corvane Doublet": {"tailplane": "end_plates"},
    "Haldren Courier": {"fin": "filleted", "rear_engine": "long_ringed"},
    "Haldren Highmark": {"fin": "filleted", "tailplane": "tee"},
    "Ostrand Lancet": {"fin": "squared", "nose": "needle"},
    "Ostrand Pennon": {"fin": "squared", "wing_tip": "winglet"},
    "Brightwater Tern": {"fin": "squared", "tailplane": "cross", "rear_engine": "pod"},
    "Brightwater Gannet": {"fin": "squared", "tailplane": "tee", "rear_engine": "fin_root_intake"},
    "Brightwater Skua": {"fin": "squared", "tailplane": "end_plates", "rear_engine": "long_ringed"},
    "Velmarin Sprite": {"fin": "rounded", "rear_engine": "pod"},
    "Velmarin Traverse": {"fin": "rounded", "tailplane": "cross"},
}


def _palette(codes: str) -> list[Colour]:
    """Colours from hexadecimal codes such as ``"ff8000 0a0b0c"``."""
    return [tuple(v / 255 for v in bytes.fromhex(code)) for code in codes.split()]


def _outline(numbers: str) -> np.ndarray:
    """Points (n, 2) from a text ``"x y, x y, ..."``."""
    return np.array(numbers.replace(",", " ").split(), float).reshape(-1, 2)


SILVER, CHROME, DARK, SMOKE, GLASS, RING, GOLD = _palette("ccd1d9 ecedf0 1a1c24 4d525c 1a2433 fabd1a dbb838")
BODIES = _palette("f5f5f2 dbe0e8 ede3c7 9ec7e6 f0cc57 8cb399 d68576 667aa3")
BODY_CHANCE = (0.3, 0.14, 0.12, 0.1, 0.08, 0.1, 0.08, 0.08)
ACCENTS = _palette("c21a24 143385 0a6b57 701f75 db5c0f 1a1f33 0a759e 66381f")
SKIES = [_palette(s) for s in ("4d85d6 bddbf2", "759ed1 e6ebed", "8f99a8 ccd1d4", "57669e fab875",
                               "9e7594 fcd18f", "3366a8 99cce0")]  # fmt: skip


@dataclass(frozen=True)
class Look:
    """One picture's chance: viewpoint and livery. Never depends on the class."""

    lean: float  # shift along x of one unit of span (seen from ahead or from behind)
    drop: float  # shift along y of one unit of span (seen from above)
    grounded: bool
    wheels: bool  # landing gear out
    high: bool  # above the clouds
    body: Colour
    belly: Colour
    accent: Colour
    second: Colour
    metal: Colour
    radome: Colour
    stripe: int
    emblem: int

    def at(self, x: float, y: float, z: float) -> Point:
        """The object coordinates of a point with span ``z``."""
        return (x + self.lean * z, y + self.drop * z)


def _look(rng: np.random.Generator) -> Look:
    shade = rng.normal(0, 0.02, 3)
    body = tuple(np.clip(BODIES[rng.choice(8, p=BODY_CHANCE)] + shade, 0, 1))
    accent, second = (ACCENTS[k] for k in rng.permutation(8)[:2])
    metal = lighter(SILVER, float(rng.uniform(-0.22, -0.02)))
    grounded = bool(rng.random() < 0.45)
    wheels = grounded or bool(rng.random() < 0.25)
    return Look(
        lean=float(rng.uniform(-0.22, 0.30)),
        drop=float(rng.uniform(0.36, 0.46 if grounded else 0.56)),
        grounded=grounded,
        wheels=wheels,
        high=bool(rng.random() < 0.55) and not wheels,
        body=body,
        belly=(lighter(body, -0.1), SILVER, lighter(SMOKE, 0.3), second)[rng.integers(4)],
        accent=accent,
        second=second,
        metal=metal,
        radome=(lighter(body, -0.08), SMOKE, SILVER)[rng.integers(3)],
        stripe=int(rng.integers(4)),
        emblem=int(rng.integers(4)),
    )


def _place(scene: Scene, look: Look) -> None:
    """Set the pose so that the whole aircraft fits into the picture."""
    rng = scene.rng
    squash, width = float(rng.uniform(0.78, 0.95)), float(rng.uniform(0.62, 0.86))
    tilt = rng.normal(0, 1.5) if look.grounded else np.clip(rng.normal(7, 8), -12, 22)
    flip = bool(rng.random() < 0.5)
    stretch, shear = (squash, float(rng.uniform(0.94, 1.06))), float(rng.uniform(-0.10, 0.10))
    pose = {"angle": -tilt if flip else tilt, "flip": flip, "squash": stretch, "shear": shear}
    scale = width / (2.05 * squash)
    scene.pose(scale, centre=(0, 0), **pose)
    corners = [(-1.17, 0.05), (1.03, -0.54), (0.8, -0.54), (1.06, 0.0)]
    corners += [look.at(0.35, 0.06, 0.95), look.at(0.3, 0.04, -0.6)]
    corners += [(-0.7, 0.42), (0.1, 0.5)] if look.wheels else []
    box = scene.to_pixels(corners) / scene.size
    shrink = min(1.0, 0.97 / float(np.ptp(box, axis=0).max()))
    low, high = box.min(0) * shrink, box.max(0) * shrink
    move = (rng.random(2) - 0.5) * (0.97 - (high - low)) * 0.95
    if look.grounded:
        move[1] = abs(move[1])
    scene.pose(scale * shrink, centre=tuple(0.5 + move - (low + high) / 2), **pose)


# ---------------------------------------------------------------------- background


def _rect(x: float, y: float, w: float, h: float) -> list[Point]:
    return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]


def _oval(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


def _sky(scene: Scene, low: float) -> Colour:
    """Sky with clouds down to row ``low``; returns the colour of the haze at the horizon."""
    rng = scene.rng
    top, bottom = SKIES[rng.integers(len(SKIES))]
    scene.backdrop(top, bottom)
    cloud = mix(bottom, (1, 1, 1), float(rng.uniform(0.2, 0.9)))
    strength = float(rng.uniform(0.15, 0.6))
    scene.mottle([top, mix(top, bottom, 0.6), cloud], (3, 6)[rng.integers(2)], strength, (0, low))
    if rng.random() < 0.3:
        x, y, r = rng.uniform(0.1, 0.9), rng.uniform(0.1, low), rng.uniform(0.03, 0.06)
        for grow, opacity in ((3.2, 0.2), (2.0, 0.3), (1.0, 0.9)):
            scene.behind(_oval(x, y, r * grow, r * grow), (1.0, 0.95, 0.78), opacity=opacity)
    for _ in range(rng.integers(0, 4)):
        _cumulus(scene, cloud, rng.uniform(0, 1), rng.uniform(0.08, low), rng.uniform(0.5, 1.3))
    return bottom


def _cumulus(scene: Scene, cloud: Colour, x: float, y: float, size: float) -> None:
    """A heap of puffs over a flat, greyer foot."""
    foot = _oval(x, y + 0.012, 0.20 * size, 0.022 * size)
    scene.behind(foot, lighter(cloud, -0.2), opacity=0.5)
    for dx in np.linspace(-0.15, 0.15, 7) + scene.rng.normal(0, 0.012, 7):
        r = (0.075 - 0.3 * abs(dx)) * scene.rng.uniform(0.6, 1.1) * size
        puff = _oval(x + dx * size, y - 0.5 * r, 1.3 * r, r)
        scene.behind(puff, lighter(cloud, 0.35), opacity=0.55)


def _ridge(scene: Scene, base: float, height: float, colour: Colour) -> None:
    """Hills or tree tops: a rough line ``height`` above row ``base``, filled to the bottom."""
    rough = np.convolve(scene.rng.normal(0, 1, 28), np.ones(5) / 3, "valid")
    line = np.stack([np.linspace(-0.02, 1.02, 24), base - height * (0.6 + 0.4 * rough)], 1)
    scene.behind([*line, (1.02, 1.02), (-0.02, 1.02)], colour)


def _cloud_sea(scene: Scene) -> None:
    top = float(scene.rng.uniform(0.62, 0.85))
    haze = _sky(scene, 0.7)
    white = mix(haze, (1, 1, 1), 0.6)
    _ridge(scene, top, 0.05, mix(haze, white, 0.6))
    scene.mottle([mix(haze, SMOKE, 0.35), white, (1, 1, 1)], 6, 0.8, (top, 1))
    _ridge(scene, top + 0.14, 0.05, lighter(white, -0.06))
    scene.blur(2.0)


def _country(scene: Scene) -> None:
    rng = scene.rng
    base = float(rng.uniform(0.66, 0.9))
    haze = _sky(scene, base)
    green = mix((0.20, 0.32, 0.16), (0.48, 0.42, 0.24), float(rng.random()))
    _ridge(scene, base, 0.12, mix(haze, (0.34, 0.42, 0.56), 0.5))
    _ridge(scene, base + 0.04, 0.06, mix(haze, green, 0.6))
    scene.mottle([lighter(green, -0.3), green, lighter(green, 0.3)], 12, 0.85, (base + 0.05, 1))
    for _ in range(rng.integers(0, 9)):  # a town
        x, w, h = rng.uniform(0, 1), rng.uniform(0.02, 0.05), rng.uniform(0.03, 0.13)
        wall = mix(haze, (0.36, 0.36, 0.42), float(rng.uniform(0.3, 0.8)))
        scene.behind(_rect(x, base + 0.06 - h, w, h), wall)
    scene.blur(float(rng.uniform(0.8, 1.8)))


def _airport(scene: Scene) -> None:
    """Apron with terminal, hangar or tower, parked aircraft and paint on the ground."""
    rng = scene.rng
    base = float(scene.to_pixels([(-0.1, 0.40)])[0, 1] / scene.size - rng.uniform(0.10, 0.24))
    haze = _sky(scene, base)
    _ridge(scene, base - 0.02, rng.uniform(0.04, 0.16), mix(haze, (0.36, 0.44, 0.56), 0.55))
    _ridge(scene, base, 0.03, mix(haze, (0.16, 0.26, 0.16), 0.75))
    for building in rng.permutation(4)[: rng.integers(1, 4)]:
        (_terminal, _hangar, _tower, _parked)[building](scene, base, haze)
    scene.blur(float(rng.uniform(0.8, 1.5)))
    grey = lighter((0.50, 0.50, 0.50), float(rng.uniform(-0.35, 0.25)))
    scene.behind(_rect(0, base, 1, 1 - base), mix(grey, haze, 0.35), gradient=grey)
    scene.mottle([lighter(grey, -0.15), grey, lighter(grey, 0.2)], 12, 0.45, (base + 0.01, 1))
    if rng.random() < 0.4:
        scene.behind(_rect(0, base, 1, rng.uniform(0.02, 0.06)), (0.34, 0.44, 0.22))
    slope, paint = rng.uniform(-0.25, 0.25), (GOLD, CHROME)[rng.integers(2)]
    for _ in range(rng.integers(1, 4)):
        y, w = rng.uniform(base + 0.06, 1), rng.uniform(0.006, 0.014)
        line = np.array([(0, y), (1, y + slope), (1, y + slope + w), (0, y + w)])
        scene.behind(np.maximum(line, (0, base)), paint, opacity=0.7)


def _terminal(scene: Scene, base: float, haze: Colour) -> None:
    rng = scene.rng
    x, w, h = rng.uniform(-0.2, 0.5), rng.uniform(0.4, 0.8), rng.uniform(0.08, 0.16)
    wall = mix(haze, BODIES[rng.integers(4)], 0.6)
    scene.behind(_rect(x, base - h, w, h), lighter(wall, -0.2))
    scene.behind(_rect(x - 0.02, base - h - 0.02, w + 0.04, 0.025), lighter(wall, 0.2))
    for k in range(int(w / 0.08)):
        scene.behind(_rect(x + 0.015 + 0.08 * k, base - 0.8 * h, 0.06, 0.4 * h), (0.24, 0.36, 0.46))


def _hangar(scene: Scene, base: float, haze: Colour) -> None:
    rng = scene.rng
    x, w, h = rng.uniform(-0.1, 0.8), rng.uniform(0.25, 0.45), rng.uniform(0.10, 0.2)
    wall = mix(haze, ACCENTS[rng.integers(8)], 0.35)
    roof = np.minimum(_oval(x + w / 2, base - 0.5 * h, w / 2, 0.5 * h), (9, base - 0.5 * h))
    scene.behind(roof, wall)
    scene.behind(_rect(x, base - 0.5 * h, w, 0.5 * h), wall)
    scene.behind(_rect(x + 0.12 * w, base - 0.6 * h, 0.76 * w, 0.6 * h), lighter(wall, -0.5))


def _tower(scene: Scene, base: float, haze: Colour) -> None:
    x, h = scene.rng.uniform(0.05, 0.95), scene.rng.uniform(0.25, 0.4)
    wall, top = mix(haze, (0.6, 0.58, 0.54), 0.7), base - h
    scene.behind(_rect(x - 0.015, top, 0.03, h), wall)
    cab = [(x - 0.05, top - 0.06), (x + 0.05, top - 0.06), (x + 0.03, top), (x - 0.03, top)]
    scene.behind(cab, (0.26, 0.36, 0.42))
    scene.behind(_rect(x - 0.055, top - 0.075, 0.11, 0.018), wall)


def _parked(scene: Scene, base: float, haze: Colour) -> None:
    """Other aircraft, far off."""
    rng = scene.rng
    hull = _outline("-1 -0.3, -0.8 -0.44, 1 -0.4, 0 -0.16")
    fin = _outline("0.6 -0.4, 0.9 -0.85, 1.05 -0.85, 1 -0.3")
    for _ in range(rng.integers(1, 4)):
        size = rng.uniform(0.06, 0.12) * np.array([rng.choice([-1, 1]), 1])
        at = np.array([rng.uniform(0.05, 0.95), base])
        scene.behind(at + fin * size, ACCENTS[rng.integers(8)])
        scene.behind(at + hull * size, mix(haze, (0.95, 0.95, 0.95), 0.7))


def _ground_shadow(scene: Scene, look: Look) -> None:
    style = {"solid": False, "opacity": 0.28}
    scene.ellipse((0.05, 0.42), (0.95, 0.07), DARK, **style)
    scene.ellipse((0.05, 0.42), (0.85, 0.045), DARK, **style)
    tips = [look.at(0.2, 0.42, 0.9), look.at(0.3, 0.42, 0.9)]
    scene.polygon([(-0.25, 0.42), *tips, (0.3, 0.42)], DARK, **style)


# ---------------------------------------------------------------------- the aircraft

HULL = _outline(
    "-0.92 0.02, -0.88 -0.08, -0.79 -0.137, -0.68 -0.178, -0.5 -0.2, 0 -0.205, 0.45 -0.195,"
    "0.8 -0.15, 1.02 -0.085, 1.04 -0.05, 0.98 -0.02, 0.78 0.05, 0.5 0.13, 0.25 0.18, -0.1 0.195,"
    "-0.55 0.195, -0.7 0.178, -0.79 0.15, -0.88 0.1"
)
BELLY = _outline("-0.9 0.1, -0.3 0.085, 0.4 0.06, 1.05 -0.06, 1.05 0.3, -0.9 0.3")
KEEL = _outline("-0.9 0.15, 0.3 0.13, 1.05 -0.03, 1 0.3, -0.9 0.3")
TAIL_PAINT = _outline("0.35 0.3, 0.5 0.02, 0.8 -0.25, 1.2 -0.25, 1.2 0.3")


def _line(scene: Scene, points, width: float, colour: Colour, **style) -> Shape:
    """A stroke with straight pieces."""
    return scene.stroke(points, width, colour, smooth=False, **style)


def _hull(scene: Scene, look: Look) -> None:
    # Few steps: many short edges would come out stepped.
    hull = scene.polygon(smooth_curve(HULL, steps=2), look.body, round=0.75)
    scene.polygon(BELLY, look.belly, clip=hull, opacity=0.85)
    scene.polygon(KEEL, DARK, clip=hull, opacity=0.28)
    shine = [(-0.8, -0.135), (-0.2, -0.155), (0.6, -0.14)]
    _line(scene, shine, 0.035, (1, 1, 1), clip=hull, opacity=0.35)
    if look.stripe in (1, 2):
        _line(scene, [(-0.95, 0.05), (0.3, 0.04), (1.1, -0.065)], 0.04, look.accent, clip=hull)
    if look.stripe == 2:
        _line(scene, [(-0.95, 0.1), (0.3, 0.09), (1.1, -0.04)], 0.025, look.second, clip=hull)
    if look.stripe == 3:
        scene.polygon(TAIL_PAINT, look.accent, clip=hull, opacity=0.9)
    scene.polygon(_outline("-0.79 -0.118, -0.67 -0.135, -0.63 -0.075, -0.76 -0.065"), GLASS)
    _line(scene, [(-0.725, -0.13), (-0.705, -0.07)], 0.012, look.body)
    for x in (-0.61, 0.53):
        _line(scene, [(x, -0.1), (x, 0.03)], 0.045, lighter(look.body, -0.45))
        _line(scene, [(x, -0.095), (x, 0.025)], 0.032, look.body)


def _cabin_windows(scene: Scene, variant: str) -> None:
    part = "cabin_windows"
    if variant == "band":
        _line(scene, [(-0.52, -0.05), (0.48, -0.05)], 0.04, GLASS, part=part)
        return
    step, width, height = (0.085, 0.052, 0.048) if variant == "panes" else (0.055, 0.026, 0.04)
    corner = _outline("-0.5 -0.2, -0.2 -0.5, 0.2 -0.5, 0.5 -0.2, 0.5 0.2, 0.2 0.5, -0.2 0.5, -0.5 0.2")
    for x in np.arange(-0.52, 0.5, step):
        for y in (-0.05, -0.115) if variant == "double_row" else (-0.05,):
            scene.polygon((x, y) + corner * (width, height), GLASS, part=part)


def _cargo_door(scene: Scene, look: Look, variant: str) -> None:
    x, width = {"forward": (-0.56, 0.10), "aft": (0.36, 0.09), "wide": (-0.50, 0.20)}[variant]
    door = _rect(x, 0.03, width, 0.105)
    scene.polygon(door, lighter(look.belly, 0.25), part="cargo_door")
    _line(scene, [*door, door[0]], 0.01, SMOKE, part="cargo_door")


def _hump(scene: Scene, look: Look, variant: str) -> None:
    if variant == "blade":
        blade = _outline("-0.36 -0.19, -0.30 -0.275, -0.24 -0.275, -0.25 -0.19")
        scene.polygon(blade, SMOKE, part="hump")
    elif variant == "dome":
        scene.ellipse((-0.28, -0.2), (0.16, 0.06), look.metal, round=0.5, part="hump")


def _gear(scene: Scene, look: Look, variant: str) -> None:
    offsets, radius = {
        "pair": ((-0.03, 0.03), 0.04),
        "bogie": ((-0.06, 0.0, 0.06), 0.036),
        "tall": ((0.0,), 0.055),
    }[variant]
    for x, z, size in ((-0.66, 0.0, 0.75), (0.14, -0.16, 1.0), (0.10, 0.16, 1.0)):
        foot = look.at(x, 0.37, z)
        _line(scene, [look.at(x, 0.14, z), foot], 0.03, SMOKE, part="gear")
        for dx in offsets if z else (0.0,):
            hub, r = (foot[0] + dx, foot[1]), radius * size
            scene.ellipse(hub, (r, r), DARK, part="gear")
            scene.ellipse(hub, (0.4 * r, 0.4 * r), SILVER, part="gear")


NACELLE = _outline("0 -1, 0.3 -1.1, 1 -0.55, 1 0.55, 0.3 1.1, 0 1")


def _nacelle(scene: Scene, mouth: Point, length: float, radius: float, colour: Colour, part: str) -> Shape:
    """An engine seen from the side, its mouth to the left; returns its shell's shape."""
    (x, y), end = mouth, mouth[0] + length
    scene.stroke([(end - 0.02, y), (end + 0.05, y)], (radius, 0.4 * radius), SMOKE, part=part)
    shell = scene.polygon((x, y) + NACELLE * (length, radius), colour, round=0.9, part=part)
    scene.ellipse(mouth, (0.42 * radius, 1.02 * radius), CHROME, part=part)
    scene.ellipse(mouth, (0.30 * radius, 0.80 * radius), DARK, part=part)
    return shell


def _wing_engine(scene: Scene, look: Look, variant: str, side: int) -> None:
    length, radius = {"single": (0.34, 0.085), "twin": (0.28, 0.065), "slim": (0.42, 0.05)}[variant]
    colour = lighter(look.second if look.emblem % 2 else look.metal, 0.1)
    for z in (0.30, 0.56) if variant == "twin" else (0.42,):
        mouth = look.at(-0.30 + 0.5 * (z - 0.3), 0.165 - 0.08 * z, z * side)
        _nacelle(scene, mouth, length, radius, colour, "wing_engine")


def _wing(scene: Scene, look: Look, variant: str, side: int) -> None:
    """One wing, ``side`` 1 the viewer's, -1 the far one. The near tip is a part of its own."""
    part, span = "wing", 0.82 if side > 0 else 0.62
    colour = look.metal if side > 0 else lighter(look.metal, -0.25)

    def at(x: float, z: float) -> Point:
        return look.at(x, 0.08 - 0.08 * z, z * side)

    kink = [at(0.30, 0.34)] if variant == "kinked" else []
    outline = [at(-0.30, 0.08), at(0.165, span), at(0.37, span), *kink, at(0.28, 0.08)]
    style = {"round": 0.35, "gradient": lighter(colour, -0.22), "part": part}
    plate = scene.polygon(outline, colour, **style)
    _line(scene, outline[:2], 0.022, CHROME, part=part)
    _line(scene, [at(0.22, 0.1), at(0.33, span)], 0.012, SMOKE, clip=plate, part=part)
    for z in (0.3, 0.5, 0.68) if variant == "fairings" else ():
        scene.ellipse(at(0.33 + 0.02 * z, z), (0.09, 0.022), lighter(colour, -0.35), part=part)


# ---------------------------------------------------------------------- the parts that decide

FINS = {
    "swept": _outline("0.59 -0.15, 0.83 -0.5, 0.99 -0.5, 0.97 -0.09"),
    "filleted": _outline("0.4 -0.17, 0.54 -0.225, 0.66 -0.3, 0.83 -0.5, 0.99 -0.5, 0.97 -0.09"),
    "squared": _outline("0.64 -0.15, 0.65 -0.51, 1.02 -0.51, 0.99 -0.09"),
    "rounded": _outline(
        "0.6 -0.13, 0.56 -0.31, 0.65 -0.46, 0.84 -0.53, 1.0 -0.46, 1.07 -0.29, 0.98 -0.1, 0.78 -0.09"
    ),
}
TAILS = {
    "low": (0.68, -0.11),
    "end_plates": (0.68, -0.11),
    "cross": (0.72, -0.3),
    "tee": (0.72, -0.475),
}
TAIL_SPAN = 0.27
NOSES = {
    "round": "-0.88 -0.11, -0.95 -0.055, -0.985 0.02, -0.955 0.085, -0.88 0.13",
    "needle": "-0.92 -0.085, -1.2 0.005, -1.22 0.02, -0.92 0.095",
    "droop": "-0.94 -0.06, -1.1 0.16, -1.1 0.2, -0.94 0.15",
}
NOSES = {k: _outline(f"-0.79 -0.14, {v}, -0.79 0.153, -0.765 0") for k, v in NOSES.items()}
DUCT = _outline("0.46 -0.33, 0.6 -0.335, 0.78 -0.25, 0.84 -0.15, 0.5 -0.16")
BLADE = _outline("-0.08 0, 0.09 -0.22, 0.18 -0.22, 0.14 0.01, -0.08 0")


def _fin(scene: Scene, look: Look, variant: str) -> None:
    soft, part = variant == "rounded", "fin"
    shape = scene.polygon(FINS[variant], look.accent, smooth=soft, round=0.4, part=part)
    if look.emblem == 1:
        scene.ellipse((0.84, -0.36), (0.07, 0.07), lighter(look.body, 0.3), clip=shape, part=part)
    elif look.emblem == 2:
        _line(scene, [(0.4, -0.3), (1.2, -0.38)], 0.06, look.second, clip=shape, part=part)
    elif look.emblem == 3:
        _line(scene, [(0.4, -0.13), (1.2, -0.17)], 0.11, look.body, clip=shape, part=part)
    front = FINS[variant][:4] if soft else FINS[variant][:-1]
    scene.stroke(front, 0.02, CHROME, smooth=soft, part=part)
    _line(scene, [(0.92, -0.52), (0.9, -0.12)], 0.012, DARK, clip=shape, opacity=0.6, part=part)


def _tailplane(scene: Scene, look: Look, variant: str, side: int) -> None:
    """One half of the tailplane, ``side`` as for the wing."""
    (x, y), z, part = TAILS[variant], TAIL_SPAN * side, "tailplane"
    root = 0.08 * side if y > -0.2 else 0.0
    colour = look.metal if side > 0 else lighter(look.metal, -0.2)
    front, tip = look.at(x, y, root), look.at(x + 0.13, y, z)
    back, end = look.at(x + 0.28, y, root), look.at(x + 0.29, y, z)
    plate = scene.polygon([front, tip, end, back], colour, gradient=lighter(colour, -0.2), part=part)
    _line(scene, [end, back], 0.09, SMOKE, clip=plate, part=part)
    _line(scene, [front, tip], 0.02, CHROME, part=part)
    if variant == "end_plates":
        middle = look.at(x + 0.21, y, z)
        scene.ellipse(middle, (0.08, 0.12), CHROME, part=part)
        scene.ellipse(middle, (0.062, 0.102), look.accent, round=0.4, part=part)
    if variant in ("cross", "tee") and side > 0:
        scene.ellipse((x + 0.14, y), (0.17, 0.03), CHROME, round=0.5, part=part)


def _rear_engine(scene: Scene, look: Look, variant: str) -> None:
    part, colour, (x, y) = "rear_engine", lighter(look.metal, -0.1), look.at(0.42, -0.13, 0.24)
    if variant in ("pod", "long_ringed"):
        scene.polygon([(0.5, -0.13), (0.66, -0.13), (x + 0.26, y), (x + 0.08, y)], SMOKE, part=part)
    if variant == "pod":
        _nacelle(scene, (x + 0.01, y), 0.24, 0.1, lighter(SMOKE, -0.35), part)
    elif variant == "long_ringed":
        shell = _nacelle(scene, (x - 0.03, y), 0.36, 0.068, colour, part)
        for width, paint in ((0.11, DARK), (0.07, RING)):
            _line(scene, [(x + 0.1, y - 0.1), (x + 0.1, y + 0.1)], width, paint, clip=shell, part=part)
    elif variant == "fin_root_intake":
        scene.polygon(DUCT, colour, round=0.9, part=part)
        scene.ellipse((0.46, -0.25), (0.046, 0.09), CHROME, part=part)
        scene.ellipse((0.46, -0.25), (0.033, 0.07), DARK, part=part)


def _wing_tip(scene: Scene, look: Look, variant: str) -> None:
    part, y = "wing_tip", 0.02
    inner, outer = look.at(0.14, y, 0.78), look.at(0.37, y, 0.78)
    end = [look.at(0.39, y, 0.95), look.at(0.36, y, 0.97), look.at(0.27, y, 0.94)]
    scene.polygon([inner, outer, *end], lighter(look.metal, -0.12), part=part)
    _line(scene, [inner, end[2]], 0.022, CHROME, part=part)
    if variant == "winglet":
        scene.polygon(outer + BLADE, look.accent, round=0.3, part=part)
        _line(scene, outer + BLADE, 0.018, CHROME, part=part)
    elif variant == "tank":
        scene.ellipse((outer[0] + 0.01, outer[1]), (0.15, 0.045), RING, round=0.8, part=part)


def _nose(scene: Scene, look: Look, variant: str) -> None:
    scene.polygon(smooth_curve(NOSES[variant], steps=3), look.radome, round=0.7, part="nose")


def _regions(scene: Scene, look: Look) -> None:
    """A disc for each deciding part, from the outlines of all its variants."""
    sides = (-TAIL_SPAN, TAIL_SPAN)
    tail = [look.at(x + d, y, z) for x, y in TAILS.values() for z in sides for d in (0.13, 0.29)]
    rim = _oval(0.89, -0.11, 0.08, 0.12)[::3]
    tail += [look.at(x, y, z) for x, y in rim for z in sides]
    pod = np.array(look.at(0.42, -0.13, 0.24)) + _outline(
        "0.0 -0.11, -0.06 -0.05, -0.06 0.05, 0.0 0.11, 0.1 0.115, 0.31 0.06, 0.39 0, 0.31 -0.06, 0.1 -0.115"
    )
    tip = np.array(look.at(0.37, 0.02, 0.78))
    wing_end = [look.at(0.14, 0.02, 0.78), look.at(0.39, 0.02, 0.98), look.at(0.27, 0.02, 0.96)]
    tank = _oval(tip[0] + 0.01, tip[1], 0.15, 0.045)
    _disc(scene, "fin", np.concatenate(list(FINS.values())))
    _disc(scene, "tailplane", [*tail, (0.67, -0.12), (0.71, -0.3), (0.72, -0.475), (0.72, -0.5)])
    _disc(scene, "rear_engine", [*pod, *DUCT, (0.41, -0.25), (0.45, -0.345)])
    _disc(scene, "wing_tip", [*wing_end, *(tip + 1.08 * BLADE), *tank])
    _disc(scene, "nose", np.concatenate([smooth_curve(nose, steps=3) for nose in NOSES.values()]))


def _disc(scene: Scene, part: str, points) -> None:
    """Declare a small disc around ``points``, whatever squash and shear the pose has."""
    pixels = scene.to_pixels(points)
    low, high = pixels.min(0), pixels.max(0)
    t = np.linspace(0.2, 0.8, 13)
    tries = np.stack(np.meshgrid(t, t), -1).reshape(-1, 1, 2) * (high - low) + low
    reach = np.linalg.norm(tries - pixels, axis=2).max(1)
    pixel = tries[reach.argmin(), 0]
    centre = np.linalg.solve(scene.matrix[:, :2], pixel - scene.matrix[:, 2])
    scene.region(part, tuple(centre), float((reach.min() + 2) / scene.unit))


# ---------------------------------------------------------------------- in front


def _occluder(scene: Scene, look: Look) -> None:
    kinds = (_branch, _post, _tug, _railing) if look.grounded else (_branch, _post, _cables)
    kind = _wisp if look.high else kinds[scene.rng.integers(len(kinds))]
    kind(scene, float(scene.rng.uniform(0.1, 0.9)))


def _row_of(scene: Scene, y: float) -> float:
    """The picture row (0..1) of a height ``y`` of the aircraft, kept in the picture."""
    return float(np.clip(scene.to_pixels([(0, y)])[0, 1] / scene.size, 0.3, 0.93))


def _wisp(scene: Scene, x: float) -> None:
    """A shred of cloud."""
    rng, white = scene.rng, (0.97, 0.97, 0.98)
    y = _row_of(scene, 0.25) + rng.normal(0, 0.02, 7)
    x = x + np.linspace(-0.16, 0.16, 7)
    r = rng.uniform(0.025, 0.05, 7)
    for grow in (1.5, 1.25):
        for k in range(7):
            scene.behind(_oval(x[k], y[k], 1.5 * grow * r[k], 0.7 * grow * r[k]), white, opacity=0.25)
    for k in range(7):
        scene.cover(_oval(x[k], y[k], 1.5 * r[k], 0.7 * r[k]), white, opacity=0.6)


def _post(scene: Scene, x: float) -> None:
    w, top = scene.rng.uniform(0.012, 0.024), scene.rng.uniform(0.0, 0.3)
    grey = lighter(SMOKE, float(scene.rng.uniform(-0.3, 0.4)))
    scene.cover(_rect(x, top, w, 1 - top), grey)
    scene.cover(_rect(x - 0.06, top, w + 0.12, 0.02), grey)


def _cables(scene: Scene, x: float) -> None:
    for y in (x, x + 0.05):
        scene.cover([(0, y), (1, y + 0.1), (1, y + 0.106), (0, y + 0.006)], DARK)


def _railing(scene: Scene, x: float) -> None:
    """The rail of a visitors' terrace."""
    y, steel = _row_of(scene, 0.34), lighter(SMOKE, float(scene.rng.uniform(-0.4, 0.4)))
    for top in (y, y + 0.08):
        scene.cover(_rect(0, top, 1, 0.014), steel)
    for k in np.arange(x - 0.9, 1, 0.3):
        scene.cover(_rect(k, y, 0.014, 1 - y), steel)


def _branch(scene: Scene, x: float) -> None:
    """Leaves that reach into the picture from one side."""
    rng = scene.rng
    side, y = int(x > 0.5), float(rng.uniform(0.3, 0.8))
    green = mix((0.10, 0.24, 0.08), (0.34, 0.42, 0.14), float(rng.random()))
    for reach in np.linspace(0.02, 0.28, 9):
        at = np.array([abs(side - reach), y - 0.15 * reach + rng.normal(0, 0.025)])
        a = rng.uniform(0, np.pi)
        along = np.array([np.cos(a), np.sin(a)]) * rng.uniform(0.03, 0.055)
        across = 0.4 * along[::-1] * (-1, 1)
        leaf = [at - along, at + across, at + along, at - across]
        scene.cover(leaf, lighter(green, float(rng.uniform(-0.2, 0.3))), smooth=True)


def _tug(scene: Scene, x: float) -> None:
    """A baggage tractor that stands before the aircraft."""
    y, paint = _row_of(scene, 0.5), ACCENTS[scene.rng.integers(8)]
    scene.cover(_rect(x, y - 0.05, 0.13, 0.05), paint)
    scene.cover(_rect(x + 0.075, y - 0.1, 0.05, 0.05), SMOKE)
    for wheel in (x + 0.03, x + 0.10):
        scene.cover(_oval(wheel, y, 0.02, 0.02), DARK)


def draw(scene: Scene, traits: Traits) -> np.ndarray:
    """One whole picture, (H, W, 3) uint8 RGB."""
    rng = scene.rng
    look = _look(rng)
    scene.light = np.array([rng.uniform(-0.7, 0.7), -0.8])
    _place(scene, look)
    if look.grounded:
        _airport(scene)
        _ground_shadow(scene, look)
    else:
        (_cloud_sea if look.high else _country)(scene)
    _regions(scene, look)
    for side in (-1, 1):  # what lies on the far side, then the body, then the near side
        if side > 0:
            _fin(scene, look, traits["fin"])
            _hump(scene, look, traits["hump"])
            if look.wheels:
                _gear(scene, look, traits["gear"])
            _hull(scene, look)
            _cabin_windows(scene, traits["cabin_windows"])
            _cargo_door(scene, look, traits["cargo_door"])
            _nose(scene, look, traits["nose"])
        _tailplane(scene, look, traits["tailplane"], side)
        if side > 0:
            _rear_engine(scene, look, traits["rear_engine"])
        _wing_engine(scene, look, traits["wing_engine"], side)
        _wing(scene, look, traits["wing"], side)
    _wing_tip(scene, look, traits["wing_tip"])
    if rng.random() < 0.38:
        _occluder(scene, look)
    return scene.finish(
        light=float(rng.uniform(0.82, 1.12)),
        warmth=float(rng.normal(0, 0.035)),
        contrast=float(rng.uniform(0.82, 1.12)),
        grain=float(rng.uniform(0.008, 0.03)),
        defocus=float(rng.uniform(0, 1.0)),
    )


FAMILY = Family("mini_aircraft", "aircraft", variants=VARIANTS, classes=CLASSES, draw=draw)
