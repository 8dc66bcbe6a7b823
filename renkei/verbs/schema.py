"""Print the JSON schema of the configuration, for editors."""

from __future__ import annotations

import json

from protocol.settings import json_schema
from renkei.plugins import PLUGINS


def schema() -> None:
    """Print the JSON schema of a configuration (`science:` and `machine:` in one file), for editors."""
    print(json.dumps(json_schema(PLUGINS), indent=2))
