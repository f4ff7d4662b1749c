#!/bin/sh
# Make pipeline/spark_extras.jar of pipeline/*.java. Needs a JDK; who runs Nightcart does not.
set -eu
cd "$(dirname "$0")/.."
jars=$(.venv/bin/python -c 'import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent / "jars")')
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac --release 17 -Xlint:all,-classfile,-path -cp "$jars/*" -d "$classes" pipeline/*.java
jar --create --file pipeline/spark_extras.jar --date=2026-11-26T00:00:00Z -C "$classes" nightcart
