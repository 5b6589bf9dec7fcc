"""Figures of chapter 04: which pairs of a batch eq. (11) pulls together and which it pushes apart.

Vectors are in the order that the loss uses: B Raw vectors, then the B Crop vectors of the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle
from torch import Tensor

from gholm_kit import style
from gholm_lib.config import Config
from gholm_lib.datasets import Sample, load_image
from gholm_lib.loading import Batches, to_input, to_picture
from gholm_lib.losses import supcon_loss
from gholm_lib.masking import crop
from gholm_lib.model import GHOLMNet

KINDS = ("itself", "own Raw / Crop", "another image, same class", "another class")
ITSELF, OWN, SAME, OTHER = range(4)
_KIND_COLOURS = ("#ffffff", "#000000", "#3b86c4", "#e2e2e2")  # distinguishable in grey print too
# Class colours: the colour-blind-safe palette of Okabe and Ito. Each class also has its own marker.
_CLASS_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c6d31")
_CLASS_MARKERS = "osD^vPXh"
_READINGS = (("#D55E00", "-"), ("#0072B2", "--"), ("#000000", ":"), ("#CC79A7", "-."))


_MARGIN = 5.4  # cells left of and above the pair matrix, for thumbnails and names


def pair_kinds(labels: Tensor) -> Tensor:
    """Relation of vector j to vector i, as indices into KINDS: ``labels`` (B,) of B images → (2B, 2B) int64."""
    count = len(labels)
    both, image = labels.repeat(2), torch.arange(count).repeat(2)
    kinds = torch.where(both[:, None] == both[None], SAME, OTHER)
    kinds[image[:, None] == image[None]] = OWN
    return kinds.fill_diagonal_(ITSELF)


def pictures_of(images: Tensor, boxes: Tensor, config: Config) -> Tensor:
    """Raw and Crop pictures of a batch for display: (B, 3, H, W) normalised, (B, 4) → (2B, H, W, 3) in 0..1."""
    both = torch.cat([images, crop(images, boxes, images.shape[-1])])
    return to_picture(both, config).permute(0, 2, 3, 1)


# ---------------------------------------------------------------------- Figure 5


@style.in_style
def pair_matrix(pictures: Tensor, labels: Tensor, dataset: str) -> Figure:
    """Figure 5 as a matrix: each row is a Raw vector as anchor, each column a vector that it is compared with.

    pictures (2B, H, W, 3) as from :func:`pictures_of`, labels (B,); images are sorted by class.
    """
    order = labels.argsort(stable=True)
    count = len(order)
    columns = torch.cat([order, order + count])
    kinds = pair_kinds(labels)[order][:, columns].numpy()
    gap = 1.2  # between the Raw and the Crop columns
    size = 2 * count + gap + _MARGIN + 0.7, count + _MARGIN + 1.0  # in cells
    fig, ax = style.styled(size=(13, 13 * size[1] / size[0]))
    for half, name in enumerate(("Raw", "Crop")):
        left = half * (count + gap)
        _cells(ax, kinds[:, half * count : (half + 1) * count], left)
        ax.text(left + count / 2, -4.3, f"{name} vectors", ha="center", va="bottom")
        for k, index in enumerate(columns[half * count : (half + 1) * count].tolist()):
            away = _staggered(k)
            ax.plot([left + k + 0.5] * 2, [-away, -0.1], color="0.5", linewidth=1, zorder=0)
            _thumbnail(ax, pictures[index], left + k + 0.5, -away)
    for k, index in enumerate(order.tolist()):
        away = _staggered(k)
        ax.plot([-away, -0.1], [k + 0.5] * 2, color="0.5", linewidth=1, zorder=0)
        _thumbnail(ax, pictures[index], -away, k + 0.5)
    ax.text(-4.3, count / 2, "anchor i (Raw)", rotation=90, ha="right", va="center")
    ax.set(xlim=(-_MARGIN, 2 * count + gap + 0.7), ylim=(count + 0.5, -_MARGIN), aspect="equal")
    ax.axis("off")
    handles = [Patch(facecolor=_KIND_COLOURS[k], edgecolor="0.4", label=_legend(k)) for k in range(4)]
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    _drawn(ax, dataset, count)
    return fig


def matrix_in_words(labels: Tensor) -> str:
    """How many of the pairs that :func:`pair_matrix` shows are of each kind."""
    kinds = pair_kinds(labels)[: len(labels)]
    positive, negative = int(((kinds == OWN) | (kinds == SAME)).sum()), int((kinds == OTHER).sum())
    return f"Of {kinds.numel()} pairs, {positive} are positive and {negative} negative."


def _legend(kind: int) -> str:
    return KINDS[kind] + {ITSELF: "", OWN: ": positive", SAME: ": positive", OTHER: ": negative"}[kind]


def _cells(ax, kinds: np.ndarray, left: float) -> None:
    rows, columns = kinds.shape
    ax.imshow(
        kinds,
        cmap=ListedColormap(_KIND_COLOURS),
        vmin=-0.5,
        vmax=3.5,
        extent=(left, left + columns, rows, 0),
        interpolation="nearest",
    )
    for k in range(rows + 1):
        ax.plot([left, left + columns], [k, k], color="white", linewidth=1)
    for k in range(columns + 1):
        ax.plot([left + k, left + k], [0, rows], color="white", linewidth=1)
    for row, column in np.argwhere(kinds == ITSELF):
        ax.text(left + column + 0.5, row + 0.5, "×", ha="center", va="center", fontsize=12, color="0.4")
    ax.add_patch(Rectangle((left, 0), columns, rows, fill=False, edgecolor="0.4", linewidth=1))


def _staggered(k: int) -> float:
    """Distance of a thumbnail's centre from the matrix: in two rows, each has twice the room that one row leaves."""
    return 3.2 if k % 2 == 0 else 1.2


