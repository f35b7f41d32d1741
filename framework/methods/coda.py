"""Co-DA, co-distribution alignment (Wang et al. 2023; methods/README 4).

Before a network's predictions become the other's pseudo-labels, its marginal on unlabelled pixels is aligned,
class by class, with that on labelled pixels; only pixels over an expected confidence are kept. The formulas
are reconstructed; letters (a) to (f) mark the steps of methods/README 4.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from framework.core.distributed import all_reduce_sum
from framework.core.labels import IGNORE
from framework.loading.loader import Batch
from framework.methods.base import Example, Method, MethodContext, Update
from framework.methods.common.losses import WeightRamp, class_sums, hard_labels, planar, weighted_update
from framework.methods.common.pair import STREAMS, Pair, cross_loss, predict_pair, supervised_pair, views
from framework.methods.sections import Block, LineChart, ModelRecord, Section, Series

ABOUT = (
    "Per class and over steps: the share of pixels that each network gives to the class on labelled and on "
    "unlabelled images, the ratio that aligns one with the other, and the share of the class's "
    "pseudo-labelled pixels that was kept."
)
TINY = {"ramp": 0.0, "warmup": 2}
SATURATED = 0.999
"""Largest expected confidence: when all confidences round to 1, none would exceed their mean."""


class Distributions(nn.Module):
    """The moving averages of one network, in float32 (or double) and equal on all ranks."""

    labelled: Tensor
    """`[K + 1, K]`, as `unlabelled`: row K is the marginal, row k that of pixels predicted as k."""
    unlabelled: Tensor
    expected: Tensor
    """`[K]`; -1 until the class is observed."""
    overall: Tensor
    """Mean confidence on labelled pixels; -1 until it is observed."""
    seen: Tensor
    """Updates of each row, labelled and unlabelled, `[2, K + 1]`."""
    kept: Tensor
    """Kept and all pixels of each class in this rank's last batch, `[2, K]`."""

    def __init__(self, config: CoDA.Config, classes: int) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        uniform = torch.full((classes + 1, classes), 1 / classes)
        self.register_buffer("labelled", uniform.clone())
        self.register_buffer("unlabelled", uniform.clone())
        self.register_buffer("expected", torch.full((classes,), -1.0))
        self.register_buffer("overall", torch.tensor(-1.0))
        self.register_buffer("seen", torch.zeros(2, classes + 1))
        self.register_buffer("kept", torch.ones(2, classes), persistent=False)

    def observe(self, labelled: Tensor, unlabelled: Tensor, confidence: Tensor) -> None:
        """(b) Move the averages by global sums `[K + 1, K]` of probabilities and mean labelled confidence."""
        for i, (average, sums) in enumerate(((self.labelled, labelled), (self.unlabelled, unlabelled))):
            count = sums.sum(1, keepdim=True)  # of pixels: the probabilities of each sum to 1
            present = count > 0
            updated = torch.lerp((sums / count.clamp_min(1)).to(average), average, self.config.momentum)
            average.copy_(torch.where(present, updated, average))
            self.seen[i] += present[:, 0]
        self.overall.copy_(_move(self.overall, confidence, self.config.momentum))

    def marginals(self) -> Tensor:
        """Bias-corrected averages, labelled and unlabelled `[2, K + 1, K]`, without the uniform start."""
        decay = self.config.momentum ** self.seen[..., None]
        averages = torch.stack([self.labelled, self.unlabelled])
        corrected = ((averages - decay / self.classes) / (1 - decay).clamp_min(1e-12)).clamp_min(0)
        corrected = torch.where(self.seen[..., None] > 0, corrected, averages)
        return corrected / corrected.sum(-1, keepdim=True)

    def ratios(self) -> Tensor:
        """(c) Clamped ratios of the marginals, `[K + 1, K]`."""
        labelled, unlabelled = self.marginals()
        ratio = (labelled + 1e-6) / (unlabelled + 1e-6)
        return ratio.clamp(1 / self.config.r_max, self.config.r_max)

    def align(self, logits: Tensor) -> Tensor:
        """(c) Aligned logits `[B, K, H, W]`: softmax(z + log r) is the normalised p r, without underflow."""
        if self.config.alignment == "off":
            return logits
        ratio = self.ratios().log()
        if self.config.alignment == "per_class":
            return logits + ratio[-1].view(1, -1, *[1] * (logits.dim() - 2))
        return logits + ratio[hard_labels(logits)].movedim(-1, 1)

    def threshold(self) -> Tensor:
        """(d) The least confidence of a kept pixel of each class, `[K]`."""
        others = {"marginal": self.marginals()[0, -1], "global": self.overall.expand(self.classes)}
        expected = others.get(self.config.expectation, self.expected)
        return (self.config.kappa * expected.clamp_min(1 / self.classes)).clamp_max(SATURATED)

    def expect(self, sums: Tensor, counts: Tensor) -> None:
        """(d) Move the expected confidence of every class that occurs, by global sums and counts `[K]`."""
        moved = _move(self.expected, sums / counts.clamp_min(1), self.config.momentum)
        self.expected.copy_(torch.where(counts > 0, moved, self.expected))

    def keep(self, confidence: Tensor, labels: Tensor, sums: Tensor) -> Tensor | None:
        """(d) The pixels over their expectation, once this step's global sums `[2, K]` have moved it."""
        self.expect(sums[0], sums[1])
        if self.config.expectation == "off":
            return None
        keep = confidence >= self.threshold()[labels]
        self.kept.copy_(_sums_and_counts(keep, labels, self.classes))
        return keep


