"""Reading YAML: settings and registries are mappings, and a key stands once."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from relatent.errors import ConfigError, MissingDataError


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; a key given twice is an error, not the last one's victory.

    Raises:
        MissingDataError: no such file.
        ConfigError: not YAML, or not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as file:
            values = yaml.load(file, Loader=_UniqueKeys)
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; the studies that ship are config/*.yaml") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold `key: value` lines, see config/README.md")
    return values


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                said = "a key is a list or a mapping; write a word"
                raise yaml.constructor.ConstructorError(None, None, said, key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
