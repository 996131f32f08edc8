"""Vectors and curation on a Ray cluster of two nodes are those of one machine, also when workers are killed."""

import importlib.util
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unlabeled.cli import main
from unlabeled.errors import InputError
from unlabeled.methods import method
from unlabeled.scale.shards import blocks, lance_table, read_block, read_manifest, read_vectors, write_shard

pytestmark = pytest.mark.xdist_group("ray")  # one cluster, in one process
FILES, ROWS, GROUP = 4, 600, 30
ray_only = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray isn't installed: pip install 'unlabeled[ray]'")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of Parquet files, all their ids and vectors, and a saved model."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    centres, ids, values = rng.normal(size=(12, 16)) * 3, [], []
    for number in range(FILES):
        x = (centres[rng.choice(12, ROWS, p=np.arange(1, 13) / 78)] + rng.normal(size=(ROWS, 16))).astype(np.float32)
        names = [f"{number}-{row}" for row in range(ROWS)]
        table = pa.table({"id": names, "x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 16)})
        (folder / "in").mkdir(exist_ok=True)
        pq.write_table(table, folder / "in" / f"{number}.parquet", row_group_size=GROUP)
        ids, values = ids + names, [*values, x]
    x = np.concatenate(values)
    model = method("simclr")(encoder="mlp", epochs=1, batch_size=64, device="cpu", precision="32-true").fit(x[:256])
    model.save(folder / "run")
    return folder, ids, x, model


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory):
    """The address of a Ray cluster with two nodes of one worker each, in processes of their own."""
    for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_AUTH_MODE", "disabled"), ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")):
        os.environ[name] = value
    from ray.cluster_utils import Cluster

    common = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=common)
    cluster.add_node(**common)
    cluster.wait_for_nodes()
    yield cluster.address
    cluster.shutdown()


def whole(out):
    found = [read_vectors(str(file)) for file in sorted(Path(out).glob("part-*.parquet"))]
    return [name for ids, _ in found for name in ids], np.concatenate([vectors for _, vectors in found])


