# SPDX-License-Identifier: Apache-2.0
"""What collector/stix.c builds, judged by OASIS's own validator: no errors and no warnings, each object and the whole."""

import json
import os
import pathlib
import subprocess

import pytest
import stix2
from stix2validator import ValidationOptions, validate_instance

BUILD = pathlib.Path(os.environ.get("VONGGAC_BUILD", pathlib.Path(__file__).parents[2] / "build"))
OPTIONS = ValidationOptions(version="2.1")


@pytest.fixture(scope="module")
def envelopes(tmp_path_factory):
    out = tmp_path_factory.mktemp("stix")
    subprocess.run([BUILD / "tests/unit/test_stix"], env=dict(os.environ, VONGGAC_STIX_OUT=str(out)), check=True,
                   capture_output=True, timeout=120)
    found = {p.stem: json.loads(p.read_text()) for p in sorted(out.glob("*.json"))}
    assert len(found) >= 5
    return found


def complaints(instance):
    result = validate_instance(instance, OPTIONS)
    return [str(c) for c in result.errors + result.warnings]


def test_every_object_is_valid(envelopes):
    checked = 0
    for name, envelope in envelopes.items():
        seen = set()
        for stix_object in envelope["objects"]:
            if name == "largest" and stix_object["type"] in seen:
                continue  # five hundred of a kind differ in their values only
            seen.add(stix_object["type"])
            assert complaints(stix_object) == [], (name, stix_object)
            checked += 1
    assert checked > 40


def test_every_bundle_is_valid_and_closed(envelopes):
    for name, envelope in envelopes.items():
        if name == "largest":
            continue
        bundle = {"type": "bundle", "id": "bundle--6f4c1b1e-9a1d-4c8e-8d55-0d9b2b4f5c11", "objects": envelope["objects"]}
        assert complaints(bundle) == [], name


def test_every_reference_is_in_the_envelope(envelopes):
    predefined = {stix2.TLP_AMBER.id}
    for name, envelope in envelopes.items():
        ids = {o["id"] for o in envelope["objects"]}
        assert len(ids) == len(envelope["objects"]), name
        for stix_object in envelope["objects"]:
            for key, value in stix_object.items():
                refs = [value] if key.endswith("_ref") else value if key.endswith("_refs") else []
                assert set(refs) <= ids | predefined, (name, key)


def test_another_implementation_reads_it_and_agrees_on_ids(envelopes):
    addresses = 0
    for envelope in envelopes.values():
        for stix_object in envelope["objects"]:
            parsed = stix2.parse(stix_object, allow_custom=False, version="2.1")
            if stix_object["type"] in ("ipv4-addr", "ipv6-addr"):
                assert type(parsed)(value=stix_object["value"]).id == stix_object["id"]
                addresses += 1
    assert addresses > 250
