"""A YAML file read so that no mistake hides: no name twice in one mapping, and every mapping knows its line.

YAML itself lets the second of two equal names win without a word; in a price file that is a wrong bill.
"""

from pathlib import Path
from typing import Any

import yaml

from tokenpool.kernel.errors import InvalidInput


class Lined(dict[str, Any]):
    """A mapping, and the line of the file on which it begins (1 is the first)."""

    line = 0


class _Strict(yaml.SafeLoader):
    """Plain YAML data; names are texts, and stand once."""

    def lined(self, node: yaml.MappingNode) -> Lined:
        found = Lined()
        found.line = node.start_mark.line + 1
        for name_node, value_node in node.value:
            name = self.construct_object(name_node)
            if not isinstance(name, str):
                raise yaml.MarkedYAMLError(
                    problem=f"the name {name!r} is not a text", problem_mark=name_node.start_mark
                )
            if name in found:
                raise yaml.MarkedYAMLError(problem=f"“{name}” stands twice", problem_mark=name_node.start_mark)
            found[name] = self.construct_object(value_node, deep=True)
        return found


_Strict.add_constructor("tag:yaml.org,2002:map", _Strict.lined)


def read(path: Path) -> object:
    """Return what the YAML file at *path* says, its mappings as `Lined`.

    Raises:
        InvalidInput: it cannot be read, is not YAML, or has a name twice; names the file, the line and the reason.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path.name}, file: cannot be read as UTF-8 text: {error}.", field=path.name) from error
    try:
        found: object = _Strict(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InvalidInput(f"{path.name}, line {line}: {error.problem}.", field=path.name) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a day that does not exist
        raise InvalidInput(f"{path.name}, file: {error}.", field=path.name) from error
    except RecursionError as error:
        raise InvalidInput(f"{path.name}, file: is nested too deeply.", field=path.name) from error
    return found
