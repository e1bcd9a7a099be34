"""Faults planted into a trace: what a process that forgets, or hurries, would have done. Each must be found."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from tests.power.trace import Op


def without_syncs(ops: Sequence[Op], path: str) -> list[Op]:
    """Leave out each sync of the files whose path ends so; of one folder, where `path` is that folder."""
    return [op for op in ops if op.kind != "s" or not (op.path == path or (path and op.path.endswith(path)))]


def acknowledged_first(ops: Sequence[Op], before: str) -> list[Op]:
    """Say of each group that it is durable before it is: before the `commit`, or before the audit log's `witness`."""
    result: list[Op] = []
    for op in ops:
        if op.kind == "m" and _kind(op) == "ack":
            result.insert(_begin(result) + 1 if before == "commit" else _witness(result), op)
        else:
            result.append(op)
    return result


def witnessed_first(ops: Sequence[Op]) -> list[Op]:
    """Have the audit log tell of each group, and sync that, before the store's file has it."""
    result: list[Op] = []
    for op in ops:
        if op.kind == "m" and _kind(op) == "ack":
            begin = _begin(result) + 1
            block = result[begin:]
            result[begin:] = [one for one in block if _is_audit(one)] + [one for one in block if not _is_audit(one)]
        result.append(op)
    return result


def handed_out_first(ops: Sequence[Op]) -> list[Op]:
    """Let each envelope leave before its line in the audit log is on disk."""
    result: list[Op] = []
    for op in ops:
        at = len(result)
        if op.kind == "m" and _kind(op) == "left":
            word = orjson.loads(op.data)["hash"].encode()
            at = max((index for index, one in enumerate(result) if _is_audit(one) and word in one.data), default=at)
        result.insert(at, op)
    return result


def renamed_before_synced(ops: Sequence[Op]) -> list[Op]:
    """Give the new store its name in genesis, and bring its content to disk only then."""
    result = list(ops)
    name = next(index for index, op in enumerate(result) if op.kind == "r")
    sync = max(index for index in range(name) if result[index].kind == "s" and result[index].path == result[name].path)
    result[sync : name + 1] = [*result[sync + 1 : name + 1], Op("s", result[name].second)]
    return result


def _kind(op: Op) -> str:
    return str(orjson.loads(op.data)["kind"])


def _begin(result: Sequence[Op]) -> int:
    """Return where the group that was begun last was offered."""
    return max(index for index, op in enumerate(result) if op.kind == "m" and _kind(op) == "offer")


def _witness(result: Sequence[Op]) -> int:
    """Return where the audit log was written last for the group that was begun last, before it was synced."""
    begin = _begin(result)
    return next(index for index in range(begin, len(result)) if result[index].kind == "w" and _is_audit(result[index]))


def _is_audit(op: Op) -> bool:
    return op.path.startswith("state/audit/")
