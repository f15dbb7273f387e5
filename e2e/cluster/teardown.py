#!/usr/bin/env python3
"""Removes a local cluster: its processes, mounts, network, cgroups and files.

usage: teardown.py STATE_DIR     (called by down.sh and up.sh, which hold the lock)

Works from what up.sh wrote below STATE_DIR/run, however far it came, also when
some or all of the processes are gone already. A process is ended only when it
is known to be ours: a recorded pid whose start time still matches, a member of
the node's cgroup, or a container shim that was given a path below STATE_DIR.
"""

import ctypes
import ipaddress
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time

CGROUP = "/sys/fs/cgroup"
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


def read(*path):
    try:
        with open(os.path.join(*path), encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def run(*command, text=None):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def warn(message):
    print(f"cluster: warning: {message}", file=sys.stderr)


def trace(what, began=time.monotonic()):
    if os.environ.get("DCANARY_TRACE"):
        print(f"cluster:   {time.monotonic() - began:.1f} s {what}")


def process_start(pid):
    stat = read(f"/proc/{pid}/stat")
    return stat.rpartition(")")[2].split()[19] if stat else None


def end(pids, what):
    """Kills processes and waits until they are gone; pids: {pid: start time or None}."""
    poll, open_fds = select.poll(), {}
    for pid, began in pids.items():
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        # checked after the descriptor is open, so the pid cannot change hands
        if pid == os.getpid() or (began is not None and process_start(pid) != began):
            os.close(fd)
            continue
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        except ProcessLookupError:
            os.close(fd)
            continue
        poll.register(fd, select.POLLIN)
        open_fds[fd] = pid
    limit = time.monotonic() + 20
    while open_fds:
        for fd, _ in poll.poll(max(0, limit - time.monotonic()) * 1000):
            poll.unregister(fd)
            os.close(fd)
            del open_fds[fd]
        if open_fds and time.monotonic() >= limit:
            warn(f"{what} did not end: {sorted(open_fds.values())}")
            return


def recorded(state):
    found = {}
    run_dir = os.path.join(state, "run")
    for name in os.listdir(run_dir) if os.path.isdir(run_dir) else []:
        fields = read(run_dir, name).split()
        if name.endswith(".pid") and len(fields) == 2 and fields[0].isdigit():
            found[int(fields[0])] = fields[1]
    return found


def helpers(state):
    """containerd's shims and their runc processes: those with a path of this state in their arguments."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        arguments = read(f"/proc/{name}/cmdline").split("\0")
        if os.path.basename(arguments[0]) not in ("containerd-shim-runc-v2", "runc"):
            continue
        if any(a == state or a.startswith(state + "/") for a in arguments):
            found[int(name)] = process_start(int(name))
    return found


def node_cgroups(node):
    if os.path.exists(f"{CGROUP}/cgroup.controllers"):
        return [f"{CGROUP}/{node}"]
    return [f"{CGROUP}/{h}/{node}" for h in sorted(os.listdir(CGROUP))]


def members(node):
    found = {}
    for top in node_cgroups(node):
        for folder, _, _ in os.walk(top):
            for pid in read(folder, "cgroup.procs").split():
                found[int(pid)] = process_start(int(pid))
    return found


def unmount(state):
    for attempt in range(3):
        points = []
        for line in read("/proc/self/mountinfo").splitlines():
            point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4])
            if point.startswith(state + "/"):
                points.append(point)
        if not points:
            return
        for point in reversed(points):
            libc.umount2(os.fsencode(point), 0 if attempt < 2 else MNT_DETACH)
        if attempt:
            time.sleep(0.1)
    warn(f"could not unmount {points}")


def remove_links(link, pods):
    """The host's ends of the Pods' links (routes into the Pods' range lead to them), the bridge and the routes."""
    network = ipaddress.ip_network(pods)
    routes = json.loads(run("ip", "-4", "-j", "route", "show").stdout or "[]")
    for route in routes:
        try:
            inside = ipaddress.ip_network(route["dst"]).subnet_of(network)
        except ValueError:
            continue
        if inside and route.get("dev", "").startswith("veth"):
            run("ip", "link", "delete", "dev", route["dev"])
    run("ip", "route", "delete", "unreachable", pods)
    run("ip", "link", "delete", "dev", link)


def remove_rules(state):
    """kube-proxy's, the kubelet's, the CNI plugins' and our own chains, one transaction per table."""
    # up.sh refuses to start beside another kube-proxy, but other users of the CNI plugins may be there
    ours = re.compile(r"^(KUBE-|DCANARY-)" if read(state, "run", "foreign-chains") else r"^(KUBE-|DCANARY-|CNI-)")
    for tool in ("iptables", "ip6tables"):
        table, script, chains, rules = None, [], [], []
        for line in run(tool + "-save").stdout.splitlines():
            if line.startswith("*"):
                table, chains, rules = line, [], []
            elif line.startswith(":"):
                name = line[1:].split()[0]
                if ours.match(name):
                    chains.append(name)
            elif line.startswith("-A "):
                target = re.search(r" -[jg] (\S+)", line)
                # kube-proxy's jumps from the built-in chains lead to chains of its own
                if not ours.match(line.split()[1]) and target and ours.match(target[1]):
                    rules.append("-D" + line[2:])
            elif line == "COMMIT" and (chains or rules):
                script += [table, *rules, *(f"-F {c}" for c in chains), *(f"-X {c}" for c in chains), "COMMIT"]
        if script:
            result = run(tool + "-restore", "-w", "10", "--noflush", text="\n".join(script) + "\n")
            if result.returncode:
                warn(f"{tool} rules could not be removed: {result.stderr.strip()}")
    # what enforces policies (netpol.sh) does not take its table with it when it is killed
    if shutil.which("nft"):
        run("nft", "delete", "table", "inet", "kube-network-policies")


def restore_sysctls(state):
    for line in read(state, "run", "sysctl").splitlines():
        name, _, value = line.partition(" ")
        if read("/proc/sys", name).strip() != value:
            try:
                with open(f"/proc/sys/{name}", "w", encoding="ascii") as f:
                    f.write(value)
            except OSError as e:
                warn(f"could not set {name} back to {value}: {e}")


def remove_cgroups(node):
    limit = time.monotonic() + 10
    for top in node_cgroups(node):
        while os.path.isdir(top):
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass
            if os.path.isdir(top):
                if time.monotonic() > limit:
                    warn(f"cgroup {top} is still busy")
                    break
                time.sleep(0.02)


def remove_leftovers(state, node):
    """What the servers write outside of the state, at fixed places."""
    logs = "/var/log/containers"
    for name in os.listdir(logs) if os.path.isdir(logs) else []:
        path = os.path.join(logs, name)
        if os.path.islink(path) and os.readlink(path).startswith(state + "/"):
            os.unlink(path)
    results = "/var/lib/cni/results"
    for name in os.listdir(results) if os.path.isdir(results) else []:
        if name.startswith(f"dcanary-{node}-"):
            os.unlink(os.path.join(results, name))
    created = read(state, "run", "created").split()
    if "/var/lib/kubelet" in created:
        shutil.rmtree("/var/lib/kubelet/device-plugins", ignore_errors=True)
    sockets = "/run/containerd/s"
    bound = {line.split()[-1] for line in read("/proc/net/unix").splitlines()}
    for name in os.listdir(sockets) if os.path.isdir(sockets) else []:
        if os.path.join(sockets, name) not in bound:
            os.unlink(os.path.join(sockets, name))
    for path in created:
        if os.path.isfile(path):
            os.unlink(path)
        for folder, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass


def main():
    state = os.path.realpath(sys.argv[1])
    if not os.path.isdir(state):
        return
    known = {"run", "pki", "etc", "log", "audit", "etcd", "containerd", "kubelet", "registry", "volumes", "pod-logs", "kubeconfig"}
    strange = set(os.listdir(state)) - known
    if strange:
        sys.exit(f"cluster: error: {state} holds files that are not the cluster's ({sorted(strange)}); not removing anything")

    boot, net = (read(state, "run", "boot").split() + ["", ""])[:2]
    same_boot = boot == read("/proc/sys/kernel/random/boot_id").strip()
    same_net = net == os.readlink("/proc/self/ns/net")
    fields = read(state, "run", "node").split()
    if same_boot and not same_net:
        sys.exit("cluster: error: the cluster runs in another network namespace; run this there (nsenter --net=...)")
    if same_boot and len(fields) == 3:
        node, link, pods = fields
        end(recorded(state), "servers")
        end(helpers(state), "container shims")
        limit = time.monotonic() + 20
        while (left := members(node)) and time.monotonic() < limit:
            end(left, "container processes")
        trace("processes ended")
        unmount(state)
        trace("unmounted")
        remove_links(link, pods)
        remove_rules(state)
        trace("network removed")
        remove_cgroups(node)
        restore_sysctls(state)
        remove_leftovers(state, node)
        trace("cgroups removed")
    unmount(state)
    if any(line.split()[4].startswith(state + "/") for line in read("/proc/self/mountinfo").splitlines()):
        sys.exit(f"cluster: error: something is still mounted below {state}; its files are kept")
    # thousands of files of unpacked images can take a slow disk most of a minute
    base = os.path.dirname(state)
    os.rename(state, os.path.join(base, f".trash-{os.getpid()}"))
    trash = [os.path.join(base, name) for name in os.listdir(base) if name.startswith(".trash-")]
    remover = subprocess.Popen(["nice", "-n", "10", "rm", "-rf", "--one-file-system", *trash], start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        remover.wait(timeout=5)
    except subprocess.TimeoutExpired:
        print(f"cluster: its files go on being removed in the background (pid {remover.pid})")
    trace("files removed")


if __name__ == "__main__":
    main()
