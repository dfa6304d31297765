from copy import deepcopy
from typing import Any

import pytest

from finetune_operator.kube.kinds import CONFIG_MAPS, JOBS, PODS, Kind, Object
from finetune_operator.reconciler.news import matters

META: Object = {"name": "a", "namespace": "ns", "uid": "u", "labels": {}, "creationTimestamp": "2030-01-01T00:00:00Z"}
POD: Object = {"metadata": META, "spec": {}, "status": {"phase": "Pending"}}
JOB: Object = {"metadata": META, "spec": {}, "status": {"active": 1}}
TRAINER = {"name": "trainer", "state": {"running": {}}}
ENDED = {"name": "trainer", "state": {"terminated": {"exitCode": 0, "finishedAt": "2030-01-01T00:00:00Z"}}}
PULLING = {"name": "trainer", "state": {"waiting": {"reason": "ErrImagePull"}}}


def changed(obj: Object, part: str, **fields: Any) -> Object:
    found = deepcopy(obj)
    found[part] |= fields
    return found


SILENT = [
    (PODS, POD, "spec", {"nodeName": "n1"}),
    (PODS, POD, "status", {"podIP": "10.0.0.1", "startTime": "2030-01-01T00:00:00Z"}),
    (PODS, POD, "metadata", {"finalizers": [], "resourceVersion": "2"}),
    (JOBS, JOB, "status", {"ready": 1, "startTime": "2030-01-01T00:00:00Z"}),
    (JOBS, JOB, "status", {"active": 0, "uncountedTerminatedPods": {"succeeded": ["u"]}}),
]
TOLD = [
    (PODS, POD, "status", {"containerStatuses": [TRAINER]}),
    (PODS, POD, "status", {"phase": "Succeeded", "containerStatuses": [ENDED]}),
    (PODS, POD, "status", {"containerStatuses": [PULLING]}),
    (PODS, POD, "status", {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}),
    (PODS, POD, "status", {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]}),
    (PODS, POD, "metadata", {"deletionTimestamp": "2030-01-01T00:00:00Z"}),
    (PODS, POD, "metadata", {"ownerReferences": []}),
    (JOBS, JOB, "status", {"conditions": [{"type": "Complete", "status": "True"}]}),
    (JOBS, JOB, "status", {"conditions": [{"type": "FailureTarget", "status": "True"}]}),
    (JOBS, JOB, "metadata", {"deletionTimestamp": "2030-01-01T00:00:00Z"}),
    (JOBS, JOB, "metadata", {"labels": {"x": "y"}}),
    (JOBS, JOB, "metadata", {"uid": "v"}),
    (CONFIG_MAPS, {"metadata": META, "data": {}}, "data", {"a": "b"}),
]


@pytest.mark.parametrize(("kind", "before", "part", "fields"), SILENT)
def test_what_a_pass_wouldn_t_see_is_no_news(kind: Kind, before: Object, part: str, fields: Object) -> None:
    assert not matters(kind, before, changed(before, part, **fields))


@pytest.mark.parametrize(("kind", "before", "part", "fields"), TOLD)
def test_what_a_pass_would_see_is(kind: Kind, before: Object, part: str, fields: Object) -> None:
    assert matters(kind, before, changed(before, part, **fields))


def test_a_new_pod_is_news_when_it_has_something_to_tell() -> None:
    assert not matters(PODS, None, POD)
    assert matters(PODS, None, changed(POD, "status", containerStatuses=[PULLING]))
    assert matters(JOBS, None, JOB)
