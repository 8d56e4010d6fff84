"""Puts the compiled message catalogs into the wheel."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileCatalogs(BuildHookInterface[Any]):
    """Compiles every `.po` below `src` before the files are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Run before the build."""
        import sys  # noqa: PLC0415 - the hook's own folder is not on the path otherwise
        from pathlib import Path  # noqa: PLC0415

        sys.path.insert(0, str(Path(self.root) / "tools"))
        from catalogs import compile_all  # noqa: PLC0415

        compile_all(Path(self.root) / "src")
