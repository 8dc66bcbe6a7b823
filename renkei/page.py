"""A page from its template in pages/."""

from pathlib import Path
from typing import Any

import jinja2


def render(template: str, **facts: Any) -> str:
    """The text of a template; a name that it uses and that is not given is an error."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "pages")
    return (
        jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=loader)
        .get_template(template)
        .render(**facts)
    )
