#!/usr/bin/env python3
"""Writes an OCI image archive without a container engine.

usage: mkimage.py --out FILE.tar --name REF [options] [content...]

The same inputs give the same bytes: entries are sorted, times are 1970-01-01,
owners are numbers. The archive holds one image for this machine's
architecture and can be imported by containerd, skopeo, crane, kind and docker
(`docker load`, engine 25 or newer).

content, later entries win over earlier ones of the same path:
  --rootfs FILE.tar            a root file system; becomes a layer of its own
  --tree DIR:DEST              everything below DIR
  --file SRC:DEST[:MODE[:UID:GID]]
  --text DEST=CONTENT          a small text file, mode 0644, `\\n` is a new line
  --dir DEST[:MODE[:UID:GID]]
  --link DEST=TARGET           a symbolic link

options:
  --user UID:GID  --env K=V  --entrypoint JSON  --cmd JSON  --workdir DIR
  --label K=V     --gzip (compress the layers)  --require-static (refuse ELF
  files given with --file that need a loader, for images without libc)
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import posixpath
import stat
import struct
import sys
import tarfile
import tempfile

ARCH = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"


def clean(path):
    path = posixpath.normpath("/" + path).lstrip("/")
    return path


def needs_loader(path):
    """True when the file is an ELF program with a PT_INTERP header."""
    with open(path, "rb") as f:
        head = f.read(64)
        if head[:4] != b"\x7fELF" or head[4] != 2:
            return False
        order = "<" if head[5] == 1 else ">"
        phoff = struct.unpack_from(order + "Q", head, 32)[0]
        phentsize, phnum = struct.unpack_from(order + "HH", head, 54)
        for i in range(phnum):
            f.seek(phoff + i * phentsize)
            if struct.unpack(order + "I", f.read(4))[0] == 3:
                return True
    return False


class Layer:
    """Entries by path; each is (TarInfo, source file or bytes or None)."""

    def __init__(self):
        self.entries = {}

    def add(self, dest, kind, mode, uid=0, gid=0, data=None, source=None, target=""):
        dest = clean(dest)
        if not dest:
            return
        info = tarfile.TarInfo(dest)
        info.type, info.mode, info.uid, info.gid = kind, mode, uid, gid
        info.linkname = target
        if source is not None:
            info.size = os.path.getsize(source)
        elif data is not None:
            info.size = len(data)
        self.entries[dest] = (info, source if source is not None else data)

    def write(self, out):
        for path in list(self.entries):
            parent = posixpath.dirname(path)
            while parent and parent not in self.entries:
                self.add(parent, tarfile.DIRTYPE, 0o755)
                parent = posixpath.dirname(parent)
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(self.entries):
                info, content = self.entries[path]
                if isinstance(content, bytes):
                    tar.addfile(info, io.BytesIO(content))
                elif content is not None:
                    with open(content, "rb") as f:
                        tar.addfile(info, f)
                else:
                    tar.addfile(info)


def copy_rootfs(source, out):
    """Copies a root file system's tar, sorted and with fixed times."""
    with tarfile.open(source) as tar, tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT
    ) as dst:
        members, links = {}, []
        for m in tar.getmembers():
            if m.ischr() or m.isblk() or m.isfifo():
                continue
            m.name = clean(m.name)
            if not m.name:
                continue
            if m.islnk():
                m.linkname = clean(m.linkname)
                links.append(m)
            else:
                members[m.name] = m
        for m in [members[k] for k in sorted(members)] + sorted(links, key=lambda m: m.name):
            m.mtime, m.uname, m.gname = 0, "", ""
            m.pax_headers = {k: v for k, v in m.pax_headers.items() if k.startswith("SCHILY.xattr.")}
            dst.addfile(m, tar.extractfile(m) if m.isreg() else None)


def split_owner(spec, default_mode):
    """DEST[:MODE[:UID:GID]] -> dest, mode, uid, gid"""
    parts = spec.split(":")
    mode = int(parts[1], 8) if len(parts) > 1 and parts[1] else default_mode
    uid, gid = (int(parts[2]), int(parts[3])) if len(parts) > 3 else (0, 0)
    return parts[0], mode, uid, gid


def add_tree(layer, spec):
    root, dest = spec.split(":", 1)
    for folder, dirs, files in os.walk(root):
        rel = os.path.relpath(folder, root)
        base = posixpath.join(dest, "" if rel == "." else rel)
        layer.add(base, tarfile.DIRTYPE, 0o755)
        for name in sorted(files + [d for d in dirs if os.path.islink(os.path.join(folder, d))]):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                layer.add(posixpath.join(base, name), tarfile.SYMTYPE, 0o777, target=os.readlink(path))
            else:
                mode = 0o755 if os.stat(path).st_mode & stat.S_IXUSR else 0o644
                layer.add(posixpath.join(base, name), tarfile.REGTYPE, mode, source=path)


def digest_of(f):
    h, size = hashlib.sha256(), 0
    f.seek(0)
    while chunk := f.read(1 << 20):
        h.update(chunk)
        size += len(chunk)
    f.seek(0)
    return h.hexdigest(), size


