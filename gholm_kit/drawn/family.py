"""What a mini family is: parts, their variants, and classes that differ in two or three of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gholm_kit.drawn.scene import GroundTruth, Scene

Traits = Mapping[str, str]  # part → variant


@dataclass(frozen=True)
class Family:
    """A drawn data set.

    name      of the data set, e.g. "mini_birds"
    kind      what it shows, e.g. "bird"
    variants  part → its variants; the first is the one most classes share
    classes   class name → the parts in which it departs from the first variants
    draw      draws one whole picture into a scene: background, object, occluders
    """

    name: str
    kind: str
    variants: Mapping[str, tuple[str, ...]]
    classes: Mapping[str, Traits]
    draw: Callable[[Scene, Traits], np.ndarray]

    def __post_init__(self) -> None:
        for name, traits in self.classes.items():
            for part, variant in traits.items():
                if variant not in self.variants.get(part, ()):
                    raise ValueError(
                        f"{self.name}: class {name!r} has {part}={variant!r}, not in {part}'s variants"
                    )

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of all parts, deciding or not, in the order of the part map's codes."""
        return tuple(self.variants)

    def traits(self, class_name: str) -> Traits:
        """Every part's variant for one class."""
        base = {part: variants[0] for part, variants in self.variants.items()}
        return MappingProxyType(base | dict(self.classes[class_name]))

    def differing_parts(self, a: str, b: str) -> tuple[str, ...]:
        """The parts that tell class ``a`` from class ``b``."""
        first, second = self.traits(a), self.traits(b)
        return tuple(p for p in self.parts if first[p] != second[p])

    def deciding_parts(self) -> tuple[str, ...]:
        """The parts that tell any two classes apart."""
        return tuple(p for p in self.parts if len({self.traits(c)[p] for c in self.classes}) > 1)

    def random_traits(self, rng: np.random.Generator) -> Traits:
        """Traits drawn at random, never those of one of the classes (for pretraining)."""
        taken = [dict(self.traits(c)) for c in self.classes]
        while True:
            traits = {p: v[int(rng.integers(len(v)))] for p, v in self.variants.items()}
            if traits not in taken:
                return traits

    def picture(self, traits: Traits, rng: np.random.Generator) -> tuple[np.ndarray, GroundTruth]:
        """One picture, (H, W, 3) uint8 RGB, and its ground truth."""
        scene = Scene(rng, self.parts)
        image = self.draw(scene, traits)
        return image, scene.truth()
