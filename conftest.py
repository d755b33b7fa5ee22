"""What all tests share; the fixtures stand in tests/fixtures."""

from pathlib import Path

_FIXTURES = Path(__file__).parent / "tests" / "fixtures"

pytest_plugins = [f"tests.fixtures.{path.stem}" for path in sorted(_FIXTURES.glob("[a-z]*.py"))]
