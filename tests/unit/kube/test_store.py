from finetune_operator.kube.kinds import JOBS, PODS, Object
from finetune_operator.kube.store import DELETED, Store

KEY = ("ns", "a")


def pod(name: str = "a", version: int = 1, uid: str = "", owner: str = "", **fields: object) -> Object:
    metadata: Object = {"namespace": "ns", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner}]
    return {"metadata": metadata, **fields}


def version_of(store: Store, key: tuple[str, str] = KEY) -> str | None:
    obj = store.get(PODS, key)
    return obj["metadata"]["resourceVersion"] if obj is not None else None


def names(objects: list[Object]) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def test_the_newest_is_kept_and_the_one_before_told() -> None:
    store = Store()
    assert store.observe(PODS, "ADDED", pod(version=1)) is None
    before = store.observe(PODS, "MODIFIED", pod(version=10))
    assert before is not None
    assert before["metadata"]["resourceVersion"] == "1"
    assert version_of(store) == "10"


def test_a_late_event_does_not_undo_our_own_write() -> None:
    store = Store()
    store.observe(PODS, "MODIFIED", pod(version=10))
    store.observe(PODS, "MODIFIED", pod(version=9))
    assert version_of(store) == "10"


def test_a_new_object_of_the_same_name_is_newer_whatever_its_version() -> None:
    store = Store()
    store.observe(PODS, "ADDED", pod(version=10))
    store.observe(PODS, "ADDED", pod(version=2, uid="new"))
    assert version_of(store) == "2"
    store.observe(PODS, DELETED, pod(version=11))
    assert version_of(store) == "2"


def test_what_was_deleted_stays_so() -> None:
    store = Store()
    store.observe(PODS, "ADDED", pod())
    store.observe(PODS, DELETED, pod(version=3))
    store.observe(PODS, "MODIFIED", pod(version=2))
    assert store.all_of(PODS) == []


def test_kinds_are_kept_apart() -> None:
    store = Store()
    store.observe(PODS, "ADDED", pod())
    assert store.get(JOBS, KEY) is None


def test_who_wrote_which_field_is_not_kept() -> None:
    store = Store()
    obj = pod()
    obj["metadata"]["managedFields"] = [{"manager": "x"}]
    store.observe(PODS, "ADDED", obj)
    stored = store.get(PODS, KEY)
    assert stored is not None
    assert "managedFields" not in stored["metadata"]
    assert "managedFields" in obj["metadata"]


def test_objects_are_found_by_their_owner() -> None:
    store = Store()
    for name in "ba":
        store.observe(PODS, "ADDED", pod(name, owner="o1"))
    store.observe(PODS, "ADDED", pod("c", owner="o2"))
    assert names(store.owned_by(PODS, "o1")) == ["a", "b"]
    assert store.owned_by(JOBS, "o1") == []
    store.observe(PODS, "MODIFIED", pod("a", version=2, owner="o2"))
    store.observe(PODS, DELETED, pod("b"))
    assert names(store.owned_by(PODS, "o1")) == []
    assert names(store.owned_by(PODS, "o2")) == ["a", "c"]


def test_a_list_finds_what_no_event_told() -> None:
    store = Store()
    store.observe(PODS, "ADDED", pod("a"))
    store.observe(PODS, "ADDED", pod("b"))
    gone = store.replace_all(PODS, [pod("b", version=5), pod("c")], since=store.mark())
    assert names(gone) == ["a"]
    assert names(store.all_of(PODS)) == ["b", "c"]
    assert version_of(store, ("ns", "b")) == "5"


def test_a_list_does_not_undo_what_was_heard_since_it_was_asked_for() -> None:
    store = Store()
    store.observe(PODS, "ADDED", pod("old"))
    asked = store.mark()
    store.observe(PODS, "ADDED", pod("new"))
    store.observe(PODS, DELETED, pod("old"))
    assert store.replace_all(PODS, [pod("old")], since=asked) == []
    assert names(store.all_of(PODS)) == ["new"]


def test_a_list_replaces_an_object_by_another_of_its_name() -> None:
    store = Store()
    store.observe(PODS, "ADDED", pod(owner="o1"))
    gone = store.replace_all(PODS, [pod(uid="new", owner="o2")], since=store.mark())
    assert [obj["metadata"]["uid"] for obj in gone] == ["uid-a"]
    assert names(store.owned_by(PODS, "o1")) == []
    assert names(store.owned_by(PODS, "o2")) == ["a"]


def test_memory_of_the_dead_is_dropped_when_no_list_can_bring_them_back() -> None:
    store = Store()
    store.observe(PODS, "ADDED", pod())
    store.observe(PODS, DELETED, pod())
    asked = store.mark()
    store.forget_gone(before=asked)
    store.observe(PODS, "ADDED", pod())
    assert names(store.all_of(PODS)) == ["a"]