def main():
    p = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1][len("usage: ") :])
    p.add_argument("--out", required=True)
    p.add_argument("--name", required=True)
    p.add_argument("--rootfs", action="append", default=[])
    p.add_argument("--tree", action="append", default=[])
    p.add_argument("--file", action="append", default=[])
    p.add_argument("--text", action="append", default=[])
    p.add_argument("--dir", action="append", default=[])
    p.add_argument("--link", action="append", default=[])
    p.add_argument("--user", default="")
    p.add_argument("--env", action="append", default=[])
    p.add_argument("--entrypoint")
    p.add_argument("--cmd")
    p.add_argument("--workdir", default="")
    p.add_argument("--label", action="append", default=[])
    p.add_argument("--gzip", action="store_true")
    p.add_argument("--require-static", action="store_true")
    args = p.parse_args()

    machine = platform.machine()
    if machine not in ARCH:
        sys.exit(f"mkimage: unknown architecture {machine}")

    top = Layer()
    for spec in args.tree:
        add_tree(top, spec)
    for spec in args.file:
        source, rest = spec.split(":", 1)
        if not os.path.isfile(source):
            sys.exit(f"mkimage: no such file: {source}")
        if args.require_static and needs_loader(source):
            sys.exit(
                f"mkimage: {source} is dynamically linked and cannot run in an image without libc; "
                "build it with RUSTFLAGS='-C target-feature=+crt-static' or CGO_ENABLED=0"
            )
        executable = os.stat(source).st_mode & stat.S_IXUSR
        dest, mode, uid, gid = split_owner(rest, 0o755 if executable else 0o644)
        top.add(dest, tarfile.REGTYPE, mode, uid, gid, source=source)
    for spec in args.text:
        dest, text = spec.split("=", 1)
        top.add(dest, tarfile.REGTYPE, 0o644, data=text.replace("\\n", "\n").encode())
    for spec in args.dir:
        dest, mode, uid, gid = split_owner(spec, 0o755)
        top.add(dest, tarfile.DIRTYPE, mode, uid, gid)
    for spec in args.link:
        dest, target = spec.split("=", 1)
        top.add(dest, tarfile.SYMTYPE, 0o777, target=target)

    folder = os.path.dirname(os.path.abspath(args.out))
    blobs = []  # (hex digest, size, file or bytes)
    layers, diff_ids = [], []

    def temp():
        return tempfile.TemporaryFile(dir=folder)

    raw_layers = []
    for source in args.rootfs:
        f = temp()
        copy_rootfs(source, f)
        raw_layers.append(f)
    if top.entries or not raw_layers:
        f = temp()
        top.write(f)
        raw_layers.append(f)
    for raw in raw_layers:
        plain, size = digest_of(raw)
        diff_ids.append("sha256:" + plain)
        kind = "application/vnd.oci.image.layer.v1.tar"
        if args.gzip:
            packed = temp()
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as z:
                while chunk := raw.read(1 << 20):
                    z.write(chunk)
            raw.close()
            raw, kind = packed, kind + "+gzip"
            plain, size = digest_of(raw)
        blobs.append((plain, size, raw))
        layers.append({"mediaType": kind, "digest": "sha256:" + plain, "size": size})

    config = {}
    if args.user:
        config["User"] = args.user
    config["Env"] = args.env or ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    if args.entrypoint:
        config["Entrypoint"] = json.loads(args.entrypoint)
    if args.cmd:
        config["Cmd"] = json.loads(args.cmd)
    if args.workdir:
        config["WorkingDir"] = args.workdir
    if args.label:
        config["Labels"] = dict(sorted(s.split("=", 1) for s in args.label))

    def blob(value):
        data = json.dumps(value, separators=(",", ":")).encode()
        hexdigest = hashlib.sha256(data).hexdigest()
        blobs.append((hexdigest, len(data), data))
        return {"digest": "sha256:" + hexdigest, "size": len(data)}

    image = {
        "created": EPOCH,
        "architecture": ARCH[machine],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": EPOCH, "created_by": "mkimage.py"} for _ in diff_ids],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(image)},
        "layers": layers,
    }
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": manifest["mediaType"],
                **blob(manifest),
                "platform": {"architecture": ARCH[machine], "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": args.name,
                    "org.opencontainers.image.ref.name": args.name.rsplit("/", 1)[-1].partition(":")[2] or "latest",
                },
            }
        ],
    }

    part = args.out + ".part"
    with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:

        def add(name, data, size):
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else data)

        for name, value in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
            data = json.dumps(value, separators=(",", ":")).encode()
            add(name, data, len(data))
        seen = set()
        for hexdigest, size, data in sorted(blobs, key=lambda b: b[0]):
            if hexdigest not in seen:
                seen.add(hexdigest)
                add("blobs/sha256/" + hexdigest, data, size)
    os.replace(part, args.out)


if __name__ == "__main__":
    main()
