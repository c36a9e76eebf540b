"""Ways to change a case as somebody would who wants it to say something else, and what `claims verify` says to it."""

import json

from bumperlane.case import load_case
from bumperlane.claims.verify import verify
from bumperlane.evidence.manifest import save_with_manifest


def states(found):
    return {v.name: v.state for v in found}


def failed(place, **more):
    return {v.name: " / ".join((v.detail, *v.faults)) for v in verify(place, **more) if v.state == "fail"}


def edit(place, change, name="case.json"):
    """Change a JSON file as somebody would by hand."""
    content = json.loads((place / name).read_text())
    change(content)
    (place / name).write_text(json.dumps(content, indent=1))


def resealed(place, change):
    """Change case.json and write the manifest anew, as somebody who knows how would: only what follows can tell."""
    edit(place, change)
    save_with_manifest(place, load_case(place))
