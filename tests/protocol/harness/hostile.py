"""Hostile files: mutations of good ones, and files that were never good. Every generator is a function of its random numbers."""

import io
import json

import h5py
import numpy as np

from protocol import jsontext

NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, 0.5, True)
TEXTS = (
    "",
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../b",
    "\x00",
    "x" * 10_000,
    "é",
    "batch",
    "NaN",
    "0" * 64,
    "__class__",
    "..",
)


def value(rng, depth=0):
    """Any JSON value, rather a bad one."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind < 4:
        return rng.choice(TEXTS)
    if kind == 4:
        return rng.choice([None, False, {}, [], [[]], {"": None}])
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {rng.choice(TEXTS): value(rng, depth + 1) for _ in range(rng.randrange(3))}
    nested = 0
    for _ in range(rng.choice([5, 500])):
        nested = [nested]
    return nested


def places(tree, at=()):
    """Paths of all values in a tree of mappings and lists."""
    yield at
    for key, inner in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(inner, (*at, key))


def changed(rng, tree):
    """A copy of a tree with one or two values replaced, dropped or added."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice([1, 1, 2])):
        path = rng.choice([path for path in places(tree) if path] or [()])
        if not path:
            return tree
        holder = tree
        for key in path[:-1]:
            holder = holder[key]
        action = rng.randrange(6)
        if action == 0 and isinstance(holder, dict):
            del holder[path[-1]]
        elif action == 1 and isinstance(holder, dict):
            holder[rng.choice(TEXTS)] = value(rng)
        else:
            holder[path[-1]] = value(rng)
    return tree


def text(rng, tree):
    """Bytes of a changed tree; sealed, with numbers that JSON has not, or cut off."""
    try:
        data = json.dumps(changed(rng, tree)).encode()
    except (RecursionError, ValueError):
        return b"[" * 100_000
    kind = rng.randrange(5)
    if kind == 0 and data.startswith(b"{") and len(data) > 2:
        return jsontext.seal(data)
    if kind == 1:
        return data.replace(b"0", rng.choice([b"NaN", b"Infinity", b"1e999", b"-0"]), 2)
    return data if kind > 2 else bits(rng, data)


def bits(rng, data):
    """Bytes with flips, cut off, stretched, or with a piece moved."""
    data = bytearray(data)
    kind = rng.randrange(6)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data) + 1)])
    if kind == 1:
        at = rng.randrange(len(data) + 1)
        return bytes(data[:at]) + bytes(rng.randrange(256) for _ in range(rng.randrange(64))) + bytes(data[at:])
    if kind == 2 and len(data) > 16:
        a, b, n = rng.randrange(len(data) - 8), rng.randrange(len(data) - 8), rng.randrange(1, 64)
        data[a : a + n] = data[b : b + n]
        return bytes(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if kind == 3 and len(data) > 8:  # a length or an address
        at = rng.randrange(len(data) - 8)
        data[at : at + 8] = rng.choice([0, 2**63 - 1, 2**64 - 1, 2**40, 8]).to_bytes(8, "little")
    return bytes(data)


def bomb(rng, good):
    """An HDF5 image in which a dataset or an attribute of a good file is replaced by something absurd."""
    image = io.BytesIO(good)
    with h5py.File(image, "r+") as file:
        names = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        name = rng.choice(names)
        shape, kind = file[name].shape, rng.randrange(12)
        if kind < 11:
            del file[name]
        if kind == 0:
            file.create_dataset(name, shape=(10**12,), dtype="f8", chunks=(10**6,), compression="gzip")
        elif kind == 1:
            file.create_dataset(name, shape=(10**6, 10**6, 3)[: max(1, len(shape))], dtype="f8")  # a shape without bytes
        elif kind == 2:
            file.create_dataset(
                name, shape=shape, dtype="f8", external=[("/etc/passwd", 0, 8 * int(np.prod(shape)))] if shape else None
            )
        elif kind == 3:
            file[name] = h5py.ExternalLink("/etc/passwd", "/x")
        elif kind == 4:
            file[name] = h5py.SoftLink("/numbers")
        elif kind == 5:
            file.create_dataset(name, data=np.full(shape, rng.choice([np.nan, np.inf, 1e308, -1.0])))
        elif kind == 6:
            file.create_dataset(name, data=np.full(shape, 2**62))
        elif kind == 7:
            file.create_dataset(name, shape=shape, dtype=h5py.string_dtype())
        elif kind == 8:
            file.create_dataset(name, shape=shape or (1,), dtype=np.dtype([("a", "f8"), ("b", "S1000")]))
        elif kind == 9:
            file.create_group(name)
        elif kind == 10:
            file.create_dataset(name, data=np.zeros(tuple(rng.choice([0, 1, 2, 100]) for _ in range(rng.randrange(5)))))
        else:
            key = rng.choice(list(file.attrs) or ["kind"])
            file.attrs[key] = rng.choice(
                [np.inf, np.nan, -1, 2**62, "x" * 1000, np.zeros(500), "\udce9".encode(errors="replace")]
            )
    return image.getvalue()


def yaml_text(rng):
    """YAML that wants to run code, to grow, or to confuse."""
    tags = [
        "!!python/object/apply:os.system ['touch HACKED']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!include /etc/passwd",
    ]
    tags += [
        "!!binary aGk=",
        "!!timestamp 2001-01-01",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "&a [*a]",
        "{<<: {a: 1}}",
        "9" * 5000,
        "1e999",
    ]
    kind = rng.randrange(6)
    if kind == 0:
        levels = [f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 10) if k else 'x'}]" for k in range(rng.randrange(3, 14))]
        return "\n".join(levels)
    if kind == 1:
        return "a: " + "[" * rng.choice([10, 400]) + "]" * rng.choice([10, 400])
    if kind == 2:
        return bits(rng, b"system: {structure: x.xyz}\nengine: {name: toy}\nseed: 1\n").decode(errors="replace")
    keys = ["system", "engine", "sampler", "seed", "machine", "? [a, b]", "''", "null", "__proto__"]
    return "\n".join(f"{rng.choice(keys)}: {rng.choice(tags)}" for _ in range(rng.randrange(1, 4)))