class CoDA(Method):
    """Two networks, one optimiser, and the averages of each network as buffers."""

    class Config(WeightRamp):
        """Both ideas have a switch; with both off this is CPS exactly."""

        name: Literal["coda"]
        warmup: int = Field(default=30, ge=0)
        """Steps that only gather statistics; about one epoch of the labelled images."""
        alignment: Literal["off", "per_class", "per_class_conditional"] = "per_class"
        """One ratio per class, or one row of ratios per predicted class."""
        expectation: Literal["off", "per_class", "global", "marginal"] = "per_class"
        """What confidence must exceed: its mean in the class or on labelled pixels, or the class's share."""
        kappa: float = Field(default=1.0, ge=0)
        """Factor on the expectation."""
        momentum: float = Field(default=0.99, ge=0, lt=1)
        """Momentum of the moving averages."""
        r_max: float = Field(default=10.0, ge=1)
        """Ratios are clamped to [1 / r_max, r_max]: those of rare classes would explode."""

    learns_from = "masks + images"
    source = "Co-DA, Wang et al. 2023; exact formulas reconstructed"
    streams = STREAMS
    revision = 1  # strong views
    examples = {
        "": Example(TINY, volumes=True),
        "conditional": Example({**TINY, "alignment": "per_class_conditional", "expectation": "global"}),
        "marginal": Example({**TINY, "expectation": "marginal"}),
    }

    def __init__(self, config: CoDA.Config, context: MethodContext) -> None:
        super().__init__()
        self.config, self.context = config, context
        self.networks["pair"] = Pair(context)
        self.both = [Distributions(config, context.classes) for _ in range(2)]
        self.distributions = nn.ModuleList(self.both)

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        logits, mask = self.call("pair", *views(batch)), batch["labelled"].mask
        both = zip(logits[:2], logits[2:4], strict=True)
        labels, keep = self.pseudo_labels([planar(torch.cat(own).detach()) for own in both], mask)
        supervised = supervised_pair(logits[:2], mask)
        unsupervised = cross_loss(logits[4:], labels, keep)
        warm = step >= self.config.warmup
        weight = self.config.weight_at(step, self.context.steps) if warm else 0.0
        apart = (labels[0] != labels[1]).float().mean()
        yield weighted_update("pair", supervised, unsupervised, weight, disagreement=apart)

    @torch.no_grad()
    def pseudo_labels(self, logits: list[Tensor], mask: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
        """(a) to (d): hard labels `[B_U, H, W]` of both networks, and which pixels are kept (None: all).

        From logits `[B_L + B_U, K, H, W]` and labelled masks `[B_L, H, W]`.
        """
        rows, classes = self.context.classes + 1, self.context.classes
        sums = all_reduce_sum(torch.stack([_batch_sums(z, mask) for z in logits]))
        labels: list[Tensor] = []
        confidences: list[Tensor] = []
        for z, own, distribution in zip(logits, sums, self.both, strict=True):
            distribution.observe(own[:rows], own[rows : 2 * rows], own[-1, 0] / own[-1, 1].clamp_min(1))
            aligned = distribution.align(z[len(mask) :])
            highest, ids = aligned.max(1)
            labels.append(ids)
            confidences.append((highest - aligned.logsumexp(1)).exp())
        pairs = zip(confidences, labels, strict=True)
        by_class = all_reduce_sum(torch.stack([_sums_and_counts(*pair, classes) for pair in pairs]))
        parts = zip(self.both, confidences, labels, by_class, strict=True)
        return labels, [distribution.keep(*part) for distribution, *part in parts]

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """Without alignment (methods/README 4.5)."""
        return predict_pair(self.networks["pair"](image))

    @classmethod
    def report(cls, record: ModelRecord) -> list[Section]:
        history = record.statistics("pi_labelled_1")
        if not history:
            return []
        blocks = [Block(name, k or None, charts=_charts(history, k)) for k, name in enumerate(record.classes)]
        return [Section("Distribution alignment", ABOUT, "Solid: network 1, dashed: network 2.", blocks)]

    def statistics(self) -> dict[str, Tensor]:
        statistics = {}
        for i, distribution in enumerate(self.both, start=1):
            labelled, unlabelled = distribution.marginals()
            kept, pixels = all_reduce_sum(distribution.kept)
            statistics |= {
                f"pi_labelled_{i}": labelled[-1],
                f"pi_unlabelled_{i}": unlabelled[-1],
                f"ratio_{i}": distribution.ratios()[-1],
                f"expected_{i}": distribution.expected,
                f"kept_{i}": kept / pixels.clamp_min(1),
            }
        return statistics


def _batch_sums(logits: Tensor, mask: Tensor) -> Tensor:
    """(a) Sums of this rank `[2 K + 3, K]`: labelled rows, unlabelled rows, labelled confidence and count.

    In double, as pixels are added one by one: past 100,000 of them float32 rounds confidences near 1 up.
    """
    n, valid = len(mask), mask != IGNORE
    probability = logits.softmax(1)
    labelled = _conditional_sums(probability[:n] * valid[:, None])  # pixels of 255 add nothing
    last = torch.zeros_like(labelled[:1])
    last[0, 0], last[0, 1] = (probability[:n].amax(1) * valid).sum(), valid.sum()
    return torch.cat([labelled, _conditional_sums(probability[n:]), last])


def _conditional_sums(probability: Tensor) -> Tensor:
    """Sums `[K + 1, K]` of probabilities over the pixels of each predicted class, and over all pixels."""
    classes = probability.shape[1]
    labels = hard_labels(probability).flatten()
    flat = probability.movedim(1, -1).reshape(-1, classes).double()
    # Not a matrix product: under autocast that would sum in bfloat16.
    by_class = flat.new_zeros(classes, classes).index_add_(0, labels, flat)
    return torch.cat([by_class, by_class.sum(0, keepdim=True)])


def _sums_and_counts(values: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sum of values and number of pixels of each class `[2, K]`."""
    return torch.stack([class_sums(each, labels, classes) for each in (values, torch.ones_like(labels))])


def _move(average: Tensor, value: Tensor, momentum: float) -> Tensor:
    """A moving average that starts at its first value; -1 stands for none yet."""
    value = value.to(average.dtype)
    return torch.where(average < 0, value, torch.lerp(value, average, momentum))


def _charts(history: Sequence[tuple[int, dict[str, Any]]], class_id: int) -> list[LineChart]:
    """Three charts of one class; network 2 is dashed."""

    def series(name: str, key: str, colour: int) -> list[Series]:
        points = {i: [(step, values[f"{key}_{i}"][class_id]) for step, values in history] for i in (1, 2)}
        return [Series(f"{name}, network {i}", points[i], colour, dashed=i == 2) for i in (1, 2)]

    shares = series("labelled", "pi_labelled", 0) + series("unlabelled", "pi_unlabelled", 1)
    return [
        LineChart("Share of pixels", shares),
        LineChart("Ratio", series("ratio", "ratio", 2), include=(1.0,), reference=1.0),
        LineChart("Kept share", series("kept", "kept", 3), include=(0.0, 1.0)),
    ]
