"""The jobs by name: where a new one is added. Other packages add theirs as `scantseg.jobs`."""

from framework.core.plugins import by_name, plugins
from framework.labelling.cam.job import Cam
from framework.labelling.job import Job
from framework.labelling.masks import Masks
from framework.labelling.pseudolabel import PseudoLabel
from framework.labelling.seeds.job import Seeds
from framework.labelling.walk.job import RandomWalk
from framework.labelling.weak.import_masks import ImportMasks
from framework.labelling.weak.simulate import SimulateWeak

BUILT_IN = [PseudoLabel, Cam, Seeds, RandomWalk, Masks, SimulateWeak, ImportMasks]
JOBS: dict[str, type[Job]] = by_name([*BUILT_IN, *plugins("scantseg.jobs")], lambda job: job.name)
