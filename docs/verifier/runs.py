"""The state machine of a run (section 4). Part of the second verifier.

What a stage has been through is a word of one letter a record, so that what is legal is a regular expression.
"""
import re
from formats import graph_document, need

LETTERS = dict(stage_started="s", stage_retried="r", stage_succeeded="S", stage_failed="F", stage_cancelled="C")
LEGAL = re.compile("(sr)*(s[SFC]?)?|(sr)+[FC]|[CMU]")  # M: skipped in a way that meets a need; U: in one that does not


class Run:
    """A run under its graph document; None where that is not at hand: needs and attempt limits stay unchecked."""

    def __init__(self, graph=None):
        self.n, self.over, self.told = 0, False, {}
        self.graph = None if graph is None else graph_document(graph)
    def end(self, name):
        return self.told.get(name, "")[-1:].strip("sr")
    def met(self, name, optional=None):
        optional = self.graph[name][2] & 1 if self.graph else optional
        return self.end(name) in ("S", "M") or self.end(name) == "F" and bool(optional)
    def ready(self, name):
        needs, _, flags = self.graph[name]
        others = [x for x, (_, _, other) in self.graph.items() if flags & 2 and not other & 2]
        return all(map(self.met, needs)) and all(map(self.end, others))
    def step(self, kind, body):
        name, k, reason, outcome = map(body.get, ("stage", "attempt", "reason", "outcome"))
        need(body["n"] == self.n and not self.over, "number out of order, or after the end")
        need((kind == "run_opened") == (self.n == 0), "a run begins with run_opened, once")
        need(name is None or self.graph is None or name in self.graph, "the stage is not in the graph")
        if kind == "stage_disputed":
            need(k <= self.told.get(name, "").count("s"), "an attempt that does not exist")
        elif name:
            letter = LETTERS.get(kind) or ("M" if reason in ("condition", "results") else "U")
            told = self.told.get(name, "") + letter
            need(LEGAL.fullmatch(told) and k in (None, told.count("s")), f"{kind} does not follow the stage's state")
            if self.graph is not None:
                needs, attempts, _ = self.graph[name]
                need(letter not in "sM" or self.ready(name), "before its needs")
                need(letter != "s" or k <= attempts, "more attempts than the graph allows")
                broken = any(self.end(x) and not self.met(x) for x in needs)
                need(broken or letter != "U" or reason != "needs", "skipped though no need is broken")
            self.told[name] = told
        if kind == "run_finished":
            names = self.graph or self.told
            need(all(map(self.end, names)), "finished before its stages")
            need(outcome != "succeeded" or all(self.met(x, True) for x in names), "a stage did not succeed")
            need(outcome != "failed" or not all(self.met(x, False) for x in names), "no stage failed")
        self.over, self.n = kind == "run_finished", self.n + 1