def workers(title, address):
    """Processes of the workers of that cluster that are at that work."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(f"ray::{title}".encode()):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]  # the node's own process, which knows the address
                if address.encode() in Path("/proc", parent, "cmdline").read_bytes():
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def embed_command(folder, out, address):
    return ["embed", str(folder / "run"), str(folder / "in"), "-o", str(out), "--column", "x", "--ray-address", address]


def test_blocks_cover_every_row_once(data):
    folder = data[0] / "in"
    for rows in (1, GROUP, 100, 10_000):
        found = blocks(str(folder / "*.parquet"), rows)
        assert [block.number for block in found] == list(range(len(found))) and sum(block.rows for block in found) == FILES * ROWS
        assert all(b.first == (a.first + a.rows if a.path == b.path else 0) for a, b in zip(found, found[1:], strict=False))
    with pytest.raises(InputError, match="no Parquet file at"):
        blocks(str(folder / "nothing-*.parquet"))


def test_a_lance_table_is_read_in_the_version_that_it_had(data, tmp_path):
    ids, x = data[1], data[2]
    table = lance(tmp_path / "in.lance", ids, x)
    found = blocks(str(tmp_path / "in.lance"), 1000)
    table.delete("id = '0-3'")
    assert [(block.first, block.rows) for block in found] == [(0, 1000), (1000, 1000), (2000, 400)]
    assert [name for block in found for name in read_block(block, ["id"])["id"].to_pylist()] == ids
    with pytest.raises(InputError, match="not a readable Lance table"):
        blocks(str(tmp_path / "nothing.lance"))


def lance(path, ids, x):
    import lancedb

    flat = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    return lancedb.connect(path.parent).create_table(path.stem, pa.table({"id": ids, "x": flat}))


@ray_only
def test_a_lance_table_becomes_one(data, two_nodes, tmp_path, capsys):
    folder, ids, x, model = data
    lance(tmp_path / "in.lance", ids, x)
    command = ["embed", str(folder / "run"), str(tmp_path / "in.lance"), "-o", str(tmp_path / "out.lance"), "--column", "x"]
    assert main([*command, "--ray-address", two_nodes]) == 0
    made = lance_table(str(tmp_path / "out.lance")).to_arrow()
    assert made["id"].to_pylist() == ids
    np.testing.assert_allclose(np.stack(made["vector"].to_numpy()), model.transform(x), atol=1e-6)


def test_a_shard_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_shard(str(tmp_path), 0, ["a"], np.ones((1, 2), np.float32), {})
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("killed here")))
    with pytest.raises(OSError, match="killed here"):
        write_shard(str(tmp_path), 0, ["b"], np.zeros((1, 2), np.float32), {})
    ids, vectors = read_vectors(str(tmp_path / "part-000000.parquet"))
    assert ids == ["a"] and (vectors == 1).all()
    with pytest.raises(InputError, match="no manifest.json"):
        read_manifest(str(tmp_path))


def test_shards_may_lie_in_an_object_store():
    write_shard("memory://bucket/out", 3, ["a", "b"], np.eye(2, dtype=np.float32), {})
    ids, vectors = read_vectors("memory://bucket/out/part-000003.parquet")
    assert ids == ["a", "b"] and (vectors == np.eye(2)).all()
    assert [block.rows for block in blocks("memory://bucket/out")] == [2]


@ray_only
def test_vectors_of_a_cluster_are_those_of_one_machine_though_a_worker_is_killed(data, two_nodes, tmp_path):
    from unlabeled.scale import embed

    folder, ids, x, model = data
    out, killed = tmp_path / "out", []

    def kill():
        end = time.monotonic() + 120
        while time.monotonic() < end and not killed:
            if any(out.glob("part-*.parquet")) and not (out / "manifest.json").exists():
                for pid in workers("MapWorker", two_nodes)[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(len(list(out.glob("part-*.parquet"))))
            time.sleep(0.005)

    thread = threading.Thread(target=kill)
    thread.start()
    said = embed(folder / "run", str(folder / "in"), str(out), address=two_nodes, column="x", rows=GROUP)
    thread.join()
    assert killed and killed[0] < len(said["shards"]) == FILES * ROWS // GROUP  # in the midst of it
    assert len({shard["file"] for shard in said["shards"]}) == len(said["shards"]) and said["rows"] == len(ids)
    found, vectors = whole(out)
    assert found == ids
    np.testing.assert_allclose(vectors, model.transform(x), atol=1e-6)


@ray_only
def test_what_was_stopped_goes_on_and_another_model_begins_anew(data, two_nodes, tmp_path, capsys):
    folder, ids, x, model = data
    out = tmp_path / "out"
    assert main(embed_command(folder, out, two_nodes)) == 0
    assert f"2,400 vectors of {model.transform(x[:1]).shape[1]} numbers in 4 files" in capsys.readouterr().out
    stamps = {file: file.stat().st_mtime_ns for file in out.glob("part-*.parquet")}
    lost, damaged = sorted(stamps)[:2]
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:100])
    (out / "manifest.json").unlink()
    assert main(embed_command(folder, out, two_nodes)) == 0
    again = {file: file.stat().st_mtime_ns for file in out.glob("part-*.parquet")}
    assert [file for file in sorted(stamps) if again[file] != stamps[file]] == [lost, damaged]
    assert read_manifest(str(out))["kept"] == 2 and whole(out)[0] == ids


@ray_only
def test_a_choice_on_a_cluster_is_that_of_one_machine_though_workers_are_killed(data, two_nodes, tmp_path, capsys):
    from unlabeled.tasks.curate.hierarchical_curation import HierarchicalKMeans

    folder, ids, x, model = data
    out, chosen = tmp_path / "out", tmp_path / "chosen.txt"
    for number, part in enumerate(np.array_split(np.arange(len(x)), 7)):
        write_shard(str(out), number, [ids[row] for row in part], x[part], {})
    sizes = [len(part) for part in np.array_split(np.arange(len(x)), 7)]
    shards = [{"file": f"part-{number:06d}.parquet", "rows": rows} for number, rows in enumerate(sizes)]
    (out / "manifest.json").write_text(json.dumps({"shards": shards, "rows": len(x), "width": 16}))
    over, killed = threading.Event(), []

    def kill():
        while not over.wait(0.3) and len(killed) < 3:
            for pid in workers("_assigned", two_nodes)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        options = ["-n", "240", "--levels", "24,6", "-o", str(chosen), "--ray-address", two_nodes, "--json"]
        assert main(["curate", str(out), *options]) == 0
    finally:
        over.set()
        thread.join()
    alone = HierarchicalKMeans(levels=(24, 6)).fit(x)
    assert chosen.read_text().split() == [ids[row] for row in alone.sample(240)]
    said = json.loads(capsys.readouterr().out)
    assert said["levels"] == [len(centers) for centers in alone.centers_] and said["evenness"] > said["evenness_at_random"]


@ray_only
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_lloyds_steps_from_the_same_centres_are_those_of_one_machine(data, two_nodes, tmp_path, metric):
    from unlabeled.parts.kmeans_large import kmeans_large
    from unlabeled.scale.cluster import cluster
    from unlabeled.scale.curation import Shards, kmeans

    x = data[2]
    parts = np.array_split(np.arange(len(x)), 5)
    for number, part in enumerate(parts):
        write_shard(str(tmp_path), number, ["" for _ in part], x[part], {})
    with cluster(two_nodes) as ray:
        rows = Shards(ray, [f"{tmp_path}/part-{number:06d}.parquet" for number in range(5)], [len(part) for part in parts], 16)
        centers = kmeans(rows, 24, metric=metric, iters=20, seed=3)
        labels, distance = rows.nearest(centers, metric)
        again = kmeans(rows, 24, metric=metric, iters=1, seed=9, start=centers)
    alone = kmeans_large(x, 24, metric=metric, iters=20, seed=3)
    np.testing.assert_allclose(centers, alone.centers, atol=1e-4)
    assert (labels == alone.labels).all() and distance.sum() / (2 if metric == "cosine" else 1) == pytest.approx(alone.inertia, rel=1e-4)
    np.testing.assert_allclose(again, centers, atol=0.05)  # at rest already


@ray_only
def test_what_cannot_be_embedded_is_said_in_one_line(data, two_nodes, tmp_path, capsys):
    folder = data[0]
    pq.write_table(pa.table({"id": ["a", "b"], "x": [1.0, None], "y": [1.0, 2.0]}), tmp_path / "holes.parquet")
    command = ["embed", str(folder / "run"), str(tmp_path / "holes.parquet"), "-o", str(tmp_path / "out"), "--ray-address", two_nodes]
    assert main([*command, "--column", "x,y"]) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("missing numbers and categories depend on the whole set: fill them in and number them before")
    )
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert main([*command, "--column", "z"]) == 2
    assert "no column 'z'" in capsys.readouterr().err
