"""The commands of the system: cp, sha256sum. The start of their process is a part of the time."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial

from harness.cells import Contestants, Task, Unable
from harness.jobs import Checksums, CopyFile, CopyTree


def command(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise Unable(f"there is no {name} here")
    return found


class CopyOne(CopyFile):
    def __init__(self, task: Task) -> None:
        self.program = command("cp")
        super().__init__(task)

    def run(self) -> None:
        subprocess.run([self.program, self.task.file, self.task.new], check=True)


class CopyAll(CopyTree):
    def __init__(self, task: Task, option: str) -> None:
        self.program = command("cp")
        self.option = option
        super().__init__(task)

    def run(self) -> None:
        subprocess.run([self.program, self.option, self.task.file, self.task.new], check=True)


class Sha256Sum(Checksums):
    def __init__(self, task: Task) -> None:
        self.program = command("sha256sum")
        super().__init__(task)

    def run(self) -> None:
        call = [self.program, *self.paths]
        shown = subprocess.run(call, capture_output=True, text=True, check=True).stdout
        self.sums = {line[66:]: line[:64] for line in shown.splitlines()}


CONTESTANTS: Contestants = {
    "copy_file": {"cp": CopyOne},
    "copy_tree": {"cp-r": partial(CopyAll, option="-r"), "cp-a": partial(CopyAll, option="-a")},
    "checksum_cold": {"sha256sum": Sha256Sum},
}
