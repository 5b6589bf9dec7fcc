"""What the sheet says, in English and in Chinese: symbols, equations with their functions, words.

Chinese terms are the paper's. Each pair is (English, Chinese); `sheet.py` lays it out.
"""

from __future__ import annotations

from dataclasses import dataclass

Text = tuple[str, str]  # English, Chinese
LANGUAGES = ("en", "zh-CN")


@dataclass(frozen=True)
class Symbol:
    """A symbol of the paper: LaTeX, its shape or value, what it is."""

    latex: str
    shape: str
    meaning: Text


@dataclass(frozen=True)
class Equation:
    """A numbered equation: LaTeX, the function of `gholm_lib` that computes it, what to know about it."""

    number: str
    latex: str
    functions: tuple[str, ...]
    note: Text


TITLE: Text = ("GHOLM-Net on one sheet", "GHOLM-Net 速查表")
SUBTITLE: Text = (
    "Zheng & Wang, Computer Science (计算机科学) 2023, 50(10): 119-125. "
    "One ConvNeXt, used three times; its own heatmap decides where to look again.",
    "郑世杰、王高才，《计算机科学》2023, 50(10): 119-125。同一个 ConvNeXt 使用三次，由它自己的热图决定再看哪里。",
)
HEADINGS: dict[str, Text] = {
    "network": ("The network", "网络结构"),
    "symbols": ("Symbols and shapes", "符号与形状"),
    "equations": ("Equations and their functions", "公式与对应函数"),
    "words": ("Words", "术语对照"),
}
LETTERS: Text = (
    "B images, K classes, C channels, H × W pixels, h × w places of the features (14 × 14 for 448 × 448 pixels), "
    "D numbers a vector.",
    "B：批量大小；K：类别数；C：通道数；H × W：图像大小；"
    "h × w：特征图大小（448 × 448 的图像为 14 × 14）；D：向量维数。",
)
COLUMNS: dict[str, Text] = {
    "symbol": ("symbol", "符号"),
    "shape": ("shape or value", "形状或取值"),
    "meaning": ("meaning", "含义"),
    "number": ("eq.", "式"),
    "equation": ("equation", "公式"),
    "function": ("function in gholm_lib", "gholm_lib 中的函数"),
    "note": ("to know", "说明"),
}
CAPTION: Text = (
    "The three ConvNeXt are one network with the same weights. Dashed: training only. "
    "At test time the logits of Raw and Crop are added; Drop is not run.",
    "图中三个 ConvNeXt 是同一个网络，共享权重。虚线部分仅用于训练。"
    "测试时将 Raw 与 Crop 的逻辑输出相加，不运行 Drop。",
)
# What the drawing says; the keys are those of sheet.svg.j2.
DRAWING: dict[str, Text] = {
    "alt": (
        "Raw: the image goes through ConvNeXt and its head. GradCAM makes a heatmap, from which Crop and Drop get "
        "their images; both go through the same network. Losses are added; the answer is Raw + Crop.",
        "Raw：图像经过 ConvNeXt 及其分类头。GradCAM 生成热图，Crop 与 Drop 由热图得到各自的图像，再经过同一网络。"
        "各项损失相加；最终结果为 Raw + Crop。",
    ),
    "raw": ("Raw", "Raw 原始分支"),
    "crop": ("Crop", "Crop 裁剪分支"),
    "drop": ("Drop", "Drop 擦除分支"),
    "image": ("image X", "图像 X"),
    "backbone": ("ConvNeXt", "ConvNeXt"),
    "same": ("same weights", "共享权重"),
    "features": ("features A", "特征图 A"),
    "head": ("head", "分类头"),
    "heat": ("heat", "热图 heat"),
    "upsample": ("upsample", "上采样"),
    "mask": ("heat > μ ā", "heat > μ ā"),
    "box": ("largest component", "极大连通区域"),
    "cut": ("cut out, enlarge", "裁剪并放大"),
    "mask_drop": ("heat > θ ā", "heat > θ ā"),
    "erase": ("erase where 1", "擦除值为 1 处"),
    "cropped": ("cropped image", "裁剪图"),
    "erased": ("erased image", "擦除图"),
    "answer": ("test answer", "测试结果"),
    "contrast": ("contrast of z", "z 的对比损失"),
    "total": ("total", "总损失"),
}

