"""The methods by name: a new one adds a line here, another package's the entry point `scantseg.methods`."""

from typing import TYPE_CHECKING, Any

from framework.core.plugins import by_name, plugins, settings_of_any
from framework.methods.base import Method, MethodContext
from framework.methods.classifier.method import Classifier
from framework.methods.coda import CoDA
from framework.methods.collaborative.grader import Grader
from framework.methods.collaborative.lesions import Lesions
from framework.methods.collaborative.method import Collaborative
from framework.methods.cps import CPS
from framework.methods.dcr.method import DCR
from framework.methods.fixmatch import FixMatch
from framework.methods.irnet.method import IRNet
from framework.methods.mean_teacher import MeanTeacher
from framework.methods.mixing import Mixing
from framework.methods.sks.method import SKS
from framework.methods.supervised import Supervised
from framework.methods.ua_mt import UAMT
from framework.methods.unimatch import UniMatch

SEMI_SUPERVISED = [Supervised, MeanTeacher, UAMT, CPS, CoDA, FixMatch, UniMatch]
HYBRID = [Mixing, DCR]
IMAGE_LEVEL = [Classifier, IRNet, SKS]
LESIONS_AND_GRADES = [Lesions, Grader, Collaborative]

METHODS: dict[str, type[Method]] = by_name(
    [*SEMI_SUPERVISED, *HYBRID, *IMAGE_LEVEL, *LESIONS_AND_GRADES, *plugins("scantseg.methods")]
)

if TYPE_CHECKING:
    MethodConfig = Any
else:
    MethodConfig = settings_of_any(METHODS)


def method_of(config: Any) -> type[Method]:
    """The method that settings describe."""
    return METHODS[config.name]


def build_method(config: Any, context: MethodContext) -> Method:
    """The method that settings describe, freshly initialised."""
    return method_of(config)(config, context)  # type: ignore[call-arg]
