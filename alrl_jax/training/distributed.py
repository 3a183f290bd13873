"""How the processes of one run find each other: the only place that knows clusters.

Nothing here looks at a device: processes have to meet before any of them does.
"""

import dataclasses

import jax

from alrl_jax.errors import UserError

CLUSTERS: dict[str, str | None] = {
    "auto": None,
    "slurm": "slurm",
    "gke_tpu": "gketpu",
    "cloud_tpu": "gcetpu",
    "openmpi": "ompi",
    "mpi4py": "mpi4py",
}
"""Clusters that tell every process its number, and the names by which JAX knows them.

Kubernetes has no name there: ``auto`` finds it, where jax's extra ``k8s`` is installed.
"""

SECONDS_TO_MEET = 300


@dataclasses.dataclass(frozen=True)
class Meeting:
    """Where the processes of a run meet, said by hand.

    Attributes:
        address: ``HOST:PORT`` of process 0, which all can reach.
        count: number of processes.
        index: number of this one.
    """

    address: str
    count: int
    index: int


def meeting(address: str | None, count: int | None, index: int | None) -> Meeting | None:
    """What the flags of one process say; None where they say nothing.

    Raises:
        UserError: if they say a part, or what cannot be.
    """
    given = {"coordinator_address": address, "num_processes": count, "process_id": index}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if address is None or count is None or index is None:
        raise UserError(
            f"got no {' and no '.join(missing)}; expected all of "
            f"{', '.join(f'--{name}' for name in given)} or none; add what is missing"
        )
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise UserError(
            f"got --coordinator_address={address}; expected HOST:PORT of process 0; name a port"
        )
    if not 0 <= index < count:
        raise UserError(
            f"got --process_id={index}; expected 0 to {count - 1} for --num_processes={count}; "
            "give every process a number of its own"
        )
    return Meeting(address, count, index)


def connect(cluster: str | None, by_hand: Meeting | None) -> None:
    """Joins the other processes of the run; does nothing without a cluster or an address.

    Args:
        cluster: a name of ``CLUSTERS``, which then says where to meet; None for none.
        by_hand: where to meet otherwise.

    Raises:
        UserError: if both are given, the cluster says nothing, or the others do not come.
    """
    if cluster is not None and by_hand is not None:
        raise UserError(
            f"got --distributed={cluster} and --coordinator_address={by_hand.address}; expected "
            "one of the two; leave one out"
        )
    try:
        if by_hand is not None:
            jax.distributed.initialize(
                by_hand.address,
                by_hand.count,
                by_hand.index,
                initialization_timeout=SECONDS_TO_MEET,
                cluster_detection_method="deactivate",
            )
        elif cluster is not None:
            jax.distributed.initialize(
                cluster_detection_method=CLUSTERS[cluster], initialization_timeout=SECONDS_TO_MEET
            )
    # ValueError and KeyError: the environment lacks something. RuntimeError: no process answers.
    except (ValueError, KeyError, RuntimeError) as error:
        asked = (
            f"--distributed={cluster}" if cluster else f"--process_id={by_hand and by_hand.index}"
        )
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"got {asked}, but the processes could not meet ({type(error).__name__}: {reason}); "
            "expected a cluster that numbers its processes, or one coordinator that all can reach; "
            "see --coordinator_address, --num_processes and --process_id"
        ) from error
