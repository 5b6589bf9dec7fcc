"""The drawing engine of the mini families: one picture, drawn with shading, and its exact ground truth.

A :class:`Scene` is a canvas on which a family module (``birds.py``, ``cars.py`` ...) draws a background,
one posed object and things in front of it. Whatever is drawn with ``part="beak"`` is remembered pixel by
pixel, so box, part points and part masks are known exactly, after occlusion.

Coordinates are *object* coordinates: x to the right, y down, the object about 2 units long around the
origin. ``scene.pose`` sets where the object stands in the picture; ``scene.local`` moves a group of shapes
(a head on a neck). All randomness comes from ``scene.rng``, so a seed gives the same picture everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

SIZE = 224  # pixels, height and width of a mini picture
BACKGROUND, BODY, FIRST_PART = 0, 1, 2  # codes of the part map
_SHIFT = 4  # OpenCV draws polygons in 1/16 pixel

Point = tuple[float, float]
Colour = tuple[float, float, float]  # red, green, blue in 0..1


@dataclass(frozen=True)
class Shape:
    """Coverage of one drawn shape: ``alpha`` (h, w) uint8 at offset ``x, y`` of the picture."""

    x: int
    y: int
    alpha: np.ndarray


@dataclass
class GroundTruth:
    """What a picture holds. Points and boxes in pixels; masks as one map of part codes."""

    part_map: np.ndarray  # (H, W) uint8: 0 background, 1 object, 2 + k = part k; visible pixels only
    box: tuple[int, int, int, int]  # x0, y0, x1, y1, half open, of the visible object
    points: dict[str, Point | None]  # centre of each part's visible pixels, None when hidden
    regions: dict[
        str, tuple[float, float, float]
    ]  # x, y, radius: a disc that holds every variant of the part


@lru_cache(maxsize=64)
def noise(seed: int, cells: int, size: int = 2 * SIZE) -> np.ndarray:
    """Smooth noise in 0..1, (size, size) float32, with features of about ``size / cells`` pixels."""
    grid = np.random.default_rng(seed).random((cells + 3, cells + 3), dtype=np.float32)
    big = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(big, 0, 1)


@lru_cache(maxsize=64)
def fractal(seed: int, cells: int, octaves: int = 4, size: int = 2 * SIZE) -> np.ndarray:
    """Noise summed over octaves, in 0..1: clouds, foliage, plaster."""
    total = sum(noise(seed + k, cells * 2**k, size) / 2**k for k in range(octaves))
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def smooth_curve(points: Sequence[Point], closed: bool = True, steps: int = 8) -> np.ndarray:
    """Catmull-Rom curve through ``points``: (n, 2) float32."""
    p = np.asarray(points, np.float32)
    if closed:
        before, after, after2 = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    else:
        padded = np.concatenate([p[:1], p, p[-1:]])
        p, before, after, after2 = padded[1:-2], padded[:-3], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[None, :, None]
    p0, p1, p2, p3 = (q[:, None, :] for q in (before, p, after, after2))
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, np.asarray(points[-1:], np.float32)])


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour ``t`` of the way from ``a`` to ``b``."""
    return tuple(float((1 - t) * u + t * v) for u, v in zip(a, b, strict=True))


def lighter(colour: Colour, by: float) -> Colour:
    """Towards white (``by`` > 0) or black (``by`` < 0)."""
    return mix(colour, (1, 1, 1) if by > 0 else (0, 0, 0), abs(by))


