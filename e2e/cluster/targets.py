#!/usr/bin/env python3
"""Writes the Pods that Prometheus scrapes into a file, at once when they change.

usage: targets.py API_URL CA_FILE TOKEN_FILE OUT.json     (started by prometheus.sh)

Debian's Prometheus is built without its discovery of Kubernetes, but follows
files. A Pod is scraped while it runs and has the annotation
prometheus.io/scrape: "true"; prometheus.io/port and prometheus.io/path say where.
Ends never; what the API server does not answer is asked for again.
"""

import http.client
import json
import os
import ssl
import sys
import time
import urllib.request

WATCH = "/api/v1/pods?watch=1&timeoutSeconds=600&resourceVersion="
LABELS = {"environment": "dcanary.dev/environment", "release": "dcanary.dev/release"}


def target(pod):
    """What Prometheus is told of a Pod; None when it is not scraped."""
    meta, status = pod["metadata"], pod.get("status", {})
    annotations, address = meta.get("annotations", {}), status.get("podIP")
    if annotations.get("prometheus.io/scrape") != "true" or status.get("phase") != "Running" or not address:
        return None
    labels = {"namespace": meta["namespace"], "pod": meta["name"]}
    for label, source in LABELS.items():
        if source in meta.get("labels", {}):
            labels[label] = meta["labels"][source]
    if "prometheus.io/path" in annotations:
        labels["__metrics_path__"] = annotations["prometheus.io/path"]
    return {"targets": [f"{address}:{annotations.get('prometheus.io/port', '80')}"], "labels": labels}


class Targets:
    def __init__(self, out):
        self.out, self.found, self.written = out, {}, None

    def see(self, pod, gone=False):
        found = None if gone else target(pod)
        if found:
            self.found[pod["metadata"]["uid"]] = found
        else:
            self.found.pop(pod["metadata"]["uid"], None)

    def write(self):
        text = json.dumps([self.found[uid] for uid in sorted(self.found)], indent=1)
        if text != self.written:
            with open(self.out + ".new", "w", encoding="utf-8") as f:
                f.write(text)
            os.replace(self.out + ".new", self.out)
            self.written = text


def main():
    url, authority, token_file, out = sys.argv[1:]
    context = ssl.create_default_context(cafile=authority)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

    def get(path):
        with open(token_file, encoding="utf-8") as f:
            token = f.read().strip()
        return opener.open(urllib.request.Request(url + path, headers={"Authorization": f"Bearer {token}"}), timeout=700)

    targets = Targets(out)
    while True:
        try:
            with get("/api/v1/pods") as answer:
                pods = json.load(answer)
            targets.found = {}
            for pod in pods["items"]:
                targets.see(pod)
            targets.write()
            with get(WATCH + pods["metadata"]["resourceVersion"]) as events:
                for line in events:
                    event = json.loads(line)
                    if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                        break
                    targets.see(event["object"], gone=event["type"] == "DELETED")
                    targets.write()
        except (OSError, ValueError, http.client.HTTPException) as error:
            print(f"asking again: {error}", flush=True)
            time.sleep(1)


if __name__ == "__main__":
    main()
