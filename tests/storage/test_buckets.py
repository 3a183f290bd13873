"""Buckets of both protocols hold what a disk would hold, and their faults are one line."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from alrl_jax.errors import UserError
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.photos.pair_list import list_pairs
from alrl_jax.storage.checkpoint import Checkpointer, newest_step, read_fields
from alrl_jax.storage.model_directory import read_model, save_model
from alrl_jax.utils import addresses, buckets, files, leases, locks
from alrl_jax.utils.addresses import address_of, mirror, place_of, relative, shown
from alrl_jax.utils.paths import local_path, path_or_mirror
from tests.storage.test_checkpoint import abstract, assert_trees_equal, make_state
from tests.support.fakes import FakeSwapper
from tests.support.object_store import BUCKET, Store, connected
from tests.support.photo_files import noise, write_photo

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module", params=["s3", "gs"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A server, which this process's clients find."""
    with connected(request.param, tmp_path_factory.mktemp("cache")) as store:
        yield store


@pytest.fixture
def folder(store: Store, request: pytest.FixtureRequest) -> str:
    """An address of the test's own."""
    return store.address(request.node.name.partition("[")[0])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("gs:/bucket/x", "gs://bucket/x"),
        ("s3:bucket", "s3://bucket"),
        ("gs:///bucket/x", "gs://bucket/x"),
        ("S3://bucket/x", "s3://bucket/x"),
        ("gcs://bucket/x", "gs://bucket/x"),
        ("s3a://bucket/x", "s3://bucket/x"),
    ],
)
def test_what_is_nearly_an_address_is_refused_with_the_right_spelling(
    text: str, meant: str
) -> None:
    for read in (local_path, path_or_mirror):
        with pytest.raises(UserError, match=f"got '{text}'.*expected {meant};"):
            read(text)


def test_addresses_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_installed", lambda name: name == "gcsfs")
    for text, message in (
        ("https://host/x", "a scheme that is not known; expected gs:// or s3://"),
        ("gs://b/x", "expected gs://BUCKET/FOLDER"),
        ("gs://bucket/../x", "without empty parts"),
        ("gs://bucket//x", "without empty parts"),
        ("s3://bucket/x", "package s3fs is not installed.*install alrl-jax\\[s3\\]"),
    ):
        with pytest.raises(UserError, match=message):
            mirror(text)


def test_a_mirror_stands_for_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_installed", lambda name: True)
    one, two = mirror("gs://bucket/runs/a/"), mirror("gs://bucket/faces/b.png", written=True)
    assert address_of(one) == place_of(one) == "gs://bucket/runs/a"
    assert address_of(one / "x.json") == "gs://bucket/runs/a/x.json"
    assert address_of(tmp_path) is None and place_of(tmp_path) == str(tmp_path)
    assert relative(two, one) == "../../faces/b.png"
    assert relative(tmp_path, one) == str(tmp_path) and relative(two, tmp_path) == place_of(two)
    assert shown(f"got {one} and {tmp_path}") == f"got gs://bucket/runs/a and {tmp_path}"


def test_files_go_to_the_bucket_as_they_get_their_names(store: Store, folder: str) -> None:
    ours, theirs = mirror(folder, written=True), mirror(folder)
    ours.mkdir(parents=True)
    files.write_json(ours / "a.json", {"a": 1})
    (ours / "b").mkdir()
    files.write_files({ours / "b" / "c": b"c"})
    with pytest.raises(ValueError), files.atomic_write(ours / "never") as temporary:
        temporary.write_text("half")
        raise ValueError
    assert set(buckets.listing(theirs)) == {"a.json", "b/c"}
    assert buckets.names_in(theirs) == {"a.json", "b"}
    assert json.loads((buckets.pull(theirs) / "a.json").read_text()) == {"a": 1}
    files.write_json(ours / "a.json", {"a": 2})
    files.remove(ours / "b")
    buckets.pull(theirs)
    assert json.loads((theirs / "a.json").read_text()) == {"a": 2}
    assert not (theirs / "b" / "c").exists(), "what is not in the bucket any more goes"
    before = (theirs / "a.json").stat().st_ino
    buckets.pull(theirs)
    assert (theirs / "a.json").stat().st_ino == before, "what is there is not fetched again"
    assert buckets.read_bytes(theirs / "a.json").startswith(b"{")
    assert buckets.read_bytes(theirs / "none") == b""
    buckets.move(theirs, mirror(f"{folder}_moved"))
    assert not buckets.listing(theirs)
    assert set(buckets.listing(mirror(f"{folder}_moved"))) == {"a.json"}


