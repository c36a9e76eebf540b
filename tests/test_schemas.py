import json
from pathlib import Path

import jsonschema
import pytest

from bumperlane.case import case_schema
from bumperlane.claims.evidence import evidence_schema
from bumperlane.recipes.schema import recipe_schema
from report.cases import treated_case

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"


@pytest.mark.parametrize(
    ("name", "made"), [("case", case_schema), ("recipe", recipe_schema), ("evidence", evidence_schema)]
)
def test_the_published_schema_is_the_one_the_code_uses(name, made):
    """Remake with `bumperlane schema case > docs/schemas/case.schema.json`, and the same for the others."""
    assert json.loads((SCHEMAS / f"{name}.schema.json").read_text()) == json.loads(json.dumps(made()))


def test_a_case_fits_the_published_schema_and_a_damaged_one_does_not():
    published = json.loads((SCHEMAS / "case.schema.json").read_text())
    whole = treated_case().model_dump(mode="json")
    jsonschema.validate(whole, published)
    with pytest.raises(jsonschema.ValidationError, match="hits"):
        jsonschema.validate({k: v for k, v in whole.items() if k != "hits"}, published)
