"""What can go wrong in a way its reader can act on, and the exit code each becomes.

The exit code is the contract between a job's process and whatever started it:
`DATA_ERROR` means that the same input gives the same failure, so a retry is refused.
Any other non-zero code may be retried.
"""

from __future__ import annotations

OK = 0
DATA_ERROR = 65  # EX_DATAERR of sysexits.h
TRANSIENT_ERROR = 75  # EX_TEMPFAIL of sysexits.h


class NightcartError(ValueError):
    """A failure whose message says what was found, what was expected, where, and what to do."""

    exit_code = DATA_ERROR


class SettingsError(NightcartError):
    """The settings file, an environment override or an argument is wrong."""


class ContractError(NightcartError):
    """A contract or source YAML is wrong, or a dataset does not have its contract's columns."""


class InputError(NightcartError):
    """The retailer's files are missing, empty or not what the source says they are."""


class QuietListError(InputError):
    """It is not known who asked to be left in peace; nothing may be published."""


class NotYetError(NightcartError):
    """Something that others deliver is not there yet; to be looked for again."""

    exit_code = TRANSIENT_ERROR


class GateError(NightcartError):
    """A quality gate refused to let the night go on."""


class BrokenModelError(GateError):
    """Training made no model that could be used; the night goes on with the champion."""


class StorageError(NightcartError):
    """The lake cannot be read or written; a retry may help once there is room or permission."""

    exit_code = TRANSIENT_ERROR


class DamagedError(StorageError):
    """A committed file is not what its manifest says: a retry reads the same, so there is none."""

    exit_code = DATA_ERROR


class StartError(NightcartError):
    """An engine did not start, so nothing was read; a retry may help."""

    exit_code = TRANSIENT_ERROR
