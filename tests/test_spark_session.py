"""The Spark session of a job's own process: who sets the master, and what it leaves and says."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pyspark
import pytest
from pyspark.sql import SparkSession

from pipeline import file_modes
from pipeline.lake import Lake
from pipeline.settings import Spark
from pipeline.simulator.shop import simulate_shop
from pipeline.spark_network import CLUSTER, missing_options
from pipeline.spark_session import java_options

REPOSITORY = Path(__file__).resolve().parent.parent
SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"
# Not what is looked at: compiled quickly, the few rows take half the time.
QUICK = ("--driver-java-options", "-XX:TieredStopAtLevel=1")

# A master that no job could start with: whoever uses it fails.
SETTINGS = """\
[paths]
raw = "../raw"
lake = "../lake"
[spark]
master = "{master}"
driver_memory = "1g"
shuffle_partitions = 1
[privacy]
key_file = "../user_id.key"
"""


def run_in(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run in a folder, with this Python and this code, away from the caller's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTCART_")}
    environ = {**kept, "PYTHONPATH": str(REPOSITORY), "PYSPARK_PYTHON": sys.executable}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


def test_the_session_of_the_tests_compiles_quickly_and_a_shops_does_not(
    spark: SparkSession,
) -> None:
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    runtime = jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
    assert "-XX:TieredStopAtLevel=1" in list(runtime.getInputArguments())
    assert "-XX" not in java_options(Spark())


def test_spark_writes_files_as_hadoop_does_and_no_checksums_beside_them(
    spark: SparkSession, tmp_path: Path
) -> None:
    """By the class that starts no `chmod` for each of them; a directory is as Hadoop makes it."""
    written = tmp_path / "written"
    spark.range(6).selectExpr("id", "id % 3 AS part").write.partitionBy("part").parquet(
        str(written)
    )
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    files = jvm.org.apache.hadoop.fs.FileSystem.get(
        jvm.java.net.URI(written.as_uri()), configuration
    )
    assert files.getClass().getName() == "nightcart.SparkLocalFiles"
    found = [path for path in written.rglob("*") if path.is_file()]
    assert {path.suffix for path in found} == {".parquet"}
    assert {path.parent.name for path in found} == {"part=0", "part=1", "part=2"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o644}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in found} == {0o755}
    # As the umask of the process that opened the session (`pipeline.file_modes`).
    said = spark.sparkContext.getConf().get("spark.hadoop.fs.permissions.umask-mode")
    assert said == f"{file_modes.umask():03o}" == "022"
    odd = jvm.org.apache.hadoop.fs.permission.FsPermission(0o710)
    files.setPermission(jvm.org.apache.hadoop.fs.Path(str(found[0])), odd)
    assert stat.S_IMODE(found[0].stat().st_mode) == 0o710
    assert spark.read.parquet(str(written)).count() == 6


def test_nothing_of_a_local_session_listens_beyond_loopback(spark: SparkSession) -> None:
    """Driver, block manager, py4j and Python's workers: a plan holds rows and the key."""
    assert spark.sparkContext.parallelize(range(4), 2).map(str).collect() == list("0123")
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    java = psutil.Process(jvm.java.lang.ProcessHandle.current().pid())
    family = {psutil.Process(), java, *java.children(recursive=True)}
    listening = [
        (process.name(), socket.laddr)
        for process in family
        for socket in process.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    addresses = {address.ip.removeprefix("::ffff:") for _, address in listening}
    assert addresses <= {"127.0.0.1", "::1"}, listening


LISTENING = """
import os, psutil
from pipeline.settings import Spark
from pipeline.spark_session import open_spark
spark = open_spark(Spark(), "submitted")
java = psutil.Process(spark._jvm.java.lang.ProcessHandle.current().pid())
found = {s.laddr.ip for s in java.net_connections("inet") if s.status == psutil.CONN_LISTEN}
print("listening on", *sorted(found))
"""


@pytest.mark.slow
def test_nothing_of_a_submitted_local_session_listens_beyond_loopback(tmp_path: Path) -> None:
    script = tmp_path / "listening.py"
    script.write_text(LISTENING)
    done = run_in(tmp_path, [str(SUBMIT), "--master", "local[1]", *QUICK, str(script)])
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("listening on")]
    assert {ip.removeprefix("::ffff:") for ip in line.split()[2:]} == {"127.0.0.1"}, done.stderr


def test_a_cluster_whose_processes_prove_nothing_is_refused() -> None:
    assert missing_options("local[2]", {}) == []
    assert missing_options("spark://cluster:7077", dict(CLUSTER)) == []
    lacking = dict(CLUSTER) | {"spark.network.crypto.enabled": "false"}
    assert missing_options("yarn", lacking) == ["spark.network.crypto.enabled=true"]
    assert len(missing_options("k8s://cluster", {})) == len(CLUSTER)


@pytest.mark.slow
@pytest.mark.timeout(900)  # two JVMs, one of them for a whole clean stage
def test_spark_submits_master_is_used_and_not_the_settings(tmp_path: Path) -> None:
    shop = simulate_shop(tmp_path / "raw", users=20, items=15, days=1, seed=3)
    folder = tmp_path / "working_directory"
    folder.mkdir()
    config = folder / "nightcart.toml"
    config.write_text(SETTINGS.format(master="no-such-master"))
    clean = [str(REPOSITORY / "jobs" / "clean.py"), "--date", shop.last_date.isoformat()]

    own = run_in(folder, [sys.executable, *clean])
    assert own.returncode != 0
    assert "Master must" in own.stderr

    submitted = run_in(folder, [str(SUBMIT), "--master", "local[1]", *QUICK, *clean])
    assert submitted.returncode == 0, submitted.stderr
    events = Lake(tmp_path / "lake").require("cleaned_events", shop.last_date)
    assert events.rows > 0
    assert [path.name for path in folder.iterdir()] == ["nightcart.toml"]


@pytest.mark.slow
def test_a_session_leaves_nothing_in_the_working_directory_and_says_nothing(
    tmp_path: Path,
) -> None:
    script = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from pipeline.settings import Spark\n"
        "from pipeline.spark_session import open_spark\n"
        "spark = open_spark(Spark(master='local[1]', driver_memory='600m'), 'quiet')\n"
        "print(spark.sql('SELECT 1').count(), spark.sparkContext.master)\n"
        "spark.stop()\n"
    )
    done = run_in(tmp_path, [sys.executable, "-c", script])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "local[1]"]
    # The one line that the JVM itself writes, before it can be told anything.
    assert [line for line in done.stderr.splitlines() if "incubator" not in line] == []
    assert list(tmp_path.iterdir()) == []
