"""The ledger: what the paper leaves open, the readings of each question, and which one is ours and why.

A reading is a change of fields of the Config, nothing else, so each can be trained and measured like any other run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gholm_lib.config import Config, load_config


def lengthened(config: Config, times: int) -> Config:
    """The same schedule, so many times longer: epochs and the epochs of decay are multiplied."""
    decays = tuple(times * e for e in config.lr_decay_epochs)
    return config.replace(epochs=times * config.epochs, lr_decay_epochs=decays)


@dataclass(frozen=True)
class Reading:
    """One way to read a question.

    name     in words
    changes  the fields of the Config that differ from our default
    longer   epochs and the epochs of decay are multiplied by this
    instead  what there is instead of a run of the mini grid, "" when there is one
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    longer: int = 1
    instead: str = ""

    def config(self, ours: Config) -> Config | None:
        """``ours`` read this way; None where no run on this data can show it."""
        if self.instead and (not self.changes or ours.dataset.startswith("mini_")):
            return None
        return lengthened(ours, self.longer).replace(**self.changes)


@dataclass(frozen=True)
class Question:
    """Something that the paper leaves open.

    key    short name, for links and tests
    block  which picture shows its readings, one of four
    topic  what it is about, in words that fit before ": " and a reading's name
    asks   the question
    gives  what the paper says of it
    ours   our default, in words
    why    the reason for it
    """

    key: str
    block: str
    topic: str
    asks: str
    gives: str
    ours: str
    why: str
    readings: tuple[Reading, ...]


