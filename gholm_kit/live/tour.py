"""The paper in eight steps: a text, an equation, the line of code that computes it, and a test of that line."""

from __future__ import annotations

from dataclasses import dataclass

from gholm_lib.paths import project_root


@dataclass(frozen=True)
class Step:
    """One step.

    part      the picture on the page that it is about
    equation  LaTeX
    file      of gholm_lib, and ``line``, which stands in it once
    test      file and name of a test that fails if the line is wrong
    """

    part: str
    title: str
    text: str
    equation: str
    file: str
    line: str
    test: str

    @property
    def place(self) -> str:
        """File and number of the line.

        raises  ValueError if the line is not in the file once: the page would show code that does not run
        """
        lines = (project_root() / self.file).read_text(encoding="utf-8").splitlines()
        found = [number for number, line in enumerate(lines, 1) if line.strip() == self.line]
        if len(found) != 1:
            raise ValueError(
                f"the tour names a line that stands {len(found)} times in {self.file}: {self.line}"
            )
        return f"{self.file}:{found[0]}"


STEPS = (
    Step(
        "image",
        "One picture, one network",
        "The picture is resized to a square. The backbone makes feature maps A of it, and its head makes "
        "a number y for each class, the logits. This first look at the whole picture is called Raw.",
        r"y = \mathrm{head}(A)",
        "gholm_lib/model.py",
        "return features, tap, self.head(features)",
        "tests/lib/test_model.py::test_the_branches_step_by_step",
    ),
    Step(
        "heat",
        "Which feature maps matter?",
        "How much would the logit of class c rise with feature map k? The mean of its derivative over all "
        "positions says it. Only the head is differentiated, so this costs next to nothing. Choose "
        "another class: other maps matter to it.",
        r"a_k^c = \frac{1}{h\,w} \sum_{i,j} \frac{\partial y^c}{\partial A^k_{ij}} \tag{1}",
        "gholm_lib/gradcam.py",
        "return at_least_float32(gradient).mean((2, 3))",
        "tests/lib/test_gradcam.py::test_channel_weights_are_the_mean_gradient_of_one_image_at_a_time",
    ),
    Step(
        "heat",
        "The heatmap",
        "The feature maps are added with these weights; what speaks against the class is cut off at zero. "
        "The paper prints the formula without the weights; this page has them, as GradCAM does. The small "
        "map is then enlarged to the picture.",
        r"\mathrm{heat} = \mathrm{upSample}\Big(\mathrm{ReLU}\Big(\sum_k a_k^c A^k\Big)\Big) \tag{2, 3}",
        "gholm_lib/gradcam.py",
        'summed = a.sum(1) if weights is None else torch.einsum("bc,bchw->bhw", weights, a)',
        "tests/lib/test_gradcam.py::test_same_map_as_captum",
    ),
    Step(
        "mask",
        "Hot means above μ times the mean",
        "The heat has no unit, so it is compared with its own mean. Move μ: a higher μ leaves fewer "
        "pixels. At μ near the largest heat none is left.",
        r"M_{ij} = [\,\mathrm{heat}_{ij} > \mu\,\mathrm{mean}(\mathrm{heat})\,] \tag{4, 5}",
        "gholm_lib/masking.py",
        "return heat > (factor * level).view(-1, 1, 1)",
        "tests/lib/test_masking.py::test_threshold_is_a_strict_comparison_with_the_mean",
    ),
    Step(
        "box",
        "The box of the largest component",
        "Hot pixels that touch form components. The box is drawn round the largest of them. If no pixel "
        "is hot, the box is the whole picture.",
        r"\mathrm{box} = \mathrm{bounds}(\mathrm{largest\ component\ of\ } M)",
        "gholm_lib/masking.py",
        "return np.array([x[best], y[best], x[best] + w[best], y[best] + h[best]])",
        "tests/lib/test_masking.py::test_box_agrees_with_scikit_image",
    ),
    Step(
        "crop",
        "A closer look: Crop",
        "The box is cut out and enlarged to the size of the picture. The same network looks at it again. "
        "Small parts are now larger, and often the answer becomes surer, or another one.",
        r"y_{crop} = \mathrm{net}(\mathrm{resize}(\mathrm{image}[\mathrm{box}]))",
        "gholm_lib/masking.py",
        'out = F.grid_sample(wide, grid, mode="bilinear", align_corners=False)',
        "tests/lib/test_masking.py::test_crop_is_interpolate_on_each_image",
    ),
    Step(
        "drop",
        "What is left without the hottest part: Drop",
        "In training a third branch sees the picture with its hot pixels erased, and must look for other "
        "evidence. It takes no part in the answer. Move θ down: how much can go before Drop changes its "
        "mind?",
        r"\mathrm{erase}\ [\,\mathrm{heat}_{ij} > \theta\,\mathrm{mean}(\mathrm{heat})\,] \tag{6}",
        "gholm_lib/masking.py",
        "return torch.where(mask[:, None], paint, images)",
        "tests/lib/test_masking.py::test_mean_fill_is_zero_after_normalisation",
    ),
    Step(
        "answer",
        "The answer: Raw + Crop",
        "At test time the logits of both looks are added. Compare the lists: where do the two disagree, "
        "and who wins? A high probability does not mean that the network has seen such a picture before.",
        r"y = y_{raw} + y_{crop}",
        "gholm_lib/model.py",
        'return a + b if answer == "logits" else torch.logaddexp(a.log_softmax(1), b.log_softmax(1)) - math.log(2)',
        "tests/lib/test_model.py::test_predict_gives_raw_and_crop_and_their_sum_is_the_answer",
    ),
)