SYMBOLS = (
    Symbol("X", "(B, 3, H, W)", ("a batch of images, normalised", "一个批量的图像，已归一化")),
    Symbol("A", "(B, C, h, w)", ("last features, one map a channel", "最后一层特征图；每个通道一张")),
    Symbol("y^c", "(B, K)", ("logits; here that of class c", "逻辑输出 logits，此处为类别 c 的输出")),
    Symbol(
        "c", "(B,)",
        ("(1): the predicted class; (7)-(9): the true one", "式 (1) 中为预测类别，式 (7)-(9) 中为真实类别"),
    ),
    Symbol("a_k^c", "(B, C)", ("weight of channel k for class c", "通道 k 对类别 c 的权重")),
    Symbol(
        r"\mathit{heat}", "(B, H, W)",
        ("heatmap, never negative, in the image's size", "热图，非负，与图像同大小"),
    ),
    Symbol(r"\bar a", "(B,)", ("mean of the heatmap", "热图的平均值")),
    Symbol(
        r"\mu,\ \theta", "1.7,  U(1, 2)",
        ("thresholds of Crop and Drop, in means", "裁剪与擦除的阈值系数，以平均值为单位"),
    ),
    Symbol(r"\mathit{Mask}", "(B, H, W) bool", ("pixels above the threshold", "高于阈值的像素（掩码图）")),
    Symbol(
        r"\mathit{box}", "(B, 4) int64",
        ("x0, y0, x1, y1, half open, in pixels", "x0, y0, x1, y1，左闭右开，单位为像素"),
    ),
    Symbol(
        "z_i", "(2B, D)",
        ("Raw's and Crop's vectors for (11): logits, unless set", "式 (11) 所用的 Raw 与 Crop 向量，默认取逻辑输出"),
    ),
    Symbol(
        "P(i),\\ A(i)", "⊂ I,  |I| = 2B",
        ("positives (same class); negatives, as printed", "正样本集（同类）；负样本集（按原文）"),
    ),
    Symbol(
        r"\gamma,\ \tau", "0.2,  0.7",
        ("weight of Drop's loss; temperature", "擦除分支的损失权重；温度系数"),
    ),
)  # fmt: skip


def mask_latex(branch: str, factor: str) -> str:
    """Eq. (5) and (6): the pixels whose heat is above ``factor`` times the mean."""
    above = rf"1, & \mathit{{heat}}(x,y)>{factor}\bar a \\ 0, & \text{{otherwise}}"
    return rf"\mathit{{Mask}}_{{(x,y)}}^{{\text{{{branch}}}}}=\begin{{cases}}{above}\end{{cases}}"


