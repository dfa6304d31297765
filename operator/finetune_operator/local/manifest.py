"""A job's file as a FineTuneJob, or everything that is wrong with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from finetune_operator.api.base import Contradiction
from finetune_operator.api.resource import FineTuneJob
from finetune_operator.api.spec import FineTuneJobSpec
from finetune_operator.api.surroundings import refused_elsewhere, refused_here, refused_in_cluster
from finetune_operator.constants import API_VERSION, KIND
from finetune_operator.exceptions import InvalidManifestError
from finetune_operator.local.document import Document, Fault, refusal
from finetune_operator.local.faults import validate
from finetune_operator.local.strict_yaml import read_document

HEAD: Final = f"begin with apiVersion: {API_VERSION} and kind: {KIND}"
"""How a job's file begins."""


def read_job(path: Path) -> FineTuneJob:
    """The job of a YAML or JSON file.

    Raises:
        InvalidManifestError: the file can't be read, is of another kind, or breaks the schema; all its faults, a line
            each, with file, line, field and remedy.
    """
    document = read_document(path, HEAD)
    _check_kind(document)
    return validate(document, FineTuneJob)


def read_local_job(path: Path) -> FineTuneJob:
    """The job of a file, for this machine.

    Raises:
        InvalidManifestError: as `read_job`, or it asks for what only a cluster has.
    """
    return _read_for(path, refused_here)


def read_job_elsewhere(path: Path) -> FineTuneJob:
    """The job of a file, to be planned for other hardware: it may say which nodes of a cluster it goes to.

    Raises:
        InvalidManifestError: as `read_job`, or its model or data aren't on this machine.
    """
    return _read_for(path, refused_elsewhere)


def read_job_for_cluster(path: Path) -> FineTuneJob:
    """The job of a file, for a cluster.

    Raises:
        InvalidManifestError: as `read_job`, or it names what is on this machine alone.
    """
    return _read_for(path, refused_in_cluster)


def _read_for(path: Path, refused: Callable[[FineTuneJobSpec], tuple[Contradiction, ...]]) -> FineTuneJob:
    document = read_document(path, HEAD)
    _check_kind(document)
    job = validate(document, FineTuneJob)
    faults = [_fault(document, c) for c in refused(job.spec)]
    if faults:
        raise refusal(document.name, faults)
    return job


def _fault(document: Document, found: Contradiction) -> Fault:
    place = ("spec", *found.at)
    return Fault(line=document.line(place), place=place, sentence=found.sentence)


def _check_kind(document: Document) -> None:
    """Another kind of object would be wrong in every field: say it once."""
    if not isinstance(document.value, dict):
        raise InvalidManifestError(f"{document.name}:{document.line(())}: is no job; {HEAD}")
    found = {key: document.value.get(key) for key in ("apiVersion", "kind")}
    if all(value is None for value in found.values()):
        raise InvalidManifestError(f"{document.name}:{document.line(())}: is no job; {HEAD}")
    for key, wanted in (("kind", KIND), ("apiVersion", API_VERSION)):
        if found[key] not in {None, wanted}:
            sentence = f"{document.texts.get((key,), 'this')} is not {wanted}; {HEAD}"
            raise refusal(document.name, [Fault(line=document.line((key,)), place=(key,), sentence=sentence)])
