from __future__ import annotations

from builders import a_gpu, a_running_server, a_slice, an_observed
from gpuslice.model.demand import ReplicaId
from gpuslice.model.geometry import Placement
from gpuslice.model.gpu import SliceUse
from gpuslice.monitor.samples import Sample, ServerSample
from gpuslice.monitor.snapshot import Reading, snapshot

CHAT = ReplicaId("chat", 0)
SERVED = a_slice(gpu_instance_id=3, uuid="MIG-served")
IDLE = a_slice(gpu_instance_id=4, uuid="MIG-idle", placement=Placement(2, 2))
HALF = a_slice(gpu_instance_id=5, uuid=None, compute_instance_id=None, placement=Placement(4, 2))
GPU = a_gpu(slices=(SERVED, IDLE, HALF))


def a_reading(*, at_s: float = 0.0, tokens: float = 0.0, requests: float = 0.0) -> Reading:
    counted = ServerSample(
        replica=CHAT, at_s=at_s, requests_running=2, generated_tokens_total=tokens
    )
    return Reading(
        observed=an_observed(GPU, simulated=True),
        use={(GPU.uuid, 3): SliceUse(used_mib=500, total_mib=20000, sm_utilisation=0.25)},
        servers=(a_running_server(slice_uuid="MIG-served"),),
        sample=Sample(at_s=at_s, servers=(counted,), requests_total={"chat": requests}),
    )


def test_a_slice_shows_the_server_bound_to_it() -> None:
    row = snapshot(None, a_reading()).slices[0]
    assert (row.gpu_index, row.profile, row.placement) == (0, "2g.20gb", Placement(0, 2))
    assert row.replica == CHAT
    assert (row.used_mib, row.total_mib, row.sm_utilisation) == (500, 20000, 0.25)
    assert row.requests_running == 2


def test_a_slice_without_a_server_shows_its_size_and_nothing_else() -> None:
    row = snapshot(None, a_reading()).slices[1]
    assert row.replica is None
    assert (row.used_mib, row.total_mib) == (None, IDLE.memory_mib)
    assert row.requests_running is None


def test_a_half_made_slice_is_shown_and_never_taken_for_a_server_without_one() -> None:
    unbound = a_running_server(slice_uuid="")
    reading = Reading(observed=an_observed(GPU), servers=(unbound,), sample=Sample(at_s=0))
    row = snapshot(None, reading).slices[2]
    assert (row.uuid, row.replica) == (None, None)


def test_the_first_snapshot_has_no_rates() -> None:
    first = snapshot(None, a_reading(tokens=100, requests=10))
    assert first.slices[0].tokens_per_s is None
    assert first.models[0].requests_per_s is None


def test_rates_come_from_two_readings() -> None:
    second = snapshot(a_reading(), a_reading(at_s=2, tokens=30, requests=4))
    assert second.slices[0].tokens_per_s == 15.0
    assert second.models[0].tokens_per_s == 15.0
    assert second.models[0].requests_per_s == 2.0


def test_every_model_has_one_row_by_name() -> None:
    reading = Reading(
        observed=an_observed(GPU),
        servers=(a_running_server(model="coder"), a_running_server(model="chat")),
        sample=Sample(at_s=0, requests_total={"chat": 1.0}),
    )
    assert [row.model for row in snapshot(None, reading).models] == ["chat", "coder"]


def test_simulated_gpus_are_labelled() -> None:
    assert snapshot(None, a_reading()).simulated
