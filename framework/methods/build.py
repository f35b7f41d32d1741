"""The table of methods: the one place that a new method's name is added to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from framework.methods.classifier import Classifier, ClassifierConfig
from framework.methods.coda import CoDA, CoDAConfig
from framework.methods.collaborative import Collaborative, CollaborativeConfig
from framework.methods.contract import Method, Setting
from framework.methods.cps import CPS, CPSConfig
from framework.methods.dcr import DCR, DCRConfig
from framework.methods.fixmatch import FixMatch, FixMatchConfig
from framework.methods.grader import Grader, GraderConfig
from framework.methods.irnet import IRNet, IRNetConfig
from framework.methods.lesions import Lesions, LesionsConfig
from framework.methods.mean_teacher import MeanTeacher, MeanTeacherConfig
from framework.methods.mixing import Mixing, MixingConfig
from framework.methods.sks import SKS, SKSConfig
from framework.methods.supervised import Supervised, SupervisedConfig
from framework.methods.ua_mt import UAMT, UAMTConfig
from framework.methods.unimatch import UniMatch, UniMatchConfig

SemiConfig = SupervisedConfig | MeanTeacherConfig | UAMTConfig | CPSConfig | CoDAConfig | FixMatchConfig | UniMatchConfig
LesionMethodConfig = LesionsConfig | GraderConfig | CollaborativeConfig
AnyConfig = SemiConfig | MixingConfig | DCRConfig | ClassifierConfig | IRNetConfig | SKSConfig | LesionMethodConfig
MethodConfig = Annotated[AnyConfig, Field(discriminator="name")]

METHODS: dict[type, type[Method]] = {
    SupervisedConfig: Supervised,
    MeanTeacherConfig: MeanTeacher,
    UAMTConfig: UAMT,
    CPSConfig: CPS,
    CoDAConfig: CoDA,
    FixMatchConfig: FixMatch,
    UniMatchConfig: UniMatch,
    MixingConfig: Mixing,
    DCRConfig: DCR,
    ClassifierConfig: Classifier,
    IRNetConfig: IRNet,
    SKSConfig: SKS,
    LesionsConfig: Lesions,
    GraderConfig: Grader,
    CollaborativeConfig: Collaborative,
}


def build_method(config: AnyConfig, setting: Setting) -> Method:
    """The method that a configuration describes, freshly initialised."""
    return METHODS[type(config)](config, setting)  # type: ignore[call-arg]


def makes_masks(config: AnyConfig) -> bool:
    """Whether the method that a configuration describes segments; others read features of whole images."""
    return METHODS[type(config)].segments


def answers_questions(config: AnyConfig) -> bool:
    """Whether the method that a configuration describes answers questions about whole images."""
    return METHODS[type(config)].classify is not Method.classify


def measure_of(config: AnyConfig) -> str:
    """The name of the score on validation images by which the method is judged."""
    return METHODS[type(config)].measure()


def revision_of(config: AnyConfig) -> int:
    """How often the method has changed what the same settings give."""
    return METHODS[type(config)].revision


def roles_of(config: AnyConfig) -> tuple[str, ...]:
    """The roles of the finished models that the method starts from."""
    return METHODS[type(config)].roles(config)


def reads_features(config: AnyConfig) -> bool:
    """Whether the method's networks are encoders."""
    return METHODS[type(config)].reads_features


def finds_overlapping(config: AnyConfig) -> bool:
    """Whether the method's classes may overlap, so that its networks have no channel for the background."""
    return METHODS[type(config)].overlapping


def reads_bits(config: AnyConfig) -> bool:
    """Whether the method learns from masks of classes that may overlap."""
    return finds_overlapping(config) and makes_masks(config)
