"""Errors that say what happened, where, and what to do next; the exit codes of both daemons and the command line."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes (docs/user-guide.md lists them)."""

    DONE = 0
    DEFECT = 1
    USAGE = 2
    ENGINE = 3
    PEER = 4
    ENVIRONMENT = 5
    TRAINING = 6
    REWEIGHT = 10  # of the audit: exact after reweighting
    APPROXIMATE = 11
    DO_NOT_QUOTE = 12
    FINDINGS = 13
    INTERRUPTED = 130


class RenkeiError(Exception):
    """An error for people: one sentence of what, where (file, line, key) and what to do next."""

    exit_code: Exit = Exit.DEFECT

    def __init__(self, what: str, where: str = "", next: str = "") -> None:
        self.what, self.where, self.next = what, where, next
        super().__init__(what, where, next)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.next}" if self.next else text


class BadSetting(RenkeiError):
    """The configuration or the command is wrong."""

    exit_code = Exit.USAGE


class ProtocolError(RenkeiError):
    """The other job, or a file of it, is not as agreed."""

    exit_code = Exit.PEER


class Torn(ProtocolError):
    """Bytes do not match their digest, or do not decode."""


class WrongPeer(ProtocolError):
    """A file of another run, another system, or another role."""


class VersionClash(ProtocolError):
    """A schema number that this version does not read."""


class RoleTaken(ProtocolError):
    """A living daemon already plays this role."""


class EnvironmentFailed(RenkeiError):
    """The machine: disk full, quota, folder that cannot be made, MPI world of the wrong size."""

    exit_code = Exit.ENVIRONMENT


class EngineFailed(RenkeiError):
    """The first-principles engine cannot be used."""

    exit_code = Exit.ENGINE


class LearnFailed(RenkeiError):
    """Training cannot go on."""

    exit_code = Exit.TRAINING
