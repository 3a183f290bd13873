"""How the processes of one run find each other: the only place that knows clusters.

Nothing here looks at a device: processes have to meet before any of them does.
"""

import dataclasses
import secrets
from pathlib import Path
from typing import Any

import jax
from absl import flags

from alrl_jax.errors import UserError
from alrl_jax.training.arrivals import Arrivals
from alrl_jax.utils.parts import ALONE, Share

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


def connect(cluster: str | None, by_hand: Meeting | None, place: Path | None = None) -> None:
    """Joins the other processes of the run; does nothing without a cluster or an address.

    Where others do not come, one line names them and the process ends with status 2.

    Args:
        cluster: a name of ``CLUSTERS``, which then says where to meet; None for none.
        by_hand: where to meet otherwise.
        place: a directory that all see; see ``Arrivals``.

    Raises:
        UserError: if both are given, or the cluster says nothing.
    """
    if cluster is not None and by_hand is not None:
        raise UserError(
            f"got --distributed={cluster} and --coordinator_address={by_hand.address}; expected "
            "one of the two; leave one out"
        )
    if cluster is None and by_hand is None:
        return
    asked = f"--distributed={cluster}" if cluster else f"--process_id={by_hand and by_hand.index}"
    try:
        with Arrivals(place, asked, _numbers, float(SECONDS_TO_MEET)):
            _initialize(cluster, by_hand)
    # ValueError and KeyError: the environment lacks something. RuntimeError: no process answers.
    except (ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"got {asked}, but the processes could not meet ({type(error).__name__}: {reason}); "
            "expected a cluster that numbers its processes, or one coordinator that all can reach; "
            "see --coordinator_address, --num_processes and --process_id"
        ) from error


def _initialize(cluster: str | None, by_hand: Meeting | None) -> None:
    # Its own limit ends the process with a trace: it is not reached.
    limit = SECONDS_TO_MEET + 60
    if by_hand is not None:
        jax.distributed.initialize(
            by_hand.address,
            by_hand.count,
            by_hand.index,
            initialization_timeout=limit,
            cluster_detection_method="deactivate",
        )
    elif cluster is not None:
        jax.distributed.initialize(
            cluster_detection_method=CLUSTERS[cluster], initialization_timeout=limit
        )


def _numbers() -> tuple[int, int] | None:
    """This process's number and how many there are, as soon as JAX knows."""
    # What jax.process_index() says needs the devices of all, which are not there yet.
    from jax._src import distributed

    state = distributed.global_state
    return None if state.num_processes is None else (int(state.process_id), state.num_processes)


def define_flags(what: str) -> None:
    """Defines the flags by which the processes of a run find each other.

    Args:
        what: they do together, a verb.
    """
    flags.DEFINE_enum(
        "distributed", None, list(CLUSTERS), f"{what} with the other processes of this cluster."
    )
    flags.DEFINE_string("coordinator_address", None, "By hand: HOST:PORT of process 0.")
    flags.DEFINE_integer("num_processes", None, "By hand: how many work together.", lower_bound=1)
    flags.DEFINE_integer("process_id", None, "By hand: number of this one.", lower_bound=0)


def connect_by_flags(values: Any, place: str | None = None) -> None:
    """Joins the other processes as the flags say; see ``connect``."""
    by_hand = meeting(values.coordinator_address, values.num_processes, values.process_id)
    connect(values.distributed, by_hand, None if place is None else Path(place))


def share_by_flags(values: Any) -> Share:
    """This process's share of work that needs no common devices.

    The processes meet once, to know that all have begun, and then go their own ways: each has its
    own devices alone, and the death of one does not end the others.

    Args:
        values: of the flags.

    Raises:
        UserError: as ``connect``.
    """
    if values.distributed is None and values.coordinator_address is None:
        meeting(values.coordinator_address, values.num_processes, values.process_id)
        return ALONE
    connect_by_flags(values, values.output)
    from jax._src import distributed

    index, count = _numbers() or (0, 1)
    client: Any = distributed.global_state.client
    if index == 0:
        client.key_value_set("alrl_jax/run", secrets.token_hex(4))
    run = str(client.blocking_key_value_get("alrl_jax/run", 1000 * SECONDS_TO_MEET))
    jax.distributed.shutdown()
    return Share(index, count, run)
