"""The four drawn families: what separates classes, what the truth says, what is on disk, and that nothing leaks."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from gholm_kit.__main__ import main
from gholm_kit.drawn import FAMILY_NAMES, Family, get_family, load_truth, write
from gholm_kit.drawn.scene import FIRST_PART, SIZE
from gholm_kit.drawn.truth import MiniTruth
from gholm_lib.backbone import MINI2, create_backbone, packaged_weights
from gholm_lib.config import Config
from gholm_lib.datasets import DATASETS, DataError, cub_parts, load_dataset, load_image, with_aims
from gholm_lib.loading import to_input
from gholm_lib.paths import data_root

pytestmark = pytest.mark.usefixtures("one_thread")

# The parts that decide, by family: three that cluster, two that lie elsewhere.
MAIN = {
    "mini_birds": {"beak", "eye", "crown"},
    "mini_aircraft": {"fin", "tailplane", "rear_engine"},
    "mini_cars": {"grille", "headlamps", "bumper"},
    "mini_dogs": {"ears", "muzzle", "marking"},
}
ELSEWHERE = {
    "mini_birds": {"wing_bar", "tail_tip"},
    "mini_aircraft": {"wing_tip", "nose"},
    "mini_cars": {"rims", "roof"},
    "mini_dogs": {"tail", "paws"},
}
YY, XX = np.mgrid[0:SIZE, 0:SIZE]
BLUR = 8  # pixels that the strongest defocus reaches: OpenCV's kernel of 4 standard deviations, of 2 pixels
# The share of the frame that nine boxes of ten fill. Birds and cars are small on purpose: a crop must have something
# to gain.
SHARES = {
    "mini_birds": (0.12, 0.27),
    "mini_aircraft": (0.2, 0.5),
    "mini_cars": (0.08, 0.2),
    "mini_dogs": (0.14, 0.3),
}

families = pytest.mark.parametrize("name", FAMILY_NAMES)


def draw(name: str, traits, seed: int):
    return get_family(name).picture(traits, np.random.default_rng([7, seed]))


def disc(region, grow: float = 0.0) -> np.ndarray:
    x, y, r = region
    return (XX - x) ** 2 + (YY - y) ** 2 <= (r + grow) ** 2


def code(truth: MiniTruth, part: str) -> int:
    """Its value in a part map."""
    return FIRST_PART + truth.parts.index(part)


@pytest.fixture(scope="session")
def mini_root() -> Path:
    """The data root with all four sets, drawn now where they lack."""
    root = data_root()
    write.draw_all(root, progress=False)
    return root


# ---------------------------------------------------------------------- classes


@families
def test_any_two_classes_differ_in_two_or_three_parts(name):
    family = get_family(name)
    assert len(family.classes) == 11
    pairs = [family.differing_parts(a, b) for a, b in combinations(family.classes, 2)]
    assert {len(p) for p in pairs} == {2, 3}
    by_hand = family.traits(next(iter(family.classes)))
    assert set(by_hand) == set(family.parts)
    for a, b in combinations(family.classes, 2):
        first, second = family.traits(a), family.traits(b)
        assert {p for p in family.parts if first[p] != second[p]} == set(family.differing_parts(b, a))


@families
def test_five_parts_decide_and_three_of_them_mostly(name):
    family = get_family(name)
    assert set(family.deciding_parts()) == MAIN[name] | ELSEWHERE[name]
    assert len(family.parts) >= 10, "many other parts tell nothing"
    differences = [p for a, b in combinations(family.classes, 2) for p in family.differing_parts(a, b)]
    main = sum(p in MAIN[name] for p in differences)
    assert 0.6 < main / len(differences) < 1
    for part in ELSEWHERE[name]:
        assert part in differences


def test_unknown_variants_and_families_are_refused():
    with pytest.raises(ValueError, match=r"class 'b' has beak='blue'"):
        Family("birds", "bird", {"beak": ("red",)}, {"b": {"beak": "blue"}}, draw=None)
    with pytest.raises(ValueError, match="no mini family 'mini_cats'; there are mini_birds"):
        get_family("mini_cats")


def test_random_traits_are_never_those_of_a_class():
    variants = {"a": ("1", "2"), "b": ("1", "2")}
    classes = {"plain": {}, "one": {"a": "2"}, "other": {"b": "2"}}
    family = Family("small", "thing", variants, classes, draw=None)
    rng = np.random.default_rng(0)
    assert all(family.random_traits(rng) == {"a": "2", "b": "2"} for _ in range(50))


@families
def test_random_traits_show_every_variant(name):
    family, rng = get_family(name), np.random.default_rng(0)
    seen = [family.random_traits(rng) for _ in range(150)]
    assert not [t for t in seen if any(t == family.traits(c) for c in family.classes)]
    for part, variants in family.variants.items():
        assert {t[part] for t in seen} == set(variants)


# ---------------------------------------------------------------------- pictures


@families
def test_a_seed_gives_the_same_picture(name):
    family = get_family(name)
    traits = family.traits(next(iter(family.classes)))
    (first, truth), (second, again), (other, _) = (draw(name, traits, seed) for seed in (0, 0, 1))
    assert (first.shape, first.dtype) == ((SIZE, SIZE, 3), np.uint8)
    assert np.array_equal(first, second)
    assert np.array_equal(truth.part_map, again.part_map)
    assert (truth.box, truth.points, truth.regions) == (again.box, again.points, again.regions)
    assert np.abs(first.astype(int) - other).mean() > 10


@families
def test_two_classes_differ_only_in_the_discs_of_their_parts(name):
    """All 55 pairs, three seeds: no pixel farther away gives a class away, not even by its noise.

    The defocus of ``Scene.finish`` blurs the edge of a part across the rim of its disc: within the blur's reach
    a pixel may differ by a rounding, one grey level of 255. The part map is not blurred.
    """
    family = get_family(name)
    seen = dict.fromkeys(family.deciding_parts(), 0)
    for seed in range(3):
        drawn = {c: draw(name, family.traits(c), seed) for c in family.classes}
        regions = [truth.regions for _, truth in drawn.values()]
        assert all(r == regions[0] for r in regions), "the discs themselves tell nothing"
        assert set(regions[0]) == set(family.deciding_parts())
        discs = {part: disc(r, grow=3) for part, r in regions[0].items()}
        blurred = {part: disc(r, grow=3 + BLUR) for part, r in regions[0].items()}
        for a, b in combinations(family.classes, 2):
            (first, truth), (second, other) = drawn[a], drawn[b]
            difference = np.abs(first.astype(int) - second).max(-1)
            parts = family.differing_parts(a, b)
            outside = ~np.any([discs[p] for p in parts], axis=0)
            beyond = ~np.any([blurred[p] for p in parts], axis=0)
            where = f"{a} / {b}, seed {seed}"
            assert not (truth.part_map != other.part_map)[outside].any(), where
            assert difference[outside].max() <= 1, f"{where}: {difference[outside].max()} grey levels"
            assert not difference[beyond].any(), f"{where}: {(difference[beyond] > 0).sum()} pixels"
            for p in parts:
                seen[p] += bool(difference[discs[p]].any())
    assert min(seen.values()) > 0


@families
def test_every_variant_lies_inside_its_disc(name):
    family = get_family(name)
    base = {part: variants[0] for part, variants in family.variants.items()}
    for part in family.deciding_parts():
        for variant, seed in product(family.variants[part], range(4)):
            _, truth = draw(name, base | {part: variant}, 20 + seed)
            visible = truth.part_map == FIRST_PART + family.parts.index(part)
            outside = visible & ~disc(truth.regions[part], grow=1)
            assert not outside.any(), f"{part}={variant}, seed {seed}: {outside.sum()} pixels"


@families
def test_a_difference_can_be_seen(name):
    """A change of one deciding part changes the picture, unless the part is hidden: in nine pictures of ten."""
    family = get_family(name)
    base = {part: variants[0] for part, variants in family.variants.items()}
    changed, total = 0, 0
    for part in family.deciding_parts():
        for seed in range(4):
            plain = draw(name, base, 40 + seed)[0].astype(int)
            for variant in family.variants[part][1:]:
                difference = np.abs(draw(name, base | {part: variant}, 40 + seed)[0] - plain).max(-1)
                changed += int((difference > 40).sum() >= 25)
                total += 1
    assert changed / total >= 0.9, f"{changed} of {total}"


@families
def test_the_object_fills_its_share_of_the_frame(name):
    family = get_family(name)
    shares = []
    for seed, class_name in zip(range(60), list(family.classes) * 6, strict=False):
        x0, y0, x1, y1 = draw(name, family.traits(class_name), 100 + seed)[1].box
        assert 0 <= x0 < x1 <= SIZE
        assert 0 <= y0 < y1 <= SIZE
        shares.append((x1 - x0) * (y1 - y0) / SIZE**2)
    low, high = SHARES[name]
    inside = [low <= s <= high for s in shares]
    assert np.mean(inside) >= 0.9, f"{np.sort(shares).round(2)}"
    assert max(shares) > 1.5 * min(shares), "sizes vary"


@families
def test_pictures_of_one_class_vary_more_than_classes_of_one_seed(name):
    """The point of Figure 1: nuisance outweighs the class."""
    family = get_family(name)
    classes = list(family.classes)
    grid = np.array([[draw(name, family.traits(c), s)[0] for s in (60, 61, 62)] for c in classes[:4]], float)
    within = np.abs(grid[:, 0] - grid[:, 1]).mean()
    between = np.mean([np.abs(grid[i] - grid[j]).mean() for i, j in combinations(range(4), 2)])
    assert within > 10 * between


# ---------------------------------------------------------------------- on disk


@families
def test_the_owners_reader_reads_the_written_set(mini_root, name):
    data, family = load_dataset(name, mini_root), get_family(name)
    assert data.counts == (11, 11 * 40, 11 * 60)
    wanted = [c.replace("-", " ") if name == "mini_birds" else c for c in family.classes]
    assert [c.replace("_", " ") for c in data.classes] == wanted
    for samples, each in ((data.train, 40), (data.test, 60)):
        assert np.bincount([s.label for s in samples]).tolist() == [each] * 11
    assert all(s.box is not None for s in (*data.train, *data.test))


def some(data, step: int = 37):
    """Every so manieth sample: some of every class, of training and of test."""
    return (*data.train, *data.test)[::step]


def test_part_maps_are_read_below_any_folder_name_and_a_broken_one_is_named(mini_root, tmp_path):
    name, letters = "mini_birds", tmp_path / "Übung 图"
    sample = load_dataset(name, mini_root).test[0]
    source = load_truth(load_dataset(name, mini_root).root)
    copy = shutil.copytree(source.root, letters / source.root.name)
    truth = load_truth(copy)
    assert np.array_equal(truth.part_map(sample.image_id), source.part_map(sample.image_id))
    path = next(copy.rglob(f"part_maps/{sample.image_id}.png"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="broken one; draw the set again"):
        truth.part_map(sample.image_id)


@families
def test_boxes_part_maps_and_points_agree(mini_root, name):
    data, family = load_dataset(name, mini_root), get_family(name)
    truth = load_truth(data.root)
    assert truth.parts == family.parts
    assert truth.classes == tuple(family.classes)
    assert truth.deciding_parts == family.deciding_parts()
    for sample in some(data):
        image = load_image(sample.path)
        assert (image.size, image.mode) == ((SIZE, SIZE), "RGB")
        part_map = truth.part_map(sample.image_id)
        assert part_map.shape == (SIZE, SIZE)
        assert part_map.max() < FIRST_PART + len(family.parts)
        rows, columns = np.nonzero(part_map)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert sample.box == tuple(map(int, box))
        points = truth.points(sample.image_id)
        assert set(points) == set(family.parts)
        for part, point in points.items():
            y, x = np.nonzero(part_map == code(truth, part))
            if point is None:
                assert len(x) == 0
            else:
                assert point == pytest.approx((x.mean(), y.mean()), abs=0.006)
        for part, region in truth.regions(sample.image_id).items():
            assert not ((part_map == code(truth, part)) & ~disc(region, grow=1)).any()


@families
def test_classes_and_pictures_on_disk_are_the_familys(mini_root, name):
    family = get_family(name)
    truth = load_truth(mini_root / DATASETS[name].folder)
    for a, b in combinations(family.classes, 2):
        assert truth.differing_parts(a, b) == family.differing_parts(a, b)
    data = load_dataset(name, mini_root)
    label, number = 4, 3
    seed = write.picture_seed(name, label, number)
    traits = family.traits(list(family.classes)[label])
    image, drawn = family.picture(traits, np.random.default_rng(seed))
    sample = [s for s in data.train if s.label == label][number]
    stored = np.asarray(load_image(sample.path), int)
    assert np.abs(stored - image).mean() < 6  # JPEG
    assert np.array_equal(truth.part_map(sample.image_id), drawn.part_map)


def test_the_cub_parts_file_agrees_with_the_truth(mini_root):
    data = load_dataset("mini_birds", mini_root)
    truth, parts = load_truth(data.root), cub_parts(data.root)
    assert parts.names == truth.parts
    for sample in some(data):
        for (x, y, visible), point in zip(
            parts.points[sample.image_id], truth.points(sample.image_id).values(), strict=True
        ):
            assert bool(visible) == (point is not None)
            assert point is None or (x, y) == pytest.approx(point, abs=0.06)


def test_seeds_are_all_different_and_keep_clear_of_pretraining():
    from gholm_kit.drawn import pretrain

    seeds = {tuple(write.picture_seed(n, c, k)) for n in FAMILY_NAMES for c in range(11) for k in range(100)}
    assert len(seeds) == 4 * 11 * 100
    assert pretrain._STREAM not in {s[0] for s in seeds}


def digests(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def few(monkeypatch):
    """Sets of 1 + 1 pictures a class."""
    monkeypatch.setattr(write, "TRAIN", 1)
    monkeypatch.setattr(write, "TEST", 1)


@pytest.fixture
def small(few, monkeypatch):
    """Such sets, drawn in this process: to start others takes longer than to draw."""
    monkeypatch.setattr(write, "worker_pool", lambda: nullcontext(SimpleNamespace(map=in_this_process)))


def in_this_process(function, *arguments, chunksize):
    return map(function, *arguments)


@families
def test_drawing_twice_gives_the_same_bytes(name, small, tmp_path):
    folders = [tmp_path / "first" / name, tmp_path / "second" / name]
    for folder in folders:
        assert write.draw_family(name, folder, progress=False)
    first, second = map(digests, folders)
    assert first == second
    assert len(first) > 2 * 22  # pictures, part maps, lists
    assert write.is_complete(get_family(name), folders[0])
    assert not write.draw_family(name, folders[0], progress=False), "a whole set is left alone"
    assert DATASETS[name].reader(folders[0], name).counts == (11, 11, 11)


@pytest.mark.slow
def test_pictures_do_not_depend_on_process_or_number(few, tmp_path, monkeypatch):
    """A few birds drawn by processes of their own are the first of more birds drawn in this one.

    Both now, for another processor may round a grey level otherwise than the one that drew the data folder.
    """
    write.draw_family("mini_birds", tmp_path / "few" / "mini_birds", progress=False)
    monkeypatch.setattr(write, "TRAIN", 2)
    monkeypatch.setattr(write, "worker_pool", lambda: nullcontext(SimpleNamespace(map=in_this_process)))
    write.draw_family("mini_birds", tmp_path / "more" / "mini_birds", progress=False)
    few_birds, more_birds = (load_dataset("mini_birds", tmp_path / f) for f in ("few", "more"))
    assert len(few_birds.train) == 11
    for sample in few_birds.train:
        assert sample.path.read_bytes() == (more_birds.root / sample.image_id).read_bytes()


def test_an_interrupted_drawing_leaves_nothing_that_looks_whole(small, tmp_path, monkeypatch):
    folder, family = tmp_path / "mini_birds", get_family("mini_birds")
    moments = {"_draw_pictures": write._draw_pictures, "_write_truth": write._write_truth}
    for function, plain in moments.items():

        def stop(*args, plain=plain):
            plain(*args)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(write, function, stop)
            with pytest.raises(KeyboardInterrupt):
                write.draw_family("mini_birds", folder, progress=False)
        assert list(tmp_path.iterdir()) == []

    def die(source, target):  # killed just before the new name: nothing is tidied up
        assert not folder.exists()
        assert not write.is_complete(family, folder)
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(write.os, "replace", die)
        patched.setattr(write.shutil, "rmtree", lambda *args, **kwargs: None)
        with pytest.raises(SystemExit):
            write.draw_family("mini_birds", folder, progress=False)
    with pytest.raises(DataError, match="gholm data get mini"):
        load_dataset("mini_birds", tmp_path)
    assert write.draw_family("mini_birds", folder, progress=False)
    assert load_dataset("mini_birds", tmp_path).counts == (11, 11, 11)


def another_version(folder: Path) -> None:
    path = folder / "ground_truth/truth.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": write.VERSION - 1}))


DAMAGE = {
    "an image lacks": lambda f: next((f / "images").rglob("*.jpg")).unlink(),
    "a part map lacks": lambda f: next((f / "ground_truth").rglob("*.png")).unlink(),
    "a list lacks": lambda f: (f / "images.txt").unlink(),
    "the truth lacks": lambda f: (f / "ground_truth/truth.json").unlink(),
    "the truth is cut short": lambda f: os.truncate(f / "ground_truth/truth.json", 500),
    "another version drew it": another_version,
}


def test_a_damaged_or_outdated_set_is_drawn_anew(small, tmp_path, capsys):
    """By the very command that every message names: gholm data get mini."""
    folder = tmp_path / "mini_birds"
    assert main(["data", "get", "mini_birds", "--data-root", str(tmp_path)]) == 0
    whole = digests(folder)
    assert main(["data", "get", "mini_birds", "--data-root", str(tmp_path)]) == 0
    assert "is complete" in capsys.readouterr().out
    for what, damage in DAMAGE.items():
        damage(folder)
        assert not write.is_complete(get_family("mini_birds"), folder), what
        assert write.draw_family("mini_birds", folder, progress=False)
        assert digests(folder) == whole, what


def test_missing_truth_is_told(tmp_path):
    with pytest.raises(DataError, match=r"truth\.json.*gholm data get mini"):
        load_truth(tmp_path)


# ---------------------------------------------------------------------- what is blanked, and what is left


def blanked(truth: MiniTruth, image: np.ndarray, image_id: str) -> np.ndarray:
    """The picture with every deciding part's disc painted grey, and the blur around it."""
    out = image.copy()
    for region in truth.regions(image_id).values():
        out[disc(region, grow=4)] = 128
    return out


