"""From file to network input, against Pillow and NumPy; who draws the random numbers; how batches are dealt."""

from __future__ import annotations

import colorsys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gholm_lib import loading
from gholm_lib.config import Config, load_config
from gholm_lib.datasets import CorruptImageError, DataError, Sample, ScaledImageWarning
from gholm_lib.loading import Batches, ImageView, loader, resized, to_input, to_picture, training_transform
from tests.rounding import unit

pytestmark = pytest.mark.numeric

quick = settings(max_examples=50, deadline=None, derandomize=True)
CONFIG = Config(image_size=64, resize=72)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# Eight roundings of numbers up to 1: the scale, mean and deviation, and what is done with them.
IN_UNITS, NORMALISED = 8 * unit(torch.float32), 8 * unit(torch.float32) / STD.min()


def picture(width=150, height=90, seed=0) -> Image.Image:
    """Smooth coloured noise: every pixel tells where it came from, and jitter clips none."""
    coarse = np.random.default_rng(seed).integers(90, 150, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for k in range(6):
        picture(100 + 5 * k, 90, k).save(folder / f"{k}.png")
    return tuple(Sample(folder / f"{k}.png", k % 2, f"{k}.png") for k in range(6))


# ---------------------------------------------------------------------- sizes and values


@pytest.mark.parametrize(("width", "height"), [(150, 90), (30, 200), (64, 64), (1, 1)])
def test_sizes(width, height):
    image = picture(width, height)
    small = resized(image, CONFIG)
    assert (small.shape, small.dtype) == ((3, 72, 72), torch.uint8)
    assert to_input(image, CONFIG).shape == (3, 64, 64)
    trained = training_transform(CONFIG)(small)
    assert (trained.shape, trained.dtype) == ((3, 64, 64), torch.float32)


def test_test_input_is_resize_centre_crop_normalise():
    image = picture()
    stretched = np.asarray(image.resize((72, 72), Image.Resampling.BILINEAR), np.float64)
    expected = (stretched[4:68, 4:68] / 255 - MEAN) / STD  # (72 - 64) / 2 pixels off each side
    assert np.allclose(to_input(image, CONFIG).permute(1, 2, 0), expected, rtol=0, atol=NORMALISED)


def test_a_photograph_is_reduced_without_a_visible_difference():
    """Large files are first reduced by a whole factor, which is quick; it may not change the picture."""
    image = picture(2000, 1500)
    expected = np.asarray(image.resize((72, 72), Image.Resampling.BILINEAR), float)
    difference = np.abs(resized(image, CONFIG).permute(1, 2, 0).numpy() - expected)
    assert difference.mean() < 0.5
    assert difference.max() <= 4


def test_to_picture_undoes_the_normalisation():
    image = picture(72, 72)
    back = to_picture(to_input(image, CONFIG), CONFIG)
    expected = np.asarray(image, float)[4:68, 4:68] / 255
    assert np.allclose(back.permute(1, 2, 0), expected, rtol=0, atol=2 * IN_UNITS)  # there and back
    batch = torch.full((2, 3, 5, 4), 100.0)
    assert (to_picture(batch, CONFIG) == 1).all()  # what lies outside is clipped for display
    assert to_picture(batch, CONFIG).shape == batch.shape


def test_another_mean_and_deviation():
    config = CONFIG.replace(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
    image = picture(72, 72)
    expected = np.asarray(image, float)[4:68, 4:68] / 127.5 - 1
    assert np.allclose(to_input(image, config).permute(1, 2, 0), expected, rtol=0, atol=NORMALISED)
    back = to_picture(to_input(image, config), config).permute(1, 2, 0)
    assert np.allclose(back, expected / 2 + 0.5, rtol=0, atol=2 * IN_UNITS)


@pytest.mark.parametrize("preset", ["mini", "paper"])
def test_dogs_are_not_cropped(preset):
    config = load_config(preset, dataset="mini_dogs" if preset == "mini" else "dogs")
    side = {"mini": 112, "paper": 448}[preset]
    image = picture(500, 375)
    whole = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float64)
    assert np.allclose(to_input(image, config).permute(1, 2, 0), (whole / 255 - MEAN) / STD, atol=0.02)
    still = config.replace(brightness=0.0, saturation=0.0)
    small = resized(image, still)
    flips = {whichever(small, training_transform(still)(small), still) for _ in range(20)}
    assert flips == {"same", "mirrored"}


def whichever(small: torch.Tensor, out: torch.Tensor, config: Config) -> str:
    back = (to_picture(out, config) * 255).round()
    if torch.equal(back, small.float()):
        return "same"
    return "mirrored" if torch.equal(back, small.flip(-1).float()) else "cropped or changed"


# ---------------------------------------------------------------------- what is random in training


def outputs(config: Config, count: int = 60) -> list[torch.Tensor]:
    """Training views of one picture, as pixels in 0..1."""
    torch.manual_seed(0)
    small, transform = resized(picture(), config), training_transform(config)
    return [to_picture(transform(small), config) for _ in range(count)]


def test_the_crop_moves_over_all_places_and_the_picture_is_flipped():
    config = CONFIG.replace(brightness=0.0, saturation=0.0)
    small = resized(picture(), config).float() / 255
    seen = set()
    for out in outputs(config, 80):
        places = [
            (x, y, flip)
            for x in range(9)
            for y in range(9)
            for flip in (False, True)
            if torch.allclose(
                out.flip(-1) if flip else out, small[:, y : y + 64, x : x + 64], rtol=0, atol=1e-5
            )
        ]
        assert len(places) == 1, "every view is one exact cut-out, as it is or mirrored"
        seen.update(places)
    columns, rows, flips = zip(*seen, strict=True)
    assert set(flips) == {False, True}
    assert len(set(columns)) >= 7
    assert len(set(rows)) >= 7


def fixed_place(**jitter) -> Config:
    return CONFIG.replace(random_crop=False, **jitter)


def upright(config: Config) -> tuple[np.ndarray, list[np.ndarray]]:
    """The picture (3, s, s), and its views with the flip undone."""
    small = resized(picture(), config).numpy() / 255
    views = []
    for out in (o.numpy() for o in outputs(config)):
        mirrored = out[..., ::-1]
        correlation = [np.corrcoef(small.ravel(), v.ravel())[0, 1] for v in (out, mirrored)]
        views.append((out, mirrored)[int(np.argmax(correlation))])
    return small, views


def test_brightness_is_a_factor_in_its_range():
    small, views = upright(fixed_place(brightness=0.3, saturation=0.0))
    factors = []
    for view in views:
        factor = float((view * small).sum() / (small * small).sum())
        assert np.abs(view - small * factor).max() < 0.008  # rounded to 8 bits
        factors.append(factor)
    assert 0.695 < min(factors) < 0.8
    assert 1.2 < max(factors) < 1.305


def test_saturation_moves_colours_towards_grey_and_away_and_keeps_the_hue():
    small, views = upright(fixed_place(brightness=0.0, saturation=0.5))
    grey = np.tensordot([0.2989, 0.587, 0.114], small, 1)  # ITU-R 601
    factors = []
    for view in views:
        away, was = view - grey, small - grey
        factor = float((away * was).sum() / (was * was).sum())
        assert np.abs(away - factor * was).max() < 0.012
        factors.append(factor)
    assert 0.49 < min(factors) < 0.7
    assert 1.3 < max(factors) < 1.51
    colour, changed = small[:, 30, 30], views[0][:, 30, 30]
    assert colorsys.rgb_to_hsv(*changed)[0] == pytest.approx(colorsys.rgb_to_hsv(*colour)[0], abs=0.05)


def test_no_amount_means_no_jitter():
    small, views = upright(fixed_place(brightness=0.0, saturation=0.0))
    assert all(np.allclose(view, small, rtol=0, atol=2 * IN_UNITS) for view in views)


# ---------------------------------------------------------------------- the view


def test_an_images_view_depends_on_its_seed_alone(samples):
    view = ImageView(samples, CONFIG, train=True)
    torch.manual_seed(1)
    first, label, index = view[3, 42]
    torch.manual_seed(2)
    torch.rand(10)
    state = torch.get_rng_state()
    again = view[3, 42][0]
    assert torch.equal(first, again)
    assert torch.equal(state, torch.get_rng_state())  # and it takes nothing from the training's numbers
    assert not torch.equal(first, view[3, 43][0])
    assert (label, index) == (1, 3)


def test_the_test_view_is_to_input(samples):
    view = ImageView(samples, CONFIG, train=False)
    for k, sample in enumerate(samples):
        with Image.open(sample.path) as image:
            assert torch.equal(view[k, None][0], to_input(image.convert("RGB"), CONFIG))


def test_workers_change_nothing(samples, monkeypatch):
    kept = batches_of(samples, workers=0)
    monkeypatch.setattr(loading, "CACHE_LIMIT", 0)
    assert ImageView(samples, CONFIG, train=True).cache is None
    for workers in (0, 2):
        read = batches_of(samples, workers)
        assert len(read) == len(kept) == 6  # two epochs of three batches
        for one, other in zip(kept, read, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    first, second = kept[:3], kept[3:]
    assert any(not torch.equal(a[2], b[2]) for a, b in zip(first, second, strict=True)), "epochs differ"


def batches_of(samples, workers: int) -> list:
    view, batches = ImageView(samples, CONFIG, train=True), Batches(len(samples), 2, seed=5)
    images = loader(view, batches, workers, pin_memory=False)
    assert images.num_workers == (workers if view.cache is None else 0)
    found = []
    for epoch in (0, 1):
        batches.epoch = epoch
        found += [tuple(t.clone() for t in batch) for batch in images]
    return found


@pytest.mark.parametrize("limit", [0, 2**30], ids=["read by workers", "kept in memory"])
def test_a_corrupt_image_is_named(samples, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(loading, "CACHE_LIMIT", limit)
    bad = tmp_path / "bad.jpg"
    picture().save(bad)
    bad.write_bytes(bad.read_bytes()[:600])
    broken = (*samples[:1], Sample(bad, 0, "bad.jpg"))
    with pytest.raises(CorruptImageError, match=r"bad\.jpg"):
        list(loader(ImageView(broken, CONFIG, train=True), Batches(2, 2, seed=0), 0, pin_memory=False))


def with_bad(samples, tmp_path, damage: str):
    """Ten samples, the last one of a file that is cut short, is gone, or is no picture."""
    bad = tmp_path / "bad.jpg"
    if damage == "cut":
        picture().save(bad)
        bad.write_bytes(bad.read_bytes()[:600])
    elif damage == "HEIC":
        bad.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    return (*samples, *samples[:3], Sample(bad, 0, "bad.jpg"))


def error_of(samples, workers: int, train: bool) -> DataError:
    view = ImageView(samples, CONFIG, train=train)
    images = loader(view, Batches(len(samples), 2, seed=0 if train else None), workers, pin_memory=False)
    with pytest.raises(DataError) as caught:
        list(images)
    return caught.value


@pytest.mark.parametrize("damage", ["cut", "HEIC", "gone"])
@pytest.mark.parametrize("train", [True, False])
def test_a_worker_tells_of_a_bad_image_in_the_same_sentence(samples, tmp_path, monkeypatch, damage, train):
    monkeypatch.setattr(loading, "CACHE_LIMIT", 0)
    ten = with_bad(samples, tmp_path, damage)
    alone, in_worker = (error_of(ten, workers, train) for workers in (0, 2))
    assert type(alone) is type(in_worker)
    assert str(alone) == str(in_worker)
    assert str(tmp_path / "bad.jpg") in str(alone)
    assert "\n" not in str(alone)
    if damage != "gone":
        assert str(alone).endswith("`gholm data check mini_birds --images` lists every such file.")
    monkeypatch.undo()
    with pytest.raises(type(alone)) as caught:
        ImageView(ten, CONFIG, train=train)
    assert str(caught.value) == str(alone)


def test_a_fault_of_the_code_keeps_its_traceback(samples, monkeypatch):
    monkeypatch.setattr(loading, "CACHE_LIMIT", 0)
    view = ImageView(samples, CONFIG, train=False)
    view.transform = None
    with pytest.raises(TypeError, match="Traceback"):
        list(loader(view, Batches(len(samples), 2), 1, pin_memory=False))


def test_of_a_set_with_more_bits_one_image_is_named(tmp_path, monkeypatch):
    deep = []
    for k in range(6):
        values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
        Image.fromarray(values).save(tmp_path / f"{k}.png")
        deep.append(Sample(tmp_path / f"{k}.png", 0, f"{k}.png"))
    monkeypatch.setattr(loading, "CACHE_LIMIT", 0)
    view = ImageView(deep, CONFIG.replace(random_crop=False), train=False)
    with pytest.warns(ScaledImageWarning, match=r"0\.png: its values .* 4095 as white; others") as caught:
        seen = [view[k, None][0] for k in range(6)]
    assert len(caught) == 1
    grey = to_picture(seen[0], CONFIG).mean()
    assert 0.49 < grey < 0.51  # 12 bits from black to white, not 16


# ---------------------------------------------------------------------- batches


@quick
@given(st.integers(4, 60), st.integers(1, 3), st.integers(0, 5), st.integers(0, 3))
def test_two_processes_share_the_batches_of_one(count, half, seed, epoch):
    size = min(2 * half, count - count % 2)
    alone, *shared = (Batches(count, size, seed, rank, n) for rank, n in ((0, 1), (0, 2), (1, 2)))
    for batches in (alone, *shared):
        batches.epoch = epoch
    assert len(alone) == len(shared[0]) == len(shared[1]) == count // size
    for whole, first, second in zip(alone, *shared, strict=True):
        assert len(first) == len(second) == size // 2
        dealt = [item for pair in zip(first, second, strict=True) for item in pair]
        assert dealt == whole


@quick
@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 4))
def test_in_evaluation_every_image_comes_once(count, size, processes):
    seen = []
    for rank in range(processes):
        batches = Batches(count, size, None, rank, processes)
        own = list(batches)
        assert len(own) == len(batches)
        assert all(1 <= len(b) <= size for b in own)
        seen += [i for b in own for i, seed in b if seed is None]
    assert sorted(seen) == list(range(count))


def test_an_epoch_is_a_permutation_that_changes_and_comes_again():
    batches = Batches(24, 4, seed=1)

    def epoch(number):
        batches.epoch = number
        return [item for batch in batches for item in batch]

    assert sorted(i for i, _ in epoch(0)) == list(range(24))
    assert len({seed for _, seed in epoch(0)}) == 24
    assert epoch(0) == epoch(0)
    assert [i for i, _ in epoch(0)] != [i for i, _ in epoch(1)]
    assert {s for _, s in epoch(0)}.isdisjoint(s for _, s in epoch(1))
    other = Batches(24, 4, seed=2)
    assert [i for b in other for i, _ in b] != [i for i, _ in epoch(0)]


def test_impossible_batches_are_refused():
    with pytest.raises(ValueError, match=r"7 training images do not fill one batch of 8"):
        Batches(7, 8, seed=0)
    with pytest.raises(ValueError, match=r"batch_size 9 .* 2 processes; choose a multiple of 2"):
        Batches(20, 9, seed=0, processes=2)
    assert len(Batches(7, 8)) == 1  # in evaluation a small batch is nothing wrong


def test_sets_too_large_for_memory_are_left_on_disk(monkeypatch):
    monkeypatch.setattr(ImageView, "_load_all", lambda self: ["kept"])
    sample = SimpleNamespace(path=None, label=0)
    paper = load_config("paper")
    bytes_each = 3 * 510 * 510
    fits = loading.CACHE_LIMIT // bytes_each
    assert ImageView([sample] * fits, paper, train=True).cache == ["kept"]
    assert ImageView([sample] * (fits + 1), paper, train=True).cache is None


# ---------------------------------------------------------------------- crops from the original, and controls

BOX = (0.25, 0.375, 0.5, 0.75)  # shares of the picture's sides: whole pixels at 72 and at 144


def with_a_bright_box(folder, side) -> Sample:
    """A dark picture that is white inside BOX, at the size to which it is resized: no pixel is mixed."""
    pixels = np.zeros((side, side, 3), np.uint8)
    x0, y0, x1, y1 = (round(side * share) for share in BOX)
    pixels[y0:y1, x0:x1] = 255
    Image.fromarray(pixels).save(folder / f"{side}.png")
    return Sample(folder / f"{side}.png", 0, "bright.png", aim=BOX)


@pytest.mark.parametrize("crop_from", ["input", "original"])
def test_the_aim_goes_where_the_picture_goes(tmp_path, crop_from):
    """Cut, mirrored or not, the box given is the one round the white pixels that are seen."""
    config = CONFIG.replace(image_size=40, crop_box="object", crop_from=crop_from, brightness=0, saturation=0)
    scale = config.input_scale
    view = ImageView([with_a_bright_box(tmp_path, 72 * scale)], config, train=True)
    lost = 0
    for seed in range(60):
        pixels, _, _, aim = view[0, seed]
        assert pixels.shape == (3, 40 * scale, 40 * scale)
        assert type(pixels) is type(aim) is torch.Tensor
        rows, columns = torch.nonzero(pixels[0] > 1, as_tuple=True)
        if len(rows) == 0:
            lost += 1
            assert aim.tolist() == [0, 0, 40, 40]
            continue
        low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
        expected = [*(int(v) // scale for v in low), *(-(-int(v) // scale) for v in high)]
        assert aim.tolist() == expected
    assert lost < 60


def test_a_test_image_has_its_box_too(tmp_path):
    view = ImageView([with_a_bright_box(tmp_path, 72)], CONFIG.replace(crop_box="parts"), train=False)
    assert view[0, None][3].tolist() == [18 - 4, 27 - 4, 36 - 4, 54 - 4]
    picture().save(tmp_path / "0.png")
    view = ImageView([Sample(tmp_path / "0.png", 0, "0.png")], CONFIG.replace(crop_box="object"), train=False)
    with pytest.raises(
        ValueError, match=r"0.png has no aim for crop_box='object'; take the samples of split"
    ):
        view[0, None]


def test_raw_sees_nearly_the_same_picture_however_crops_are_cut():
    large = to_input(picture(144, 144), CONFIG.replace(crop_from="original"))
    pooled = torch.nn.functional.avg_pool2d(large, 2)
    difference = (pooled - to_input(picture(144, 144), CONFIG)).abs()
    assert large.shape == (3, 128, 128)
    assert difference.mean() < 0.02, "in standard deviations; a shift by one pixel gives .05 and more"


def test_random_places_repeat_at_test_and_leave_the_view_as_it_is(samples):
    config = CONFIG.replace(crop_box="random")
    for train, seeds in ((True, [5, 6]), (False, [None])):
        views = [ImageView(samples, c, train) for c in (config, config, CONFIG)]
        for seed in seeds:
            first, again, plain = (view[2, seed] for view in views)
            assert torch.equal(first[0], plain[0])
            assert torch.equal(first[3], again[3])
            assert len(plain) == 3
    test = ImageView(samples, config, train=False)
    places = torch.stack([test[i, None][3] for i in range(6)])
    assert len(places.unique()) == 12
    assert ((places >= 0) & (places < 1)).all()
    other = ImageView(samples, config.replace(seed=1), train=False)[0, None][3]
    assert not torch.equal(other, places[0])


def test_the_whole_picture_again_is_augmented_anew_and_mirrored_at_test(samples):
    config = CONFIG.replace(crop_box="whole")
    train, plain = ImageView(samples, config, train=True), ImageView(samples, CONFIG, train=True)
    first, _, _, second = train[0, 7]
    assert torch.equal(first, plain[0, 7][0])
    assert not torch.equal(first, second)
    first, _, _, second = ImageView(samples, config, train=False)[0, None]
    assert torch.equal(second, first.flip(-1))
