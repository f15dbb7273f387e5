#!/usr/bin/env python3
"""Pushes an OCI image archive into a registry that speaks plain http.

usage: push.py HOST:PORT FILE.tar NAME[:TAG]

Prints NAME@DIGEST. Blobs that the registry already has are not sent again.
"""

import http.client
import json
import sys
import tarfile
import urllib.parse

INDEX = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


class Pusher:
    def __init__(self, host, archive, name):
        self.conn = http.client.HTTPConnection(host, timeout=60)
        self.tar = tarfile.open(archive, "r:")
        self.members = {m.name.removeprefix("./"): m for m in self.tar.getmembers()}
        self.name = name

    def open(self, digest):
        algorithm, _, value = digest.partition(":")
        try:
            member = self.members[f"blobs/{algorithm}/{value}"]
        except KeyError:
            raise SystemExit(f"push: the archive lacks blob {digest}") from None
        return self.tar.extractfile(member), member.size

    def call(self, method, path, body=None, headers=None, ok=(200, 201, 202)):
        self.conn.request(method, path, body=body, headers=headers or {})
        answer = self.conn.getresponse()
        data = answer.read()
        if answer.status not in ok:
            raise SystemExit(f"push: {method} {path}: {answer.status} {answer.reason}: {data.decode(errors='replace')[:500]}")
        return answer

    def blob(self, digest):
        if self.call("HEAD", f"/v2/{self.name}/blobs/{digest}", ok=(200, 404)).status == 200:
            return
        place = urllib.parse.urlsplit(self.call("POST", f"/v2/{self.name}/blobs/uploads/", body=b"").headers["Location"])
        body, size = self.open(digest)
        query = urllib.parse.urlencode(urllib.parse.parse_qsl(place.query) + [("digest", digest)])
        self.call("PUT", f"{place.path}?{query}", body,
                  {"Content-Length": str(size), "Content-Type": "application/octet-stream"})

    def manifest(self, descriptor, reference):
        data = self.open(descriptor["digest"])[0].read()
        kind = descriptor["mediaType"]
        value = json.loads(data)
        if kind in INDEX:
            for child in value["manifests"]:
                self.manifest(child, child["digest"])
        else:
            for blob in [value["config"], *value["layers"]]:
                self.blob(blob["digest"])
        self.call("PUT", f"/v2/{self.name}/manifests/{reference}", data, {"Content-Type": kind})


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__.split("\n\n")[1])
    host, archive, image = sys.argv[1:]
    name, _, tag = image.partition(":")
    pusher = Pusher(host, archive, name)
    if "index.json" not in pusher.members:
        raise SystemExit(f"push: {archive} is not an OCI image archive (it has no index.json)")
    images = json.load(pusher.tar.extractfile(pusher.members["index.json"]))["manifests"]
    if len(images) != 1:
        raise SystemExit(f"push: {archive} holds {len(images)} images, not one")
    pusher.manifest(images[0], tag or "latest")
    print(f"{name}@{images[0]['digest']}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, tarfile.TarError, http.client.HTTPException) as e:
        raise SystemExit(f"push: {sys.argv[2] if isinstance(e, tarfile.TarError) else sys.argv[1]}: {e}") from None
