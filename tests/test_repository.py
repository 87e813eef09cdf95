"""``make debs``: packages become an apt repository that apt itself can read."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "service/debian/build-repository"
CONTROL = """\
Package: keg-example
Version: {version}
Architecture: {architecture}
Maintainer: nobody <nobody@example.org>
Description: an example
"""


def make_package(directory: Path, version: str, architecture: str) -> None:
    tree = directory / "tree"
    (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (tree / "DEBIAN/control").write_text(CONTROL.format(version=version, architecture=architecture))
    file = directory / f"keg-example_{version}_{architecture}.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", "-Znone", tree, file], check=True, capture_output=True)


@pytest.mark.process
def test_packages_of_this_and_of_other_machines_are_offered_and_what_is_missing_is_said(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    (dist / "apt").mkdir(parents=True)
    make_package(dist, "1.0", "amd64")
    make_package(dist / "apt", "1.0", "arm64")
    for path in (dist / "apt/tree/DEBIAN/control", dist / "tree/DEBIAN/control"):
        path.unlink()
        path.parent.rmdir()
        path.parent.parent.rmdir()
    said = subprocess.run([SCRIPT, dist], check=True, capture_output=True, text=True).stdout
    assert "an apt repository for: amd64 arm64" in said
    assert "None for armhf" in said
    assert "None for amd64" not in said

    # As apt sees it, with nothing of this machine's own.
    state = tmp_path / "apt"
    (state / "lists/partial").mkdir(parents=True)
    (state / "sources").write_text(f"deb [trusted=yes arch=amd64,arm64] file:{dist}/apt ./\n")
    options = [
        f"-oDir::Etc::sourcelist={state}/sources",
        "-oDir::Etc::sourceparts=-",
        f"-oDir::State::lists={state}/lists",
        f"-oDir::Cache={state}",
        "-oAPT::Architectures::=arm64",
        "-oAPT::Sandbox::User=root",
    ]
    subprocess.run(["apt-get", *options, "update"], check=True, capture_output=True)
    shown = subprocess.run(
        ["apt-cache", *options, "show", "keg-example:arm64"], check=True, capture_output=True, text=True
    ).stdout
    assert "Filename: ./keg-example_1.0_arm64.deb" in shown
