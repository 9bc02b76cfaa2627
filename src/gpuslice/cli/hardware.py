"""``doctor``, ``gpus`` and ``profiles``: what this machine is and can do. They change nothing."""

from __future__ import annotations

import typer

from gpuslice.cli.options import AsJson, Simulate, machine_of


def doctor(*, simulate: Simulate = "", as_json: AsJson = False) -> None:
    """Say whether this machine can do it: driver, MIG, permissions, Docker, ports; with remedies.

    Exit status 1 when something has to be mended first.
    """
    from dataclasses import asdict

    from gpuslice.agent.doctor import Verdict, examine
    from gpuslice.cli.console import banner, out, print_json
    from gpuslice.cli.render.hardware import findings_table

    machine = machine_of(simulate)
    findings = examine(machine)
    if as_json:
        print_json({"simulated": machine.simulated, "findings": [asdict(f) for f in findings]})
    else:
        banner(machine)
        out().print(findings_table(findings))
    if any(finding.verdict is Verdict.BAD for finding in findings):
        raise typer.Exit(1)


def gpus(*, simulate: Simulate = "", as_json: AsJson = False) -> None:
    """List the GPUs: product, memory, MIG mode now and pending, slices."""
    from gpuslice.agent.node import open_driver
    from gpuslice.agent.sight import unseen_notes
    from gpuslice.cli.console import banner, out, print_json, print_notes
    from gpuslice.cli.render.hardware import gpus_json, gpus_table

    machine = machine_of(simulate)
    observed = open_driver(machine).survey()
    if as_json:
        print_json(gpus_json(observed))
    else:
        banner(machine)
        out().print(gpus_table(observed))
        print_notes(unseen_notes(observed))


def profiles(*, simulate: Simulate = "", as_json: AsJson = False) -> None:
    """List every slice profile of each GPU: memory, SMs, placements, and how many are free."""
    from gpuslice.agent.node import open_driver
    from gpuslice.agent.sight import unseen_notes
    from gpuslice.cli.console import banner, out, print_json, print_notes
    from gpuslice.cli.render.hardware import profiles_json, profiles_table

    machine = machine_of(simulate)
    observed = open_driver(machine).survey()
    if as_json:
        print_json(profiles_json(observed))
        return
    banner(machine)
    for gpu in observed.gpus:
        out().print(profiles_table(gpu))
    print_notes(unseen_notes(observed))
