"""``gholm live``: a network and the whole method in one HTML file, which needs no server and no network."""

from __future__ import annotations

import base64
import gzip
import html
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import jinja2
import matplotlib
import numpy as np

from gholm_kit import style
from gholm_kit.export.files import write_graph
from gholm_kit.export.source import Source, open_source, pictures_of
from gholm_kit.live.runtime import VERSION, Runtime, load_runtime
from gholm_kit.live.tour import STEPS
from gholm_kit.pages.render import mathml
from gholm_kit.pages.scripts import bundled
from gholm_lib.config import Config, RunOptions
from gholm_lib.records import write_whole

PAGE = Path(__file__).parent / "page"
SAMPLES = 12
PARTS = {
    "image": "The picture as the network sees it",
    "heat": f"Heatmap; brightest from {style.HEAT_MAX:g} times its mean on",
    "mask": "Above μ: grey; the largest component: white",
    "box": "The box",
    "crop": "Crop, what the second look sees",
    "drop": "Drop, hot pixels erased",
}
BRANCHES = {"raw": "Raw", "crop": "Crop", "both": "Raw + Crop: the answer", "drop": "Drop"}
# What the page has in one way only, and in which.
_ONLY = {"crop_mask": "upsampled", "crop_box": "heatmap", "answer": "logits"}


def live(names: tuple[str, ...], out: Path, options: RunOptions | None = None) -> list[Path]:
    """Write a page of each network, ``NAME.html`` in ``out``; each links to the first of the others.

    names   see :func:`gholm_kit.export.source.open_source`
    raises  ValueError: no such network, or one that the page cannot show; RuntimeMissingError: no npm
    """
    runtime = load_runtime(out / "npm")
    files = {name: out / f"{Path(name).name}.html" for name in names}
    for name, path in files.items():
        other = next((p.name for n, p in files.items() if n != name), None)
        text = page(open_source(name, options), runtime, other, options)
        write_whole(path, lambda file, text=text: file.write(text.encode()))
    return list(files.values())


def page(
    source: Source, runtime: Runtime, other: str | None = None, options: RunOptions | None = None
) -> str:
    """The page of one network, whole.

    other  address of another such page to link to
    """
    config = source.net.config
    _require_shown(config)
    about = source.described | {
        "adjust": {
            name: getattr(config, f"crop_{name}") for name in ("padding", "min_size", "square", "margin")
        },
        "samples": _samples(source, options),
        "colours": _colours(),
        "heat_max": style.HEAT_MAX,
        "crop_colour": style.COLOURS["crop"],
    }
    template = jinja2.Template((PAGE / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        title=html.escape(source.name),
        network=html.escape(_network(source)),
        other=other,
        other_words="Another network, in a file beside this one.",
        css=(PAGE / "live.css").read_text(encoding="utf-8"),
        steps=[_step(step) for step in STEPS],
        parts=PARTS,
        branches=BRANCHES,
        side=config.image_size,
        runtime=VERSION,
        licence=_licence(source),
        about=json.dumps(about, ensure_ascii=False).replace("</", "<\\/"),
        wasm=_packed(runtime.wasm),
        model=_packed(_graph(source)),
        ort=runtime.script.replace("</script", "<\\/script"),
        script=bundled(PAGE / "live.js"),
    )


def _require_shown(config: Config) -> None:
    for name, value in _ONLY.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"the page shows only networks with {name} {value!r}, but this one was trained with "
                f"{getattr(config, name)!r}; `gholm look --run` shows it"
            )


def _network(source: Source) -> str:
    config = source.net.config
    if source.record is None:
        return f"{config.backbone} with ImageNet's {len(source.classes)} classes"
    drawn = " It learned from drawn teaching data: on photographs its answers mean nothing"
    said = f"{config.backbone}, trained on {config.dataset}, {len(source.classes)} classes"
    return f"{said}.{drawn}" if config.dataset.startswith("mini_") else said


def _licence(source: Source) -> str:
    return "" if source.record else "The weights are EfficientNet-Lite0's (Apache-2.0)."


def _samples(source: Source, options: RunOptions | None) -> list[dict[str, str]]:
    """Pictures to start with: test images, or for ImageNet's network the photograph that comes with Matplotlib."""
    if source.record is None:
        path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
        files, labels = [path], ["Grace Hopper, 1984 (US Navy, public domain)"]
    else:
        files = pictures_of(source, options, SAMPLES)
        labels = [f"test image {path.stem}" for path in files]
    return [
        {"name": path.name, "label": label, "data": base64.b64encode(path.read_bytes()).decode()}
        for path, label in zip(files, labels, strict=True)
    ]


def _colours() -> list[list[int]]:
    """The kit's colours of heat: 256 times red, green, blue."""
    table = matplotlib.colormaps[style.HEAT](np.linspace(0, 1, 256))[:, :3]
    return (255 * table).round().astype(int).tolist()


def _step(step) -> dict[str, str]:
    shown = {name: html.escape(value) for name, value in asdict(step).items()}
    return shown | {"mathml": mathml(step.equation, display=True), "place": html.escape(step.place)}


def _graph(source: Source) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_graph(source, Path(folder) / "model.onnx").read_bytes()


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
