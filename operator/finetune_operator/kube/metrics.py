"""What is counted, under the names of controller-runtime, which dashboards know."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CONTROLLER: Final = "finetunejob"
"""The only controller, and the name of its queue."""

_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """One process's figures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles()
        self._queue()
        self.requests = Counter(
            "rest_client_requests", "Requests to the API server.", ["method", "code"], registry=self.registry
        )
        self.is_leader = Gauge(
            "leader_election_master_status", "1 while this process leads.", ["name"], registry=self.registry
        )

    def count_request(self, method: str, status: int) -> None:
        """Count one answer of the API server; status 0 is none."""
        self.requests.labels(method, str(status) if status else "<error>").inc()

    def _reconciles(self) -> None:
        prefix = "controller_runtime"
        total = Counter(f"{prefix}_reconcile", "Passes by outcome.", ["controller", "result"], registry=self.registry)
        self.passes = {result: total.labels(CONTROLLER, result) for result in ("success", "error", "requeue_after")}
        self.pass_errors = Counter(
            f"{prefix}_reconcile_errors", "Passes that failed.", ["controller"], registry=self.registry
        ).labels(CONTROLLER)
        self.pass_seconds = Histogram(
            f"{prefix}_reconcile_time_seconds",
            "Length of a pass.",
            ["controller"],
            buckets=_SECONDS,
            registry=self.registry,
        ).labels(CONTROLLER)
        self.active_workers = self._gauge(f"{prefix}_active_workers", "Workers that are at work.")
        self.max_workers = self._gauge(f"{prefix}_max_concurrent_reconciles", "Workers there are.")

    def _queue(self) -> None:
        labels, registry = ["name"], self.registry
        self.depth = Gauge("workqueue_depth", "Keys that wait.", labels, registry=registry).labels(CONTROLLER)
        self.adds = Counter("workqueue_adds", "Keys put in.", labels, registry=registry).labels(CONTROLLER)
        self.retries = Counter("workqueue_retries", "Keys tried again.", labels, registry=registry).labels(CONTROLLER)
        self.queue_seconds = Histogram(
            "workqueue_queue_duration_seconds", "Time in the queue.", labels, buckets=_SECONDS, registry=registry
        ).labels(CONTROLLER)
        self.work_seconds = Histogram(
            "workqueue_work_duration_seconds", "Time at work on a key.", labels, buckets=_SECONDS, registry=registry
        ).labels(CONTROLLER)
        self.longest_running = Gauge(
            "workqueue_longest_running_processor_seconds", "Longest work under way.", labels, registry=registry
        ).labels(CONTROLLER)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["controller"], registry=self.registry).labels(CONTROLLER)
