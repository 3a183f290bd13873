"""How the processes of one run find each other: the only place that knows clusters.

Nothing here looks at a device: processes have to meet before any of them does.
"""

import dataclasses
import secrets
from typing import Any

import jax
from absl import flags

from alrl_jax.errors import UserError
from alrl_jax.utils.parts import ALONE, Share
from alrl_jax.utils.waiting import late_processes, named_processes

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
        late = late_processes(error)
        who = (
            f" within {SECONDS_TO_MEET} s, as {named_processes(late)} did not come" if late else ""
        )
        raise UserError(
            f"got {asked}, but the processes could not meet{who} ({type(error).__name__}: "
            f"{reason}); "
            "expected a cluster that numbers its processes, or one coordinator that all can reach; "
            "see --coordinator_address, --num_processes and --process_id"
        ) from error


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


def connect_by_flags(values: Any) -> None:
    """Joins the other processes as the flags say; see ``connect``."""
    by_hand = meeting(values.coordinator_address, values.num_processes, values.process_id)
    connect(values.distributed, by_hand)


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
    connect_by_flags(values)
    # What jax.process_index() says needs the devices of all, which are not wanted here.
    from jax._src import distributed

    state = distributed.global_state
    index, count = int(state.process_id or 0), int(state.num_processes or 1)
    client: Any = state.client
    if index == 0:
        client.key_value_set("alrl_jax/run", secrets.token_hex(4))
    run = str(client.blocking_key_value_get("alrl_jax/run", 1000 * SECONDS_TO_MEET))
    jax.distributed.shutdown()
    return Share(index, count, run)
