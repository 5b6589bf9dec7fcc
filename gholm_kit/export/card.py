"""A model card from a run's record: data, recipe, results with intervals, and what the network is not good for."""

from __future__ import annotations

from huggingface_hub import EvalResult, ModelCardData

from gholm_kit.export.source import Source
from gholm_lib.config import train_command
from gholm_lib.datasets import DATASETS
from gholm_lib.records import Record
from gholm_lib.uncertainty import accuracy_interval, correct_answers

_ANSWERS = {"raw": "Raw", "crop": "Crop", "both": "Raw + Crop"}
_METHOD = (
    "A GradCAM heatmap (Selvaraju et al., IJCV 128, 2020) of the predicted class is cut at a threshold; "
    "the box round its largest component gives a second, closer look. The answer is the sum of the logits "
    "of the whole image (Raw) and of the closer look (Crop)."
)


def model_card(source: Source) -> str:
    """The card in the hub's format: a YAML header, then Markdown. All numbers are from the record."""
    header = _header(source).to_yaml()
    sections = [f"# {source.name}", _METHOD, _data(source), _recipe(source)]
    if source.record is not None:
        sections.append(_results(source.record, source.half))
    sections += [_limits(source), _use(source)]
    return f"---\n{header}\n---\n\n" + "\n\n".join(sections) + "\n"


def _drawn(source: Source) -> bool:
    return source.net.config.dataset.startswith("mini_")


def _header(source: Source) -> ModelCardData:
    record = source.record
    extra = {} if record is None else {"model_name": source.name, "eval_results": _measured(record)}
    return ModelCardData(
        library_name="timm",
        pipeline_tag="image-classification",
        tags=[
            "image-classification",
            "fine-grained",
            "gholm-net",
            *(["drawn-data"] if _drawn(source) else []),
        ],
        license="mit" if _drawn(source) else "apache-2.0" if record is None else "other",
        **extra,
    )


def _measured(record: Record) -> list[EvalResult]:
    data = record.data["name"]
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=data,
            dataset_name=data,
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"accuracy, {name}, percent",
            metric_value=round(record.results["last"][key], 2),
        )
        for key, name in _ANSWERS.items()
        if key in record.results["last"]
    ]


def _data(source: Source) -> str:
    record, classes = source.record, ", ".join(source.classes[:12])
    more = f", ... ({len(source.classes)} classes)" if len(source.classes) > 12 else ""
    if record is None:
        return f"## Data\n\nImageNet-1k, by the makers of the weights. Classes: {classes}{more}."
    data = record.data
    drawn = " They are drawn teaching data, not photographs." if _drawn(source) else ""
    told = DATASETS[data["name"]].terms if data["name"] in DATASETS and not drawn else ""
    return (
        f"## Data\n\n{data['name']}: {data['train']} training images, {data['test']} test images.{drawn} "
        f"Classes: {classes}{more}.{f' Terms of the data: {told}' if told else ''}"
    )


def _recipe(source: Source) -> str:
    record, config = source.record, source.net.config
    if record is None:
        return f"## Recipe\n\n{config.backbone} with its own ImageNet classifier; nothing was trained here."
    config, about = record.settings, record.environment
    return (
        f"## Recipe\n\n{config.backbone}, starting weights: {config.weights}. Branches: {config.branches}. "
        f"{config.epochs} epochs, batches of {config.batch_size}, learning rate {config.lr:g}, momentum "
        f"{config.momentum:g}, weight decay {config.weight_decay:g}, seed {config.seed}. PyTorch "
        f"{about.get('torch', 'unknown')}, timm {about.get('timm', 'unknown')}, on "
        f"{about.get('device', 'unknown')}. The same again:\n\n```\n{train_command(config)}\n```"
    )


def _results(record: Record, half: bool) -> str:
    rows = ["| answer | accuracy | 95 % interval | right |", "|---|---|---|---|"]
    for key, name in _ANSWERS.items():
        if key in record.results["last"]:
            right = correct_answers(record, key)
            low, high = accuracy_interval(right)
            rows.append(
                f"| {name} | {100 * right.mean():.1f} % | {100 * low:.1f} to {100 * high:.1f} | "
                f"{int(right.sum())} of {len(right)} |"
            )
    kept = " They were measured before the weights were stored in half precision." if half else ""
    return (
        "## Results\n\nAfter the last epoch, on the test images; the intervals are for the images and not for "
        f"the seed.{kept}\n\n" + "\n".join(rows)
    )


def _limits(source: Source) -> str:
    lines = [
        "A probability near 1 does not mean that the picture shows one of the classes: for any picture "
        f"the network names one of its {len(source.classes)}.",
        "The heatmap shows which positions raised one logit. It does not prove that the object, or its "
        "deciding part, was seen.",
        "Pictures are squeezed to a square, so long and narrow ones are far from what it was trained on.",
    ]
    if _drawn(source):
        lines.insert(0, "It was trained on drawings. On photographs its answers mean nothing.")
    return "## What it is not good for\n\n" + "\n".join(f"- {line}" for line in lines)


def _use(source: Source) -> str:
    config = source.net.config
    side = config.image_size * config.input_scale
    return (
        f"## Use\n\nThe graph `model.onnx` (or `model.pt2`) takes `image` (b, 3, {side}, {side}) "
        "normalised, `class` (b,) and `box` (b, 4), and gives `raw_logits`, `predicted_map`, `class_map`, "
        f"`crop_logits` and `crop`. Enlarge the map, cut it at {config.mu:g} times its {config.mu_times}, "
        "and give the box of its largest component as `box`. Input, classes and thresholds are in the "
        "file's metadata, as JSON under the key `gholm`.\n\nThe backbone alone, from the hub "
        "folder:\n\n```python\nimport timm, gholm_lib.backbone  # gholm_lib: its own backbones by name\n"
        'net = timm.create_model("local-dir:FOLDER", pretrained=True).eval()\n```'
    )