EQUATIONS = (
    Equation(
        "1", r"a_k^c=\frac{1}{hw}\sum_{i,j}\frac{\partial y^c}{\partial A_{ij}^k}", ("gradcam",),
        ("only the head is differentiated", "只对分类头求导"),
    ),
    Equation(
        "2", r"\mathit{gradcam}=\mathrm{ReLU}\Bigl(\sum_k a_k^c A^k\Bigr)", ("gradcam",),
        ("the print lacks the weight, the text has it", "原文公式漏印权重，正文中有"),
    ),
    Equation(
        "3", r"\mathit{heat}=\mathrm{upSample}(\mathit{gradcam})", ("upsample",),
        ("bilinear, to the image's size", "双线性插值到图像大小"),
    ),
    Equation(
        "4", r"\bar a=\frac{1}{HW}\sum_{x,y}\mathit{heat}(x,y)", ("heat_mean",),
        ("mean over all pixels", "对所有像素取平均"),
    ),
    Equation(
        "5", mask_latex("crop", r"\mu"),
        ("threshold", "largest_component_boxes", "crop"),
        ("then the box of the largest component, enlarged", "再取极大连通区域的外接框并放大"),
    ),
    Equation(
        "6", mask_latex("drop", r"\theta"), ("threshold", "erase"),
        ("erased where it is 1; θ: a new random number for each image",
         "擦除图像中掩码为 1 处；θ 对每张图像随机取值"),
    ),
    Equation("7", r"L_{\text{raw}}=-\log P_r(c)", ("branch_loss",), ("cross-entropy of Raw", "Raw 的交叉熵损失")),
    Equation("8", r"L_{\text{crop}}=-\log P_c(c)", ("branch_loss",), ("cross-entropy of Crop", "Crop 的交叉熵损失")),
    Equation("9", r"L_{\text{drop}}=-\log P_d(c)", ("branch_loss",), ("cross-entropy of Drop", "Drop 的交叉熵损失")),
    Equation(
        "10", r"L_{\text{total\_ce}}=L_{\text{raw}}+L_{\text{crop}}+\gamma L_{\text{drop}}",
        ("total_cross_entropy",),
        ("γ is small: an erased image is mostly background", "γ 取小：擦除后的图像多为背景"),
    ),
    Equation(
        "11",
        r"L_c=\sum_{i\in I}\frac{-1}{|P(i)|}\sum_{p\in P(i)}\log"
        r"\frac{\exp(z_i\cdot z_p/\tau)}{\sum_{a\in A(i)}\exp(z_i\cdot z_a/\tau)}",
        ("supcon_loss",),
        (
            "A(i): negatives only (Khosla: all but i); unless set, the mean over I, and z of unit length",
            "A(i) 仅含负样本（Khosla 等：除 i 外全部）；代码默认对 I 取平均，z 归一化为单位长度",
        ),
    ),
    Equation(
        "12", r"L_{\text{total}}=L_{\text{total\_ce}}+L_c", ("total_loss",),
        ("what training minimises", "训练时最小化的目标"),
    ),
    Equation(
        "13", r"\mathit{Acc}=\frac{T_{\text{num}}}{A_{\text{num}}}", ("accuracy",),
        ("right answers by all answers, in percent", "正确数除以总数，以百分比表示"),
    ),
)  # fmt: skip

WORDS: tuple[Text, ...] = (
    ("fine-grained image classification", "细粒度图像分类"),
    ("intra-class / inter-class variance", "类内差异 / 类间差异"),
    ("image-level label", "图像级标签"),
    ("bounding box", "边界框"),
    ("backbone", "主干网络"),
    ("pretrained model", "预训练模型"),
    ("feature map", "特征图"),
    ("discriminative feature", "判别性特征"),
    ("heatmap", "热图"),
    ("gradient", "梯度"),
    ("upsampling", "上采样"),
    ("fully connected layer", "全连接层"),
    ("predicted class", "预测类别"),
    ("mask", "掩码"),
    ("threshold", "阈值"),
    ("largest connected component", "极大连通区域"),
    ("attention crop", "注意力裁剪"),
    ("attention erasure", "注意力擦除"),
    ("branch", "分支"),
    ("data augmentation", "数据增强"),
    ("logits", "逻辑输出"),
    ("supervised contrastive learning", "有监督对比学习"),
    ("positive / negative sample", "正样本 / 负样本"),
    ("temperature", "温度系数"),
    ("embedding", "嵌入"),
    ("cross-entropy loss", "交叉熵损失"),
    ("learning-rate decay", "学习率衰减"),
    ("momentum / weight decay", "动量 / 权重衰减"),
    ("batch size / epoch", "批量大小 / 轮次"),
    ("random seed", "随机种子"),
    ("accuracy", "准确率"),
    ("ablation", "消融实验"),
    ("baseline", "基线"),
    ("robustness", "鲁棒性"),
    ("confidence interval", "置信区间"),
    ("hyper-parameter", "超参数"),
    ("reproducibility", "可复现性"),
    ("closed set", "闭集"),
)