def background_only(truth: MiniTruth, image: np.ndarray, image_id: str) -> np.ndarray:
    """The picture with the object's box, grown by 4 pixels, painted grey."""
    rows, columns = np.nonzero(truth.part_map(image_id))
    out = image.copy()
    y0, x0 = max(rows.min() - 4, 0), max(columns.min() - 4, 0)
    out[y0 : rows.max() + 5, x0 : columns.max() + 5] = 128
    return out


class Probe:
    """Ridge regression on what the packaged backbone sees: how many test pictures does it name rightly?"""

    def __init__(self, name: str, root: Path) -> None:
        self.config = Config(image_size=160, resize=160, random_crop=False)  # whatever the preset is
        data = load_dataset(name, root)
        self.data = replace(
            data, train=data.train[::2], test=data.test[::2]
        )  # enough to see, in half the time
        net = create_backbone(MINI2, 0, "packaged").eval()
        self.net = net.to(memory_format=torch.channels_last)

    def right(self, change: Callable[[np.ndarray, str], np.ndarray]) -> int:
        train, test = (self._features(s, change) for s in (self.data.train, self.data.test))
        mean, spread = train.mean(0), train.std(0) + 1e-9
        train, test = ((np.c_[(f - mean) / spread, np.ones(len(f))]) for f in (train, test))
        targets = np.eye(11)[[s.label for s in self.data.train]]
        weights = np.linalg.solve(train.T @ train + 30 * np.eye(train.shape[1]), train.T @ targets)
        return int(((test @ weights).argmax(1) == [s.label for s in self.data.test]).sum())

    @torch.no_grad()
    def _features(self, samples, change) -> np.ndarray:
        """(N, 2 C): mean and maximum of each feature."""
        rows = []
        for start in range(0, len(samples), 55):
            pictures = [
                change(np.asarray(load_image(s.path)), s.image_id) for s in samples[start : start + 55]
            ]
            pixels = torch.stack([to_input(Image.fromarray(p), self.config) for p in pictures])
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            grid = self.net.forward_features(pixels)  # (B, C, h, w)
            rows.append(torch.cat([grid.mean((2, 3)), grid.amax((2, 3))], 1).double().numpy())
        return np.concatenate(rows)


