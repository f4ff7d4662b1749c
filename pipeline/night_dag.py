"""What the DAG of a night and those who start it call by the same name. Standard library only.

The command line, the server and the tasks of the DAG are different processes: they meet in the ids
of the DAGs, in a run's params and in the environment.
"""

from __future__ import annotations

NIGHT_DAG = "nightly_recommendations"
EXPORT_DAG = "export_lists"

# Values of the param `retrain`: whether a model is trained.
PER_NIGHT, WEEKLY, NEVER = "per_night", "weekly", "never"
RETRAIN = (PER_NIGHT, WEEKLY, NEVER)

# Values of the param `wake_export`: whether the export is woken; `NEVER` is one of them, too.
NEWEST, ALWAYS = "newest", "always"
WAKE_EXPORT = (NEWEST, ALWAYS, NEVER)

# The file that `nightcart run` follows: one JSON object a line for each thing that a task does.
# Unset under a scheduler, which has an interface of its own.
EVENTS_VARIABLE = "NIGHTCART_EVENTS"
# When `nightcart run` started the night, ISO 8601 with its offset.
STARTED_VARIABLE = "NIGHTCART_NIGHT_STARTED"
