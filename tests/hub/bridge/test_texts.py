"""Everything that a controller can do wrong is told in German, too."""

import re
from pathlib import Path

import kegnet_client
from kegnet_client.core.errors import ControllerError
from kegnet_client.hub.bridge.texts import GERMAN, tell_fault

PACKAGE = Path(kegnet_client.__file__).parent
TEMPLATE = re.compile(r'raise ControllerError\(\s*"([^"]+)"')


def test_each_fault_has_its_german_text_with_the_same_places() -> None:
    sources = [PACKAGE / "core/wire/brewpi.py", *(PACKAGE / "hub/bridge").glob("*.py")]
    told = "".join(one.read_text() for one in sources)
    templates = TEMPLATE.findall(told)
    assert len(templates) == told.count("raise ControllerError(")
    assert set(templates) == GERMAN.keys()
    for english, german in GERMAN.items():
        assert sorted(re.findall(r"{[^}]+}", english)) == sorted(re.findall(r"{[^}]+}", german))


def test_a_fault_is_told_in_the_language_that_is_asked_for() -> None:
    error = ControllerError("no connection to {where} ({reason})", where="/run/{brewpi}", reason="No such file")
    assert str(error) == tell_fault("en", error) == "no connection to /run/{brewpi} (No such file)"
    assert tell_fault("de", error) == "keine Verbindung zu /run/{brewpi} (No such file)"
