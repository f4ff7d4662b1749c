#!/bin/sh
# Make pipeline/spark_classes.txt.gz: the classes that two nights of a small shop load in the JVMs
# of their Spark stages. Run it when PySpark's version changes; an old list only saves less.
set -eu
cd "$(dirname "$0")/.."
shop=$(mktemp -d)
trap 'rm -rf "$shop"' EXIT
# A JVM that has an archive does not name the classes that it took from there.
rm -f .venv/var/nightcart/spark_classes.json
.venv/bin/nightcart simulate --users 100 --items 40 --days 3 --start 2026-01-16 --out "$shop/raw"
cat >"$shop/nightcart.toml" <<EOF
[paths]
raw = "raw"
lake = "lake"
[privacy]
key_file = "user_id.key"
[spark]
driver_memory = "1g"
shuffle_partitions = 2
quick_start = true
EOF
record() {
    SPARK_SUBMIT_OPTS="-XX:DumpLoadedClassList=$shop/$night.$#.$2.$1.txt" \
        .venv/bin/python -m "jobs.$@" --date "$night" --config "$shop/nightcart.toml"
}
for night in 2026-01-17 2026-01-18; do
    record clean
    record validate --dataset cleaned
    record build_histories
    record validate --dataset histories
done
cat "$shop"/*.txt | grep -v '^[@#]' | sed 's/ .*//' | LC_ALL=C sort -u |
    gzip -9 -n >pipeline/spark_classes.txt.gz
gzip -dc pipeline/spark_classes.txt.gz | wc -l
exec .venv/bin/python -m jobs.class_archive