def _thumbnail(ax, picture: Tensor, x: float, y: float) -> None:
    """A picture of almost two cells around (x, y), with room for the line to one behind it."""
    extent = (x - 0.93, x + 0.93, y + 0.93, y - 0.93)
    ax.imshow(picture.numpy(), extent=extent, interpolation="antialiased")


def _drawn(ax, dataset: str, below: float) -> None:
    """The note that other figures carry below their axes; this figure has no axes."""
    if dataset.startswith("mini_"):
        ax.text(0, below + 0.25, style.drawn_note(dataset), color="0.35", va="top")


@style.in_style
def anchor_pairs(
    pictures: Tensor, labels: Tensor, anchor: int, classes: Sequence[str], dataset: str
) -> Figure:
    """Figure 5 for one anchor, with its positives P(i) and negatives A(i). Arguments as for :func:`pair_matrix`."""
    row = pair_kinds(labels)[anchor]
    positives = ((row == OWN) | (row == SAME)).nonzero().flatten()
    negatives = (row == OTHER).nonzero().flatten()
    name = classes[int(labels.repeat(2)[anchor])]
    columns = max(-(-len(positives) // 3), 1), max(-(-len(negatives) // 3), 1)
    ratios = [3, columns[0], columns[1]]
    scale = 13 / (sum(ratios) + 2)
    with_ratios = {"gridspec_kw": {"width_ratios": ratios}}
    fig, axes = style.styled(3, 1, size=(13 / 3, 3 * scale + 1.35), **with_ratios)
    style.picture(axes[0], pictures[anchor].numpy(), f"anchor i\n{name}")
    style.picture(
        axes[1], _montage(pictures[positives], columns[0]), f"{len(positives)} positives\nP(i): pull"
    )
    negative_title = f"{len(negatives)} negatives\nA(i) as printed: push"
    style.picture(axes[2], _montage(pictures[negatives], columns[1]), negative_title)
    style.say_if_drawn(fig, dataset)
    return fig


def pairs_in_words(labels: Tensor, anchor: int, classes: Sequence[str]) -> str:
    """What :func:`anchor_pairs` shows, with its numbers."""
    row = pair_kinds(labels)[anchor]
    same, other = int((row == SAME).sum()), int((row == OTHER).sum())
    name = classes[int(labels.repeat(2)[anchor])]
    return (
        f"one anchor of a batch, a {name}, with {same + 1} positives (its own crop and {same} vectors of other "
        f"images of its class) and {other} negatives"
    )


def _montage(pictures: Tensor, columns: int, rim: int = 3) -> np.ndarray:
    """(N, H, W, 3) → one sheet of three rows, filled column by column; unused cells are white."""
    height, width = pictures.shape[1:3]
    sheet = np.ones((3 * (height + rim), columns * (width + rim), 3), np.float32)
    for k, picture in enumerate(pictures.numpy()):
        column, row = divmod(k, 3)
        y, x = row * (height + rim), column * (width + rim)
        sheet[y : y + height, x : x + width] = picture
    return sheet


# ---------------------------------------------------------------------- what the loss does to vectors


@style.in_style
def circle(panels: Mapping[str, tuple[Tensor, Tensor]], labels: Tensor, names: Sequence[str]) -> Figure:
    """2-D vectors on the unit circle, with an arrow along each push: title → (z (N, 2), push (N, 2))."""
    fig, axes = style.styled(len(panels), 1, size=(6, 5.2), squeeze=False)
    longest = max(float(push.norm(dim=1).max()) for _, push in panels.values())
    for ax, (title, (z, push)) in zip(axes[0], panels.items(), strict=True):
        ax.add_patch(Circle((0, 0), 1, fill=False, color="0.7", linewidth=1.5))
        arrows = (0.7 / max(longest, 1e-12) * push).tolist()  # one scale for all panels
        for k, (point, arrow) in enumerate(zip(z.tolist(), arrows, strict=True)):
            together = [j for j in range(len(z)) if (z[j] - z[k]).norm() < 0.2]
            name = "\n".join(names[j] for j in together) if k == together[0] else ""
            _vector(ax, point, arrow, int(labels[k]), name)
        ax.set(xlim=(-1.75, 1.75), ylim=(-1.4, 1.5), aspect="equal", title=title, xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return fig


def circle_in_words(panels: Mapping[str, tuple[Tensor, Tensor]], names: Sequence[str]) -> str:
    """The angles of the vectors that :func:`circle` shows, in degrees from the right, counterclockwise."""
    told = []
    for title, (z, _) in panels.items():
        degrees = torch.atan2(z[:, 1], z[:, 0]).rad2deg().remainder(360).tolist()
        angles = ", ".join(f"{name} {angle:.0f}°" for name, angle in zip(names, degrees, strict=True))
        told.append(f"{title}: {angles}")
    return f"Their angles: {'; '.join(told)}."


def _vector(ax, point: list[float], arrow: list[float], label: int, name: str) -> None:
    x, y = point
    colour, marker = _class_look(label)
    ax.plot([0, x], [0, y], color=colour)
    ax.plot(x, y, marker=marker, color=colour, markersize=13)
    if np.hypot(*arrow) > 0.05:
        tip = {"arrowstyle": "-|>", "color": "black", "linewidth": 2.5, "mutation_scale": 20}
        ax.annotate("", (x + arrow[0], y + arrow[1]), point, arrowprops=tip)
    ax.text(1.37 * x, 1.25 * y, name, ha="center", va="center", color=colour)


def _class_look(k: int) -> tuple[str, str]:
    return _CLASS_COLOURS[k % len(_CLASS_COLOURS)], _CLASS_MARKERS[k % len(_CLASS_MARKERS)]


@style.in_style
def pull_curves(
    s: Sequence[float], loss: Mapping[str, Sequence[float]], pull: Mapping[str, Sequence[float]]
) -> Figure:
    """Loss of one anchor, and the pull on its positive, against s = z_i · z_p; one line per reading."""
    fig, axes = style.styled(2, 1, size=(6.2, 4.4))
    titles = ("loss of one anchor", "pull on its positive, −dL/ds")
    for ax, lines, title in zip(axes, (loss, pull), titles, strict=True):
        ax.axvspan(-1, 1, color="0.9", zorder=0)
        ax.axhline(0, color="0.5", linewidth=1)
        for (name, values), (colour, dash) in zip(lines.items(), _READINGS, strict=False):
            ax.plot(s, values, color=colour, linestyle=dash, label=name)
        ax.set(xlabel=r"$s = z_i \cdot z_p$", title=title)
    axes[0].text(0, axes[0].get_ylim()[0], "unit length", ha="center", va="bottom", fontsize=13, color="0.3")
    axes[0].legend(title="A(i)")
    return fig


def free_descent(
    labels: Tensor, steps: int, lr: float = 1.0, seed: int = 0, width: int = 16, **reading
) -> list[float]:
    """Loss at each step of plain gradient descent on free vectors z, one per label, without a network.

    ``reading`` is passed to ``supcon_loss``. Stops early if the loss is no longer finite.
    """
    z = torch.randn(len(labels), width, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    losses = []
    for _ in range(steps):
        loss = supcon_loss(z, labels, **reading)
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            break
        (slope,) = torch.autograd.grad(loss, z)
        z = (z - lr * slope).detach().requires_grad_()
    return losses


@style.in_style
def descent(curves: Mapping[str, Sequence[float]], floor: float, simplex: float) -> Figure:
    """Loss against step for some readings: the full range on a symmetric log scale, and the range near zero.

    floor  a lower bound for vectors of unit length
    simplex  the value of classes that are spread evenly, each in one point
    """
    fig, axes = style.styled(2, 1, size=(6.4, 4.6))
    for (name, losses), (colour, dash) in zip(curves.items(), _READINGS, strict=True):
        for ax in axes:
            ax.plot(range(len(losses)), losses, color=colour, linestyle=dash, label=name)
    axes[0].set_yscale("symlog", linthresh=10)
    low = axes[0].get_ylim()[0]
    decades = int(np.log10(max(-low, 10)))
    axes[0].set_yticks(
        [0, *(-(10.0**k) for k in range(max(decades // 4, 1), decades + 1, max(decades // 4, 1)))]
    )
    axes[0].set(ylabel="loss (eq. 11)", title="full range, symmetric log scale")
    start = max(losses[0] for losses in curves.values())
    axes[1].set(ylim=(min(0, floor) - 0.3, start + 0.3), title="the same, near zero")
    for value, dash, name in (
        (floor, "-", "lower bound: unit length, as printed"),
        (simplex, (0, (6, 4)), "the same with classes spread evenly"),
    ):
        axes[1].axhline(value, color="0.35", linewidth=1.5, linestyle=dash, label=name)
    for ax in axes:
        ax.axhline(0, color="0.7", linewidth=1)
        ax.set_xlabel("step of gradient descent")
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return fig


# ---------------------------------------------------------------------- temperature


def negative_shares(z: Tensor, labels: Tensor, tau: float) -> Tensor:
    """Share of each anchor's push that comes from each negative: (N, N), rows sum to 1.

    It is dL/d(z_i · z_a) of eq. (11) as printed, up to the factor 1 / tau: the softmax over the negatives.
    z (N, D) is normalised to unit length; labels (N,).
    """
    z = torch.nn.functional.normalize(z.float())
    similarity = (z @ z.T / tau).masked_fill(labels[:, None] == labels[None], -torch.inf)
    return similarity.softmax(1)


@style.in_style
def hard_negatives(shares: Mapping[float, Tensor]) -> Figure:
    """Cumulative share of the push, hardest negatives first; ``shares`` maps tau to :func:`negative_shares`."""
    fig, ax = style.styled(size=(11, 4.8))
    for (tau, share), (colour, dash) in zip(shares.items(), _READINGS, strict=False):
        line = share.sort(1, descending=True).values.cumsum(1).mean(0)
        ax.plot(range(len(line) + 1), [0, *(100 * line).tolist()], dash, color=colour, label=f"τ = {tau:g}")
        count = int((share > 0).sum(1).float().mean())
    ax.plot([0, count], [0, 100], color="0.6", linewidth=1.5, label="equal push from all")
    ax.set(
        xlim=(0, count), ylim=(0, 102), xlabel="number of hardest negatives", ylabel="% of an anchor's push"
    )
    ax.set_title("Which negatives push? Mean over the anchors of one batch")
    ax.legend(loc="lower right")
    return fig


# ---------------------------------------------------------------------- sum or mean


def loss_scales(net: GHOLMNet, images: Tensor, labels: Tensor) -> dict[str, dict[str, float]]:
    """Values and pushes of the cross-entropy (eq. 10) and of eq. (11) as mean and as sum.

    The push is the norm of the gradient with respect to the Raw and Crop logits together.
    """
    c = net.config
    out = net(images, labels)
    logits = [out.raw_logits, out.crop_logits]
    z = torch.cat(logits)
    terms = {"cross-entropy (eq. 10)": out.losses["total"] - c.sup_weight * out.losses["sup"]}
    for reduction in ("mean", "sum"):
        loss = supcon_loss(z, labels.repeat(2), c.tau, c.denominator, c.normalize, reduction)
        terms[f"eq. 11 as {reduction}"] = loss
    slopes = {k: torch.cat(torch.autograd.grad(v, logits, retain_graph=True)) for k, v in terms.items()}
    return {
        "loss": {k: v.item() for k, v in terms.items()},
        "push on the logits": {k: v.norm().item() for k, v in slopes.items()},
    }


@style.in_style
def scale_bars(values: Mapping[str, Mapping[str, float]]) -> Figure:
    """Horizontal bars on a logarithmic scale: ``values[panel][term]``, panels side by side."""
    fig, axes = style.styled(len(values), 1, size=(6.5, 3.6), sharey=True, squeeze=False)
    for ax, (title, terms) in zip(axes[0], values.items(), strict=True):
        colours = ["#0072B2", "#CC79A7", "#D55E00", "#000000"][: len(terms)]
        bars = ax.barh(list(terms), list(terms.values()), color=colours, height=0.6)
        ax.bar_label(bars, [f" {v:.3g}" for v in terms.values()])
        ax.set_xscale("log")
        low, high = min(terms.values()), max(terms.values())
        ax.set(title=title, xlim=(low / 2, high * 5))
        ax.invert_yaxis()
        ax.xaxis.set_major_locator(matplotlib.ticker.LogLocator(10))
    return fig


# ---------------------------------------------------------------------- partners in a batch


def chance_of_a_partner(images: int, per_class: int, batch: int) -> float:
    """Probability that a batch contains another image of the class (hypergeometric: drawn without replacement).

    images in the training set, ``per_class`` of them in the image's own class, ``batch`` images in a batch.
    """
    strangers = images - per_class
    k = np.arange(batch - 1)
    # The complement: all batch - 1 others are of other classes, one draw after the other.
    return float(1 - np.prod(np.maximum(strangers - k, 0) / (images - 1 - k)))


def partners(labels: Sequence[int], batch: int, epochs: int, seed: int = 0) -> np.ndarray:
    """Number of other images of the same class in the batch, for each image of some epochs of the kit's batches."""
    labels, batches, counts = np.asarray(labels), Batches(len(labels), batch, seed), []
    for epoch in range(epochs):
        batches.epoch = epoch
        for items in batches:
            own = labels[[index for index, _ in items]]
            counts.append((own[:, None] == own[None]).sum(1) - 1)
    return np.concatenate(counts)


@style.in_style
def partner_curves(
    sets: Mapping[str, tuple[int, int]], at: int, simulated: Mapping[str, float] | None = None
) -> Figure:
    """Probability of a partner against batch size; ``sets`` maps a name to (classes, training images).

    at         the batch size of the recipe, marked
    simulated  name → share measured with the kit's own batches at that size, drawn as a ring
    """
    fig, ax = style.styled(size=(12, 5))
    sizes = np.unique(np.geomspace(2, 1024, 60).round().astype(int))
    looks = list(zip(_CLASS_COLOURS, ("-", "--", "-.", ":", (0, (6, 1, 1, 1))), strict=False))
    for (name, (classes, images)), (colour, dash) in zip(sets.items(), looks, strict=False):
        fits = sizes[sizes <= images]
        chance = [100 * chance_of_a_partner(images, round(images / classes), int(b)) for b in fits]
        ax.plot(fits, chance, color=colour, linestyle=dash, label=f"{name}: {classes} classes")
        if simulated and name in simulated:
            ax.plot(
                at,
                100 * simulated[name],
                "o",
                markersize=13,
                fillstyle="none",
                color=colour,
                markeredgewidth=3,
            )
    ax.axvline(at, color="0.5", linewidth=1.5, linestyle=":")
    ax.text(at * 1.05, 101, f"batch of {at}", va="bottom", fontsize=13, color="0.3")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%d"))
    ax.set(xlabel="images in a batch", ylabel="% of images with a partner", ylim=(0, 104))
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


# ---------------------------------------------------------------------- embeddings


@torch.no_grad()
def embed(net: GHOLMNet, samples: Sequence[Sample], config: Config) -> Tensor:
    """Unit-length vectors z of some images at test time: (2N, D), Raw then Crop."""
    device = next(net.parameters()).device
    found = []
    for start in range(0, len(samples), 32):
        part = [to_input(load_image(s.path), config) for s in samples[start : start + 32]]
        images = torch.stack(part).to(device)
        out = net.attend(images)
        if config.z == "logits":
            z = out.raw_logits, out.crop_logits
        else:
            crops = crop(images, out.crop_boxes, images.shape[-1])
            features = [net.backbone.forward_features(x) for x in (images, crops)]
            z = [net._z(f, net.head(f)) for f in features]
        found.append(torch.stack([torch.nn.functional.normalize(v.float()) for v in z]))
    return torch.cat(found, 1).flatten(0, 1).cpu()


def plane(z: Tensor) -> tuple[np.ndarray, float]:
    """Principal components: z (N, D) → coordinates along the first two (N, 2), and their share of the variance."""
    centred = z - z.mean(0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    return (u[:, :2] * s[:2]).numpy(), float((s[:2] ** 2).sum() / (s**2).sum().clamp(min=1e-12))


def mean_cosines(z: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean cosine for each kind of pair except "itself"; z (2N, D), labels (N,)."""
    z = torch.nn.functional.normalize(z)
    cosine, kinds = z @ z.T, pair_kinds(labels)
    return {KINDS[k]: float(cosine[kinds == k].mean()) for k in (OWN, SAME, OTHER)}


def cosines_in_words(z: Tensor, labels: Tensor) -> str:
    """The mean cosines of :func:`mean_cosines`, for the alt text of :func:`embeddings`."""
    cosines = mean_cosines(z, labels)
    return (
        f"mean cosine {cosines[KINDS[SAME]]:.2f} within a class, {cosines[KINDS[OTHER]]:.2f} between classes"
    )


@style.in_style
def embeddings(panels: Mapping[str, Tensor], labels: Tensor, classes: Sequence[str], dataset: str) -> Figure:
    """Two principal components, one panel per title → z (2N, D): Raw filled, its Crop hollow, joined by a line.

    labels (N,) from 0; ``classes`` names them
    """
    fig, axes = style.styled(len(panels), 1, size=(6.2, 5.4), squeeze=False)
    count = len(labels)
    for ax, (title, z) in zip(axes[0], panels.items(), strict=True):
        points, share = plane(z)
        for k in range(count):
            colour, marker = _class_look(int(labels[k]))
            (x0, y0), (x1, y1) = points[k], points[k + count]
            ax.plot([x0, x1], [y0, y1], color=colour, linewidth=1, alpha=0.6)
            ax.plot(x0, y0, marker, color=colour, markersize=8)
            ax.plot(x1, y1, marker, color=colour, markersize=8, fillstyle="none", markeredgewidth=1.8)
        ax.set(title=f"{title}\n(two components: {100 * share:.0f} % of the variance)", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_aspect("equal", "datalim")
    looks = [_class_look(k) for k in range(len(classes))]
    handles = [
        Line2D([], [], color=c, marker=m, linestyle="none", markersize=9, label=name)
        for (c, m), name in zip(looks, classes, strict=True)
    ]
    handles.append(Line2D([], [], color="0.3", marker="o", linestyle="none", markersize=9, label="Raw"))
    hollow = {"fillstyle": "none", "markeredgewidth": 1.8}
    handles.append(
        Line2D([], [], color="0.3", marker="o", linestyle="-", lw=1, ms=9, label="its Crop", **hollow)
    )
    fig.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=12)
    if dataset.startswith("mini_"):
        axes[0, 0].set_xlabel(style.drawn_note(dataset), color="0.35")
    return fig
