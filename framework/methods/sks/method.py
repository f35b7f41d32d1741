"""SKS, "Skip and Skip" (Chen et al. 2024; methods/README 3): a frozen classifier prompts a segmenter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from framework.core.errors import ConfigError
from framework.core.settings import Settings
from framework.loading.loader import Batch
from framework.methods.base import Example, Method, MethodContext, Needs, PretrainedModel, Update
from framework.methods.classifier.method import encoder_of
from framework.methods.common.losses import supervised_loss
from framework.methods.sks.network import Prompted
from framework.methods.supervised import LABELLED
from framework.networks.base import seeded
from framework.networks.encoder import Encoder, TopDownPathway

PRETRAINED = {"models": {"classifier": "classifier"}}


class SKS(Method):
    """A segmenter with an encoder of its own, and the classifier's frozen one."""

    class Config(Settings):
        """Each skip is a switch; without `fss` and `cross` this is the control of the paper's claim."""

        name: Literal["sks"]
        fss: bool = True
        """Feature-share skip, as the paper gives it: the classifier's levels are mixed into the encoder's."""
        rcs: bool = True
        """Resolution-compensation skip, reconstructed: levels and the image's stem reach the decoder."""
        cross: bool = True
        """Cross-branch skip, reconstructed: the classifier's levels reach the decoder."""
        fpn: bool = False
        """The classifier has a top-down pathway (its own `fpn`); else its encoder's levels are the prompt."""
        initialise: bool = False
        """Start the segmenter's encoder from the classifier's weights, as plain transfer learning does."""

        @property
        def prompted(self) -> bool:
            return self.fss or self.cross

    learns_from = "masks + a classifier"
    source = "Skip and Skip, Chen et al. 2024; two of three skips reconstructed"
    needs = Needs(encoder=True, volumes=False)
    streams = (LABELLED,)
    examples = {
        "": Example({}, PRETRAINED),
        "plain": Example({"fss": False, "cross": False, "initialise": True}, PRETRAINED),
    }

    def __init__(self, config: SKS.Config, context: MethodContext) -> None:
        super().__init__()
        self.config = config
        own = context.network(0)
        assert isinstance(own, Encoder)
        with seeded("decoder", context.seed):
            network = Prompted(own, context.classes, config.fss, config.rcs, config.cross)
        self.networks["network"] = network
        if config.prompted:
            prompter = context.network(1)
            assert isinstance(prompter, Encoder)
            frozen = TopDownPathway(prompter) if config.fpn else prompter
            self.frozen["encoder"] = frozen.requires_grad_(False).eval()

    @classmethod
    def required_models(cls, config: SKS.Config) -> tuple[str, ...]:
        return ("classifier",) if config.prompted or config.initialise else ()

    def load_pretrained(self, role: str, model: PretrainedModel) -> None:
        weights = encoder_of(model)
        fpn = "down.0.weight" in weights
        if self.config.prompted:
            if fpn != self.config.fpn:
                fault = f"the classifier has {'a' if fpn else 'no'} top-down pathway"
                mend = f"set method.fpn={str(fpn).lower()}, or give another classifier"
                raise ConfigError(f"models.classifier: {fault}; {mend}")
            self.frozen["encoder"].load_state_dict(weights)
        if self.config.initialise:
            own = model.weights("networks.network.encoder.encoder") if fpn else weights
            self.networks["network"].encoder.load_state_dict(own)  # type: ignore[union-attr]

    def train_step(self, batch: Batch, step: int) -> Iterator[Update]:
        image = batch["labelled"].image
        (logits,) = self.call("network", image, *self._prompt(image))
        loss = supervised_loss(logits, batch["labelled"].mask)
        yield Update("network", loss, {"loss_supervised": loss.detach()})

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        (logits,) = self.networks["network"](image, *self._prompt(image))
        return {"network 1": logits.float().softmax(1)}

    def statistics(self) -> dict[str, Tensor]:
        """The prompt's share of each level's weights: 0 at the start."""
        network = self.networks["network"]
        assert isinstance(network, Prompted)
        if network.share is None:
            return {}
        weights = [mix.mix.weight.detach().float() for mix in network.share]  # type: ignore[union-attr]
        return {"prompt_share": torch.stack([w[:, : w.shape[0]].norm() / w.norm() for w in weights])}

    @torch.no_grad()
    def _prompt(self, image: Tensor) -> list[Tensor]:
        return self.frozen["encoder"](image) if self.config.prompted else []
