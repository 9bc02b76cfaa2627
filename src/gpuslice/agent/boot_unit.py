"""The systemd unit that brings MIG mode and slices back when the machine starts.

Separate from installing it (`gpuslice.agent.boot`), because the text is pure. Why it is as it is:

* **Instances never survive a restart**, on any generation, and from Hopper on MIG mode does not
  either (it lives with the kernel module; Ampere keeps it in the card). So mode and slices are
  both restored, each only where it is not as it was.
* **Before whatever hands GPUs out**: container engines, kubelet and DCGM look once and hold what
  they find; a client on a GPU also keeps its MIG mode from changing. After persistence daemon and
  fabric manager, which the driver needs.
* **Ordering only**: where restoring fails, the machine still comes up, and ``systemctl --failed``
  shows it.
* **Hardening** leaves what NVML needs: devices, kernel modules and device nodes (nvidia-modprobe
  loads and makes them), ``/proc`` and ``/sys`` (an Ampere card is reset through them). Homes can
  be read, since gpuslice may be installed in one.

Source: systemd.unit(5), systemd.exec(5); facts on modes and instances: NVIDIA MIG User Guide,
"Enable MIG Mode".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

UNIT_NAME = "gpuslice-slices.service"

_AFTER = ("systemd-modules-load.service", "nvidia-persistenced.service",
          "nvidia-fabricmanager.service")  # fmt: skip

_BEFORE = (
    "docker.service", "containerd.service", "crio.service", "podman.service", "podman.socket",
    "kubelet.service", "k3s.service", "k3s-agent.service", "rke2-server.service",
    "rke2-agent.service", "nvidia-dcgm.service", "dcgm.service", "slurmd.service",
)  # fmt: skip


def unit_text(
    command: Sequence[str], checkpoint: Path, state_home: Path, *, of: str = "the GPUs"
) -> str:
    """Write the unit.

    Args:
        command: What it runs, the program first, by absolute path.
        checkpoint: The file it restores; without that file the unit does nothing.
        state_home: Folder of gpuslice's records, which it has to be able to write.
        of: What it restores, in words.

    Returns:
        The text of the unit file.
    """
    return f"""\
# Written by `gpuslice slices boot --install`; `--uninstall` removes it.
[Unit]
Description=Restore MIG mode and slices of {of} (gpuslice)
After={" ".join(_AFTER)}
Before={" ".join(_BEFORE)}
ConditionPathExists={_escaped(str(checkpoint))}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={" ".join((quoted(command[0]), *map(command_word, command[1:])))}
Environment={quoted(f"GPUSLICE_HOME={state_home}")}
TimeoutStartSec=10min
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={quoted(f"-{state_home}")}
ProtectHome=read-only
PrivateTmp=yes
ProtectHostname=yes
ProtectClock=yes
ProtectControlGroups=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def command_word(word: str) -> str:
    """Write an argument of a command line as a unit file takes it, whatever it is made of.

    Source: systemd.service(5), "Command lines"; in arguments alone ``$`` stands for a variable.
    """
    return quoted(word.replace("$", "$$"))


def quoted(word: str) -> str:
    """Write one word as a unit file takes it.

    Source: systemd.syntax(7), "Quoting", and systemd.unit(5), "Specifiers".
    """
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{_escaped(plain)}"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
