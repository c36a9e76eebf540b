"""What JUnit XML and SARIF 2.1.0 demand of a file, written down anew from the standards, for the parts that are used.

SARIF: OASIS Standard 2.1.0 (docs.oasis-open.org/sarif/sarif/v2.1.0), sections named below. It forbids properties that
it does not name, so an unknown one is a fault here too. JUnit: what Jenkins' xUnit plug-in accepts (its junit-10.xsd).
The official files are not kept here. Where $BUMPERLANE_OFFICIAL_SCHEMAS names a directory that holds
sarif-schema-2.1.0.json and junit-10.xsd, the tests validate against those too, and check that these rules are no laxer.
"""

TEXT = {"type": "string"}


def closed(required=(), **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def many(item, **more):
    return {"type": "array", "items": item, **more}


BAG = {"type": "object"}  # 3.8: a property bag may hold anything
MESSAGE = closed(["text"], text=TEXT)  # 3.11: text or id is needed; an id is never used
LEVEL = {"enum": ["none", "note", "warning", "error"]}
COUNT = {"type": "integer", "minimum": -1}
REGION = closed(["startLine"], startLine={"type": "integer", "minimum": 1})  # 3.30.5
PLACE = closed(["artifactLocation"], artifactLocation=closed(["uri"], uri={**TEXT, "format": "uri-reference"}),
               region=REGION)  # fmt: skip  # 3.29
LOCATION = closed(physicalLocation=PLACE, logicalLocations=many(closed(name=TEXT, kind=TEXT), uniqueItems=True))
RESULT = closed(
    ["message"],  # 3.27
    ruleId=TEXT,
    ruleIndex=COUNT,
    level=LEVEL,
    kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
    message=MESSAGE,
    locations=many(LOCATION, uniqueItems=True),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
)
RULE = closed(["id"], id=TEXT, shortDescription=MESSAGE, fullDescription=MESSAGE, help=MESSAGE)  # 3.49
DRIVER = closed(["name"], name=TEXT, semanticVersion=TEXT, rules=many(RULE, uniqueItems=True))  # 3.19
NOTIFICATION = closed(["message"], level=LEVEL, message=MESSAGE)  # 3.58
INVOCATION = closed(
    ["executionSuccessful"],  # 3.20
    executionSuccessful={"type": "boolean"},
    toolExecutionNotifications=many(NOTIFICATION, uniqueItems=True),
)
RUN = closed(
    ["tool", "results"],  # 3.14.23: results must be there, if empty, when the tool looked
    tool=closed(["driver"], driver=DRIVER),
    invocations=many(INVOCATION),
    results=many(RESULT),
    properties=BAG,
)
SARIF = closed(
    ["version", "runs"],
    **{"$schema": {**TEXT, "format": "uri"}, "version": {"enum": ["2.1.0"]}, "runs": many(RUN)},
)

# element -> (attributes it must have, attributes it may have besides, children in any order)
JUNIT = {
    "testsuites": ((), ("name", "time", "tests", "failures", "errors"), ("testsuite",)),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        ("time", "skipped", "timestamp", "hostname", "id", "package"),
        ("properties", "testcase", "system-out", "system-err"),
    ),
    "testcase": (("name",), ("classname", "time"), ("skipped", "error", "failure", "system-out", "system-err")),
    "failure": ((), ("type", "message"), ()),
    "error": ((), ("type", "message"), ()),
    "system-out": ((), (), ()),
}


def junit_faults(root):
    """What is wrong with a parsed JUnit file, in words; empty for none."""
    faults = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    for element in root.iter():
        must, may, children = JUNIT.get(element.tag, ((), (), ()))
        faults += [f"unknown element {element.tag}"] if element.tag not in JUNIT else []
        faults += [f"{element.tag} lacks {name}" for name in must if name not in element.attrib]
        faults += [f"{element.tag} has {name}" for name in element.attrib if name not in (*must, *may)]
        faults += [f"{child.tag} in {element.tag}" for child in element if child.tag not in children]
    for group in (root, *root.iter("testsuite")):
        for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            if group.get(name) is not None and group.get(name) != str(len(list(group.iter(tag)))):
                faults.append(f"{group.tag} says {name}={group.get(name)}, there are {len(list(group.iter(tag)))}")
    return faults
