import pytest
from aiohttp.test_utils import TestClient, TestServer

from finetune_operator.health import make_app
from finetune_operator.kube.metrics import Metrics

pytestmark = pytest.mark.anyio


async def page(path: str, *, alive: str | None = None, ready: str | None = None) -> tuple[int, str]:
    metrics = Metrics()
    metrics.count_request("GET", 200)
    app = make_app({"passes": lambda: alive}, {"lists": lambda: ready}, metrics.registry)
    async with TestClient(TestServer(app)) as client, client.get(path) as answer:
        return answer.status, await answer.text()


async def test_all_is_well() -> None:
    assert await page("/healthz") == (200, "passes: ok\n")
    assert await page("/readyz") == (200, "lists: ok\n")


async def test_what_is_wrong_is_said_and_each_page_has_its_own() -> None:
    assert await page("/healthz", alive="one hangs") == (503, "passes: one hangs\n")
    assert (await page("/readyz", alive="one hangs"))[0] == 200
    assert await page("/readyz", ready="not yet") == (503, "lists: not yet\n")


async def test_metrics_have_the_names_that_dashboards_know() -> None:
    status, text = await page("/metrics")
    assert status == 200
    for name in (
        'controller_runtime_reconcile_total{controller="finetunejob",result="success"} 0.0',
        'controller_runtime_reconcile_errors_total{controller="finetunejob"} 0.0',
        'controller_runtime_reconcile_time_seconds_count{controller="finetunejob"} 0.0',
        'controller_runtime_max_concurrent_reconciles{controller="finetunejob"}',
        'controller_runtime_active_workers{controller="finetunejob"}',
        'workqueue_depth{name="finetunejob"}',
        'workqueue_adds_total{name="finetunejob"} 0.0',
        'workqueue_queue_duration_seconds_count{name="finetunejob"} 0.0',
        'workqueue_work_duration_seconds_count{name="finetunejob"} 0.0',
        'workqueue_retries_total{name="finetunejob"} 0.0',
        'rest_client_requests_total{code="200",method="GET"} 1.0',
        "# TYPE leader_election_master_status gauge",
    ):
        assert name in text
