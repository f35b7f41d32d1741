"""What kind of machine this is, for records of what was made on it: no name and no address."""

import os
import platform
import sys
from pathlib import Path


def machine() -> str:
    """System, processors, their model, and the accelerator in use, such as `Linux x86_64, 2 processors`."""
    parts = [f"{platform.system()} {platform.machine()}", f"{os.cpu_count()} processors", _processor()]
    return ", ".join(part for part in [*parts, _accelerator()] if part)


def _processor() -> str:
    """The processor's model where Linux tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(errors="replace").splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")


def _accelerator() -> str:
    """The GPU's model, of a process that has loaded torch and uses one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    return torch.cuda.get_device_name()
