"""What may live together on one GPU: who needs whose company, who bears whom, and who fits.

Separate from the search for contradictions, which asks this of many GPUs under changing terms. The
answer is exact for one GPU and looks at no other.

Models that are to be near others bring them along, and these theirs: the *company* of a model is
the closure of that. A company lives on a GPU when no two of it are to be kept apart and one slice
for each fits beside what lies fixed, which is searched by backtracking: at most as many slices as
the GPU has memory slices, those with the fewest places first, and equal ones in ascending order
only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from gpuslice.model.demand import Demand
from gpuslice.model.geometry import Geometry, Placement

Lying = tuple[str, Placement]
"""A slice by profile name and placement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A replica that runs on a slice now."""

    model: str
    lying: Lying


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """GPUs that differ in nothing that is asked here.

    Attributes:
        board: Their product name.
        geometry: What they offer.
        tenants: Who runs on each of them.
        foreign: What lies there of somebody else's; only told where there are tenants.
    """

    board: str
    geometry: Geometry
    tenants: tuple[Tenant, ...] = ()
    foreign: tuple[Lying, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What models have to keep to.

    Attributes:
        near: Whom each has to have on its GPU.
        apart: Whom each may not share a GPU with; it is enough to name one side.
        most_per_gpu: How many replicas of each may lie on one GPU.
        absent: Models of which no further replica can come anywhere.
    """

    near: Mapping[str, tuple[str, ...]]
    apart: Mapping[str, tuple[str, ...]]
    most_per_gpu: Mapping[str, int]
    absent: AbstractSet[str]

    def company(self, models: Iterable[str]) -> frozenset[str]:
        """The models, all whom they have to have near, and so on."""
        found: set[str] = set()
        waiting = list(models)
        while waiting:
            model = waiting.pop()
            if model not in found:
                found.add(model)
                waiting += self.near.get(model, ())
        return frozenset(found)

    def at_peace(self, company: AbstractSet[str]) -> bool:
        """Tell whether no two of a company are to be kept apart."""
        return not any(other in company for model in company for other in self.apart.get(model, ()))


def can_stay(
    host: Host, staying: Sequence[Tenant], terms: Terms, demands: Mapping[str, Demand]
) -> bool:
    """Tell whether some tenants of a host may all stay, with everybody they need.

    Args:
        host: The host; what else runs on it may go.
        staying: Those of its tenants that are to stay.
        terms: What models have to keep to.
        demands: What slices each model takes.
    """
    here = [tenant.model for tenant in staying]
    if any(here.count(model) > terms.most_per_gpu.get(model, len(here)) for model in here):
        return False
    company = terms.company(here)
    coming = company.difference(here)
    if coming & terms.absent or not terms.at_peace(company):
        return False
    fixed = (*host.foreign, *(tenant.lying for tenant in staying))
    return fits(host, fixed, [demands[model] for model in sorted(coming)])


def can_come(
    host: Host, model: str, staying: Sequence[Tenant], terms: Terms, demands: Mapping[str, Demand]
) -> bool:
    """Tell whether a replica of a model could be on a host, were all the room there for it.

    Args:
        host: The host.
        model: The model.
        staying: Tenants that cannot leave. They are company, but take no room from others.
        terms: What models have to keep to.
        demands: What slices each model takes.
    """
    here = {tenant.model for tenant in staying}
    company = terms.company([model])
    coming = company - here
    if coming & terms.absent or not terms.at_peace(terms.company({model, *here})):
        return False
    fixed = [tenant.lying for tenant in staying if tenant.model in company]
    return fits(host, fixed, [demands[model] for model in sorted(coming)])


def fits(host: Host, fixed: Sequence[Lying], coming: Sequence[Demand]) -> bool:
    """Tell whether one slice for each demand fits on a host beside what lies fixed."""
    if not coming:
        return True
    places = sorted((_places(host, demand) for demand in coming), key=lambda p: (len(p), p))
    room = host.geometry.memory_slices - sum(at.size for _, at in fixed)
    if not all(places):
        return False
    if sum(min(at.size for _, at in options) for options in places) > room:
        return False
    return _place(host.geometry, list(fixed), places, 0)


def _place(
    geometry: Geometry, lying: list[Lying], places: Sequence[tuple[Lying, ...]], first: int
) -> bool:
    """Place one slice of each kind; of the first kind, at an option from a number on."""
    if not places:
        return True
    options, *rest = places
    for number in range(first, len(options)):
        name, at = options[number]
        if geometry.allows(lying, name, at):
            after = number + 1 if rest and rest[0] == options else 0
            if _place(geometry, [*lying, (name, at)], rest, after):
                return True
    return False


def _places(host: Host, demand: Demand) -> tuple[Lying, ...]:
    """List where a slice that serves a demand could lie, without those that only take more room."""
    options = [
        (profile, at)
        for profile in host.geometry.profiles
        if demand.accepts(profile, host.board)
        for at in profile.placements
    ]
    plain = [at for profile, at in options if not profile.attributes]
    return tuple(
        (profile.name, at)
        for profile, at in options
        if profile.attributes or not any(_is_part(smaller, at) for smaller in plain)
    )


def _is_part(one: Placement, of: Placement) -> bool:
    return one != of and of.start <= one.start and one.end <= of.end