@dataclass
class Scene:
    """A picture being drawn; see the module's text."""

    rng: np.random.Generator
    parts: tuple[str, ...]
    size: int = SIZE
    image: np.ndarray = field(init=False)  # (H, W, 3) float32, 0..1
    part_map: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.image = np.zeros((self.size, self.size, 3), np.float32)
        self.part_map = np.zeros((self.size, self.size), np.uint8)
        self.matrix = np.array([[self.size / 3, 0, self.size / 2], [0, self.size / 3, self.size / 2]])
        self.light = np.array([-0.6, -0.8])  # where the light comes from, in the picture
        self.regions: dict[str, tuple[float, float, float]] = {}

    # ------------------------------------------------------------------ where things are

    def pose(
        self,
        scale: float,
        angle: float = 0.0,
        centre: Point = (0.5, 0.5),
        flip: bool = False,
        squash: Point = (1.0, 1.0),
        shear: float = 0.0,
    ) -> None:
        """Place the object: ``scale`` = pixels of one unit / picture size, angle in degrees, centre in 0..1."""
        a = np.deg2rad(angle)
        turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        stretch = np.array([[squash[0] * (-1 if flip else 1), shear], [0, squash[1]]])
        linear = turn @ stretch * scale * self.size
        self.matrix = np.column_stack([linear, np.asarray(centre) * self.size])

    @contextmanager
    def local(
        self, at: Point = (0, 0), angle: float = 0.0, scale: float = 1.0, squash: Point = (1.0, 1.0)
    ) -> Iterator[None]:
        """Shapes drawn inside the ``with`` live in a frame moved to ``at``, turned and scaled."""
        outer = self.matrix
        a = np.deg2rad(angle)
        turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag(squash) * scale
        self.matrix = np.column_stack(
            [outer[:, :2] @ turn, outer[:, :2] @ np.asarray(at, float) + outer[:, 2]]
        )
        try:
            yield
        finally:
            self.matrix = outer

    @property
    def unit(self) -> float:
        """Pixels of one object unit, in the current frame."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def to_pixels(self, points) -> np.ndarray:
        """(n, 2) object coordinates → (n, 2) pixels."""
        p = np.asarray(points, np.float64).reshape(-1, 2)
        return p @ self.matrix[:, :2].T + self.matrix[:, 2]

    def region(self, part: str, centre: Point, radius: float) -> None:
        """Declare a disc that holds *every* variant of ``part`` (for blanking it without a trace)."""
        x, y = self.to_pixels([centre])[0]
        self.regions[part] = (float(x), float(y), float(radius * self.unit))

    # ------------------------------------------------------------------ shapes

    def polygon(self, points, colour: Colour, *, smooth: bool = False, **style) -> Shape:
        """A filled polygon through ``points``; ``smooth`` rounds it. Style: see :meth:`paint`."""
        outline = smooth_curve(points) if smooth else np.asarray(points, np.float64)
        return self.paint(self._coverage(self.to_pixels(outline)), colour, **style)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, *, angle: float = 0, **style) -> Shape:
        """A filled ellipse. Style: see :meth:`paint`."""
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        a = np.deg2rad(angle)
        x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
        outline = np.stack(
            [centre[0] + x * np.cos(a) - y * np.sin(a), centre[1] + x * np.sin(a) + y * np.cos(a)], 1
        )
        return self.paint(self._coverage(self.to_pixels(outline)), colour, **style)

    def stroke(self, points, width: float | Point, colour: Colour, *, smooth: bool = True, **style) -> Shape:
        """A line of ``width`` object units; a pair of widths tapers it from start to end."""
        line = smooth_curve(points, closed=False) if smooth else np.asarray(points, np.float64)
        first, last = width if isinstance(width, tuple) else (width, width)
        step = np.gradient(line, axis=0)
        normal = np.stack([-step[:, 1], step[:, 0]], 1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        half = np.linspace(first, last, len(line))[:, None] / 2
        outline = np.concatenate([line + normal * half, (line - normal * half)[::-1]])
        return self.paint(self._coverage(self.to_pixels(outline)), colour, **style)

    def paint(
        self,
        shape: Shape,
        colour: Colour,
        *,
        part: str | None = None,
        solid: bool = True,
        round: float = 0.0,
        gradient: Colour | None = None,
        texture: float = 0.0,
        grain: tuple[int, int] = (7, 40),
        clip: Shape | None = None,
        opacity: float = 1.0,
        keep_parts: bool = False,
    ) -> Shape:
        """Lay ``colour`` over the picture where ``shape`` covers it.

        part       name of the part these pixels belong to (None: the object's body)
        solid      False draws paint that is neither object nor occluder (a shadow): the part map stays
        round      0..1, how much the shape bulges towards the light
        gradient   second colour, reached at the shape's lower edge
        texture    0..1, contrast of a noise pattern; ``grain`` = its (seed, cells)
        clip       another shape: paint only where that one lies
        keep_parts leave the part map's *parts* as they are and mark only new pixels (glazing, reflections)
        """
        shape = self._inside(shape, clip) if clip is not None else shape
        h, w = shape.alpha.shape
        if h == 0 or w == 0:
            return shape
        window = np.s_[shape.y : shape.y + h, shape.x : shape.x + w]
        paint = np.broadcast_to(np.asarray(colour, np.float32), (h, w, 3))
        if gradient is not None:
            t = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
            paint = paint * (1 - t) + np.asarray(gradient, np.float32) * t
        if round:
            paint = paint * self._bulge(shape.alpha, round)[..., None]
        if texture:
            paint = paint * (1 + texture * (self._grain(grain, h, w) - 0.5))[..., None]
        alpha = shape.alpha[..., None].astype(np.float32) * (opacity / 255)
        self.image[window] += (np.clip(paint, 0, 1) - self.image[window]) * alpha
        if solid:
            self._mark(window, shape.alpha > 127, part, keep_parts)
        return shape

    def cover(self, points, colour: Colour, *, smooth: bool = False, **style) -> Shape:
        """A polygon *in front of* the object, in picture coordinates 0..1 (a leaf, a post): it hides parts."""
        outline = smooth_curve(points) if smooth else np.asarray(points, np.float64)
        shape = self.paint(self._coverage(np.asarray(outline) * self.size), colour, solid=False, **style)
        h, w = shape.alpha.shape
        self.part_map[shape.y : shape.y + h, shape.x : shape.x + w][shape.alpha > 127] = BACKGROUND
        return shape

    def behind(self, points, colour: Colour, *, smooth: bool = False, **style) -> Shape:
        """A polygon of the background, in picture coordinates 0..1 (draw it before the object)."""
        outline = smooth_curve(points) if smooth else np.asarray(points, np.float64)
        return self.paint(self._coverage(np.asarray(outline) * self.size), colour, solid=False, **style)

    # ------------------------------------------------------------------ whole-picture work

    def backdrop(self, top: Colour, bottom: Colour, horizon: float | None = None) -> None:
        """Fill the picture: a vertical gradient, or two flat halves blended around ``horizon`` (0..1)."""
        y = np.linspace(0, 1, self.size, dtype=np.float32)
        t = y if horizon is None else 1 / (1 + np.exp(-(y - horizon) * 60))
        t = t[:, None, None]
        row = np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
        self.image[:] = row

    def mottle(self, colours: Sequence[Colour], cells: int, strength: float = 1.0, rows=(0.0, 1.0)) -> None:
        """Blend noise that runs through ``colours`` over the rows ``rows`` (0..1) of the picture."""
        y0, y1 = (int(r * self.size) for r in rows)
        if y1 <= y0:
            return
        field_ = self._crop_noise(fractal(int(self.rng.integers(8)), cells), y1 - y0, self.size)
        at = field_ * (len(colours) - 1)
        low = np.minimum(at.astype(int), len(colours) - 2)
        table = np.asarray(colours, np.float32)
        t = (at - low)[..., None]
        paint = table[low] * (1 - t) + table[low + 1] * t
        self.image[y0:y1] += (paint - self.image[y0:y1]) * strength

    def blur(self, pixels: float) -> None:
        """Blur what has been drawn so far (a background out of focus)."""
        if pixels > 0.2:
            self.image = cv2.GaussianBlur(self.image, (0, 0), pixels)

    def shadow(self, centre: Point, radii: Point, strength: float = 0.45) -> None:
        """A soft dark ellipse under the object, in object coordinates; not part of the object."""
        x, y = self.to_pixels([centre])[0]
        rx, ry = radii[0] * self.unit, radii[1] * self.unit
        yy, xx = np.mgrid[0 : self.size, 0 : self.size].astype(np.float32)
        d = ((xx - x) / rx) ** 2 + ((yy - y) / ry) ** 2
        self.image *= (1 - strength * np.exp(-d))[..., None]

    def finish(
        self,
        light: float = 1.0,
        warmth: float = 0.0,
        contrast: float = 1.0,
        grain: float = 0.02,
        defocus: float = 0.0,
    ) -> np.ndarray:
        """Camera and weather: exposure, colour temperature, contrast, focus, sensor noise.

        Returns the picture, (H, W, 3) uint8 RGB.
        """
        tint = np.array([1 + warmth, 1.0, 1 - warmth], np.float32) * light
        picture = (self.image - 0.5) * contrast + 0.5
        picture = picture * tint
        if defocus > 0.2:
            picture = cv2.GaussianBlur(picture, (0, 0), defocus)
        picture = picture + self.rng.normal(0, grain, (*picture.shape[:2], 1)).astype(np.float32)
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)

    def truth(self) -> GroundTruth:
        """Box, part points, part map and regions of what is visible now."""
        rows, columns = np.nonzero(self.part_map)
        if len(rows) == 0:
            raise ValueError("nothing of the object is visible: it lies outside the picture or is hidden")
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        points: dict[str, Point | None] = {}
        for k, name in enumerate(self.parts):
            y, x = np.nonzero(self.part_map == FIRST_PART + k)
            points[name] = (float(x.mean()), float(y.mean())) if len(x) else None
        return GroundTruth(self.part_map.copy(), box, points, dict(self.regions))

    # ------------------------------------------------------------------ inside

    def _coverage(self, pixels: np.ndarray) -> Shape:
        x0, y0 = np.maximum(np.floor(pixels.min(0)).astype(int) - 1, 0)
        x1, y1 = np.minimum(np.ceil(pixels.max(0)).astype(int) + 2, self.size)
        if x1 <= x0 or y1 <= y0:
            return Shape(0, 0, np.zeros((0, 0), np.uint8))
        alpha = np.zeros((y1 - y0, x1 - x0), np.uint8)
        fixed = np.round((pixels - (x0, y0)) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(alpha, [fixed], 255, cv2.LINE_AA, _SHIFT)
        return Shape(int(x0), int(y0), alpha)

    def _inside(self, shape: Shape, other: Shape) -> Shape:
        x0, y0 = max(shape.x, other.x), max(shape.y, other.y)
        x1 = min(shape.x + shape.alpha.shape[1], other.x + other.alpha.shape[1])
        y1 = min(shape.y + shape.alpha.shape[0], other.y + other.alpha.shape[0])
        if x1 <= x0 or y1 <= y0:
            return Shape(0, 0, np.zeros((0, 0), np.uint8))
        a = shape.alpha[y0 - shape.y : y1 - shape.y, x0 - shape.x : x1 - shape.x]
        b = other.alpha[y0 - other.y : y1 - other.y, x0 - other.x : x1 - other.x]
        return Shape(x0, y0, np.minimum(a, b))

    def _mark(self, window, covered: np.ndarray, part: str | None, keep_parts: bool) -> None:
        code = BODY if part is None else FIRST_PART + self.parts.index(part)
        target = self.part_map[window]
        target[covered & (target < FIRST_PART) if keep_parts else covered] = code

    def _bulge(self, alpha: np.ndarray, amount: float) -> np.ndarray:
        """Brightness of a cushion with this outline, lit from ``self.light``."""
        sigma = max(1.0, 0.18 * min(alpha.shape))
        pad = int(2 * sigma) + 1
        # A wide blur on a coarser float grid: fast, and free of the steps that 8 bits would show.
        k = max(1, int(sigma / 3))
        h, w = alpha.shape
        fill = -(h + 2 * pad) % k, -(w + 2 * pad) % k
        padded = np.pad(alpha.astype(np.float32), ((pad, pad + fill[0]), (pad, pad + fill[1])))
        full = padded.shape[1], padded.shape[0]
        height = cv2.resize(padded, (full[0] // k, full[1] // k), interpolation=cv2.INTER_AREA)
        height = cv2.GaussianBlur(height, (0, 0), sigma / k)
        dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3)
        dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
        lit = (dx * self.light[0] + dy * self.light[1]).astype(np.float32) * (sigma / (500 * k))
        lit = cv2.resize(lit, full, interpolation=cv2.INTER_LINEAR)[pad : pad + h, pad : pad + w]
        return 1 - amount * np.clip(lit, -0.6, 0.75)

    def _grain(self, grain: tuple[int, int], h: int, w: int) -> np.ndarray:
        return self._crop_noise(noise(grain[0], grain[1]), h, w)

    def _crop_noise(self, field_: np.ndarray, h: int, w: int) -> np.ndarray:
        y = int(self.rng.integers(0, field_.shape[0] - h + 1))
        x = int(self.rng.integers(0, field_.shape[1] - w + 1))
        return field_[y : y + h, x : x + w]
