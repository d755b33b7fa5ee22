"""`python -m tests.conformance`: write docs/mesos-conformance.md anew."""

from tests.conformance.page import PAGE, find_tests, render

PAGE.write_text(render(find_tests()), encoding="utf-8")