@pytest.mark.slow
@pytest.mark.skipif(
    not packaged_weights(MINI2).is_file(),
    reason="needs the packaged mini weights (gholm pretrain makes them)",
)
@families
def test_neither_background_nor_blanked_pictures_give_the_class_away(mini_root, name):
    """A linear probe stays below what chance reaches once in a thousand; on whole pictures it is far above."""
    probe, truth = Probe(name, mini_root), load_truth(mini_root / name)
    count = len(probe.data.test)
    by_chance = stats.binom.ppf(0.999, count, 1 / 11)  # 47 of 330
    whole = probe.right(lambda image, _: image)
    assert whole > 2 * by_chance, f"the control: {whole} of {count} right, so the probe sees what is there"
    changes = {"background": background_only, "blanked": blanked}
    right = {name: probe.right(partial(change, truth)) for name, change in changes.items()}
    print(name, {"whole": whole, **right, "of": count, "by chance at most": by_chance})
    assert max(right.values()) <= by_chance, right


def test_part_maps_are_lossless_and_small(mini_root):
    folder = mini_root / "mini_birds/ground_truth/part_maps"
    paths = sorted(folder.rglob("*.png"))[::100]
    for path in paths:
        assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).dtype == np.uint8
        assert path.stat().st_size < 10_000


# ---------------------------------------------------------------------- boxes for controls


@families
def test_true_boxes_hold_what_they_are_named_after(mini_root, name):
    """The object's box is that of the part map's pixels; the parts' box holds every visible deciding part."""
    data = load_dataset(name, mini_root)
    truth = load_truth(data.root)
    aims = {kind: with_aims(data, kind).test[::60] for kind in ("object", "parts")}
    for whole, parts in zip(aims["object"], aims["parts"], strict=True):
        pixels = truth.part_map(whole.image_id)
        rows, columns = np.nonzero(pixels)
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / SIZE
        assert np.allclose(whole.aim, seen, atol=2 / SIZE)
        x0, y0, x1, y1 = SIZE * np.array(parts.aim)
        for part in truth.deciding_parts:
            rows, columns = np.nonzero(pixels == 2 + truth.parts.index(part))
            inside = (columns >= x0 - 1) & (columns <= x1) & (rows >= y0 - 1) & (rows <= y1)
            assert (inside.mean() if len(rows) else 1) > 0.99, (whole.image_id, part)
