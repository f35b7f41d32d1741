"""The table of methods: the one place that a new method's name is added to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from framework.methods.coda import CoDA, CoDAConfig
from framework.methods.contract import Method, Setting
from framework.methods.cps import CPS, CPSConfig
from framework.methods.supervised import Supervised, SupervisedConfig

MethodConfig = Annotated[SupervisedConfig | CPSConfig | CoDAConfig, Field(discriminator="name")]

METHODS: dict[type, type] = {SupervisedConfig: Supervised, CPSConfig: CPS, CoDAConfig: CoDA}


def build_method(config: SupervisedConfig | CPSConfig | CoDAConfig, setting: Setting) -> Method:
    """The method that a configuration describes, freshly initialised."""
    return METHODS[type(config)](config, setting)
