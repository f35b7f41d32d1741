"""DeepSpeed ZeRO 1 and 2, on GPUs and on processors with gloo.

At 30 to 300 M parameters ZeRO saves little memory; it is here for networks that do not fit otherwise.
"""

import contextlib
import os
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from framework.core.errors import ConfigError
from framework.core.settings import Settings
from framework.methods.base import Method
from framework.training.optimise import OptimiserConfig, build_optimiser
from framework.training.precision import Precision, autocast
from framework.training.strategies.base import OptimiserState


class DeepSpeedStrategy:
    """One engine per optimiser group; each rank has a shard of the optimiser's state."""

    class Config(Settings):
        """How much is sharded."""

        name: Literal["deepspeed"]
        zero: Literal[1, 2] = 1
        """1 shards the optimiser's state, 2 its gradients too."""

    def __init__(self, config: Config, device: torch.device, precision: Precision) -> None:
        """Raises `ConfigError` outside a process group, where there is nothing to shard, and for fp64."""
        if precision == "fp64":
            fault = "compute.strategy deepspeed keeps its weights in float32"
            raise ConfigError(f"{fault}; for train.precision fp64 use ddp")
        if not dist.is_initialized():
            fault = "compute.strategy deepspeed runs on Ray Train workers"
            raise ConfigError(f"{fault}; set compute.workers to 1 or more")
        self.stage, self.device = config.zero, device
        self.precision: Precision = precision
        self._engines: dict[str, Any] = {}

    def wrap(self, method: Method, config: OptimiserConfig) -> None:
        if self.device.type == "cpu":
            os.environ["DS_ACCELERATOR"] = "cpu"  # read when deepspeed is imported
        import deepspeed

        self._method = method
        for group, module in method.networks.items():
            optimiser = build_optimiser(module.parameters(), config)
            engine, *_ = deepspeed.initialize(
                model=module, optimizer=optimiser, config=self._settings(config), dist_init_required=False
            )
            self._engines[group] = method.live[group] = engine

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """For the losses; the engine enters its own around the networks."""
        return autocast(self.device, self.precision)

    def backward(self, group: str, loss: Tensor) -> None:
        self._engines[group].backward(loss)

    def step(self, group: str, lr: float) -> Tensor:
        engine = self._engines[group]
        for settings in engine.optimizer.param_groups:
            settings["lr"] = lr
        engine.step()  # clips; skips the update when a gradient is not finite
        return torch.as_tensor(float(engine.get_global_grad_norm()))

    def model_state(self) -> dict[str, Tensor]:
        return self._method.state_dict()  # ZeRO 1 and 2 keep whole weights on every rank

    def load_model_state(self, state: dict[str, Tensor]) -> None:
        self._method.load_state_dict(state)

    def optimiser_state(self) -> OptimiserState:
        from deepspeed.utils import safe_get_full_optimizer_state

        state: OptimiserState = {}
        for group, engine in self._engines.items():
            flat = engine.optimizer.single_partition_of_fp32_groups[0]
            slots = engine.optimizer.optimizer.state.get(flat, {})
            sharded = [key for key, value in slots.items() if key != "step" and torch.is_tensor(value)]
            for name, parameter in engine.module.named_parameters():
                for key in sharded:
                    whole = safe_get_full_optimizer_state(parameter, key)
                    assert whole is not None, "ZeRO 1 and 2 link every parameter to its shard"
                    state[f"{group}/{name}/{key}"] = whole
                if "step" in slots:
                    state[f"{group}/{name}/step"] = slots["step"].clone()
        return state

    def load_optimiser_state(self, state: OptimiserState) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state

        for group, engine in self._engines.items():
            optimiser = engine.optimizer
            optimiser.refresh_fp32_params()  # the masters follow the weights that were just loaded
            names = [name for name, _ in engine.module.named_parameters()]
            keys = {full.rsplit("/", 1)[1] for full in state if full.startswith(f"{group}/")}
            for flat in optimiser.single_partition_of_fp32_groups:
                slots = {key: torch.zeros_like(flat) for key in keys - {"step"}}
                if "step" in keys:
                    slots["step"] = state[f"{group}/{names[0]}/step"].clone()
                optimiser.optimizer.state[flat] = slots
            optimiser._lazy_init_hp_params_optimizer_state()
            for name, parameter in engine.module.named_parameters():
                for key in keys - {"step"}:
                    safe_set_full_optimizer_state(parameter, state[f"{group}/{name}/{key}"], key)

    def _settings(self, config: OptimiserConfig) -> dict[str, Any]:
        return {
            "train_micro_batch_size_per_gpu": 1,  # only scales DeepSpeed's own reports
            "zero_optimization": {"stage": self.stage},
            "zero_allow_untested_optimizer": True,
            "gradient_clipping": config.clip,
            "torch_autocast": {"enabled": self.precision == "bf16", "dtype": "bfloat16"},
            "steps_per_print": 2**31,
        }
