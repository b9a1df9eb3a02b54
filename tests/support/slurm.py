"""A SLURM cluster on this machine: a controller and nodes with their own names and addresses."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from tests.support.namespaces import Network
from tests.support.processes import wait_until

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged", "nsenter", "unshare")
INSTALL = "apt-get install --no-install-recommends slurm-wlm munge iproute2 util-linux"
_CONTROL = "control"
# The nodes claim more cores than they have, to run jobs of several cores.
_CONFIGURATION = """
ClusterName=drill
SlurmctldHost={control}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdTimeout=10
ReturnToService=2
KillWait=30
NodeName={nodes} CPUs=16 RealMemory=2000
PartitionName=all Nodes=ALL Default=YES
"""
_BECOME = 'mount --bind "$1" /etc/hosts && hostname "$2" && shift 2 && exec "$@"'


class Slurm(contextlib.AbstractContextManager):
    """A running cluster; skips the test without SLURM or the permission to start one."""

    def __init__(self, folder: pathlib.Path, nodes: int = 2) -> None:
        self._folder = folder
        self.nodes = [f"node{number}" for number in range(1, nodes + 1)]
        self._names = [_CONTROL, *self.nodes]
        self._network = Network(len(self._names))
        self._daemons: dict[str, subprocess.Popen] = {}

    def __enter__(self):
        if missing := [name for name in PROGRAMS if not shutil.which(name)]:
            pytest.skip(f"SLURM needs {', '.join(missing)}: {INSTALL}")
        if os.geteuid():
            pytest.skip("SLURM's daemons need root")
        self._network.__enter__()
        self._write_configuration()
        self._start_munge()
        self._start(_CONTROL, "slurmctld")
        for node in self.nodes:
            self.start_node(node)
        wait_until(lambda: all(self.state_of(node) == "IDLE" for node in self.nodes), seconds=60)
        return self

    def __exit__(self, *exception):
        for node in self.nodes:
            self.lose_node(node)
        for daemon in self._daemons.values():
            daemon.terminate()
            daemon.wait()
        self._network.__exit__(*exception)

    def start_node(self, node: str) -> None:
        """Starts a node, or restarts a lost one."""
        (self._folder / f"spool-{node}").mkdir(exist_ok=True)
        self._network.mend(self._names.index(node))
        self._start(node, "slurmd")

    def lose_node(self, node: str) -> None:
        """Ends a node like a power failure: kills its network and all processes."""
        self._network.cut(self._names.index(node))
        namespace = self._network.names[self._names.index(node)]
        pids = subprocess.run(  # noqa: S603
            ["ip", "netns", "pids", namespace],  # noqa: S607
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self._daemons.pop(node).wait()

    def submit(self, *words: str | pathlib.Path, folder: pathlib.Path) -> int:
        """Submits a job from a folder; returns its number."""
        said = self.call("sbatch", "--parsable", *map(str, words), folder=folder)
        return int(said.split(";")[0])

    def state_of(self, node: str) -> str:
        """Returns a node's state, such as IDLE or DOWN."""
        return self.call("sinfo", "--noheader", f"--nodes={node}", "--format=%T").strip().upper()

    def job(self, number: int) -> dict[str, str]:
        """Returns the controller's record of a job, such as `JobState` and `Restarts`."""
        words = self.call("scontrol", "show", "job", "--oneliner", str(number)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def call(self, *command: str, folder: pathlib.Path | None = None) -> str:
        """Returns the output of a SLURM command."""
        done = subprocess.run(  # noqa: S603
            [*self._on(_CONTROL), *command],
            cwd=folder, env=self._environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def _write_configuration(self) -> None:
        text = _CONFIGURATION.format(
            control=_CONTROL, folder=self._folder, nodes=",".join(self.nodes)
        )
        (self._folder / "slurm.conf").write_text(text)
        (self._folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        hosts = zip(self._network.hosts, self._names, strict=True)
        lines = ["127.0.0.1 localhost", *(f"{host} {name}" for host, name in hosts)]
        (self._folder / "hosts").write_text("\n".join(lines) + "\n")
        (self._folder / "state").mkdir()

    def _start_munge(self) -> None:
        key = self._folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        files = {"key": key, "socket": "munge.socket", "pid": "munged.pid", "log": "munged.log"}
        words = [
            f"--{name}-file={self._folder / file}".replace("--socket-file", "--socket")
            for name, file in (files | {"seed": "munged.seed"}).items()
        ]
        self._daemons["munged"] = subprocess.Popen(  # noqa: S603
            ["munged", "--foreground", "--force", *words],  # noqa: S607
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until((self._folder / "munge.socket").exists, self._daemons["munged"])

    def _start(self, name: str, program: str) -> None:
        self._daemons[name] = subprocess.Popen(  # noqa: S603
            [*self._on(name), program, "-D", "-f", str(self._folder / "slurm.conf")],
            env=self._environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _on(self, name: str) -> list[str]:
        """Returns the prefix of a command that runs it on a machine of the cluster."""
        namespace = f"/run/netns/{self._network.names[self._names.index(name)]}"
        isolated = ["nsenter", f"--net={namespace}", "unshare", "--mount", "--uts"]
        return [*isolated, "sh", "-c", _BECOME, "sh", str(self._folder / "hosts"), name]

    def _environment(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self._folder / "slurm.conf")}
