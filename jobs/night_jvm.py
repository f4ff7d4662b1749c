"""Start the JVM that a night's Spark stages share (`pipeline.night_jvm`), and hold it.

    python -m jobs.night_jvm FILE [--config SETTINGS]

Ends when its standard input ends, however the process that started it ended, and the JVM with it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from py4j.java_gateway import JavaGateway  # type: ignore[import-untyped]
from pyspark import SparkConf
from pyspark.java_gateway import launch_gateway

from pipeline.lake import Lake
from pipeline.night_jvm import NightJvm, claimed, starting
from pipeline.settings import load_settings
from pipeline.settings_files import chosen_config
from pipeline.spark_scratch import claim_scratch, release_scratch, scratch_root
from pipeline.spark_session import jvm_options, launch_options, start_environment


def main(argv: list[str] | None = None) -> int:
    """The process's entry."""
    parser = argparse.ArgumentParser(prog="python -m jobs.night_jvm")
    parser.add_argument("file", type=Path, help="where to say how the JVM is reached")
    parser.add_argument("--config", type=Path)
    arguments = parser.parse_args(argv)
    file: Path = arguments.file
    gateway = scratch = None
    try:
        chosen = load_settings(chosen_config(arguments.config, os.environ), os.environ)
        settings, root = chosen.spark, scratch_root(Lake(chosen.paths.lake))
        os.environ.update(start_environment(os.environ))
        scratch = claim_scratch(root)
        conf = SparkConf(loadDefaults=False).setAll(list(launch_options(settings, scratch).items()))
        gateway = launch_gateway(conf)  # type: ignore[no-untyped-call]
        _open_a_context(gateway)
        address = gateway.java_parameters
        NightJvm(address.port, address.auth_token, gateway.proc.pid, jvm_options(settings)).write(
            file
        )
        sys.stdin.read()
    finally:
        for path in (starting(file), file, claimed(file)):
            path.unlink(missing_ok=True)
        if gateway is not None:
            gateway.proc.kill()
            gateway.proc.wait()
        if scratch is not None:
            release_scratch(scratch)
    return 0


def _open_a_context(gateway: JavaGateway) -> None:
    """Open and stop a context: half of what the first one costs is code that is then compiled."""
    conf = gateway.jvm.SparkConf().setAppName("nightcart")
    gateway.jvm.JavaSparkContext(conf.set("spark.ui.enabled", "false")).stop()


if __name__ == "__main__":
    raise SystemExit(main())