LEDGER: tuple[Question, ...] = (
    Question(
        "cam_weighted",
        "heatmap, thresholds and Drop",
        "weights of eq. (2)",
        "Are the channels of eq. (2) weighted by a_k^c?",
        "the text says so, the printed formula lacks the weight",
        "weighted",
        "eq. (1) would be of no use otherwise, and GradCAM [8] weights",
        (Reading("unweighted, as printed", {"cam_weighted": False}),),
    ),
    Question(
        "cam_class",
        "heatmap, thresholds and Drop",
        "heatmap's class in training",
        "Which class c does the heatmap explain in training?",
        'section 2.2: "the predicted class"; section 3.2: "the class that the image belongs to"',
        "predicted",
        "section 2.2 describes the flow of gradients, and test time has no labels",
        (Reading("ground truth", {"cam_class": "label"}),),
    ),
    Question(
        "denominator",
        "contrastive loss",
        "A(i) of eq. (11)",
        "Which samples are A(i) of eq. (11)?",
        "the negatives of i",
        "negatives only",
        "as printed",
        (Reading("all but i (Khosla [26])", {"denominator": "all"}),),
    ),
    Question(
        "normalize",
        "contrastive loss",
        "length of z",
        "Has z unit length?",
        "silent",
        "unit length",
        "Khosla [26] normalises, and eq. (11) with negatives only has no lower bound otherwise",
        (Reading("unnormalised z", {"normalize": False}),),
    ),
    Question(
        "z",
        "contrastive loss",
        "vector z",
        "Which vector is z?",
        '"after the fully connected layer"',
        "logits",
        "read literally: ConvNeXt has one fully connected layer, the classifier",
        (
            Reading("pooled features before the classifier", {"z": "features"}),
            Reading("a projection head (Khosla [26])", {"z": "projection"}),
        ),
    ),
    Question(
        "reduction",
        "contrastive loss",
        "eq. (11) over I",
        "Sum or mean over I in eq. (11)?",
        "a sum",
        "mean",
        "the sum grows with the batch: here it is 32 times the mean and would swamp the cross-entropy",
        (
            Reading("sum, as printed", {"reduction": "sum"}),
            Reading("sum, unnormalised z: eq. (11) to the letter", {"reduction": "sum", "normalize": False}),
        ),
    ),
    Question(
        "tau",
        "contrastive loss",
        "temperature",
        "Which temperature?",
        '0.7, "after [26]"',
        "0.7",
        "as printed; Khosla's own best is 0.1, and Khosla's code has 0.07",
        (
            Reading("0.1", {"tau": 0.1}),
            Reading("0.07", {"tau": 0.07}),
            Reading(
                "0.1, all but i, projection head (Khosla [26])",
                {"tau": 0.1, "denominator": "all", "z": "projection"},
            ),
        ),
    ),
    Question(
        "fill",
        "heatmap, thresholds and Drop",
        "erased pixels",
        "What do erased pixels become?",
        "silent",
        "the mean colour (zero after normalisation)",
        "as in a public PyTorch code of WS-DAN [5], which is not its authors'",
        (
            Reading("black", {"fill": "black"}),
            Reading("the image's mean per channel", {"fill": "channel_mean"}),
            Reading("noise", {"fill": "noise"}),
        ),
    ),
    Question(
        "theta_per",
        "heatmap, thresholds and Drop",
        "θ is drawn",
        "Is theta drawn for each image or for each batch?",
        '"a random number"',
        "for each image",
        "as in the same public code of WS-DAN",
        (Reading("for each batch", {"theta_per": "batch"}),),
    ),
    Question(
        "connectivity",
        "Crop",
        "neighbours of a pixel",
        "Which neighbours connect a component?",
        "silent",
        "8",
        "what MMAL's code does",
        (Reading("4", {"connectivity": "4"}),),
    ),
    Question(
        "crop_padding",
        "Crop",
        "margin round the box",
        "Is there a margin round the box?",
        "silent",
        "none",
        "the paper mentions none",
        (
            Reading("0.1 of the box's sides", {"crop_padding": 0.1}),
            Reading("0.1 of the image's sides (public WS-DAN code)", {"crop_margin": 0.1}),
        ),
    ),
    Question(
        "thresholds",
        "heatmap, thresholds and Drop",
        "thresholds",
        "Are thresholds multiples of the heatmap's mean?",
        "eq. (4)-(6): yes; section 3.3 takes theta from WS-DAN [5], where it is a share of the maximum",
        "mu and theta times the mean",
        "as printed",
        (
            Reading("mu .5 of the maximum (WS-DAN)", {"mu_times": "max", "mu": 0.5}),
            Reading(
                "theta .2 to .5 of the maximum (public WS-DAN code)",
                {"theta_times": "max", "theta_low": 0.2, "theta_high": 0.5},
            ),
        ),
    ),
    Question(
        "crop_mask",
        "Crop",
        "map cut by μ",
        "Is the map cut by mu before or after it is upsampled?",
        "eq. (3)-(5): after",
        "after",
        "as printed; before, every box would end at a cell of the map",
        (Reading("before: the coarse map", {"crop_mask": "coarse"}),),
    ),
    Question(
        "crop_from",
        "Crop",
        "crop is cut",
        "From which picture is the crop cut?",
        'section 3.3: "cropped on the original image"',
        "from the network's input",
        "as in a public PyTorch code of WS-DAN; the sentence can mean either",
        (Reading("from the picture at twice the input's size", {"crop_from": "original"}),),
    ),
    Question(
        "crop_min_size",
        "Crop",
        "smallest box",
        "Does the box have a minimum size?",
        "silent",
        "none; an empty mask gives the whole image",
        "the paper mentions none",
        (Reading("half the image's side", {"crop_min_size": 0.5}),),
    ),
    Question(
        "crop_square",
        "Crop",
        "shape of the box",
        "Is the crop stretched to the input's square?",
        "silent",
        "stretched",
        "the simplest; images are stretched too (510 x 510)",
        (Reading("square box", {"crop_square": True}),),
    ),
    Question(
        "crop_gradient",
        "Crop",
        "crop's gradient into the heatmap",
        "Does the crop's gradient reach the heatmap?",
        "silent",
        "no",
        "the corners of a box are not differentiable",
        (Reading("yes", instead="would need another, soft crop: another method"),),
    ),
    Question(
        "branch_losses",
        "training and test",
        "branches' losses",
        "Are the branches' losses added or averaged?",
        "eq. (10): added",
        "added",
        "as printed; each branch then enlarges the step",
        (Reading("averaged by their weights", {"branch_losses": "mean"}),),
    ),
    Question(
        "gamma",
        "training and test",
        "weight of L_drop",
        "What does the weight of L_drop do?",
        "0.2, without a comparison",
        "0.2",
        "as printed",
        (Reading("0", {"gamma": 0.0}), Reading("1", {"gamma": 1.0})),
    ),
    Question(
        "sup_weight",
        "contrastive loss",
        "weight of L_c",
        "Which weight has L_c in eq. (12)?",
        "none",
        "1",
        "as printed",
        (Reading("0.1", {"sup_weight": 0.1}), Reading("0.5", {"sup_weight": 0.5})),
    ),
    Question(
        "answer",
        "training and test",
        "added at test time",
        "What is added over Raw and Crop at test time?",
        'section 3.1: "the logical outputs"; Table 5: "logits"',
        "logits",
        "as printed",
        (Reading("probabilities", {"answer": "probabilities"}),),
    ),
    Question(
        "answering_rows",
        "training and test",
        "logits that answer in rows 2 to 4",
        "Which logits answer in rows 2 to 4 of Tables 2 and 3?",
        "silent; Table 5 compares three answers of one network",
        "Raw + Crop",
        "section 3.1 adds them at test time",
        (Reading("Raw or Crop alone", instead="measured, see Table 5"),),
    ),
    Question(
        "test_flip",
        "training and test",
        "picture tested",
        "Is the mirror image tested too?",
        "silent",
        "no",
        "the paper mentions none",
        (Reading("mean over the image and its mirror image", {"test_flip": True}),),
    ),
    Question(
        "fresh_rate",
        "training and test",
        "fresh classifier's rate",
        "Does the fresh classifier learn at its own rate?",
        "one rate",
        "no",
        "as printed; ten times the rate is a common habit",
        (Reading("ten times the rate", {"fresh_rate": 10.0}),),
    ),
    Question(
        "jitter",
        "training and test",
        "jitter",
        "How strong is the jitter?",
        "brightness and saturation, amounts not stated",
        "brightness 0.126, saturation 0.5",
        "the amounts in the same public code of WS-DAN",
        (Reading("none", {"brightness": 0.0, "saturation": 0.0}),),
    ),
    Question(
        "cam_layer",
        "heatmap, thresholds and Drop",
        "heatmap's layer",
        'Which is "the last convolutional layer"?',
        '"the last feature layer"',
        "output of the last stage",
        "the features that the classifier sees",
        (
            Reading("the last block's depthwise convolution", {"cam_layer": "depthwise"}),
            Reading("after the final norm", {"cam_layer": "norm"}),
        ),
    ),
    Question(
        "epochs",
        "training and test",
        "epochs",
        "How many epochs?",
        "not stated; the rate falls after 15 and 30",
        f"{load_config('paper').epochs} (mini birds: {load_config('mini').epochs})",
        "a third stage as long as each of the first two",
        (Reading("twice as many, decays twice as late", longer=2),),
    ),
    Question(
        "reported_epoch",
        "training and test",
        "reported epoch",
        "Which epoch's accuracy is reported?",
        "silent",
        "the last",
        "nothing is chosen on the test images; choosing the best test epoch is optimistic",
        (
            Reading(
                "best test epoch, or chosen on held-out images", instead="measured, see the table of epochs"
            ),
        ),
    ),
    Question(
        "weights",
        "training and test",
        "ImageNet-22k weights",
        "Which ImageNet-22k weights?",
        "silent",
        "fb_in22k",
        "the plain reading: ImageNet-22k alone, not fine-tuned on ImageNet-1k",
        (
            Reading(
                "fine-tuned on ImageNet-1k (fb_in22k_ft_in1k)",
                {"backbone": "convnext_small.fb_in22k_ft_in1k"},
                instead="the mini backbone starts from drawn classes, not from ImageNet",
            ),
        ),
    ),
    Question(
        "dogs",
        "training and test",
        "weights for Stanford Dogs",
        "Were test images of Stanford Dogs seen in pretraining?",
        "ImageNet-1k initialisation",
        "ImageNet-1k, as the paper has it",
        "Stanford Dogs is drawn from ImageNet, so its test images may have been trained on",
        (
            Reading(
                "weights that never saw these images",
                instead="no such ConvNeXt-S is public; the drawn sets share no class with the drawn pretraining",
            ),
        ),
    ),
    Question(
        "seeds",
        "training and test",
        "runs of a row",
        "How much do two runs of one row differ?",
        "silent: neither a number of runs nor a spread",
        "several seeds, with an interval over images and seeds",
        "0.2 points are 12 of CUB's 5794 images",
        (Reading("one run", instead="measured, see the seeds' spread in Tables 2 and 3"),),
    ),
)
