"""A case planned, with its plan checked, and what the machine looks like when it is carried out."""

from __future__ import annotations

from dataclasses import replace

from gpuslice.model.certificate import Certificate
from gpuslice.model.gpu import Gpu, Slice
from gpuslice.model.plan import GpuPlan, Owned, Plan
from gpuslice.planner.check import check_plan
from gpuslice.planner.plan import plan
from property.case import Case


def make(case: Case, *, limit_s: float = 60.0) -> Plan:
    """Plan, and have the plan checked as it would be before anything is shown."""
    made = plan(case.observed, case.demands, case.owned, case.rules, limit_s=limit_s)
    check_plan(made, case.observed, case.demands, case.owned, case.rules)
    return made


def certificate_of(made: Plan) -> Certificate:
    """The certificate of a plan for something."""
    assert made.certificate is not None
    return made.certificate


def carried_out(case: Case, made: Plan) -> Case:
    """The machine and the records after a plan."""
    replicas = {(s.slice.gpu_uuid, s.slice.placement): s.replica for s in made.seats}
    plans = {gpu_plan.gpu_uuid: gpu_plan for gpu_plan in made.gpus}
    machine = tuple(_gpu_after(gpu, plans.get(gpu.uuid)) for gpu in case.observed.gpus)
    records = tuple(
        Owned(slice=s.key, stack="assistants", replica=replicas[s.gpu_uuid, s.placement])
        for gpu in machine
        for s in gpu.slices
        if (s.gpu_uuid, s.placement) in replicas
    )
    return replace(case, observed=replace(case.observed, gpus=machine), owned=records)


def _gpu_after(gpu: Gpu, gpu_plan: GpuPlan | None) -> Gpu:
    if gpu_plan is None:
        return gpu
    came = tuple(
        Slice(
            gpu_uuid=new.gpu_uuid,
            gpu_instance_id=100 + number,
            profile=new.profile,
            placement=new.placement,
            memory_mib=new.memory_mib,
            compute_instance_id=0,
            uuid=f"MIG-new-{gpu.index}-{number}",
        )
        for number, new in enumerate(gpu_plan.create)
    )
    slices = (*gpu_plan.keep, *gpu_plan.foreign, *came)
    on = gpu.mig is not None and (gpu.mig.current or gpu_plan.enable_mig)
    mode = None if gpu.mig is None else replace(gpu.mig, current=on, pending=on)
    return replace(gpu, mig=mode, slices=tuple(sorted(slices, key=lambda s: s.placement)))