def test_a_lease_keeps_others_out_and_ends_with_its_holder(
    store: Store, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mirror(folder, written=True)
    with locks.locked(path, "--output"):
        assert locks.is_held(path)
        with (
            pytest.raises(UserError, match=f"--workdir={folder}.*in use by another run"),
            leases.leased(path, "--workdir"),
        ):
            pytest.fail("held twice")
    assert not locks.is_held(path)
    dead = leases._Lease(folder, "--output", leases.life())
    dead.take()  # and never writes it again
    begin = time.monotonic()
    other = leases._Lease(folder, "--output", leases.life())
    monkeypatch.setattr(leases, "_machine", lambda: "another")
    other.take()
    assert 1.9 < time.monotonic() - begin < 20.0
    stop = threading.Event()
    dead.keep(stop)  # finds that it is gone
    try:
        path.mkdir(parents=True)
        with pytest.raises(UserError, match="which another run has taken over"):
            files.write_text(path / "a", "a")
    finally:
        buckets.note_held(folder)
    other.give_back()
    assert not buckets.listing(path)


def test_checkpoints(store: Store, folder: str) -> None:
    workdir = mirror(folder, written=True)
    workdir.mkdir(parents=True)
    with Checkpointer(workdir, keep=2) as checkpointer:
        for step in (1, 2, 3):
            checkpointer.save(step, make_state(step), {"iterator": {"next_index": step}})
    assert newest_step(workdir) == 3
    names = set(buckets.listing(workdir))
    assert {name.split("/")[1] for name in names} == {"2", "3"}
    assert "checkpoints/3/commit_success.txt" in names
    # What is killed while it saves leaves no object that says that it is complete.
    buckets.remove(workdir / "checkpoints" / "3" / "commit_success.txt")
    assert newest_step(workdir) == 2
    state = make_state(2)
    with Checkpointer(workdir, keep=2) as checkpointer:
        restored = checkpointer.restore(abstract(state))
    assert restored is not None and restored.step == 2
    assert restored.metadata == {"iterator": {"next_index": 2}}
    assert_trees_equal(restored.state, state)
    step, fields = read_fields(workdir, ["params"])
    np.testing.assert_array_equal(fields["params"]["net"]["w"], np.full((4, 3), 2, np.float32))
    for name in [n for n in buckets.listing(workdir) if "/d/" in n]:  # of the arrays
        buckets.remove(workdir / name)
    with (
        Checkpointer(workdir, keep=2) as checkpointer,
        pytest.raises(UserError, match=f"{folder}|no checkpoint that can be read"),
    ):
        checkpointer.restore(abstract(state))


def test_models(store: Store, folder: str) -> None:
    variables = {"net": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    save_model(folder, "generator", {"resolution": 16}, variables)
    assert set(buckets.listing(mirror(folder))) == {"model.json", "weights.safetensors"}
    meta, read = read_model(folder)
    assert meta["kind"] == "generator"
    np.testing.assert_array_equal(read["net"]["w"], variables["net"]["w"])
    save_model(folder, "generator", {"resolution": 32}, {"net": {"w": variables["net"]["w"] + 1}})
    meta, read = read_model(folder)
    assert meta["config"]["resolution"] == 32 and read["net"]["w"][0, 0] == 1
    put_there = mirror(f"{folder}_other", written=True)
    put_there.mkdir(parents=True)
    files.write_text(put_there / "a", "a")
    with pytest.raises(UserError, match="expected a new or a model directory"):
        save_model(f"{folder}_other", "generator", {}, variables)


def test_swaps_from_bucket_to_bucket(store: Store, folder: str, tmp_path: Path) -> None:
    faces = mirror(f"{folder}/faces", written=True)
    for seed in range(3):
        write_photo(faces / f"{seed}.png", seed)
    files.write_files({faces / "notes.txt": b"no photo"})
    buckets.put([faces])
    output = mirror(f"{folder}/out", written=True)
    output.mkdir(parents=True)
    for pattern, count in ((f"{folder}/faces", 3), (f"{folder}/faces/[01].png", 2)):
        listed = list_pairs(None, f"{folder}/faces/0.png", pattern, output=output)
        assert len(listed.pairs) == count
    listed = list_pairs(None, f"{folder}/faces/0.png", f"{folder}/faces", output=output)

    def run() -> list[dict[str, object]]:
        swapping = Swapping(FakeSwapper(), Settings(aligned=True), output)
        return list(swapping.run(listed.pairs, 2))

    results = run()
    assert [r["status"] for r in results] == ["done"] * 3, results
    assert results[1]["source"] == "../faces/0.png"
    found = mirror(f"{folder}/out")
    names = set(buckets.listing(found))
    assert names == {
        "results.jsonl",
        *(f"{i:06d}_0_to_{i}.{suffix}" for i in range(3) for suffix in ("png", "json")),
    }
    assert len(buckets.read_bytes(found / "results.jsonl").splitlines()) == 3
    assert not list(output.glob("*.png")), "outputs are not kept here"
    buckets.remove(found / "000001_0_to_1.png")
    assert [r["status"] for r in run()] == ["skipped", "done", "skipped"]
    listed = tmp_path / "pairs.csv"
    listed.write_text(f"source,target\n{folder}/faces/0.png,{folder}/faces/none.png\n")
    listed = list_pairs(str(listed), None, None)
    swapping = Swapping(FakeSwapper(), Settings(aligned=True), output)
    (result,) = swapping.run(listed.pairs, 2)
    assert result["status"] == "failed" and "No such file" in str(result["reason"])


def test_what_is_noise_stays_noise(store: Store, folder: str) -> None:
    """Content of several megabytes goes and comes whole."""
    path = mirror(folder, written=True) / "large"
    path.parent.mkdir(parents=True)
    content = noise(0, (1400, 1600)).tobytes()
    files.write_files({path: content})
    assert buckets.read_bytes(path) == content


def test_faults_of_a_bucket_are_one_line(
    store: Store, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mirror(folder, written=True)
    path.mkdir(parents=True)
    monkeypatch.setenv("ALRL_BUCKET_SECONDS", "3")
    scheme = store.scheme
    with pytest.raises(UserError, match=f"got {scheme}://no-such-bucket/a"):
        buckets.listing(mirror(f"{scheme}://no-such-bucket/a"))
    for mode, reason in (
        ("deny", "403|[Dd]enied|[Ff]orbidden|Permission"),
        ("slow 8", "no answer"),
    ):
        store.turn(mode)
        try:
            begin = time.monotonic()
            for call in (
                lambda: buckets.pull(path),
                lambda: files.write_text(path / "a", "a"),
                lambda: leases.leased(path, "--workdir").__enter__(),
            ):
                with pytest.raises(UserError, match=f"{folder}.*({reason}).*check its name"):
                    call()
            assert time.monotonic() - begin < 40
            assert not (path / "a").exists(), "what is not in the bucket has no name here"
        finally:
            store.turn("well")
    assert f"{BUCKET}/" in folder and not buckets.listing(path)
