"""Sets larger than memory: peak memory measured in processes of their own."""

import subprocess
import sys
import textwrap

import numpy as np

SCRIPT = textwrap.dedent("""
    import resource, sys
    import numpy as np
    from unlabeled import SimCLR
    from unlabeled.data import read
    if len(sys.argv) > 1:
        items = read(sys.argv[1])
    else:
        items = np.random.default_rng(0).integers(0, 255, (600, 32, 32, 3), dtype=np.uint8)
    SimCLR(examples=4096, batch_size=256).fit(items)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
""")


def peak(*arguments):
    return int(subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True).stdout)


def test_learning_on_a_3_gb_memory_map_takes_little_more_memory_than_on_a_small_array(tmp_path):
    path = tmp_path / "big.npy"
    shape = (1_000_000, 32, 32, 3)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)  # sparse: takes no room on the disk
    assert path.stat().st_size > 3e9
    assert peak(str(path)) - peak() < 300
