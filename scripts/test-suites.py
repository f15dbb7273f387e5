#!/usr/bin/env python3
"""Tests of what runs and counts the tests: no suite passes without one."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import count
import tests

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["outages::nodes::a_node_goes", "outages::network::it_is_cut", "rbac::every_right_is_used", "runs::one_ends"]
RESULT = "test result: ok. {} passed; {} failed; {} ignored; 0 measured; 9 filtered out; finished in 0.1s\n"


def target(kind: str, name: str, test: bool = True) -> dict:
    return {"kind": [kind], "name": name, "test": test}


PACKAGES = [
    {"name": "dcanary-server", "targets": [target("lib", "dcanary_server"), target("bin", "dcanary-server", False), target("test", "it")]},
    {"name": "dcanary-core", "targets": [target("lib", "dcanary_core"), target("test", "laws"), target("test", "lexing")]},
    {"name": "dcanary-bench", "targets": [target("bin", "dcanary-bench"), target("bin", "empty"), target("custom-build", "build", False)]},
    {"name": "dcanary-harness", "targets": [target("lib", "dcanary_harness"), target("test", "e2e")]},
]


class Filters(unittest.TestCase):
    def faults(self, *arguments: str) -> list[str]:
        return tests.faults(NAMES, *tests.filters(list(arguments)))

    def test_a_filter_that_names_tests_runs_them(self):
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.faults("--test-threads", "6", "--nocapture", "outages::"), [])
        self.assertEqual(self.faults("outages::", "rbac::"), [])
        self.assertEqual(self.faults("--skip", "outages::", "--skip=rbac::"), [])
        self.assertEqual(self.faults("--test-threads", "1", "--exact", "runs::one_ends"), [])

    def test_a_filter_that_names_none_is_a_fault_also_beside_one_that_does(self):
        self.assertEqual(self.faults("outage::"), ["no test has 'outage::' in its name"])
        self.assertEqual(self.faults("outages::", "rback::"), ["no test has 'rback::' in its name"])
        self.assertEqual(self.faults("--exact", "one_ends"), ["no test is called 'one_ends'"])

    def test_what_is_left_out_has_to_be_there(self):
        self.assertEqual(self.faults("--skip", "gone::"), ["no test has 'gone::' in its name"])
        self.assertEqual(self.faults("--skip=gone::", "runs::"), ["no test has 'gone::' in its name"])

    def test_without_a_test_that_is_left_nothing_is_run(self):
        self.assertEqual(self.faults("rbac::", "--skip", "every_right"), ["there is no test to run"])
        self.assertEqual(tests.faults([], [], [], False), ["there is no test to run"])


class Targets(unittest.TestCase):
    def test_every_target_with_tests_is_run_but_for_those_that_are_named(self):
        self.assertEqual(
            tests.targets(PACKAGES, ["dcanary-harness", "laws", "empty"]),
            ["--exclude", "dcanary-harness", "--bin", "dcanary-bench", "--lib", "--test", "it", "--test", "lexing"])

    def test_an_exclusion_that_excludes_nothing_is_refused(self):
        with self.assertRaises(SystemExit) as refused:
            tests.targets(PACKAGES, ["laws", "lore"])
        self.assertIn("lore", str(refused.exception))
        self.assertNotIn("laws", str(refused.exception))

    def test_arguments_are_told_apart(self):
        self.assertEqual(
            tests.taken_apart(["--without", "laws", "--no-fail-fast", "--", "--test-threads", "6", "--skip", "x"]),
            (["laws"], ["--no-fail-fast"], ["--test-threads", "6", "--skip", "x"]))
        self.assertEqual(tests.taken_apart(["--test", "e2e"]), ([], ["--test", "e2e"], []))


class Counts(unittest.TestCase):
    def counted(self, **logs: str) -> tuple[int, str]:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in logs.items():
                pathlib.Path(folder, f"{name.replace('_', '-')}.log").write_text(text)
            done = subprocess.run([HERE / "count.py", folder], stdout=subprocess.PIPE, text=True)
        return done.returncode, done.stdout

    def test_the_forms_of_all_suites_are_added_up(self):
        for text, expected in [
            (RESULT.format(3, 1, 2) + RESULT.format(0, 0, 0), [3, 1, 2]),
            ("ok   a\nok   b\nFAIL c\n", [2, 1, 0]),
            ("7 laws hold, 1 do not\n", [7, 1, 0]),
            ("Ran 9 tests in 0.1s\n\nFAILED (failures=2, errors=1)\n", [6, 3, 0]),
            ("Ran 9 tests in 0.1s\nvectors: 40 passed, 0 failed\n", [40, 0, 0]),
        ]:
            self.assertEqual(count.count(text), expected, text)

    def test_the_last_line_is_the_sum(self):
        code, said = self.counted(laws=RESULT.format(3, 0, 1), unit=RESULT.format(4, 1, 0))
        self.assertEqual((code, said.splitlines()[-1]), (0, "7 passed, 1 failed, 1 skipped"))

    def test_a_suite_that_ran_no_test_fails_by_its_name(self):
        for empty in ["", RESULT.format(0, 0, 0), RESULT.format(0, 0, 5), "== laws FAILED\n"]:
            code, said = self.counted(laws=empty, unit=RESULT.format(4, 0, 0))
            self.assertEqual(code, 1, empty)
            self.assertRegex(said, r"(?m)^laws: 0 passed, .* ran no test")
            self.assertNotRegex(said, r"(?m)^unit: .* ran no test")

    def test_one_program_without_tests_does_not_fail_its_suite(self):
        self.assertEqual(self.counted(unit=RESULT.format(0, 0, 0) + RESULT.format(4, 0, 0))[0], 0)

    def test_what_failed_beside_others_counts_as_it_ended_alone(self):
        code, said = self.counted(unit=RESULT.format(0, 1, 0), unit_alone=RESULT.format(1, 0, 0))
        self.assertEqual((code, said.splitlines()[-1]), (0, "1 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.counted(unit=RESULT.format(2, 1, 0), unit_alone=RESULT.format(0, 0, 0))[0], 1)

    def test_no_suite_at_all_is_no_success(self):
        self.assertEqual(self.counted()[0], 1)


if __name__ == "__main__":
    unittest.main()
