"""`kubectl finetune report`: copied by a pod that is gone afterwards, whatever happens."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.cli.main import PLUGIN, invoke
from finetune_operator.local import unpack as unpacking
from finetune_operator.renderers.report_pod import PACK_PROGRAM
from tests.support.kubectl import UID, FakeKubectl, make_cluster_job, make_running, make_succeeded

REPORT = {
    "finetune_report.md": b"# Report\n",
    "evaluation_rows.jsonl": b"{}\n",
    "finetune_config.yaml": b"kind: FineTuneJob\n",
    "curves/loss.png": b"\x89PNG",
}
TRAINER = {"name": "trainer", "image": "registry/trainer:1", "command": ["/opt/venv/bin/python", "-m", "x"]}
TEMPLATE = {
    "containers": [{"name": "other", "image": "no"}, TRAINER],
    "securityContext": {"runAsUser": 1234, "fsGroup": 1234, "seccompProfile": {"type": "Unconfined"}},
    "imagePullSecrets": [{"name": "pull"}],
    "tolerations": [{"operator": "Exists"}],
    "priorityClassName": "training",
    "nodeSelector": {"gpu": "yes"},
}


def pack(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> str:
    with tarfile.open(path, "w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


def member(name: str, data: bytes = b"x", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


@pytest.fixture
def cluster(kubectl: FakeKubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    """A finished job, and a pod that packs what the program in it packs of a real folder."""
    monkeypatch.chdir(tmp_path)
    volume = tmp_path / "volume"
    for name, data in REPORT.items():
        (volume / name).parent.mkdir(parents=True, exist_ok=True)
        (volume / name).write_bytes(data)
    (volume / "adapter.safetensors").write_bytes(b"weights")
    (volume / "curves" / "linked.png").symlink_to("loss.png")
    command = [
        sys.executable,
        "-c",
        PACK_PROGRAM,
        str(volume),
        *("finetune_report.md", "evaluation_rows.jsonl", "finetune_config.yaml", "curves", "no"),
    ]
    packed = subprocess.run(command, capture_output=True, check=True).stdout
    (tmp_path / "packed.tar").write_bytes(packed)
    kubectl.holds(make_cluster_job(make_succeeded()))
    kubectl.answer("jobs.batch", out={"spec": {"template": {"spec": TEMPLATE}}})
    for verb in ("create", "wait", "delete"):
        kubectl.answer(verb)
    return kubectl


def copied(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def deleted(kubectl: FakeKubectl) -> bool:
    """Whether the last thing that was asked is that the pod goes."""
    (made,) = kubectl.calls("create")
    *_, last = kubectl.asked
    name = made.object["metadata"]["name"]
    return last.arguments[-6:] == ["delete", "pod", name, "--ignore-not-found", "--wait=false", "--now"]


def test_a_report_is_copied(cluster: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.answer("exec", archive=str(tmp_path / "packed.tar"))
    assert invoke(["report", "tickets", "-o", "a/b"], PLUGIN) == 0
    assert copied(tmp_path / "a" / "b") == REPORT
    assert capsys.readouterr().out == "a/b/finetune_report.md\n"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
    assert deleted(cluster)


def test_the_pod_is_restricted_small_and_short_lived(cluster: FakeKubectl, tmp_path: Path) -> None:
    cluster.answer("exec", archive=str(tmp_path / "packed.tar"))
    assert invoke(["report", "tickets"], PLUGIN) == 0
    pod = cluster.calls("create")[0].object
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert pod["metadata"]["namespace"] == "support"
    assert pod["metadata"]["ownerReferences"] == [
        {"apiVersion": "finetune-operator.dev/v1alpha1", "kind": "FineTuneJob", "name": "tickets", "uid": UID}
    ]
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "adapters", "readOnly": True}
    assert container["volumeMounts"] == [{"name": "output", "mountPath": "/output", "readOnly": True}]
    assert (container["image"], container["command"][0]) == ("registry/trainer:1", "/opt/venv/bin/python")
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == 900
    assert spec["securityContext"] == {
        "runAsUser": 1234,
        "fsGroup": 1234,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # nodes that don't measure their local disk take no pod that asks for some of it, and it writes nothing
    assert container["resources"]["requests"] == {"cpu": "100m", "memory": "128Mi"}
    assert (spec["tolerations"], spec["imagePullSecrets"]) == ([{"operator": "Exists"}], [{"name": "pull"}])
    assert not {"priorityClassName", "nodeSelector"} & spec.keys()
    arguments = cluster.calls("exec")[0].arguments
    assert arguments[arguments.index("--") + 1 :] == [
        "/opt/venv/bin/python", "-c", PACK_PROGRAM, "/output/tickets/out", "finetune_report.md",
        "evaluation_rows.jsonl", "finetune_config.yaml", "curves",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(member("../evil"), id="up"),
        pytest.param(member("/etc/evil"), id="absolute"),
        pytest.param(member("curves/../../evil"), id="up-below"),
        pytest.param(member("curves/a/b"), id="deep"),
        pytest.param(member("curves/.."), id="dots"),
        pytest.param(member("evil"), id="unexpected"),
        pytest.param(member("curves", type=tarfile.SYMTYPE, linkname="/etc"), id="link"),
        pytest.param(member("finetune_report.md", type=tarfile.LNKTYPE, linkname="/etc/passwd"), id="hard-link"),
        pytest.param(member("curves/x.png", type=tarfile.FIFOTYPE), id="pipe"),
        pytest.param(member("finetune_report.md", b"x" * 2048), id="too-big"),
    ],
)
def test_an_archive_that_is_no_report_leaves_nothing(
    cluster: FakeKubectl,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    bad: tuple[tarfile.TarInfo, bytes],
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1024)
    before = set(tmp_path.iterdir()) | {tmp_path / "bad.tar"}
    cluster.answer("exec", archive=pack(tmp_path / "bad.tar", member("evaluation_rows.jsonl"), bad))
    assert invoke(["report", "tickets"], PLUGIN) == 5
    assert "nothing of it is kept" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before
    assert deleted(cluster)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param({"err": "python: not found", "code": 127}, "error: kubectl: python: not found", id="no-python"),
        pytest.param({"out": "hello"}, "the copy broke off, or isn't an archive", id="no-archive"),
        pytest.param({"out": ""}, "the copy broke off, or isn't an archive", id="empty"),
        pytest.param({"err": "error: EOF", "out": "x" * 600, "code": 1}, "error: kubectl: error: EOF", id="broken"),
    ],
)
def test_a_copy_that_fails_leaves_nothing(
    cluster: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: dict[str, Any], told: str
) -> None:
    before = set(tmp_path.iterdir())
    cluster.answer("exec", **answer)
    assert invoke(["report", "tickets"], PLUGIN) == 5
    assert told in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before
    assert deleted(cluster)


def test_a_volume_without_a_report_is_told(
    cluster: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.answer("exec", archive=pack(tmp_path / "half.tar", member("evaluation_rows.jsonl")))
    assert invoke(["report", "tickets"], PLUGIN) == 5
    assert "tickets/out on volume adapters holds no finetune_report.md" in capsys.readouterr().err
    assert not (tmp_path / "tickets").exists()


def test_a_pod_that_does_not_start_is_told_and_deleted(
    cluster: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    why = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    cluster.answer("wait", "--for=condition=Ready", err="error: timed out waiting for the condition", code=1)
    cluster.answer("get", "pod", out={"status": {"conditions": [why]}})
    assert invoke(["report", "tickets"], PLUGIN) == 5
    assert "the pod that reads the volume isn't ready: 0/3 nodes are available" in capsys.readouterr().err
    assert deleted(cluster)


def test_a_pod_that_may_not_be_made_is_told(cluster: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.answer("create", "--filename=-", err="Error from server (Forbidden): pods is forbidden", code=1)
    assert invoke(["report", "tickets"], PLUGIN) == 5
    assert "error: kubectl: Error from server (Forbidden)" in capsys.readouterr().err
    # the answer may have been lost on its way
    assert deleted(cluster)


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_the_pod_goes_also_when_we_are_stopped(cluster: FakeKubectl, tmp_path: Path, ended_by: signal.Signals) -> None:
    cluster.answer("exec", hang=True)
    program = str(Path(sys.executable).with_name("kubectl-finetune"))
    with subprocess.Popen(
        [program, "report", "tickets"], env={"PATH": os.environ["PATH"]}, stderr=subprocess.PIPE
    ) as copying:
        while not cluster.calls("exec"):
            assert copying.poll() is None
            time.sleep(0.02)
        copying.send_signal(ended_by)
        assert copying.wait() == 130
    assert deleted(cluster)
    assert not (tmp_path / "tickets").exists()


def test_no_report_is_asked_of_a_job_that_is_not_done(kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.holds(make_cluster_job(make_running(15)))
    assert invoke(["report", "tickets"], PLUGIN) == 5
    assert "tickets: has no report yet, its phase is Training" in capsys.readouterr().err
    assert kubectl.calls("create") == []


def test_a_folder_that_holds_something_is_not_written_to(
    cluster: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tickets").mkdir()
    (tmp_path / "tickets" / "mine").touch()
    assert invoke(["report", "tickets"], PLUGIN) == 15
    assert "tickets: is there already; write the name of a new folder with -o" in capsys.readouterr().err
    assert cluster.calls("create") == []


def test_an_image_has_to_be_named_where_the_jobs_are_gone(
    cluster: FakeKubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = 'Error from server (NotFound): jobs.batch "tickets-0f0e0d0c-1" not found'
    cluster.answer("get", "jobs.batch", "tickets-0f0e0d0c-1", err=gone, code=1)
    assert invoke(["report", "tickets"], PLUGIN) == 5
    assert "write --image" in capsys.readouterr().err
    cluster.answer("exec", archive=str(tmp_path / "packed.tar"))
    assert invoke(["report", "tickets", "--image", "mine:1"], PLUGIN) == 0
    (container,) = cluster.calls("create")[0].object["spec"]["containers"]
    assert (container["image"], container["command"][0]) == ("mine:1", "python")
