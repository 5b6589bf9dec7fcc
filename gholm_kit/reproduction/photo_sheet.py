"""Figure 6 on photographs: the ImageNet network, without any training, at photographs that anybody may show."""

from __future__ import annotations

from gholm_kit import style
from gholm_kit.reproduction.sheets import Drawn, about
from gholm_kit.teaching.figures import paper as drawings
from gholm_kit.teaching.free_photos import FREE_PHOTOS, credits_of
from gholm_kit.teaching.photos import top
from gholm_lib.datasets import Sample
from gholm_lib.imagenet import imagenet_network

NAME = "06_figure_6_photographs"
_UNKNOWN = -1  # nobody has labelled these photographs, and for some no class is right


@style.in_style
def draw_photo_sheet() -> Drawn:
    """For each photograph: image with the answer, heatmap with contour and box, crop, erased image.

    raises  PhotoError or WeightsError, which say what to install, where photographs or weights are missing
    """
    net, classes = imagenet_network()
    samples = [Sample(photo.path, _UNKNOWN, name) for name, photo in FREE_PHOTOS.items()]
    columns: list[drawings.Shown] = []
    for sample in samples:
        path = drawings.follow(net, sample)
        ((k, p),) = top(path.raw + path.cropped, 1)
        columns.append(("", f"{sample.image_id}: {classes[k]} {100 * p:.0f} %", path))
    small_print = (
        f"{net.config.backbone}, trained on ImageNet alone; answer: Raw + Crop. {credits_of(FREE_PHOTOS)}"
    )
    fig = drawings.branch_grid(columns, style.wrapped(small_print, drawings.WIDTH - 2, drawings.LETTERS))
    told = "; ".join(caption for _, caption, _ in columns)
    alt = (
        "Figure 6 on photographs; for each the image with the answer, the heatmap with the contour at mu and the "
        f"box, the crop, the erased image. {told}"
    )
    return Drawn(fig, alt, about(0, [net], samples))
